#include "rollout/chunk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace midlane {
namespace {

using ::testing::HasSubstr;

ChunkShape TestShape() {
  ChunkShape shape;
  shape.inputs = 3;
  shape.logits = 5;
  shape.masked = true;
  shape.heads = 2;
  shape.terms = 2;
  shape.state = 4;
  shape.window = 4;
  shape.environment_hash = 11;
  shape.network_hash = 22;
  return shape;
}

// A chunk of `steps` whose every element is told from its place.
struct Sample {
  v1::ChunkHeader header;
  MutableChunk::Payload payload;
  std::string_view bytes() const {
    return {reinterpret_cast<const char*>(payload.data.get()), payload.bytes};
  }
};

template <typename Span>
void Count(Span span, int base) {
  for (size_t i = 0; i < span.size(); ++i) {
    span[i] = static_cast<typename Span::value_type>(base + static_cast<int>(i));
  }
}

Sample MakeSample(const ChunkShape& shape, uint32_t capacity, uint32_t steps) {
  MutableChunk chunk(shape, capacity);
  auto& arrays = chunk.arrays();
  Count(arrays.inputs, 1000);
  Count(arrays.masks, 0);
  Count(arrays.actions, -5);
  Count(arrays.log_probs, 2000);
  Count(arrays.values, 3000);
  Count(arrays.terms, 4000);
  for (uint8_t& end : arrays.ends) end = kGoesOn;
  arrays.ends[steps - 1] = kTruncated;
  Count(arrays.bootstrap, 5000);
  Count(arrays.states, 6000);
  for (uint8_t& start : arrays.starts) start = 0;
  arrays.starts[0] = 1;
  Sample sample;
  sample.header.add_version(7);
  sample.header.add_version_steps(steps);
  sample.payload = chunk.Finish(steps, &sample.header);
  return sample;
}

TEST(ChunkTest, EveryArraySurvivesCompaction) {
  const ChunkShape shape = TestShape();
  for (uint32_t steps : {1u, 4u, 5u, 9u, 10u}) {
    const Sample sample = MakeSample(shape, 10, steps);
    ASSERT_EQ(sample.payload.bytes, shape.payload_bytes(steps));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(sample.payload.data.get()) % 64, 0u);
    const auto view = ParseChunk(shape, sample.header, sample.bytes());
    ASSERT_TRUE(view.ok()) << view.status();
    ASSERT_EQ(view->inputs.size(), steps * 3);
    ASSERT_EQ(view->masks.size(), steps * 5);
    ASSERT_EQ(view->actions.size(), steps * 2);
    ASSERT_EQ(view->log_probs.size(), steps);
    ASSERT_EQ(view->values.size(), steps);
    ASSERT_EQ(view->terms.size(), steps * 2);
    ASSERT_EQ(view->bootstrap.size(), steps);
    ASSERT_EQ(view->states.size(), (steps + 3) / 4 * 4);
    for (size_t i = 0; i < view->inputs.size(); ++i) ASSERT_EQ(view->inputs[i], 1000.0f + i);
    for (size_t i = 0; i < view->masks.size(); ++i) ASSERT_EQ(view->masks[i], i);
    for (size_t i = 0; i < view->actions.size(); ++i) {
      ASSERT_EQ(view->actions[i], -5 + static_cast<int>(i));
    }
    for (size_t i = 0; i < steps; ++i) {
      ASSERT_EQ(view->log_probs[i], 2000.0f + i);
      ASSERT_EQ(view->values[i], 3000.0f + i);
      ASSERT_EQ(view->bootstrap[i], 5000.0f + i);
      ASSERT_EQ(view->ends[i], i == steps - 1 ? kTruncated : kGoesOn);
      ASSERT_EQ(view->starts[i], i == 0 ? 1 : 0);
    }
    for (size_t i = 0; i < view->terms.size(); ++i) ASSERT_EQ(view->terms[i], 4000.0f + i);
    for (size_t i = 0; i < view->states.size(); ++i) ASSERT_EQ(view->states[i], 6000.0f + i);
  }
}

