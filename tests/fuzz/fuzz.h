// What a fuzz target gives to the driver (main.cc), which is a plain main: it replays files given
// as arguments, or mutates seeds for a bounded number of runs or seconds.
#ifndef MIDLANE_TESTS_FUZZ_FUZZ_H_
#define MIDLANE_TESTS_FUZZ_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// libFuzzer's entry point. Must accept any input and return 0; a fault, an abort or a sanitizer
// report is the finding.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace midlane {

// Well-formed inputs to mutate. Optional: without it mutation begins with the empty input.
__attribute__((weak)) std::vector<std::string> FuzzSeeds();

}  // namespace midlane

#endif  // MIDLANE_TESTS_FUZZ_FUZZ_H_
