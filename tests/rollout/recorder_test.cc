#include "rollout/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace midlane {
namespace {

using ::testing::ElementsAre;

ChunkShape TestShape() {
  ChunkShape shape;
  shape.inputs = 1;
  shape.logits = 2;
  shape.masked = true;
  shape.heads = 1;
  shape.terms = 2;
  shape.state = 2;
  shape.window = 2;
  return shape;
}

struct Chunk {
  v1::ChunkHeader header;
  MutableChunk::Payload payload;
  ChunkView view;
};

class Sink final : public ChunkSink {
 public:
  void Emit(v1::ChunkHeader* header, MutableChunk::Payload payload) override {
    Chunk chunk{*header, std::move(payload), {}};
    const auto view =
        ParseChunk(TestShape(), chunk.header,
                   {reinterpret_cast<const char*>(chunk.payload.data.get()), chunk.payload.bytes});
    ASSERT_TRUE(view.ok()) << view.status();
    chunk.view = *view;
    chunks.push_back(std::move(chunk));
  }
  std::vector<Chunk> chunks;
};

// Acts at time `t`: input t, action t + 100, log-prob -t, value 10 t, state {t, -t}.
void Act(Recorder* recorder, int t, uint64_t version, bool start = false) {
  const float input = t;
  const uint8_t masks[2] = {1, static_cast<uint8_t>(t % 2)};
  const float state[2] = {static_cast<float>(t), static_cast<float>(-t)};
  const int32_t action = t + 100;
  Recorder::Step step;
  step.inputs = &input;
  step.masks = masks;
  step.state = state;
  step.actions = &action;
  step.log_prob = -t;
  step.value = 10 * t;
  step.start = start;
  step.version = version;
  recorder->Act(step);
}

void Settle(Recorder* recorder, int t, ChunkEnd end = kGoesOn) {
  const float rewards[2] = {t + 0.5f, -1.0f};
  recorder->Settle(rewards, end);
}

TEST(RecorderTest, AFullChunkLeavesWithTheNextObservationsValue) {
  Sink sink;
  Recorder recorder(TestShape(), 3, 1, &sink);
  recorder.Begin(77, 5);
  for (int t = 1; t <= 3; ++t) {
    Act(&recorder, t, t < 3 ? 8 : 9, t == 1);
    EXPECT_TRUE(recorder.pending());
    Settle(&recorder, t);
    EXPECT_FALSE(recorder.pending());
  }
  EXPECT_TRUE(sink.chunks.empty());
  Act(&recorder, 4, 9);
  ASSERT_EQ(sink.chunks.size(), 1u);
  const Chunk& chunk = sink.chunks[0];
  EXPECT_EQ(chunk.header.episode(), 77u);
  EXPECT_EQ(chunk.header.sequence(), 0u);
  EXPECT_EQ(chunk.header.agent(), 1u);
  EXPECT_EQ(chunk.header.opponent(), 5u);
  EXPECT_THAT(chunk.header.version(), ElementsAre(8, 9));
  EXPECT_THAT(chunk.header.version_steps(), ElementsAre(2, 1));
  EXPECT_THAT(chunk.view.inputs, ElementsAre(1, 2, 3));
  EXPECT_THAT(chunk.view.masks, ElementsAre(1, 1, 1, 0, 1, 1));
  EXPECT_THAT(chunk.view.actions, ElementsAre(101, 102, 103));
  EXPECT_THAT(chunk.view.log_probs, ElementsAre(-1, -2, -3));
  EXPECT_THAT(chunk.view.values, ElementsAre(10, 20, 30));
  EXPECT_THAT(chunk.view.terms, ElementsAre(1.5, -1, 2.5, -1, 3.5, -1));
  EXPECT_THAT(chunk.view.ends, ElementsAre(0, 0, 0));
  EXPECT_THAT(chunk.view.bootstrap, ElementsAre(0, 0, 40));
  EXPECT_THAT(chunk.view.states, ElementsAre(1, -1, 3, -3));
  EXPECT_THAT(chunk.view.starts, ElementsAre(1, 0, 0));
  // The next one continues where this one ended.
  Settle(&recorder, 4, kTerminated);
  recorder.Cut();
  ASSERT_EQ(sink.chunks.size(), 2u);
  EXPECT_EQ(sink.chunks[1].header.sequence(), 1u);
  EXPECT_EQ(sink.chunks[1].header.episode(), 77u);
  EXPECT_THAT(sink.chunks[1].view.inputs, ElementsAre(4));
  EXPECT_THAT(sink.chunks[1].view.states, ElementsAre(4, -4));
  EXPECT_THAT(sink.chunks[1].view.starts, ElementsAre(0));
  EXPECT_THAT(sink.chunks[1].header.version_steps(), ElementsAre(1));
}

TEST(RecorderTest, TerminationHasNoBootstrapAndTruncationTheFinalValue) {
  Sink sink;
  Recorder recorder(TestShape(), 4, 0, &sink);
  recorder.Begin(1, 0);
  Act(&recorder, 1, 1, true);
  Settle(&recorder, 1, kTerminated);
  Act(&recorder, 2, 1, true);
  Settle(&recorder, 2, kTruncated);
  recorder.Truncated(55);
  Act(&recorder, 3, 1, true);
  Settle(&recorder, 3);
  Act(&recorder, 4, 1);
  Settle(&recorder, 4, kTerminated);
  ASSERT_EQ(sink.chunks.size(), 1u) << "ended by termination: nothing to wait for";
  EXPECT_THAT(sink.chunks[0].view.ends, ElementsAre(kTerminated, kTruncated, 0, kTerminated));
  EXPECT_THAT(sink.chunks[0].view.bootstrap, ElementsAre(0, 55, 0, 0));
  EXPECT_THAT(sink.chunks[0].view.starts, ElementsAre(1, 1, 1, 0));
}

TEST(RecorderTest, AChunkThatEndsInATruncationLeavesWithItsValue) {
  Sink sink;
  Recorder recorder(TestShape(), 2, 0, &sink);
  recorder.Begin(1, 0);
  Act(&recorder, 1, 1, true);
  Settle(&recorder, 1);
  Act(&recorder, 2, 1);
  Settle(&recorder, 2, kTruncated);
  EXPECT_TRUE(sink.chunks.empty());
  recorder.Truncated(66);
  ASSERT_EQ(sink.chunks.size(), 1u);
  EXPECT_THAT(sink.chunks[0].view.bootstrap, ElementsAre(0, 66));
  recorder.Cut();
  EXPECT_EQ(sink.chunks.size(), 1u);
}

TEST(RecorderTest, CutLeavesThePendingStepOutAndBootstrapsFromItsValue) {
  Sink sink;
  Recorder recorder(TestShape(), 8, 0, &sink);
  recorder.Begin(1, 0);
  Act(&recorder, 1, 1, true);
  Settle(&recorder, 1);
  Act(&recorder, 2, 1);
  Settle(&recorder, 2);
  Act(&recorder, 3, 2);
  recorder.Cut();
  ASSERT_EQ(sink.chunks.size(), 1u);
  EXPECT_THAT(sink.chunks[0].view.inputs, ElementsAre(1, 2));
  EXPECT_THAT(sink.chunks[0].view.ends, ElementsAre(0, 0));
  EXPECT_THAT(sink.chunks[0].view.bootstrap, ElementsAre(0, 30));
  EXPECT_THAT(sink.chunks[0].header.version(), ElementsAre(1));
  EXPECT_THAT(sink.chunks[0].header.version_steps(), ElementsAre(2));
  EXPECT_FALSE(recorder.pending());
}

TEST(RecorderTest, CutAfterAnEndDoesNotTouchItsBootstrap) {
  Sink sink;
  Recorder recorder(TestShape(), 8, 0, &sink);
  recorder.Begin(1, 0);
  Act(&recorder, 1, 1, true);
  Settle(&recorder, 1, kTerminated);
  Act(&recorder, 2, 1, true);
  recorder.Cut();
  ASSERT_EQ(sink.chunks.size(), 1u);
  EXPECT_THAT(sink.chunks[0].view.bootstrap, ElementsAre(0));
  EXPECT_THAT(sink.chunks[0].view.ends, ElementsAre(kTerminated));
}

TEST(RecorderTest, CutOfNothingEmitsNothing) {
  Sink sink;
  Recorder recorder(TestShape(), 8, 0, &sink);
  recorder.Begin(1, 0);
  recorder.Cut();
  Act(&recorder, 1, 1, true);
  recorder.Cut();
  EXPECT_TRUE(sink.chunks.empty());
}

TEST(RecorderTest, RunsCountTheirOwnSequences) {
  Sink sink;
  Recorder recorder(TestShape(), 1, 0, &sink);
  recorder.Begin(1, 3);
  for (int t = 1; t <= 3; ++t) {
    Act(&recorder, t, 1);
    Settle(&recorder, t, kTerminated);
  }
  recorder.Cut();
  recorder.Begin(2, 4);
  Act(&recorder, 4, 1);
  Settle(&recorder, 4, kTerminated);
  ASSERT_EQ(sink.chunks.size(), 4u);
  EXPECT_EQ(sink.chunks[2].header.sequence(), 2u);
  EXPECT_EQ(sink.chunks[3].header.sequence(), 0u);
  EXPECT_EQ(sink.chunks[3].header.episode(), 2u);
  EXPECT_EQ(sink.chunks[3].header.opponent(), 4u);
}

}  // namespace
}  // namespace midlane