TEST(ChunkTest, HeaderDescribesThePayload) {
  const Sample sample = MakeSample(TestShape(), 8, 6);
  EXPECT_EQ(sample.header.steps(), 6u);
  EXPECT_EQ(sample.header.environment_hash(), 11u);
  EXPECT_EQ(sample.header.network_hash(), 22u);
  EXPECT_EQ(sample.header.payload_bytes(), sample.payload.bytes);
  EXPECT_EQ(sample.header.tensors_size(), 10);
  for (const v1::Tensor& tensor : sample.header.tensors()) EXPECT_EQ(tensor.offset() % 64, 0u);
}

TEST(ChunkTest, FinishingTwiceFromOneChunkGivesIndependentPayloads) {
  MutableChunk chunk(TestShape(), 4);
  auto fill = [&](float value) {
    for (float& x : chunk.arrays().inputs) x = value;
    for (uint8_t& x : chunk.arrays().ends) x = 0;
    for (uint8_t& x : chunk.arrays().starts) x = 0;
  };
  v1::ChunkHeader first_header, second_header;
  for (auto* header : {&first_header, &second_header}) {
    header->add_version(1);
    header->add_version_steps(4);
  }
  fill(1);
  const auto first = chunk.Finish(4, &first_header);
  fill(2);
  const auto second = chunk.Finish(4, &second_header);
  const auto first_view = ParseChunk(
      TestShape(), first_header, {reinterpret_cast<const char*>(first.data.get()), first.bytes});
  ASSERT_TRUE(first_view.ok()) << first_view.status();
  EXPECT_EQ(first_view->inputs[0], 1);
}

TEST(ChunkTest, WithoutMasksAndStateTheirTensorsAreAbsent) {
  ChunkShape shape = TestShape();
  shape.masked = false;
  shape.state = 0;
  const Sample sample = MakeSample(shape, 8, 8);
  EXPECT_EQ(sample.header.tensors_size(), 8);
  const auto view = ParseChunk(shape, sample.header, sample.bytes());
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_TRUE(view->masks.empty());
  EXPECT_TRUE(view->states.empty());
}

struct Fault {
  const char* name;
  absl::StatusCode code;
  const char* words;
  std::function<void(v1::ChunkHeader*)> spoil;
};

TEST(ChunkTest, EveryFaultOfTheHeaderIsNamed) {
  const auto code = absl::StatusCode::kInvalidArgument;
  const uint32_t huge = std::numeric_limits<uint32_t>::max();
  const std::vector<Fault> faults = {
      {"no steps", code, "steps is 0", [](auto* h) { h->set_steps(0); }},
      {"too many steps", code, "steps is", [&](auto* h) { h->set_steps(huge); }},
      {"environment", code, "environment_hash", [](auto* h) { h->set_environment_hash(1); }},
      {"network", code, "network_hash", [](auto* h) { h->set_network_hash(1); }},
      {"payload bytes", code, "payload_bytes", [](auto* h) { h->set_payload_bytes(64); }},
      {"no version", code, "versions", [](auto* h) { h->clear_version(); }},
      {"version sum", code, "sum", [](auto* h) { h->set_version_steps(0, 5); }},
      {"sum that wraps", code, "sum",
       [&](auto* h) {
         h->add_version(8);
         h->add_version_steps(huge);
         h->add_version(9);
         h->add_version_steps(1);
       }},
      {"empty run", code, "empty run",
       [](auto* h) {
         h->add_version(8);
         h->add_version_steps(0);
       }},
      {"missing", code, "missing", [](auto* h) { h->mutable_tensors()->RemoveLast(); }},
      {"twice", code, "twice",
       [](auto* h) { h->mutable_tensors(1)->set_name(v1::Tensor::INPUTS); }},
      {"unknown", code, "not known",
       [](auto* h) { h->mutable_tensors(1)->set_name(static_cast<v1::Tensor::Name>(77)); }},
      {"invalid", code, "not known",
       [](auto* h) { h->mutable_tensors(1)->set_name(v1::Tensor::INVALID); }},
      {"size", code, "bytes", [](auto* h) { h->mutable_tensors(0)->set_bytes(4); }},
      {"outside", code, "leaves", [&](auto* h) { h->mutable_tensors(0)->set_offset(huge - 3); }},
      {"misaligned", code, "misaligned", [](auto* h) { h->mutable_tensors(0)->set_offset(1); }},
      {"overlap", code, "overlap", [](auto* h) { h->mutable_tensors(0)->set_offset(64); }},
      {"too many tensors", code, "at most",
       [](auto* h) {
         for (int i = 0; i < 100; ++i) h->add_tensors()->set_name(v1::Tensor::ENDS);
       }},
      {"hash", absl::StatusCode::kDataLoss, "payload_hash",
       [](auto* h) { h->set_payload_hash(h->payload_hash() ^ 1); }},
  };
  for (const Fault& fault : faults) {
    Sample sample = MakeSample(TestShape(), 8, 8);
    fault.spoil(&sample.header);
    const auto view = ParseChunk(TestShape(), sample.header, sample.bytes());
    ASSERT_FALSE(view.ok()) << fault.name;
    EXPECT_EQ(view.status().code(), fault.code) << fault.name << ": " << view.status();
    EXPECT_THAT(std::string(view.status().message()), HasSubstr(fault.words)) << fault.name;
  }
}

