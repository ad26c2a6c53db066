// Chunks from the network: any header with any payload is refused or readable to its last byte.
// Input: u16 length of the header, the header, the payload. Where the first bit of the length's
// upper byte is set the payload's hash is made right, so that what follows the hash is reached.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "rollout/chunk.h"
#include "tests/fuzz/fuzz.h"

namespace {

midlane::ChunkShape Shape() {
  midlane::ChunkShape shape;
  shape.inputs = 3;
  shape.logits = 4;
  shape.masked = true;
  shape.heads = 2;
  shape.terms = 2;
  shape.state = 2;
  shape.window = 2;
  shape.environment_hash = 1;
  shape.network_hash = 2;
  return shape;
}

template <typename Span>
double Sum(const Span& span) {
  double sum = 0;
  for (auto x : span) sum += static_cast<double>(x);
  return sum;
}

}  // namespace

std::vector<std::string> midlane::FuzzSeeds() {
  std::vector<std::string> seeds;
  for (uint32_t steps : {1u, 3u, 8u}) {
    midlane::MutableChunk chunk(Shape(), 8);
    std::memset(chunk.arrays().inputs.data(), 0, chunk.arrays().inputs.size() * 4);
    std::memset(chunk.arrays().ends.data(), 0, chunk.arrays().ends.size());
    std::memset(chunk.arrays().starts.data(), 0, chunk.arrays().starts.size());
    midlane::v1::ChunkHeader header;
    header.add_version(1);
    header.add_version_steps(steps);
    const auto payload = chunk.Finish(steps, &header);
    const std::string text = header.SerializeAsString();
    std::string seed;
    seed.push_back(static_cast<char>(text.size() & 0xff));
    seed.push_back(static_cast<char>(0x80 | (text.size() >> 8)));
    seed += text;
    seed.append(reinterpret_cast<const char*>(payload.data.get()), payload.bytes);
    seeds.push_back(seed);
  }
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const bool right_hash = data[1] & 0x80;
  const size_t header_bytes =
      std::min<size_t>(data[0] | static_cast<size_t>(data[1] & 0x7f) << 8, size - 2);
  midlane::v1::ChunkHeader header;
  if (!header.ParseFromArray(data + 2, static_cast<int>(header_bytes))) return 0;
  // A copy of its own, aligned as the transport's, so that a read past its end is seen.
  const size_t bytes = size - 2 - header_bytes;
  std::vector<uint64_t> aligned((bytes + 7) / 8);
  if (bytes > 0) std::memcpy(aligned.data(), data + 2 + header_bytes, bytes);
  const std::string_view payload(reinterpret_cast<const char*>(aligned.data()), bytes);
  if (right_hash) {
    header.set_payload_hash(XXH3_64bits(payload.data(), payload.size()));
    header.set_payload_bytes(static_cast<uint32_t>(payload.size()));
  }
  const auto view = midlane::ParseChunk(Shape(), header, payload);
  if (!view.ok()) return 0;
  volatile double sum = Sum(view->inputs) + Sum(view->masks) + Sum(view->actions) +
                        Sum(view->log_probs) + Sum(view->values) + Sum(view->terms) +
                        Sum(view->ends) + Sum(view->bootstrap) + Sum(view->states) +
                        Sum(view->starts);
  (void)sum;
  if (view->inputs.size() != header.steps() * 3ull) __builtin_trap();
  return 0;
}
