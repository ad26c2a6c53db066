#include "rollout/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bridge/make_env.h"
#include "rollout/hash.h"

namespace midlane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(20);

// ---- A world whose every number is known ----------------------------------------------------

// Agents observe a tick that grows by one with every timestep of the world, whatever episodes do:
// V of an observation, rewards and recurrent states can be told from it. Episodes last 5, 3, 4
// timesteps in turn and end terminated, truncated, terminated with MATCH_OVER.
struct Script {
  std::atomic<int> restarts{0};
  std::atomic<int> die_at{0};  // the tick at which the world dies; 0: never
  std::atomic<bool> stays_dead{false};
  std::atomic<int> truncate_every{0};
};
Script* script = nullptr;

constexpr int kLengths[] = {5, 3, 4};

class ScriptedEnv final : public Env {
 public:
  ScriptedEnv(std::shared_ptr<Doorbell> doorbell, Spec spec)
      : doorbell_(std::move(doorbell)), spec_(std::move(spec)) {}

  const Spec& spec() const override { return spec_; }
  absl::Status Reset(const Settings&) override {
    if (dead_) return absl::UnavailableError("scripted: dead");
    ++tick_;
    step_ = 0;
    Post(MIDLANE_SLOT_FIRST);
    return absl::OkStatus();
  }
  absl::Status Step() override {
    ++tick_;
    ++step_;
    if (script->die_at != 0 && tick_ >= script->die_at) {
      dead_ = true;
      script->die_at = 0;
      doorbell_->Ring();
      return absl::OkStatus();
    }
    uint32_t flags = 0;
    if (step_ == kLengths[episode_ % 3]) {
      flags = episode_ % 3 == 1 ? MIDLANE_SLOT_TRUNCATED : MIDLANE_SLOT_TERMINATED;
      if (episode_ % 3 == 2) flags |= MIDLANE_SLOT_MATCH_OVER;
      ++episode_;
    }
    Post(flags);
    return absl::OkStatus();
  }
  absl::StatusOr<bool> Ready() override {
    if (dead_) return absl::UnavailableError("scripted: died\nmore lines");
    return true;
  }
  absl::Status Wait(absl::Duration) override { return Ready().status(); }
  AgentView agent(int) override {
    AgentView view;
    view.flags = flags_;
    view.observed_frame = static_cast<uint64_t>(tick_);
    view.observation = observation_;
    view.rewards = rewards_;
    view.metrics = metrics_;
    view.actions = actions_;
    return view;
  }
  absl::Status Restart() override {
    ++script->restarts;
    if (script->stays_dead) return absl::UnavailableError("scripted: stays dead");
    dead_ = false;
    episode_ = 0;
    return absl::OkStatus();
  }
  EnvStats stats() const override { return {static_cast<uint64_t>(tick_), 0, 0, 0}; }

 private:
  void Post(uint32_t flags) {
    flags_ = MIDLANE_SLOT_ACTIVE | flags;
    const float tick = static_cast<float>(tick_);
    std::memcpy(observation_, &tick, sizeof tick);
    rewards_[0] = tick;
    metrics_[0] = flags & MIDLANE_SLOT_MATCH_OVER ? 1.0f : 0.0f;  // won
    doorbell_->Ring();
  }

  std::shared_ptr<Doorbell> doorbell_;
  Spec spec_;
  bool dead_ = false;
  int tick_ = 0, step_ = 0, episode_ = 0;
  uint32_t flags_ = 0;
  alignas(64) unsigned char observation_[64] = {};
  float rewards_[1] = {};
  float metrics_[2] = {};
  int32_t actions_[1] = {};
};

absl::StatusOr<std::unique_ptr<Env>> MakeScripted(const EnvOptions& options) {
  Spec spec;
  spec.environment = "scripted";
  spec.agents = {"one"};
  TensorSpec tick;
  tick.name = "tick";
  tick.maximum = 1e9f;
  spec.tensors = {tick};
  HeadSpec head;
  head.name = "act";
  head.choices = 4;
  spec.heads = {head};
  spec.terms = {"tick"};
  spec.metrics = {"won", "lost"};
  spec.frames_per_second = 1;
  auto raw = MakeRawSpec(spec);
  if (!raw.ok()) return raw.status();
  auto parsed = ParseSpec(*raw);
  if (!parsed.ok()) return parsed.status();
  return std::make_unique<ScriptedEnv>(options.doorbell, *std::move(parsed));
}

