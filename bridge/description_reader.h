// DescriptionReader: typed reading of a game's description (bridge/description.h), which remembers
// the first error, so that reading code stays straight.
//
// Thread-safety: one thread.
// Errors: InvalidArgument with file and line, the key and what to write; after one, reads return
//   their fallback and change nothing.
#ifndef MIDLANE_BRIDGE_DESCRIPTION_READER_H_
#define MIDLANE_BRIDGE_DESCRIPTION_READER_H_

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "bridge/toml_document.h"

namespace midlane {

class DescriptionReader {
 public:
  // `file` names the description in errors; `folder` holds the files that it names.
  DescriptionReader(std::string file, std::string folder)
      : file_(std::move(file)), folder_(std::move(folder)) {}

  const absl::Status& status() const { return status_; }
  bool ok() const { return status_.ok(); }
  const std::string& folder() const { return folder_; }

  // Only the first failure counts.
  void Fail(const toml::node* node, absl::string_view sentence);

  // Refuses keys of `table` that are not among `known`.
  void OnlyKeys(const toml::table& table, absl::string_view name,
                std::initializer_list<const char*> known);

  // Null where there is none, or after an error.
  const toml::table* Table(const toml::table& parent, const char* key, bool required);

  // One line of text; empty where there is none, or after an error.
  std::string String(const toml::table& table, const char* key, bool required);

  std::string StringOf(const toml::node* node, absl::string_view key);

  std::vector<std::string> Strings(const toml::table& table, const char* key);

  // From `least` to `most`; `fallback` where there is none, or after an error.
  int64_t Integer(const toml::table& table, const char* key, int64_t fallback, int64_t least,
                  int64_t most);

  // Environment variables, but none that Midlane sets itself.
  std::map<std::string, std::string> Variables(const toml::table& table, absl::string_view name);

  // A file of the description's folder.
  std::string ReadFile(const toml::node* node, const std::string& name);

 private:
  std::string file_;
  std::string folder_;
  absl::Status status_;
};

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_DESCRIPTION_READER_H_
