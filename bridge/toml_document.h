// TOML from people: the only way by which Midlane reads TOML (toml++, compiled once, here).
//
// Why not toml++ as it is: its parser guards itself by asserts, and Debian's library is built with
// them, so a file like "[#" aborts the process. Here a failed assert is an exception inside
// ParseToml, and the text is refused.
// Include this in place of <toml++/toml.h>, and link no tomlplusplus library.
// Thread-safety: values and a pure function.
#ifndef MIDLANE_BRIDGE_TOML_DOCUMENT_H_
#define MIDLANE_BRIDGE_TOML_DOCUMENT_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace midlane::internal {
[[noreturn]] void ThrowTomlFault();
}  // namespace midlane::internal

#define TOML_HEADER_ONLY 0
#define TOML_EXCEPTIONS 1
#define TOML_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::midlane::internal::ThrowTomlFault())
// Its tables of letters and spaces declare most of Unicode unreachable and are asked all the same
// (U+00E9 where a value belongs is undefined behaviour): there the answer is no.
#include <toml++/impl/forward_declarations.h>
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE return false
#include <toml++/impl/unicode.h>
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE __builtin_unreachable()
#include <toml++/toml.h>

namespace midlane {

// Parses any text. InvalidArgument: "SOURCE:LINE: what is wrong".
absl::StatusOr<toml::table> ParseToml(std::string_view text, const std::string& source);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_TOML_DOCUMENT_H_