TEST(ChunkTest, EveryFlippedBitIsDataLoss) {
  Sample sample = MakeSample(TestShape(), 4, 4);
  for (size_t i = 0; i < sample.payload.bytes; ++i) {
    sample.payload.data.get()[i] ^= 0x10;
    const auto view = ParseChunk(TestShape(), sample.header, sample.bytes());
    ASSERT_FALSE(view.ok()) << i;
    ASSERT_EQ(view.status().code(), absl::StatusCode::kDataLoss);
    sample.payload.data.get()[i] ^= 0x10;
  }
}

TEST(ChunkTest, TruncatedPayloadsAreRefused) {
  Sample sample = MakeSample(TestShape(), 4, 4);
  for (size_t bytes = 0; bytes < sample.payload.bytes; ++bytes) {
    const std::string_view cut = sample.bytes().substr(0, bytes);
    ASSERT_FALSE(ParseChunk(TestShape(), sample.header, cut).ok()) << bytes;
    // Also where the header agrees with the shortened payload.
    v1::ChunkHeader header = sample.header;
    header.set_payload_bytes(static_cast<uint32_t>(bytes));
    header.set_payload_hash(XXH3_64bits(cut.data(), cut.size()));
    const bool tail_is_padding = bytes >= header.tensors(9).offset() + header.tensors(9).bytes();
    ASSERT_EQ(ParseChunk(TestShape(), header, cut).ok(), tail_is_padding) << bytes;
  }
}

TEST(ChunkTest, EndsAndStartsAreChecked) {
  Sample sample = MakeSample(TestShape(), 4, 4);
  sample.payload.data.get()[sample.header.tensors(6).offset() + 2] = 3;
  sample.header.set_payload_hash(XXH3_64bits(sample.payload.data.get(), sample.payload.bytes));
  const auto view = ParseChunk(TestShape(), sample.header, sample.bytes());
  ASSERT_FALSE(view.ok());
  EXPECT_THAT(std::string(view.status().message()), HasSubstr("step 2"));
}

TEST(ChunkTest, MisalignedPayloadIsRefusedNotRead) {
  const Sample sample = MakeSample(TestShape(), 4, 4);
  std::vector<char> storage(sample.payload.bytes + 64);
  char* odd = storage.data() + 1;
  std::memcpy(odd, sample.payload.data.get(), sample.payload.bytes);
  const auto view = ParseChunk(TestShape(), sample.header, {odd, sample.payload.bytes});
  ASSERT_FALSE(view.ok());
  EXPECT_THAT(std::string(view.status().message()), HasSubstr("misaligned"));
}

}  // namespace
}  // namespace midlane