// V = input 0 + 2^17 * version. The recurrent state counts steps since the episode's start (first
// float) and holds the last input (second). Prefers the action `version % choices` beyond doubt.
constexpr float kVersionUnit = 131072;

class FakePolicy final : public Policy {
 public:
  explicit FakePolicy(const NetworkShape& shape) : shape_(shape) {}
  const NetworkShape& shape() const override { return shape_; }
  uint64_t version() const override { return version_; }
  absl::Status Load(const Weights& weights) override {
    version_ = weights.version;
    return absl::OkStatus();
  }
  absl::Status Evaluate(const PolicyBatch& batch) override {
    for (uint32_t row = 0; row < batch.rows; ++row) {
      const float input = batch.inputs[row * shape_.inputs];
      batch.values[row] = input + kVersionUnit * static_cast<float>(version_);
      const uint32_t width = shape_.logits_width();
      for (uint32_t i = 0; i < width; ++i) {
        batch.logits[row * width + i] = i == version_ % width ? 50.0f : 0.0f;
      }
      if (shape_.state_width() > 0) {
        float* state = batch.states + row * shape_.state_width();
        state[0] += 1;
        state[1] = input;
      }
    }
    return absl::OkStatus();
  }

 private:
  NetworkShape shape_;
  uint64_t version_ = 0;
};

// ---- A learner that only keeps books --------------------------------------------------------

class TestLearner {
 public:
  TestLearner() {
    char path[] = "/tmp/worker_test.XXXXXX";
    folder_ = mkdtemp(path);
  }
  ~TestLearner() {
    EXPECT_TRUE(Stop());
    transport_.reset();
    std::filesystem::remove_all(folder_);
  }

  WorkerOptions Options(const std::string& env, uint32_t games = 2) {
    WorkerOptions options;
    options.env.name = env;
    options.learner = absl::StrCat("ipc://", folder_, "/learner");
    options.games = games;
    options.groups = std::min(games, 2u);
    options.chunk_steps = 8;
    options.window = 4;
    options.make_policy = [](const NetworkShape& shape) {
      return std::make_unique<FakePolicy>(shape);
    };
    return options;
  }

  // Makes the worker (to learn its shapes), listens, publishes version 1 and lets it run.
  void Begin(WorkerOptions options, uint32_t credits, std::vector<v1::Opponent> opponents = {}) {
    options_ = options;
    opponents_ = std::move(opponents);
    auto worker = Worker::Create(options);
    ASSERT_TRUE(worker.ok()) << worker.status();
    worker_ = *std::move(worker);
    EnvOptions env = options.env;
    for (const auto& [name, value] : options.settings) env.settings[name] = value;
    auto doorbell = Doorbell::Create();
    env.doorbell = *doorbell;
    auto probe = MakeEnv(env);
    ASSERT_TRUE(probe.ok()) << probe.status();
    spec_ = (*probe)->spec();
    network_ = MakeNetworkShape(spec_, options.network);
    shape_.inputs = network_.inputs;
    shape_.logits = network_.logits_width();
    for (const HeadSpec& head : spec_.heads) shape_.masked |= head.mask_tensor >= 0;
    shape_.heads = static_cast<uint32_t>(spec_.heads.size());
    shape_.terms = static_cast<uint32_t>(spec_.terms.size());
    shape_.state = network_.state_width();
    shape_.window = options.window;
    shape_.environment_hash = spec_.Hash();
    shape_.network_hash = network_.Hash();
    Listen(credits);
    Publish(1);
    thread_ = std::thread([this] { status_ = worker_->Run(); });
  }

  void Listen(uint32_t credits) {
    LearnerTransportOptions listen;
    listen.listen = options_.learner;
    listen.environment_hash = shape_.environment_hash;
    listen.network_hash = shape_.network_hash;
    listen.credits_total = credits;
    auto transport = LearnerTransport::Bind(listen);
    ASSERT_TRUE(transport.ok()) << transport.status();
    transport_ = *std::move(transport);
  }
  void Vanish() { transport_.reset(); }

