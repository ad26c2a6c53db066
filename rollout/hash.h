// Hash: XXH3, 64 bits, as xxhash defines it, at the width of this machine's vector units (Debian's
// inline header is fixed at compile time; AVX2 more than doubles it, and every byte of experience
// is hashed twice).
//
// Thread-safety: Hash64 is pure; a Hasher64 belongs to one thread at a time.
#ifndef MIDLANE_ROLLOUT_HASH_H_
#define MIDLANE_ROLLOUT_HASH_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace midlane {

uint64_t Hash64(const void* data, size_t bytes);

inline uint64_t Hash64(std::string_view bytes) { return Hash64(bytes.data(), bytes.size()); }

// The hash of bytes that come in pieces.
class Hasher64 {
 public:
  Hasher64();
  void Update(std::string_view bytes);
  uint64_t Digest() const;

 private:
  alignas(64) unsigned char state_[576];  // XXH3_state_t
};

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_HASH_H_
