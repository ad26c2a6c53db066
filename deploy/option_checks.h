// Checks of a command's options that say what to give.
//
// Thread-safety: free functions; any thread.
#ifndef MIDLANE_DEPLOY_OPTION_CHECKS_H_
#define MIDLANE_DEPLOY_OPTION_CHECKS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace midlane {

inline constexpr uint64_t kCountMax = ~uint64_t{0};

// "20000", "1e6", "1.5M", "200k" or "2G" as a whole number; nothing where it is none.
std::optional<uint64_t> CountOfText(absl::string_view text);

// For Option::transform: a whole number from `low` to `high`, written as above; its digits follow.
CLI::Validator Count(uint64_t low, uint64_t high = kCountMax);

// For Option::check: a word, for a script's variable may be empty.
CLI::Validator NotEmpty();

// For Option::check: a number from `low` to `high`, both included.
template <typename T>
CLI::Validator InRange(T low, T high) {
  return CLI::Validator(
      [low, high](const std::string& word) {
        double value = 0;
        if (absl::SimpleAtod(word, &value) && value >= double(low) && value <= double(high)) {
          return std::string();
        }
        return absl::StrCat("'", word, "' does not do: give a number from ", low, " to ", high);
      },
      /*validator_desc=*/"");
}

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_OPTION_CHECKS_H_