  std::shared_ptr<const std::string> Serve(uint64_t version) {
    Weights weights;
    weights.version = version;
    weights.mean.assign(network_.inputs, 0.0f);
    weights.inv_std.assign(network_.inputs, 1.0f);
    weights.parameters.assign(ParameterCount(network_), 0.0f);
    auto blob =
        std::make_shared<const std::string>(EncodeWeights(network_, weights, WireDtype::kF32));
    transport_->Serve(version, blob);
    return blob;
  }

  void Publish(uint64_t version) {
    const auto blob = Serve(version);
    v1::Notice notice;
    notice.set_version(version);
    notice.set_bytes(blob->size());
    notice.set_hash(Hash64(*blob));
    if (opponents_.empty()) {
      auto* latest = notice.add_opponents();
      latest->set_kind(v1::Opponent::LATEST);
      latest->set_probability(1);
    }
    for (v1::Opponent opponent : opponents_) {
      if (opponent.kind() == v1::Opponent::PAST) {
        const auto past = Serve(opponent.version());
        opponent.set_bytes(past->size());
        opponent.set_hash(Hash64(*past));
      }
      *notice.add_opponents() = opponent;
    }
    transport_->Announce(notice);
  }

  struct Chunk {
    v1::ChunkHeader header;
    std::unique_ptr<Frame> payload;
    ChunkView view;
    uint64_t version(size_t step) const {
      for (int i = 0; i < header.version_size(); ++i) {
        if (step < header.version_steps(i)) return header.version(i);
        step -= header.version_steps(i);
      }
      return 0;
    }
  };

  // Takes in one message; false at the timeout.
  bool Take(absl::Duration timeout = kLong, bool grant = true) {
    auto received = transport_->Receive(timeout);
    if (!received.ok()) return false;
    v1::FromWorker& message = received->message;
    if (message.has_chunk()) {
      Chunk chunk{message.chunk(), std::move(received->payload), {}};
      const auto view = ParseChunk(shape_, chunk.header, chunk.payload->bytes());
      EXPECT_TRUE(view.ok()) << view.status();
      if (view.ok()) chunk.view = *view;
      if (grant) transport_->Grant(chunk.header.worker(), 1);
      chunks.push_back(std::move(chunk));
    } else if (message.has_report()) {
      report = message.report();
    } else if (message.has_result()) {
      results.push_back(message.result());
    } else if (message.has_goodbye()) {
      goodbye = message.goodbye();
      gone = true;
    }
    return true;
  }
  bool TakeUntil(const std::function<bool()>& done) {
    const absl::Time deadline = absl::Now() + kLong;
    while (!done()) {
      if (absl::Now() > deadline) return false;
      Take(absl::Milliseconds(100));
    }
    return true;
  }
  bool TakeChunks(size_t count) {
    return TakeUntil([&] { return chunks.size() >= count; });
  }

  // Ends the worker and takes in its last words; what Run answered is in `status()`.
  bool Stop() {
    if (!thread_.joinable()) return true;
    worker_->Stop();
    thread_.join();
    if (transport_ == nullptr || !status_.ok()) return true;
    return TakeUntil([&] { return gone; });
  }
  const absl::Status& Join() {
    thread_.join();
    return status_;
  }
  const absl::Status& status() const { return status_; }

  std::vector<Chunk> chunks;
  std::vector<v1::MatchResult> results;
  v1::WorkerReport report;
  v1::Goodbye goodbye;
  bool gone = false;

 private:
  std::string folder_;
  WorkerOptions options_;
  std::vector<v1::Opponent> opponents_;
  Spec spec_;
  NetworkShape network_;
  ChunkShape shape_;
  std::unique_ptr<LearnerTransport> transport_;
  std::unique_ptr<Worker> worker_;
  std::thread thread_;
  absl::Status status_;
};

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() {
    script = &script_;
    RegisterEnvironment("scripted", MakeScripted);
  }
  Script script_;
};

v1::Opponent Opponent(v1::Opponent::Kind kind, uint32_t id, double probability) {
  v1::Opponent opponent;
  opponent.set_kind(kind);
  opponent.set_id(id);
  opponent.set_probability(probability);
  return opponent;
}

// ---- Exactness ------------------------------------------------------------------------------

