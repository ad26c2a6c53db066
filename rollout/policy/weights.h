// Weights: one published version of a network with the normaliser that belongs to it, and its wire
// form. Everything a worker needs to act lies in one blob, so a late joiner's first fetch is no
// special case and observations are never normalised with another version's statistics.
//
// Wire form (little endian; documented byte by byte in docs/formats.md):
//   header (64 bytes: magic "MDLWGHT1", format, dtype, version, shape hash, counts, XXH3 of what
//   follows, seeded with the XXH3 of the header's first 56 bytes) mean f32[inputs], inv_std
//   f32[inputs], parameters dtype[parameters]
// The file is made to be mapped and read in place where dtype is f32.
// Thread-safety: values and pure functions.
// Errors: DecodeWeights refuses with DataLoss (hash), InvalidArgument (foreign, truncated,
//   another shape, a number that is not finite), each naming what differs.
#ifndef MIDLANE_ROLLOUT_POLICY_WEIGHTS_H_
#define MIDLANE_ROLLOUT_POLICY_WEIGHTS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "rollout/policy/network.h"

namespace midlane {

enum class WireDtype : uint32_t { kF32 = 1, kBf16 = 2 };

struct Weights {
  uint64_t version = 0;           // 1 is the first published version
  std::vector<float> mean;        // [inputs]
  std::vector<float> inv_std;     // [inputs]
  std::vector<float> parameters;  // WeightLayout order
};

// InvalidArgument where a vector's length is not what `shape` asks for.
absl::Status CheckWeights(const NetworkShape& shape, const Weights& weights);

// REQUIRES: CheckWeights(shape, weights).ok().
std::string EncodeWeights(const NetworkShape& shape, const Weights& weights, WireDtype dtype);
absl::StatusOr<Weights> DecodeWeights(const NetworkShape& shape, std::string_view blob);

// Rounds parameters to what the other side will decode, in place: what a learner acts as if it had
// published when it compares behaviour log-probabilities.
void RoundToWire(WireDtype dtype, std::vector<float>* parameters);

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_POLICY_WEIGHTS_H_
