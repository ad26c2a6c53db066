// SHA-256 (FIPS 180-4), for checkpoints: what lies on a disk for months gets a hash that is no
// matter of trust. Not for the wire (1.9 GB/s at best; weights use XXH3).
// Thread-safety: a value; pure function.
#ifndef MIDLANE_LEARNER_SHA256_H_
#define MIDLANE_LEARNER_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace midlane {

using Sha256Digest = std::array<uint8_t, 32>;

Sha256Digest Sha256(std::string_view bytes);
std::string HexOf(const Sha256Digest& digest);

}  // namespace midlane

#endif  // MIDLANE_LEARNER_SHA256_H_