// Follows the scripted world beside the chunks of one run and checks every number.
struct ScriptedWorld {
  int tick = 1;  // of the first observation
  int episode = 0;
  int step = 0;  // within the episode
  uint64_t version = 0;

  void Check(const TestLearner::Chunk& chunk, uint32_t window) {
    const ChunkView& view = chunk.view;
    const uint32_t steps = chunk.header.steps();
    for (uint32_t t = 0; t < steps; ++t) {
      SCOPED_TRACE(absl::StrCat("chunk ", chunk.header.number(), " step ", t, " tick ", tick));
      const uint64_t acting = chunk.version(t);
      ASSERT_GE(acting, version);
      version = acting;
      ASSERT_EQ(view.inputs[t], static_cast<float>(tick));
      ASSERT_EQ(view.values[t], static_cast<float>(tick) + kVersionUnit * acting);
      ASSERT_EQ(view.actions[t], static_cast<int32_t>(acting % 4));
      ASSERT_NEAR(view.log_probs[t], 0, 1e-6);
      ASSERT_EQ(view.starts[t], step == 0);
      if (!view.states.empty() && t % window == 0) {
        const float* state = &view.states[t / window * 2];
        ASSERT_EQ(state[0], static_cast<float>(step));
        ASSERT_EQ(state[1], static_cast<float>(step == 0 ? 0 : tick - 1));
      }
      ++step;
      ++tick;
      ASSERT_EQ(view.terms[t], static_cast<float>(tick)) << "the reward that followed the action";
      const bool ends = step == kLengths[episode % 3];
      const uint8_t end = !ends ? kGoesOn : episode % 3 == 1 ? kTruncated : kTerminated;
      ASSERT_EQ(view.ends[t], end);
      if (end == kTruncated || (end == kGoesOn && t + 1 == steps)) {
        // V of the observation that followed, by the version that acts next or a newer one.
        const float by = (view.bootstrap[t] - static_cast<float>(tick)) / kVersionUnit;
        ASSERT_EQ(by, static_cast<float>(static_cast<uint64_t>(by)));
        ASSERT_GE(by, static_cast<float>(acting));
      } else {
        ASSERT_EQ(view.bootstrap[t], 0);
      }
      if (ends) {
        ++episode;
        ++tick;  // the next episode's first observation
        step = 0;
      }
    }
  }
};

TEST_F(WorkerTest, ChunksMatchTheScriptedWorldToTheTimestep) {
  for (uint32_t lstm : {0u, 1u}) {
    TestLearner learner;
    WorkerOptions options = learner.Options("scripted", 1);
    options.network.lstm = lstm;
    learner.Begin(options, 4);
    ScriptedWorld world;
    size_t checked = 0;
    for (uint64_t version = 2; version <= 4; ++version) {
      ASSERT_TRUE(learner.TakeChunks(20 * (version - 1)));
      learner.Publish(version);
    }
    ASSERT_TRUE(learner.TakeUntil([&] { return learner.chunks.back().version(0) == 4; }));
    EXPECT_TRUE(learner.Stop());
    EXPECT_TRUE(learner.status().ok()) << learner.status();
    uint64_t number = 0;
    for (const TestLearner::Chunk& chunk : learner.chunks) {
      ASSERT_EQ(chunk.header.number(), number++);
      ASSERT_EQ(chunk.header.sequence(), checked++) << "one opponent: one run over all matches";
      ASSERT_EQ(chunk.header.steps(), 8u);
      world.Check(chunk, options.window);
      if (HasFatalFailure()) return;
    }
    EXPECT_EQ(world.version, 4u);
    // Every match was won by its metric; it lasts 12 timesteps and two resets.
    ASSERT_FALSE(learner.results.empty());
    for (const v1::MatchResult& result : learner.results) {
      EXPECT_EQ(result.outcome(), v1::MatchResult::WON);
      EXPECT_EQ(result.frames(), 14u);
      EXPECT_THAT(result.metrics(), ElementsAre(1, 0));
    }
  }
}

