#include "deploy/option_checks.h"

#include <cmath>

#include "absl/strings/ascii.h"

namespace midlane {
namespace {

constexpr double kExactBelow = 9007199254740992;  // 2^53: a double has every whole number below
constexpr uint64_t kUnitsShownFrom = 10000;

double UnitOf(char letter) {
  switch (absl::ascii_tolower(letter)) {
    case 'k':
      return 1e3;
    case 'm':
      return 1e6;
    case 'g':
      return 1e9;
    default:
      return 1;
  }
}

}  // namespace

std::optional<uint64_t> CountOfText(absl::string_view text) {
  uint64_t exact = 0;
  if (absl::SimpleAtoi(text, &exact)) return exact;
  const double unit = text.empty() ? 1 : UnitOf(text.back());
  if (unit > 1) text.remove_suffix(1);
  double value = 0;
  if (!absl::SimpleAtod(text, &value)) return std::nullopt;
  value *= unit;
  const double whole = std::round(value);
  const bool near = std::abs(value - whole) <= 1e-12 * whole;  // 1.1M is 1100000.0000000002
  if (!near || whole < 0 || whole >= kExactBelow) return std::nullopt;
  return static_cast<uint64_t>(whole);
}

CLI::Validator Count(uint64_t low, uint64_t high) {
  return CLI::Validator(
      [low, high](std::string& word) {
        const std::optional<uint64_t> count = CountOfText(word);
        if (count && *count >= low && *count <= high) {
          word = absl::StrCat(*count);
          return std::string();
        }
        return absl::StrCat("'", word, "' does not do: give a whole number ",
                            high == kCountMax ? absl::StrCat("of at least ", low)
                                              : absl::StrCat("from ", low, " to ", high),
                            high >= kUnitsShownFrom ? ", like 200, 20k or 1.5M" : "");
      },
      /*validator_desc=*/"");
}

CLI::Validator NotEmpty() {
  return CLI::Validator(
      [](const std::string& word) { return word.empty() ? "it is empty" : std::string(); },
      /*validator_desc=*/"");
}

}  // namespace midlane
