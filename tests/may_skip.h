// MaySkip: whether a test may be skipped for want of a program that tests/run installs. Where
// CI=true it may not: it goes on and fails, so that no test is left out there unseen.
#ifndef MIDLANE_TESTS_MAY_SKIP_H_
#define MIDLANE_TESTS_MAY_SKIP_H_

#include <cstdlib>
#include <string_view>

namespace midlane {

inline bool MaySkip() {
  const char* const ci = std::getenv("CI");
  return ci == nullptr || std::string_view(ci) != "true";
}

}  // namespace midlane

#endif  // MIDLANE_TESTS_MAY_SKIP_H_