TEST_F(WorkerTest, TruncatesAnEpisodeThatIsTooLongWithItsMatch) {
  TestLearner learner;
  WorkerOptions options = learner.Options("scripted", 1);
  options.episode_steps_max = 4;  // of 5
  learner.Begin(options, 4);
  ASSERT_TRUE(learner.TakeChunks(6));
  EXPECT_TRUE(learner.Stop());
  EXPECT_TRUE(learner.status().ok()) << learner.status();
  int tick = 1;
  for (const TestLearner::Chunk& chunk : learner.chunks) {
    for (uint32_t t = 0; t < chunk.header.steps(); ++t) {
      SCOPED_TRACE(absl::StrCat("chunk ", chunk.header.number(), " step ", t));
      EXPECT_EQ(chunk.view.inputs[t], static_cast<float>(tick++));
      EXPECT_EQ(chunk.view.starts[t], t % 4 == 0);
      EXPECT_EQ(chunk.view.ends[t], t % 4 == 3 ? kTruncated : kGoesOn);
      if (t % 4 != 3) continue;
      EXPECT_EQ(chunk.view.bootstrap[t],
                static_cast<float>(tick) + kVersionUnit * static_cast<float>(chunk.version(t)));
      ++tick;  // the observation of the next episode's begin
    }
  }
  ASSERT_FALSE(learner.results.empty());
  for (const v1::MatchResult& result : learner.results) {
    EXPECT_EQ(result.outcome(), v1::MatchResult::CUT);
    EXPECT_EQ(result.frames(), 4u);
  }
}

TEST_F(WorkerTest, ProducedIsShippedPlusDroppedToTheChunk) {
  TestLearner learner;
  learner.Begin(learner.Options("scripted", 3), 5);
  // Nothing is granted back.
  while (learner.Take(absl::Milliseconds(1500), /*grant=*/false)) {
    if (learner.report.seconds() > 2.5) break;
  }
  EXPECT_EQ(learner.chunks.size(), 5u) << "credits are obeyed to the chunk";
  EXPECT_GT(learner.report.seconds_credit(), 1.0);
  const uint64_t timesteps = learner.report.timesteps();
  while (learner.report.seconds() < 4) ASSERT_TRUE(learner.Take(kLong, /*grant=*/false));
  EXPECT_EQ(learner.report.timesteps(), timesteps) << "nothing is played without credit";
  EXPECT_TRUE(learner.Stop());
  EXPECT_GT(learner.report.dropped_chunks(), 0u);
  EXPECT_EQ(learner.goodbye.produced_chunks(),
            learner.chunks.size() + learner.report.dropped_chunks());
  EXPECT_LE(learner.report.dropped_chunks(), 3u) << "at most what one batch finished";
  std::set<uint64_t> numbers;
  for (const auto& chunk : learner.chunks) numbers.insert(chunk.header.number());
  EXPECT_EQ(*numbers.rbegin(), 4u) << "the oldest go first";
}

// ---- Timing, through the probe --------------------------------------------------------------

enum ProbeInput { kFrame, kOwnAction, kOwnEffect, kOtherAction, kOtherEffect, kStepsLeft };

// A policy that plays anything allowed, so that a shifted action is seen.
WorkerOptions ProbeOptions(TestLearner* learner) {
  WorkerOptions options = learner->Options("probe", 2);
  options.make_policy = MakeRandomPolicy;
  options.settings = {{"agents", "2"}, {"length", "11"}, {"match", "3"}};
  return options;
}

