// Weights from the network: any blob is refused or decodes to what the network asks for.
// Input: one byte, then the blob. Where the byte is odd and the blob has a header its hash is made
// right, so that what follows the hash is reached.
#include <cmath>
#include <cstring>
#include <string>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "rollout/policy/weights.h"
#include "tests/fuzz/fuzz.h"
#include "tests/rollout/policy/test_weights.h"

namespace {

constexpr size_t kHeaderBytes = 64;
constexpr size_t kHashOffset = 56;

midlane::NetworkShape Shape() { return midlane::TestShape(3, {2, 2}, {4}); }

}  // namespace

std::vector<std::string> midlane::FuzzSeeds() {
  const Weights weights = SineWeights(Shape());
  return {"\1" + EncodeWeights(Shape(), weights, WireDtype::kF32),
          "\1" + EncodeWeights(Shape(), weights, WireDtype::kBf16),
          std::string(1, '\0') + EncodeWeights(Shape(), weights, WireDtype::kF32)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  std::string blob(reinterpret_cast<const char*>(data + 1), size - 1);
  if ((data[0] & 1) && blob.size() >= kHeaderBytes) {
    const uint64_t seed = XXH3_64bits(blob.data(), kHashOffset);
    const uint64_t hash =
        XXH3_64bits_withSeed(blob.data() + kHeaderBytes, blob.size() - kHeaderBytes, seed);
    std::memcpy(blob.data() + kHashOffset, &hash, sizeof(hash));
  }
  const auto weights = midlane::DecodeWeights(Shape(), blob);
  if (!weights.ok()) {
    if (weights.status().message().empty()) __builtin_trap();
    return 0;
  }
  if (!midlane::CheckWeights(Shape(), *weights).ok()) __builtin_trap();
  for (const float parameter : weights->parameters) {
    if (!std::isfinite(parameter)) __builtin_trap();
  }
  return 0;
}
