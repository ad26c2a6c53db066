#include "learner/receiver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "rollout/chunk.h"
#include "rollout/transport.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;

class FakeTransport final : public LearnerTransport {
 public:
  std::string address() const override { return ""; }
  std::string weights_address() const override { return ""; }
  absl::StatusOr<Received> Receive(absl::Duration) override {
    return absl::DeadlineExceededError("");
  }
  void Grant(uint64_t worker, uint32_t chunks) override { granted[worker] += chunks; }
  void Serve(uint64_t, std::shared_ptr<const std::string>) override {}
  void Retire(uint64_t) override {}
  void Announce(const v1::Notice&) override {}
  uint32_t workers() const override { return 0; }

  std::map<uint64_t, uint32_t> granted;
};

class Bytes final : public Frame {
 public:
  explicit Bytes(MutableChunk::Payload payload) : payload_(std::move(payload)) {}
  std::string_view bytes() const override {
    return {reinterpret_cast<const char*>(payload_.data.get()), payload_.bytes};
  }

 private:
  MutableChunk::Payload payload_;
};

constexpr uint64_t kEnvironment = 5, kNetwork = 6, kWorker = 9;

class ReceiverTest : public ::testing::Test {
 protected:
  ReceiverTest() {
    options_.shape = {2, 3, true, 1, 2, 4, 4};
    options_.heads = {3};
    options_.environment_hash = kEnvironment;
    options_.network_hash = kNetwork;
    options_.batch_steps = 16;
    options_.chunk_steps = 8;
    options_.staleness_max = 2;
    receiver_ = std::make_unique<Receiver>(&transport_, options_);
    receiver_->SetVersion(10);
  }

  Received Chunk(uint32_t steps, uint64_t version = 10) {
    ChunkShape shape;
    shape.inputs = 2, shape.logits = 3, shape.masked = true, shape.heads = 1, shape.terms = 2;
    shape.state = 4, shape.window = 4;
    shape.environment_hash = kEnvironment, shape.network_hash = kNetwork;
    MutableChunk chunk(shape, steps);
    auto& arrays = chunk.arrays();
    for (uint32_t t = 0; t < steps; ++t) {
      arrays.inputs[2 * t] = static_cast<float>(t);
      arrays.inputs[2 * t + 1] = input_;
      for (int j = 0; j < 3; ++j) arrays.masks[3 * t + j] = 1;
      arrays.actions[t] = action_;
      arrays.log_probs[t] = -1;
      arrays.values[t] = 0.5f;
      arrays.terms[2 * t] = 1, arrays.terms[2 * t + 1] = 2;
      arrays.ends[t] = 0;
      arrays.bootstrap[t] = 0;
      arrays.starts[t] = t == 0;
    }
    for (float& s : arrays.states) s = 7;
    Received received;
    v1::ChunkHeader* header = received.message.mutable_chunk();
    header->set_worker(kWorker);
    header->set_episode(1);
    header->set_sequence(sequence_++);
    header->set_number(number_++);
    header->add_version(version);
    header->add_version_steps(steps);
    received.payload = std::make_unique<Bytes>(chunk.Finish(steps, header));
    return received;
  }

  uint64_t Dropped(Drop reason) {
    return receiver_->accounts().dropped[static_cast<size_t>(reason)].second;
  }

  float input_ = 0.25f;
  int32_t action_ = 2;
  uint32_t sequence_ = 0;
  uint64_t number_ = 0;
  FakeTransport transport_;
  ReceiverOptions options_;
  std::unique_ptr<Receiver> receiver_;
};

TEST_F(ReceiverTest, FillsABatchAndTakesItBack) {
  receiver_->Handle(Chunk(8));
  EXPECT_EQ(receiver_->Next(absl::ZeroDuration()), nullptr);
  receiver_->Handle(Chunk(8, 9));
  std::unique_ptr<Batch> batch = receiver_->Next(absl::ZeroDuration());
  ASSERT_NE(batch, nullptr);
  EXPECT_EQ(batch->steps(), 16u);
  EXPECT_EQ(batch->chunks.size(), 2u);
  EXPECT_EQ(batch->windows.size(), 4u);
  EXPECT_EQ(batch->windows[3].first, 12u);
  EXPECT_EQ(batch->inputs[2 * 9], 1);
  EXPECT_EQ(batch->states.size(), 16u);
  EXPECT_EQ(batch->masks.size(), 48u);
  EXPECT_EQ(batch->versions[7], 10u);
  EXPECT_EQ(batch->versions[8], 9u);
  EXPECT_TRUE(transport_.granted.empty()) << "the learner grants as it trains";
  EXPECT_EQ(receiver_->accounts().in_flight, 2u);
  receiver_->Trained(std::move(batch));
  EXPECT_EQ(receiver_->accounts().trained, 2u);
  EXPECT_EQ(receiver_->accounts().in_flight, 0u);
}

TEST_F(ReceiverTest, DropsStaleChunksAndReturnsTheirCredit) {
  receiver_->Handle(Chunk(8, 8));
  EXPECT_EQ(Dropped(Drop::kStale), 0u);
  receiver_->Handle(Chunk(8, 7));
  EXPECT_EQ(Dropped(Drop::kStale), 1u);
  EXPECT_EQ(transport_.granted[kWorker], 1u);
}