TEST_F(WorkerTest, BothSidesSeeTheirActionOneTimestepLaterAndTheOthersOnlyThen) {
  for (const char* skip : {"1", "4"}) {
    TestLearner learner;
    WorkerOptions options = ProbeOptions(&learner);
    options.frame_skip = static_cast<uint32_t>(std::atoi(skip));
    options.settings["masks"] = "true";
    options.chunk_steps = 16;
    learner.Begin(options, 8);
    ASSERT_TRUE(learner.TakeChunks(60));
    EXPECT_TRUE(learner.Stop());
    // What each side did at each frame of each run, to be compared with what the other saw.
    size_t compared = 0;
    for (const TestLearner::Chunk& chunk : learner.chunks) {
      const ChunkView& view = chunk.view;
      const auto input = [&](size_t t, ProbeInput which) {
        return static_cast<int>(view.inputs[t * 6 + which]);
      };
      const int k = static_cast<int>(options.frame_skip);
      for (size_t t = 0; t < chunk.header.steps(); ++t) {
        const int action = view.actions[t];
        ASSERT_EQ(view.masks[t * 4 + action], 1) << "a forbidden action was played";
        ASSERT_EQ(view.terms[t * 2 + 1], static_cast<float>(action)) << "echo of this action";
        if (view.starts[t]) {
          ASSERT_EQ(input(t, kOwnAction), -1);
          ASSERT_EQ(input(t, kOtherAction), -1);
        }
        if (t + 1 == chunk.header.steps() || view.starts[t + 1]) continue;
        ASSERT_EQ(input(t + 1, kFrame), input(t, kFrame) + k);
        ASSERT_EQ(input(t + 1, kOwnAction), action);
        ASSERT_EQ(input(t + 1, kOwnEffect), input(t, kFrame) + 1) << "delay of one frame";
        ASSERT_EQ(input(t + 1, kOtherEffect), input(t, kFrame) + 1);
      }
      // The other agent's chunk of the same timesteps.
      for (const TestLearner::Chunk& other : learner.chunks) {
        if (other.header.agent() == chunk.header.agent() ||
            other.header.sequence() != chunk.header.sequence() ||
            std::max(other.header.episode(), chunk.header.episode()) -
                    std::min(other.header.episode(), chunk.header.episode()) !=
                1 ||
            (std::min(other.header.episode(), chunk.header.episode()) % 2 == 0)) {
          continue;
        }
        for (size_t t = 0; t + 1 < chunk.header.steps(); ++t) {
          if (view.starts[t + 1]) continue;
          ASSERT_EQ(input(t + 1, kOtherAction), other.view.actions[t]);
          ++compared;
        }
      }
    }
    EXPECT_GT(compared, 100u);
  }
}

// ---- Opponents ------------------------------------------------------------------------------

TEST_F(WorkerTest, PastVersionsPlayTheOtherSideAndAreNotRecorded) {
  TestLearner learner;
  WorkerOptions options = learner.Options("probe", 1);
  options.settings = {{"agents", "2"}, {"length", "4"}};
  v1::Opponent past = Opponent(v1::Opponent::PAST, 12, 1);
  past.set_version(3);
  learner.Begin(options, 8, {past});
  ASSERT_TRUE(learner.TakeChunks(40));
  EXPECT_TRUE(learner.Stop());
  std::map<uint32_t, int> by_side;
  for (const TestLearner::Chunk& chunk : learner.chunks) {
    EXPECT_EQ(chunk.header.opponent(), 12u);
    ++by_side[chunk.header.agent()];
    for (size_t t = 0; t < chunk.header.steps(); ++t) {
      EXPECT_EQ(chunk.view.actions[t], 1) << "version 1 of the learner";
      if (!chunk.view.starts[t]) {
        EXPECT_EQ(chunk.view.inputs[t * 6 + kOtherAction], 3) << "version 3 of the opponent";
      }
    }
  }
  // Match by match the sides alternate, so each run is one match of 4 timesteps.
  EXPECT_NEAR(by_side[0], by_side[1], 1);
  for (const v1::MatchResult& result : learner.results) {
    EXPECT_EQ(result.opponent(), 12u);
    EXPECT_EQ(result.outcome(), v1::MatchResult::LOST) << "its echo is larger";
  }
}

TEST_F(WorkerTest, ScriptedBotsPlayTheOtherSideByTheReservedSettings) {
  TestLearner learner;
  WorkerOptions options = learner.Options("probe", 2);
  options.settings = {{"agents", "2"}, {"length", "4"}};
  v1::Opponent bot = Opponent(v1::Opponent::SCRIPTED, 5, 1);
  bot.set_bot("idle");
  learner.Begin(options, 8, {bot});
  ASSERT_TRUE(learner.TakeChunks(40));
  EXPECT_TRUE(learner.Stop());
  std::map<uint32_t, int> by_side;
  for (const TestLearner::Chunk& chunk : learner.chunks) {
    EXPECT_EQ(chunk.header.opponent(), 5u);
    ++by_side[chunk.header.agent()];
    for (size_t t = 0; t < chunk.header.steps(); ++t) {
      if (!chunk.view.starts[t]) {
        EXPECT_EQ(chunk.view.inputs[t * 6 + kOtherAction], 0) << "idle";
      }
    }
  }
  EXPECT_NEAR(by_side[0], by_side[1], 2);
  for (const v1::MatchResult& result : learner.results) {
    EXPECT_EQ(result.outcome(), v1::MatchResult::WON);
  }
}

