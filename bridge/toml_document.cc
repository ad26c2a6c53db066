#define TOML_IMPLEMENTATION
#include "bridge/toml_document.h"

#include <exception>

#include "absl/strings/str_cat.h"

namespace midlane {
namespace {

struct TomlFault : std::exception {
  const char* what() const noexcept override { return "malformed"; }
};

}  // namespace

void internal::ThrowTomlFault() { throw TomlFault(); }

absl::StatusOr<toml::table> ParseToml(std::string_view text, const std::string& source) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        source, ":", error.source().begin.line, ": no TOML: ", std::string(error.description())));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": no TOML: ", error.what()));
  }
}

}  // namespace midlane
