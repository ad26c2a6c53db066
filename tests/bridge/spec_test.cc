#include "bridge/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

namespace midlane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TensorSpec Tensor(const std::string& name, midlane_dtype dtype, std::vector<uint32_t> shape) {
  TensorSpec tensor;
  tensor.name = name;
  tensor.dtype = dtype;
  tensor.shape = std::move(shape);
  tensor.minimum = -std::numeric_limits<float>::infinity();
  tensor.maximum = std::numeric_limits<float>::infinity();
  return tensor;
}

// Two heads, of which the second is masked.
Spec Example() {
  Spec spec;
  spec.environment = "example";
  spec.agents = {"left", "right"};
  spec.tensors = {Tensor("ball", MIDLANE_DTYPE_F32, {4}), Tensor("aim_mask", MIDLANE_DTYPE_U8, {3}),
                  Tensor("units", MIDLANE_DTYPE_I32, {2, 3}), Tensor("flag", MIDLANE_DTYPE_U8, {})};
  spec.heads = {{"move", 6, -1}, {"aim", 3, -1}};
  spec.tensors[1].masks_head = 1;
  spec.terms = {"won", "touch"};
  spec.metrics = {"points"};
  spec.frame_skip = 4;
  spec.frames_per_second = 75;
  return spec;
}

midlane_spec Raw() {
  absl::StatusOr<midlane_spec> raw = MakeRawSpec(Example());
  EXPECT_TRUE(raw.ok()) << raw.status();
  return *raw;
}

TEST(Spec, SurvivesTheRoundTrip) {
  absl::StatusOr<Spec> spec = ParseSpec(Raw());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->environment, "example");
  EXPECT_THAT(spec->agents, ElementsAre("left", "right"));
  EXPECT_THAT(spec->terms, ElementsAre("won", "touch"));
  EXPECT_EQ(spec->tensors[2].shape, (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(spec->heads[0].mask_tensor, -1);
  EXPECT_EQ(spec->heads[1].mask_tensor, 1);
  EXPECT_EQ(spec->tensors[1].masks_head, 1);
  EXPECT_EQ(spec->observation_bytes, 4 * 64u);
  EXPECT_EQ(spec->tensors[2].offset, 128u);
  EXPECT_EQ(spec->FindAgent("right"), 1);
  EXPECT_EQ(spec->FindTensor("units"), 2);
  EXPECT_EQ(spec->FindTensor("nothing"), -1);
  EXPECT_EQ(spec->FindTerm("touch"), 1);
  EXPECT_EQ(spec->FindMetric("points"), 0);
  EXPECT_EQ(spec->input_width(), 4u + 6u + 1u);
  EXPECT_EQ(spec->logits_width(), 9u);
}

TEST(Spec, HashIsOfEverythingButTheFrameSkip) {
  const uint64_t hash = ParseSpec(Raw())->Hash();
  midlane_spec raw = Raw();
  raw.frame_skip = 9;
  EXPECT_EQ(ParseSpec(raw)->Hash(), hash);
  const std::vector<std::function<void(Spec*)>> changes = {
      [](Spec* s) { s->environment = "other"; },
      [](Spec* s) { s->agents.pop_back(); },
      [](Spec* s) { s->tensors[0].name = "bal"; },
      [](Spec* s) {
        s->tensors[0].shape = {2, 2};
      },
      [](Spec* s) { s->tensors[0].dtype = MIDLANE_DTYPE_I32; },
      [](Spec* s) { s->tensors[0].minimum = -1; },
      [](Spec* s) { s->tensors[1].masks_head = -1; },
      [](Spec* s) { s->heads[0].choices = 7; },
      [](Spec* s) {
        s->terms = {"won", "touched"};
      },
      [](Spec* s) { s->metrics.clear(); },
      [](Spec* s) { s->frames_per_second = 60; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    Spec spec = Example();
    changes[i](&spec);
    absl::StatusOr<midlane_spec> changed = MakeRawSpec(spec);
    ASSERT_TRUE(changed.ok()) << i << changed.status();
    EXPECT_NE(ParseSpec(*changed)->Hash(), hash) << i;
  }
}

TEST(Spec, RefusalsNameTheFieldAndTheRemedy) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const struct {
    std::function<void(midlane_spec*)> breaks;
    const char* sentence;
  } cases[] = {
      {[](midlane_spec* s) { s->environment[0] = 0; }, "environment has no name: give it one"},
      {[](midlane_spec* s) { std::memset(s->environment, 'x', MIDLANE_NAME_BYTES); },
       "environment has a name without an end: use at most 47 bytes"},
      {[](midlane_spec* s) { s->environment[2] = '\n'; }, "byte 3 is not allowed"},
      {[](midlane_spec* s) { s->agents = 0; }, "agents has 0 entries: declare 1 to 16"},
      {[](midlane_spec* s) { s->agents = 1u << 31; }, "agents has 2147483648 entries"},
      {[](midlane_spec* s) { s->tensors = 33; }, "observations has 33 entries"},
      {[](midlane_spec* s) { s->heads = 0; }, "actions has 0 entries"},
      {[](midlane_spec* s) { s->terms = 33; }, "rewards has 33 entries"},
      {[](midlane_spec* s) { s->metrics = 33; }, "metrics has 33 entries"},
      {[](midlane_spec* s) { s->frame_skip = 0; }, "frame_skip is 0"},
      {[](midlane_spec* s) { s->frames_per_second = 0; }, "frames_per_second is 0"},
      {[nan](midlane_spec* s) { s->frames_per_second = nan; }, "frames_per_second is nan"},
      {[](midlane_spec* s) { std::strcpy(s->agent[1].text, "left"); },
       "agents[2] repeats the name 'left': names must differ"},
      {[](midlane_spec* s) { std::strcpy(s->tensor[1].name, "ball"); },
       "observations[2] repeats the name 'ball'"},
      {[](midlane_spec* s) { std::strcpy(s->head[1].name, "move"); }, "actions[2] repeats"},
      {[](midlane_spec* s) { std::strcpy(s->term[1].text, "won"); }, "rewards[2] repeats"},
      {[](midlane_spec* s) { s->tensor[0].dtype = 4; }, "'ball' has the unknown dtype 4"},
      {[](midlane_spec* s) { s->tensor[0].rank = 5; }, "'ball' has rank 5"},
      {[](midlane_spec* s) { s->tensor[2].shape[1] = 0; }, "'units' has size 0 in dimension 2"},
      {[](midlane_spec* s) { s->tensor[0].shape[3] = 2; }, "'ball' has a size in dimension 4"},
      {[](midlane_spec* s) { s->tensor[2].shape[0] = s->tensor[2].shape[1] = 0xFFFFFFFF; },
       "'units' is too large"},
      {[nan](midlane_spec* s) { s->tensor[0].minimum = nan; }, "'ball' has bounds"},
      {[](midlane_spec* s) { s->tensor[0].minimum = 2, s->tensor[0].maximum = 1; },
       "'ball' has bounds 2 to 1"},
      {[](midlane_spec* s) { s->tensor[2].offset = 129; }, "'units' begins at byte 129"},
      {[](midlane_spec* s) { s->tensor[2].offset = 64; }, "overlaps"},
      {[](midlane_spec* s) { s->tensor[3].offset = 256; }, "'flag' ends at byte 257 of 256"},
      {[](midlane_spec* s) { s->tensor[3].offset = 0xFFFFFFC0; }, "'flag' ends at byte"},
      {[](midlane_spec* s) { s->observation_bytes = 320; }, "observation_bytes is 320"},
      {[](midlane_spec* s) { s->observation_bytes = 0xFFFFFFC0; }, "observation_bytes is"},
      {[](midlane_spec* s) { s->tensor[1].masks_head = 3; }, "'aim_mask' masks action head 3"},
      {[](midlane_spec* s) { s->tensor[1].masks_head = 1; },
       "'aim_mask' masks action 'move' in another form: a mask is u8 of shape {6}"},
      {[](midlane_spec* s) { s->head[1].choices = 1; }, "'aim' has 1 choices: use 2 to 65536"},
      {[](midlane_spec* s) { s->head[1].choices = 65537; }, "'aim' has 65537 choices"},
      {[](midlane_spec* s) {
         s->tensors = 2;
         s->tensor[0] = s->tensor[1];
         std::strcpy(s->tensor[0].name, "first");
         s->tensor[0].offset = 0;
         s->observation_bytes = 128;
       },
       "'aim_mask' is a second mask of action 'aim'"},
      {[](midlane_spec* s) {
         s->tensors = 1;
         s->tensor[0] = s->tensor[1];
         s->tensor[0].offset = 0;
         s->observation_bytes = 64;
       },
       "observations holds only masks"},
  };
  for (const auto& c : cases) {
    midlane_spec raw = Raw();
    c.breaks(&raw);
    const absl::Status status = ParseSpec(raw).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.sentence;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.sentence));
  }
}