TEST_F(WorkerTest, SelfPlayLearnsFromBothSidesAndReportsBoth) {
  TestLearner learner;
  WorkerOptions options = learner.Options("probe", 2);
  options.settings = {{"agents", "2"}, {"length", "4"}, {"ends", "truncated"}};
  learner.Begin(options, 8);
  ASSERT_TRUE(learner.TakeChunks(20));
  EXPECT_TRUE(learner.Stop());
  std::map<uint32_t, int> by_side, results_by_side;
  for (const auto& chunk : learner.chunks) ++by_side[chunk.header.agent()];
  EXPECT_NEAR(by_side[0], by_side[1], 4);
  for (const auto& result : learner.results) {
    ++results_by_side[result.agent()];
    EXPECT_EQ(result.outcome(), v1::MatchResult::CUT) << "ended by a limit";
  }
  EXPECT_EQ(results_by_side[0], results_by_side[1]);
}

TEST_F(WorkerTest, OpponentsAreMetByTheirShare) {
  TestLearner learner;
  WorkerOptions options = learner.Options("probe", 4);
  options.settings = {{"agents", "2"}, {"length", "2"}};
  v1::Opponent bot = Opponent(v1::Opponent::SCRIPTED, 5, 0.25);
  bot.set_bot("idle");
  learner.Begin(options, 64, {Opponent(v1::Opponent::LATEST, 0, 0.75), bot});
  ASSERT_TRUE(learner.TakeUntil([&] { return learner.results.size() > 2000; }));
  EXPECT_TRUE(learner.Stop());
  double latest = 0, scripted = 0;
  for (const auto& result : learner.results) {
    (result.opponent() == 5 ? scripted : latest) += result.opponent() == 5 ? 1 : 0.5;
  }
  EXPECT_NEAR(scripted / (scripted + latest), 0.25, 0.06);
}

TEST_F(WorkerTest, AnUnknownBotEndsTheRunInWords) {
  TestLearner learner;
  WorkerOptions options = learner.Options("probe", 1);
  options.settings = {{"agents", "2"}};
  v1::Opponent bot = Opponent(v1::Opponent::SCRIPTED, 5, 1);
  bot.set_bot("no_such_bot");
  learner.Begin(options, 8, {bot});
  const absl::Status status = learner.Join();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no_such_bot"));
}

// ---- Faults ---------------------------------------------------------------------------------

TEST_F(WorkerTest, ADeadGameIsRestartedAndItsCompleteTimestepsAreKept) {
  script_.die_at = 100;
  TestLearner learner;
  WorkerOptions options = learner.Options("scripted", 1);
  learner.Begin(options, 8);
  ASSERT_TRUE(learner.TakeUntil([&] { return learner.report.game_restarts() == 1; }));
  ASSERT_TRUE(learner.TakeChunks(learner.chunks.size() + 5));
  EXPECT_TRUE(learner.Stop());
  EXPECT_EQ(script_.restarts, 1);
  EXPECT_EQ(learner.report.last_error(), "scripted: died") << "one line";
  // Before: the world as scripted up to the last complete timestep; after: a new run.
  ScriptedWorld before, after;
  const uint64_t first_run = learner.chunks[0].header.episode();
  uint64_t number = 0;
  for (const TestLearner::Chunk& chunk : learner.chunks) {
    ASSERT_EQ(chunk.header.number(), number++);
    const bool is_first = chunk.header.episode() == first_run;
    if (!is_first && chunk.header.sequence() == 0) {
      EXPECT_EQ(before.tick, 99) << "the step into tick 100 has no outcome";
      EXPECT_EQ(chunk.view.starts[0], 1);
      after.tick = static_cast<int>(chunk.view.inputs[0]);
    }
    (is_first ? before : after).Check(chunk, options.window);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(after.tick, 101);
}

TEST_F(WorkerTest, AGameThatStaysDeadEndsTheRunWithItsReason) {
  script_.die_at = 30;
  script_.stays_dead = true;
  TestLearner learner;
  WorkerOptions options = learner.Options("scripted", 1);
  options.restarts_max = 3;
  learner.Begin(options, 8);
  const absl::Status status = learner.Join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("stays dead"));
  EXPECT_EQ(script_.restarts, 3);
}

