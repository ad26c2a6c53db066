// "did you mean": the known word nearest to a mistyped one, by edit distance.
#ifndef MIDLANE_DEPLOY_NEAREST_H_
#define MIDLANE_DEPLOY_NEAREST_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace midlane {

// Levenshtein distance in bytes.
size_t EditDistance(absl::string_view a, absl::string_view b);

// "; did you mean X?" for the nearest of `known`, or "" where none is near.
std::string DidYouMean(absl::string_view word, const std::vector<std::string>& known);

// The same, or "; known: A, B, C" where none is near. `all` is the command that lists them where
// they are too many for that.
std::string NearestHint(absl::string_view word, const std::vector<std::string>& known,
                        absl::string_view all = "");

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_NEAREST_H_
