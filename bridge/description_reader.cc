#include "bridge/description_reader.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace midlane {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;

}  // namespace

void DescriptionReader::Fail(const toml::node* node, absl::string_view sentence) {
  if (!status_.ok()) return;
  const unsigned line = node == nullptr ? 1 : std::max(1u, node->source().begin.line);
  status_ = absl::InvalidArgumentError(absl::StrCat(file_, ":", line, ": ", sentence));
}

void DescriptionReader::OnlyKeys(const toml::table& table, absl::string_view name,
                                 std::initializer_list<const char*> known) {
  for (const auto& [key, node] : table) {
    const std::string text(key.str());
    if (std::find(known.begin(), known.end(), text) != known.end()) continue;
    Fail(&node, absl::StrCat("unknown key '", text, "' in ", name, ": known are ",
                             absl::StrJoin(known, ", ")));
    return;
  }
}

const toml::table* DescriptionReader::Table(const toml::table& parent, const char* key,
                                            bool required) {
  const toml::node* node = parent.get(key);
  if (node == nullptr) {
    if (required) Fail(&parent, absl::StrCat("there is no table [", key, "]: add it"));
    return nullptr;
  }
  if (!node->is_table()) {
    Fail(node, absl::StrCat("'", key, "' must be a table: write [", key, "]"));
    return nullptr;
  }
  return node->as_table();
}

std::string DescriptionReader::String(const toml::table& table, const char* key, bool required) {
  const toml::node* node = table.get(key);
  if (node == nullptr) {
    if (required) {
      Fail(&table, absl::StrCat("'", key, "' is missing: add ", key, " = \"...\" here"));
    }
    return "";
  }
  return StringOf(node, key);
}

std::string DescriptionReader::StringOf(const toml::node* node, absl::string_view key) {
  const auto value = node->value_exact<std::string>();
  if (!value) {
    Fail(node, absl::StrCat("'", key, "' must be a string: write it in quotes"));
    return "";
  }
  const bool one_line = std::none_of(value->begin(), value->end(), [](unsigned char c) {
    return c == '\n' || c == '\r' || c == '\0';
  });
  if (!one_line) Fail(node, absl::StrCat("'", key, "' must be one line"));
  return *value;
}

std::vector<std::string> DescriptionReader::Strings(const toml::table& table, const char* key) {
  std::vector<std::string> result;
  const toml::node* node = table.get(key);
  if (node == nullptr) return result;
  if (!node->is_array()) {
    Fail(node, absl::StrCat("'", key, "' must be a list: write [\"...\", ...]"));
    return result;
  }
  for (const toml::node& item : *node->as_array()) {
    result.push_back(StringOf(&item, key));
  }
  return result;
}

int64_t DescriptionReader::Integer(const toml::table& table, const char* key, int64_t fallback,
                                   int64_t least, int64_t most) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return fallback;
  const auto value = node->value_exact<int64_t>();
  if (value && *value >= least && *value <= most) return *value;
  Fail(node, absl::StrCat("'", key, "' must be a whole number from ", least, " to ", most));
  return fallback;
}

std::map<std::string, std::string> DescriptionReader::Variables(const toml::table& table,
                                                                absl::string_view name) {
  std::map<std::string, std::string> result;
  for (const auto& [key, node] : table) {
    const std::string variable(key.str());
    if (variable.empty() || variable.find('=') != std::string::npos) {
      Fail(&node, absl::StrCat("'", variable, "' in ", name,
                               " is no name for an environment variable: take out '='"));
    }
    if (absl::StartsWith(variable, "MIDLANE_") || variable == "LD_PRELOAD") {
      Fail(&node,
           absl::StrCat("'", variable, "' in ", name, " is set by Midlane itself: take it out"));
    }
    result[variable] = StringOf(&node, variable);
  }
  return result;
}

std::string DescriptionReader::ReadFile(const toml::node* node, const std::string& name) {
  std::ifstream in(std::filesystem::path(folder_) / name, std::ios::binary);
  std::string text;
  if (in) {
    text.resize(kFileBytesMax + 1);
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(in.gcount()));
  }
  if (!in.is_open() || in.bad()) {
    Fail(node, absl::StrCat("there is no readable file '", name, "' in ", folder_,
                            ": create it or correct the name"));
  } else if (text.size() > kFileBytesMax) {
    Fail(node, absl::StrCat("'", name, "' is larger than ", kFileBytesMax, " bytes: shorten it"));
  }
  return text;
}

}  // namespace midlane
