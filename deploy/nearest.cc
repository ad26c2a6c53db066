#include "deploy/nearest.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace midlane {
namespace {

constexpr size_t kWordBytesMax = 256;  // longer words are compared by their beginning
constexpr size_t kListedMax = 12;

}  // namespace

size_t EditDistance(absl::string_view a, absl::string_view b) {
  a = a.substr(0, kWordBytesMax);
  b = b.substr(0, kWordBytesMax);
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitution = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
    }
  }
  return row[b.size()];
}

std::string DidYouMean(absl::string_view word, const std::vector<std::string>& known) {
  if (known.empty()) return "";
  const auto nearest = std::min_element(
      known.begin(), known.end(),
      [&](const auto& a, const auto& b) { return EditDistance(word, a) < EditDistance(word, b); });
  const bool near = EditDistance(word, *nearest) <= std::max<size_t>(2, nearest->size() / 2);
  return near ? absl::StrCat("; did you mean ", *nearest, "?") : "";
}

std::string NearestHint(absl::string_view word, const std::vector<std::string>& known,
                        absl::string_view all) {
  if (known.empty()) return "";
  if (std::string meant = DidYouMean(word, known); !meant.empty()) return meant;
  const size_t listed = std::min(known.size(), kListedMax);
  std::string hint =
      absl::StrCat("; known: ", absl::StrJoin(known.begin(), known.begin() + listed, ", "));
  if (listed < known.size()) absl::StrAppend(&hint, ", ...");
  if (listed < known.size() && !all.empty()) absl::StrAppend(&hint, " (all: ", all, ")");
  return hint;
}

}  // namespace midlane