TEST_F(ReceiverTest, TrainsADuplicateOnce) {
  receiver_->Handle(Chunk(4));
  sequence_ = 0;
  receiver_->Handle(Chunk(4));
  EXPECT_EQ(Dropped(Drop::kDuplicate), 1u);
  number_ = 0;
  receiver_->Handle(Chunk(4));
  EXPECT_EQ(receiver_->accounts().repeated, 1u);
  EXPECT_EQ(receiver_->accounts().produced, 2u);
  EXPECT_EQ(receiver_->accounts().in_flight, 1u);
}

TEST_F(ReceiverTest, RefusesWhatWouldPoisonTraining) {
  input_ = std::nanf("");
  receiver_->Handle(Chunk(8));
  EXPECT_EQ(Dropped(Drop::kInvalid), 1u);
  EXPECT_THAT(receiver_->last_invalid(), HasSubstr("inputs"));
  input_ = std::numeric_limits<float>::infinity();
  receiver_->Handle(Chunk(8));
  EXPECT_EQ(Dropped(Drop::kInvalid), 2u);
  input_ = 0;
  for (const int32_t action : {3, -1}) {
    action_ = action;
    receiver_->Handle(Chunk(8));
    EXPECT_THAT(receiver_->last_invalid(), HasSubstr("actions"));
  }
  Received foreign = Chunk(8);
  foreign.message.mutable_chunk()->set_environment_hash(1);
  receiver_->Handle(foreign);
  Received no_payload = Chunk(8);
  no_payload.payload = nullptr;
  receiver_->Handle(no_payload);
  EXPECT_EQ(Dropped(Drop::kInvalid), 6u);
  EXPECT_EQ(transport_.granted[kWorker], 6u);
  EXPECT_EQ(receiver_->accounts().in_flight, 0u);
}

// Chunks of 2 where 8 are agreed: of eight chunks six give their credit back at once, so a worker
// with credits for two full chunks can fill a batch with short ones.
TEST_F(ReceiverTest, ShortChunksReturnTheCreditTheyDoNotFill) {
  for (int i = 0; i < 8; ++i) receiver_->Handle(Chunk(2));
  EXPECT_EQ(transport_.granted[kWorker], 6u);
  const std::unique_ptr<Batch> batch = receiver_->Next(absl::ZeroDuration());
  ASSERT_NE(batch, nullptr);
  int returned = 0;
  for (const BatchChunk& chunk : batch->chunks) returned += chunk.credit_returned;
  EXPECT_EQ(returned, 6);
}

TEST_F(ReceiverTest, KeepsMatchesAndReports) {
  Received result;
  v1::MatchResult* match = result.message.mutable_result();
  match->set_worker(kWorker);
  match->set_opponent(3);
  match->set_outcome(v1::MatchResult::WON);
  match->add_metrics(15);
  match->set_frames(100);
  receiver_->Handle(result);
  match->set_outcome(v1::MatchResult::INVALID);
  receiver_->Handle(result);
  const std::vector<MatchReport> matches = receiver_->TakeMatches();
  ASSERT_EQ(matches.size(), 1u);
  EXPECT_EQ(matches[0].opponent, 3u);
  EXPECT_EQ(matches[0].match.outcome, Outcome::kWon);
  EXPECT_TRUE(receiver_->TakeMatches().empty());

  for (const uint64_t worker : {1, 2}) {
    Received report;
    v1::WorkerReport* figures = report.message.mutable_report();
    figures->set_worker(worker);
    figures->set_timesteps(100);
    figures->set_timesteps(200);  // cumulative: the last counts
    figures->set_produced_chunks(3);
    figures->set_resident_bytes(10);
    receiver_->Handle(report);
  }
  EXPECT_EQ(receiver_->workers().timesteps, 400u);
  EXPECT_EQ(receiver_->workers().living, 3u);
  EXPECT_EQ(receiver_->accounts().in_flight, 6u);
}

TEST_F(ReceiverTest, ASilentWorkerIsLostAndAnOrderlyOneIsNot) {
  receiver_->Handle(Chunk(8));
  Received goodbye;
  goodbye.message.mutable_goodbye()->set_worker(2);
  goodbye.message.mutable_goodbye()->set_produced_chunks(0);
  receiver_->Handle(goodbye);
  receiver_->LookForSilent(absl::Now() + absl::Seconds(5));
  EXPECT_EQ(receiver_->accounts().workers_lost, 0u);
  receiver_->LookForSilent(absl::Now() + absl::Seconds(60));
  EXPECT_EQ(receiver_->accounts().workers_lost, 1u);
  EXPECT_EQ(receiver_->workers().living, 0u);
}

TEST_F(ReceiverTest, WorkersThatDidNotOutliveALearnerLeaveNothingInFlight) {
  ChunkAccounts::State state;
  state.workers.push_back({1, 5, 3, 0, false, false});
  state.trained = 3;
  receiver_->Restore(state);
  EXPECT_EQ(receiver_->accounts().in_flight, 2u) << "it may still send them";
  EXPECT_EQ(receiver_->workers().living, 0u);
  receiver_->LookForSilent(absl::Now() + absl::Seconds(60));
  EXPECT_EQ(receiver_->accounts().in_flight, 0u);
  EXPECT_EQ(Dropped(Drop::kLostWorker), 2u);
  EXPECT_EQ(receiver_->accounts().workers_lost, 0u);
}

}  // namespace
}  // namespace midlane