TEST(Spec, MakingOneRefusesWhatParsingWould) {
  Spec spec = Example();
  spec.agents[0] = std::string(60, 'x');
  EXPECT_FALSE(MakeRawSpec(spec).ok());
  spec = Example();
  spec.tensors[0].shape = {1, 1, 1, 1, 1};
  EXPECT_FALSE(MakeRawSpec(spec).ok());
  spec = Example();
  spec.tensors[0].shape = {65536, 65536, 65536};
  EXPECT_FALSE(MakeRawSpec(spec).ok());
  spec = Example();
  spec.tensors.resize(40, Tensor("x", MIDLANE_DTYPE_F32, {}));
  EXPECT_FALSE(MakeRawSpec(spec).ok());
}

TEST(Spec, FlattensInOrderAndConverts) {
  const Spec spec = *ParseSpec(Raw());
  alignas(64) unsigned char observation[256] = {};
  const float ball[] = {0.5f, -1, 2, 3};
  const int32_t units[] = {1, -2, 3, 4, 5, 60000};
  const unsigned char mask[] = {0, 255, 1};
  std::memcpy(observation + spec.tensors[0].offset, ball, sizeof(ball));
  std::memcpy(observation + spec.tensors[1].offset, mask, sizeof(mask));
  std::memcpy(observation + spec.tensors[2].offset, units, sizeof(units));
  observation[spec.tensors[3].offset] = 200;
  std::vector<float> inputs(spec.input_width() + 1, 77);
  std::vector<uint8_t> masks(spec.logits_width() + 1, 77);
  FlattenObservation(spec, observation, inputs.data(), masks.data());
  EXPECT_THAT(inputs, ElementsAre(0.5f, -1, 2, 3, 1, -2, 3, 4, 5, 60000, 200, 77));
  EXPECT_THAT(masks, ElementsAre(1, 1, 1, 1, 1, 1, 0, 1, 1, 77));
}

}  // namespace
}  // namespace midlane
