// InRange: an option's check that says what to give.
#ifndef MIDLANE_DEPLOY_IN_RANGE_H_
#define MIDLANE_DEPLOY_IN_RANGE_H_

#include <CLI/CLI.hpp>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace midlane {

// A number from `low` to `high`, both included.
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

#endif  // MIDLANE_DEPLOY_IN_RANGE_H_