// The scripted world as one behind a server, "far://...".
class FarWorkerTest : public WorkerTest {
 protected:
  FarWorkerTest() {
    RegisterEnvScheme("far", MakeScripted, [](const std::string&) { return EnvironmentInfo(); });
    script_.die_at = 30;
    script_.stays_dead = true;
  }
};

TEST_F(FarWorkerTest, WaitsForAServerThatIsAwayAndGoesOn) {
  TestLearner learner;
  WorkerOptions options = learner.Options("far://there", 2);
  options.restarts_max = 1;
  learner.Begin(options, 8);
  ASSERT_TRUE(learner.TakeUntil([&] { return !learner.report.waiting_for().empty(); }));
  EXPECT_EQ(learner.report.waiting_for(), "scripted: stays dead");
  ASSERT_TRUE(learner.TakeUntil([&] { return script_.restarts > 3; })) << "it tries again";
  EXPECT_EQ(learner.report.game_restarts(), 1u);
  const size_t before = learner.chunks.size();
  script_.stays_dead = false;
  ASSERT_TRUE(learner.TakeUntil([&] { return learner.report.waiting_for().empty(); }));
  ASSERT_TRUE(learner.TakeChunks(before + 10));
  EXPECT_TRUE(learner.Stop());
}

TEST_F(FarWorkerTest, GivesUpAServerThatStaysAway) {
  TestLearner learner;
  WorkerOptions options = learner.Options("far://there", 1);
  options.server_wait_seconds = 0.5;
  learner.Begin(options, 8);
  const absl::Status status = learner.Join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("stays dead"));
}

TEST_F(WorkerTest, ARestartedLearnerGoesOnWithTheSameWorker) {
  TestLearner learner;
  WorkerOptions options = learner.Options("scripted", 2);
  learner.Begin(options, 4);
  ASSERT_TRUE(learner.TakeChunks(20));
  learner.Vanish();
  absl::SleepFor(absl::Milliseconds(200));
  learner.Listen(4);
  learner.Publish(2);
  const size_t before = learner.chunks.size();
  ASSERT_TRUE(learner.TakeChunks(before + 20));
  EXPECT_TRUE(learner.Stop());
  EXPECT_EQ(learner.chunks.back().version(0), 2u);
  // Every chunk at most once; those lost are the ones that were under way to the old learner.
  std::set<uint64_t> numbers;
  for (const auto& chunk : learner.chunks) {
    EXPECT_TRUE(numbers.insert(chunk.header.number()).second);
  }
  const uint64_t lost =
      learner.goodbye.produced_chunks() - numbers.size() - learner.report.dropped_chunks();
  EXPECT_LE(lost, 4u) << "no more than the credits";
}

TEST_F(WorkerTest, StopEndsAWaitForALearnerThatIsNotThere) {
  TestLearner learner;
  auto worker = Worker::Create(learner.Options("scripted", 1));
  ASSERT_TRUE(worker.ok()) << worker.status();
  absl::Status status = absl::UnknownError("running");
  std::thread thread([&] { status = (*worker)->Run(); });
  absl::SleepFor(absl::Milliseconds(100));
  (*worker)->Stop();
  thread.join();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(WorkerTest, OptionsOutOfLimitsAreNamed) {
  TestLearner learner;
  const auto refused = [&](const char* field, const std::function<void(WorkerOptions*)>& spoil) {
    WorkerOptions options = learner.Options("scripted", 2);
    spoil(&options);
    const absl::Status status = Worker::Create(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  };
  refused("games", [](WorkerOptions* options) { options->games = 0; });
  refused("groups", [](WorkerOptions* options) { options->groups = 3; });
  refused("chunk_steps", [](WorkerOptions* options) { options->chunk_steps = 5000; });
  refused("window", [](WorkerOptions* options) { options->window = 9; });
  refused("hidden", [](WorkerOptions* options) { options->network.hidden = {1u << 20}; });
  WorkerOptions options = learner.Options("no_such_game", 1);
  EXPECT_EQ(Worker::Create(options).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace midlane
