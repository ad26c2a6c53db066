#include "rollout/hash.h"

#include <gtest/gtest.h>

#include <string>

#include "rollout/hash_kernels.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace midlane {
namespace {

std::string Bytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(i * 131 + (i >> 8));
  return bytes;
}

TEST(HashTest, EveryBuildIsXxh3) {
  for (size_t count : {0u, 1u, 3u, 16u, 17u, 128u, 129u, 240u, 241u, 1024u, 6000u, 1u << 20}) {
    const std::string bytes = Bytes(count);
    const uint64_t expected = XXH3_64bits(bytes.data(), bytes.size());
    EXPECT_EQ(Hash64(bytes), expected) << count;
    EXPECT_EQ(kHashPortable.hash(bytes.data(), bytes.size()), expected) << count;
  }
}

TEST(HashTest, PiecesHashAsTheWhole) {
  const std::string bytes = Bytes(300001);
  for (size_t piece : {1000u, 65536u, 300001u}) {
    Hasher64 hasher;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      hasher.Update(std::string_view(bytes).substr(at, piece));
    }
    EXPECT_EQ(hasher.Digest(), Hash64(bytes)) << piece;
  }
}

}  // namespace
}  // namespace midlane
