#include "rollout/worker.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "bridge/doorbell.h"
#include "bridge/make_env.h"
#include "rollout/batch.h"
#include "rollout/opponents.h"
#include "rollout/recorder.h"
#include "rollout/sampler.h"

namespace midlane {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kGamesMax = 4096;
constexpr auto kPollEvery = std::chrono::milliseconds(1);
constexpr auto kReportEvery = std::chrono::seconds(1);
constexpr auto kLate = std::chrono::milliseconds(200);  // a world that no batch waits for
constexpr absl::Duration kWait = absl::Milliseconds(100);
constexpr absl::Duration kLearnerTimeout = absl::Seconds(60);
constexpr auto kRestartPause = std::chrono::milliseconds(200);
constexpr uint64_t kSeedStride = 1000003;  // between a world's seed and its successor's

struct Side {
  Side(const ChunkShape& shape, uint32_t chunk_steps, uint32_t agent, uint32_t state_width,
       Random stream, ChunkSink* sink)
      : recorder(shape, chunk_steps, agent, sink), random(stream), state(state_width) {}

  Recorder recorder;
  Random random;
  std::vector<float> state;  // recurrent, of whichever policy plays this side
  AgentView view;            // of the timestep at hand
};

struct World {
  std::unique_ptr<Env> env;
  std::vector<Side> sides;
  Assignment assignment;
  Assignment next;    // where match_over
  Settings base;      // of every match of this world
  Settings settings;  // of the match that the next Reset begins or goes on with
  uint64_t seed = 0;
  bool match_over = false;
  bool match_begins = true;
  uint64_t match_frame = 0;  // first of this match
  uint32_t episode_steps = 0;
  uint32_t failures = 0;    // in a row, without a timestep between
  Clock::time_point asked;  // when the timestep on its way was asked for
  absl::Status failure;
  Clock::time_point revive_at;                  // the next try, where failed
  std::optional<Clock::time_point> away_since;  // its server went away
};

struct Row {
  World* world;
  uint32_t agent;
  bool acts;  // else only its value is wanted
};

// Divides wall time into shares: each lap goes into one of them.
class Stopwatch {
 public:
  Clock::time_point Lap(double* share) {
    const Clock::time_point now = Clock::now();
    *share += std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return now;
  }

 private:
  Clock::time_point last_ = Clock::now();
};

uint64_t ResidentBytes() {
  uint64_t pages = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%*s %lu", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Without the last lines of a game that follow its reason.
std::string FirstLine(absl::string_view text) {
  text = text.substr(0, text.find('\n'));
  absl::ConsumeSuffix(&text, "; its last lines:");
  return std::string(text);
}

class RolloutWorker final : public Worker, public ChunkSink {
 public:
  explicit RolloutWorker(WorkerOptions options) : options_(std::move(options)) {
    std::random_device random;
    id_ = (static_cast<uint64_t>(random()) << 32 | random()) | 1;
  }

  absl::Status Prepare();
  absl::Status Run() override;
  void Stop() override { stop_.store(true); }
  void Emit(v1::ChunkHeader* header, MutableChunk::Payload payload) override;

 private:
  // --- Set-up.
  absl::Status CheckOptions() const;
  absl::Status MakeWorlds();
  absl::Status Join();

  // --- One turn.
  absl::Status Serve();
  absl::Status Gather(Clock::time_point now, uint32_t* enough);
  absl::Status Act();
  void Collect(World* world);
  void CutEndless(World* world);
  absl::Status Evaluate();
  absl::Status Sample(const Row& row, uint32_t index);
  void Advance(World* world, Clock::time_point now);
  void Record();

  // --- Matches.
  absl::Status BeginMatch(World* world, Assignment assignment);
  void Assign(World* world, Assignment assignment, bool continues);
  void EndMatch(World* world);
  absl::Status Revive(World* world);

  // --- Learner.
  void NoteLearner();
  absl::Status LoadNewest();
  absl::Status Flush();
  absl::Status Report(Clock::time_point now);
  absl::Status Leave();

  Settings SettingsOf(const World& world, const Assignment& assignment) const;

  WorkerOptions options_;
  uint64_t id_;
  std::atomic<bool> stop_{false};

  std::shared_ptr<Doorbell> doorbell_;
  std::vector<World> worlds_;
  Spec spec_;
  NetworkShape shape_;
  ChunkShape chunk_shape_;
  bool sides_are_settings_ = false;
  bool far_ = false;  // behind a server
  int won_metric_ = -1, lost_metric_ = -1;
  Opponents::MakePolicy make_policy_;
  std::unique_ptr<Policy> policy_;
  std::unique_ptr<Opponents> opponents_;
  std::unique_ptr<WorkerTransport> transport_;

  std::vector<World*> ready_;
  std::vector<Row> rows_;           // as the batch's, learners first
  std::vector<Row> opponent_rows_;  // to be appended
  std::unique_ptr<Batch> batch_;

  struct Finished {
    v1::ChunkHeader header;
    MutableChunk::Payload payload;
  };
  std::deque<Finished> outbox_;  // waits for credit
  std::vector<v1::FromWorker> results_;
  absl::Status fault_;  // found where it could not be returned; ends the run
  uint64_t runs_ = 0;
  bool learner_there_ = true;
  uint64_t notices_ = 0;      // heeded
  uint64_t loaded_hash_ = 0;  // of the blob that policy_ holds

  Stopwatch stopwatch_;
  Clock::time_point begun_;
  Clock::time_point next_poll_;
  Clock::time_point next_report_;
  v1::FromWorker report_;
  uint64_t produced_ = 0;
  uint64_t timesteps_ = 0;
  uint64_t restarts_ = 0;
  double seconds_game_ = 0, seconds_policy_ = 0, seconds_credit_ = 0, seconds_other_ = 0;
  std::string last_error_;
};

// --- Set-up ----------------------------------------------------------------------------------

absl::Status RolloutWorker::CheckOptions() const {
  const auto wrong = [](const char* field, uint64_t value, uint64_t minimum, uint64_t maximum) {
    return absl::InvalidArgumentError(
        absl::StrCat("rollout.", field, " is ", value, "; allowed are ", minimum, " to ", maximum));
  };
  if (options_.games < 1 || options_.games > kGamesMax) {
    return wrong("games", options_.games, 1, kGamesMax);
  }
  if (options_.groups < 1 || options_.groups > options_.games) {
    return wrong("groups", options_.groups, 1, options_.games);
  }
  if (options_.chunk_steps < 1 || options_.chunk_steps > kChunkStepsMax) {
    return wrong("chunk_steps", options_.chunk_steps, 1, kChunkStepsMax);
  }
  if (options_.window < 1 || options_.window > options_.chunk_steps) {
    return wrong("window", options_.window, 1, options_.chunk_steps);
  }
  return ValidateNetworkConfig(options_.network);
}

absl::Status RolloutWorker::MakeWorlds() {
  absl::StatusOr<std::shared_ptr<Doorbell>> doorbell = Doorbell::Create();
  if (!doorbell.ok()) return doorbell.status();
  doorbell_ = *std::move(doorbell);
  for (const auto& [name, value] : options_.settings) options_.env.settings[name] = value;
  if (options_.frame_skip > 0) {
    options_.env.settings["frame_skip"] = absl::StrCat(options_.frame_skip);
  }
  options_.env.doorbell = doorbell_;
  worlds_.resize(options_.games);
  for (uint32_t i = 0; i < options_.games; ++i) {
    EnvOptions env = options_.env;
    env.seed += i;
    if (!env.work_dir.empty()) absl::StrAppend(&env.work_dir, "/", i);
    absl::StatusOr<std::unique_ptr<Env>> made = MakeEnv(env);
    if (!made.ok()) return made.status();
    worlds_[i].env = *std::move(made);
    worlds_[i].seed = env.seed;
    worlds_[i].base = options_.env.settings;
  }
  return absl::OkStatus();
}

absl::Status RolloutWorker::Prepare() {
  if (absl::Status status = CheckOptions(); !status.ok()) return status;
  if (absl::Status status = MakeWorlds(); !status.ok()) return status;
  spec_ = worlds_[0].env->spec();
  shape_ = MakeNetworkShape(spec_, options_.network);
  make_policy_ = [this]() -> absl::StatusOr<std::unique_ptr<Policy>> {
    return options_.make_policy ? options_.make_policy(shape_) : MakeNativePolicy(shape_);
  };
  absl::StatusOr<std::unique_ptr<Policy>> policy = make_policy_();
  if (!policy.ok()) return policy.status();
  policy_ = *std::move(policy);
  chunk_shape_.inputs = shape_.inputs;
  chunk_shape_.logits = shape_.logits_width();
  for (const HeadSpec& head : spec_.heads) chunk_shape_.masked |= head.mask_tensor >= 0;
  chunk_shape_.heads = static_cast<uint32_t>(spec_.heads.size());
  chunk_shape_.terms = static_cast<uint32_t>(spec_.terms.size());
  chunk_shape_.state = shape_.state_width();
  chunk_shape_.window = options_.window;
  chunk_shape_.environment_hash = spec_.Hash();
  chunk_shape_.network_hash = shape_.Hash();
  if (chunk_shape_.payload_bytes(options_.chunk_steps) > kChunkBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rollout.chunk_steps: ", options_.chunk_steps, " timesteps of this environment ",
        "have more than ", kChunkBytesMax, " bytes; choose fewer"));
  }
  far_ = IsServerName(options_.env.name);
  won_metric_ = spec_.FindMetric("won");
  lost_metric_ = spec_.FindMetric("lost");
  // Environments of C++ tests and remote ones are not described: they keep to the reserved names.
  const absl::StatusOr<EnvironmentInfo> info = DescribeEnvironment(options_.env.name);
  sides_are_settings_ = spec_.agents.size() > 1;
  if (info.ok() && !info->settings.empty()) {
    sides_are_settings_ &=
        std::any_of(info->settings.begin(), info->settings.end(),
                    [&](const auto& setting) { return setting.name == spec_.agents[0]; });
  }
  for (size_t i = 0; sides_are_settings_ && i < spec_.agents.size(); ++i) {
    const auto given = options_.settings.find(spec_.agents[i]);
    if (given == options_.settings.end()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "environment.", given->first, " = ", given->second,
        ": who plays a side is drawn for each match, from self-play and league.scripted; leave it "
        "out, or list the bot in league.scripted"));
  }
  const auto agents = static_cast<uint32_t>(spec_.agents.size());
  batch_ = std::make_unique<Batch>(spec_, shape_, options_.games * agents);
  uint64_t stream = 0;
  for (World& world : worlds_) {
    world.sides.reserve(agents);
    for (uint32_t i = 0; i < agents; ++i) {
      world.sides.emplace_back(chunk_shape_, options_.chunk_steps, i, shape_.state_width(),
                               Random(options_.seed, ++stream), this);
    }
  }
  return absl::OkStatus();
}

absl::Status RolloutWorker::Join() {
  WorkerTransportOptions options;
  options.learner = options_.learner;
  options.timeout = kLearnerTimeout;
  options.stop = &stop_;
  options.hello.set_worker(id_);
  options.hello.set_environment_hash(chunk_shape_.environment_hash);
  options.hello.set_network_hash(chunk_shape_.network_hash);
  options.hello.set_games(options_.games);
  char host[256] = {};
  if (gethostname(host, sizeof host - 1) == 0) options.hello.set_host(host);
  options.hello.set_pid(static_cast<uint32_t>(getpid()));
  absl::StatusOr<std::unique_ptr<WorkerTransport>> transport =
      WorkerTransport::Connect(std::move(options));
  if (!transport.ok()) return transport.status();
  transport_ = *std::move(transport);
  opponents_ = std::make_unique<Opponents>(static_cast<int>(spec_.agents.size()), options_.seed,
                                           make_policy_,
                                           [this](uint64_t version, uint64_t bytes, uint64_t hash) {
                                             return transport_->FetchWeights(version, bytes, hash);
                                           });
  return absl::OkStatus();
}

// --- The loop --------------------------------------------------------------------------------

absl::Status RolloutWorker::Run() {
  absl::Status status = Join();
  while (status.ok() && !stop_.load() && policy_->version() == 0) {
    status = LoadNewest();
    if (status.ok() && policy_->version() == 0) status = transport_->Poll(kWait);
  }
  if (status.ok() && !stop_.load() && options_.on_joined) options_.on_joined();
  begun_ = next_report_ = Clock::now();
  stopwatch_ = Stopwatch();
  for (size_t i = 0; status.ok() && !stop_.load() && i < worlds_.size(); ++i) {
    absl::StatusOr<Assignment> assignment = opponents_->Draw();
    status = assignment.status();
    if (status.ok()) status = BeginMatch(&worlds_[i], *std::move(assignment));
  }
  while (status.ok() && !stop_.load()) status = Serve();
  if (stop_.load() && (status.ok() || status.code() == absl::StatusCode::kCancelled)) {
    return transport_ == nullptr ? absl::OkStatus() : Leave();
  }
  return status;
}

// One turn: what the learner said, then the worlds that are ready, or a wait for more of them.
absl::Status RolloutWorker::Serve() {
  Clock::time_point now = stopwatch_.Lap(&seconds_other_);
  if (now >= next_poll_ || !outbox_.empty()) {
    next_poll_ = now + kPollEvery;
    if (absl::Status status = transport_->Poll(absl::ZeroDuration()); !status.ok()) return status;
    NoteLearner();
    if (absl::Status status = Flush(); !status.ok()) return status;
    if (absl::Status status = LoadNewest(); !status.ok()) return status;
    if (absl::Status status = Report(now); !status.ok()) return status;
    now = stopwatch_.Lap(&seconds_other_);
  }
  if (!outbox_.empty()) {
    absl::Status status = transport_->Poll(kWait);
    stopwatch_.Lap(&seconds_credit_);
    return status;
  }
  const uint32_t rings = doorbell_->rings();
  uint32_t enough = 1;
  if (absl::Status status = Gather(now, &enough); !status.ok()) return status;
  if (ready_.size() >= enough) return Act();
  stopwatch_.Lap(&seconds_other_);
  doorbell_->WaitFor(rings, enough - static_cast<uint32_t>(ready_.size()), kWait,
                     options_.env.spin);
  stopwatch_.Lap(&seconds_game_);
  return absl::OkStatus();
}

// Fills ready_, and how many of them are worth a batch: a group of those not late.
absl::Status RolloutWorker::Gather(Clock::time_point now, uint32_t* enough) {
  ready_.clear();
  size_t punctual = 0;
  for (World& world : worlds_) {
    if (!world.failure.ok()) {
      if (now < world.revive_at) continue;
      if (absl::Status status = Revive(&world); !status.ok()) return status;
      continue;
    }
    absl::StatusOr<bool> ready = world.env->Ready();
    if (!ready.ok()) {
      world.failure = ready.status();
      if (absl::Status status = Revive(&world); !status.ok()) return status;
    } else if (*ready) {
      ready_.push_back(&world);
    } else if (now - world.asked < kLate) {
      ++punctual;
    }
  }
  const size_t counted = ready_.size() + punctual;
  *enough = std::max<uint32_t>(
      1, static_cast<uint32_t>((counted + options_.groups - 1) / options_.groups));
  return absl::OkStatus();
}

absl::Status RolloutWorker::Act() {
  batch_->Clear();
  rows_.clear();
  opponent_rows_.clear();
  for (World* world : ready_) Collect(world);
  if (absl::Status status = Evaluate(); !status.ok()) return status;
  for (uint32_t i = 0; i < rows_.size(); ++i) {
    if (!rows_[i].acts) continue;
    if (absl::Status status = Sample(rows_[i], i); !status.ok()) return status;
  }
  // The games go on before their experience is written down.
  const Clock::time_point now = stopwatch_.Lap(&seconds_other_);
  for (World* world : ready_) Advance(world, now);
  stopwatch_.Lap(&seconds_game_);  // on a full machine a game that was woken runs in our place
  Record();
  for (World* world : ready_) {
    if (world->failure.ok()) continue;
    if (absl::Status status = Revive(world); !status.ok()) return status;
  }
  for (const v1::FromWorker& result : results_) {
    if (absl::Status status = transport_->Send(result); !status.ok()) return status;
  }
  results_.clear();
  stopwatch_.Lap(&seconds_other_);
  return fault_;
}

// Settles the last timestep of the world's learning agents and adds the rows that this one needs.
void RolloutWorker::Collect(World* world) {
  for (uint32_t i = 0; i < world->sides.size(); ++i) {
    world->sides[i].view = world->env->agent(static_cast<int>(i));
  }
  CutEndless(world);
  for (uint32_t i = 0; i < world->sides.size(); ++i) {
    Side& side = world->sides[i];
    const AgentView& view = side.view;
    if (!view.active()) continue;
    if (view.first()) {
      std::fill(side.state.begin(), side.state.end(), 0.0f);
      if (world->match_begins) world->match_frame = view.observed_frame;
    } else {
      world->failures = 0;
    }
    if (!world->assignment.learns(static_cast<int>(i))) {
      if (view.wants_action() && world->assignment.past != nullptr) {
        opponent_rows_.push_back({world, i, true});
      }
      continue;
    }
    bool wants_value = false;
    if (side.recorder.pending()) {
      if (view.first()) {  // its end was never shown
        side.recorder.Cut();
        side.recorder.Begin(++runs_, world->assignment.opponent);
      } else {
        const ChunkEnd end = view.terminated()  ? kTerminated
                             : view.truncated() ? kTruncated
                                                : kGoesOn;
        side.recorder.Settle(view.rewards, end);
        ++timesteps_;
        wants_value = end == kTruncated;
      }
    }
    if (!wants_value && !view.wants_action()) continue;
    batch_->Add(view.observation, side.state);
    rows_.push_back({world, i, !wants_value});
  }
  world->match_begins = false;
}

// Shows an episode that is too long as the world would if it had truncated it.
void RolloutWorker::CutEndless(World* world) {
  ++world->episode_steps;
  for (const Side& side : world->sides) {
    if (side.view.active() && side.view.first()) world->episode_steps = 0;
  }
  if (options_.episode_steps_max == 0 || world->episode_steps < options_.episode_steps_max) return;
  for (Side& side : world->sides) {
    AgentView& view = side.view;
    if (view.active() && !view.last())
      view.flags |= MIDLANE_SLOT_TRUNCATED | MIDLANE_SLOT_MATCH_OVER;
  }
}

absl::Status RolloutWorker::Evaluate() {
  const auto learners = static_cast<uint32_t>(rows_.size());
  if (!opponent_rows_.empty()) {
    std::stable_sort(opponent_rows_.begin(), opponent_rows_.end(), [](const Row& a, const Row& b) {
      return a.world->assignment.past.get() < b.world->assignment.past.get();
    });
    for (const Row& row : opponent_rows_) {
      const Side& side = row.world->sides[row.agent];
      batch_->Add(side.view.observation, side.state);
      rows_.push_back(row);
    }
  }
  stopwatch_.Lap(&seconds_other_);
  absl::Status status = batch_->Evaluate(0, learners, policy_.get());
  for (uint32_t first = learners; status.ok() && first < rows_.size();) {
    Policy* const past = rows_[first].world->assignment.past.get();
    uint32_t last = first + 1;
    while (last < rows_.size() && rows_[last].world->assignment.past.get() == past) ++last;
    status = batch_->Evaluate(first, last, past);
    first = last;
  }
  stopwatch_.Lap(&seconds_policy_);
  return status;
}

absl::Status RolloutWorker::Sample(const Row& row, uint32_t index) {
  Side& side = row.world->sides[row.agent];
  int32_t* const actions = batch_->actions(index);
  absl::StatusOr<float> log_prob =
      SampleActions(shape_.heads, batch_->logits(index),
                    chunk_shape_.masked ? batch_->masks(index) : nullptr, &side.random, actions);
  if (!log_prob.ok()) {
    return absl::Status(
        log_prob.status().code(),
        absl::StrCat("agent '", spec_.agents[row.agent], "' of ", spec_.environment, ", frame ",
                     side.view.observed_frame, ": ", log_prob.status().message()));
  }
  batch_->log_prob(index) = *log_prob;
  std::memcpy(side.view.actions, actions, spec_.heads.size() * sizeof(int32_t));
  return absl::OkStatus();
}

// Gives the actions to the world, or begins its next episode.
void RolloutWorker::Advance(World* world, Clock::time_point now) {
  bool goes_on = false;
  for (const Side& side : world->sides) {
    if (!side.view.active()) continue;
    goes_on |= !side.view.last();
    world->match_over |= side.view.match_over();
  }
  world->asked = now;
  if (goes_on) {
    world->match_over = false;
    world->failure = world->env->Step();
    return;
  }
  if (world->match_over) EndMatch(world);
  world->failure = world->env->Reset(world->settings);
}

void RolloutWorker::Record() {
  for (uint32_t i = 0; i < rows_.size(); ++i) {
    const Row& row = rows_[i];
    Side& side = row.world->sides[row.agent];
    if (!row.acts) {
      side.recorder.Truncated(batch_->value(i));
      continue;
    }
    if (row.world->assignment.learns(static_cast<int>(row.agent))) {
      Recorder::Step step;
      step.inputs = batch_->inputs(i);
      step.masks = batch_->masks(i);
      step.state = side.state.data();
      step.actions = batch_->actions(i);
      step.log_prob = batch_->log_prob(i);
      step.value = batch_->value(i);
      step.start = side.view.first();
      step.version = policy_->version();
      side.recorder.Act(step);
    }
    std::copy_n(batch_->state(i), side.state.size(), side.state.data());
  }
  for (World* world : ready_) {
    if (!std::exchange(world->match_over, false)) continue;
    Assign(world, std::move(world->next), /*continues=*/true);
  }
}

// --- Matches ---------------------------------------------------------------------------------

Settings RolloutWorker::SettingsOf(const World& world, const Assignment& assignment) const {
  return sides_are_settings_ ? MatchSettings(world.base, spec_.agents, assignment) : world.base;
}

absl::Status RolloutWorker::BeginMatch(World* world, Assignment assignment) {
  Assign(world, std::move(assignment), /*continues=*/false);
  world->settings = SettingsOf(*world, world->assignment);
  world->asked = Clock::now();
  world->failure = world->env->Reset(world->settings);
  return world->failure.ok() ? absl::OkStatus() : Revive(world);
}

// `continues`: where nothing changes for an agent its run goes on.
void RolloutWorker::Assign(World* world, Assignment assignment, bool continues) {
  for (uint32_t i = 0; i < world->sides.size(); ++i) {
    Recorder& recorder = world->sides[i].recorder;
    if (continues && assignment.SameFor(static_cast<int>(i), world->assignment)) continue;
    recorder.Cut();
    recorder.Begin(++runs_, assignment.opponent);
  }
  world->assignment = std::move(assignment);
  world->match_begins = true;
}

// Tells how the match ended and draws the next one; the present one is still being recorded.
void RolloutWorker::EndMatch(World* world) {
  for (uint32_t i = 0; i < world->sides.size(); ++i) {
    const AgentView& view = world->sides[i].view;
    if (!view.active() || !world->assignment.learns(static_cast<int>(i))) continue;
    v1::FromWorker message;
    v1::MatchResult& result = *message.mutable_result();
    result.set_worker(id_);
    result.set_opponent(world->assignment.opponent);
    result.set_agent(i);
    result.set_version(policy_->version());
    const bool won = won_metric_ >= 0 && view.metrics[won_metric_] > 0.5f;
    const bool lost = lost_metric_ >= 0 && view.metrics[lost_metric_] > 0.5f;
    result.set_outcome(view.truncated() ? v1::MatchResult::CUT
                       : won            ? v1::MatchResult::WON
                       : lost           ? v1::MatchResult::LOST
                                        : v1::MatchResult::DRAWN);
    result.mutable_metrics()->Add(view.metrics, view.metrics + spec_.metrics.size());
    result.set_frames(view.observed_frame - world->match_frame);
    results_.push_back(std::move(message));
  }
  absl::StatusOr<Assignment> next = opponents_->Draw();
  if (next.ok()) {
    world->next = *std::move(next);
  } else {
    world->next = world->assignment;
    fault_ = next.status();
  }
  world->settings = SettingsOf(*world, world->next);
}

// After a failure: a fresh world plays the same match again, from the seeds' next.
absl::Status RolloutWorker::Revive(World* world) {
  for (Side& side : world->sides) {
    side.recorder.Cut();
    side.recorder.Begin(++runs_, world->assignment.opponent);
  }
  world->match_over = false;
  world->match_begins = true;
  const absl::StatusCode code = world->failure.code();
  if (code == absl::StatusCode::kInvalidArgument || code == absl::StatusCode::kNotFound) {
    return world->failure;
  }
  const bool was_away = world->away_since.has_value();
  const bool away = far_ && code == absl::StatusCode::kUnavailable;
  // Its server's absence is one failure, however often it is looked for.
  if (!(away && was_away) && ++world->failures > options_.restarts_max) return world->failure;
  if (away && !was_away) world->away_since = Clock::now();
  if (away && absl::FromChrono(Clock::now() - *world->away_since) >
                  absl::Seconds(options_.server_wait_seconds)) {
    return world->failure;
  }
  if (!was_away) ++restarts_;
  last_error_ = FirstLine(world->failure.message());
  world->seed += kSeedStride;
  world->base["seed"] = absl::StrCat(world->seed);
  world->settings = SettingsOf(*world, world->assignment);
  world->failure = world->env->Restart();
  world->asked = Clock::now();
  if (world->failure.ok()) world->failure = world->env->Reset(world->settings);
  if (world->failure.ok()) {
    world->away_since.reset();
  } else {
    world->revive_at = Clock::now() + kRestartPause;
  }
  return absl::OkStatus();
}

// --- Learner ---------------------------------------------------------------------------------

void RolloutWorker::NoteLearner() {
  if (transport_->joined() == learner_there_) return;
  learner_there_ = !learner_there_;
  if (options_.on_learner) options_.on_learner(learner_there_);
}

absl::Status RolloutWorker::LoadNewest() {
  if (transport_->notices() == notices_) return absl::OkStatus();
  const v1::Notice* const notice = transport_->notice();
  if (notice->version() == policy_->version() && notice->hash() == loaded_hash_) {
    notices_ = transport_->notices();
    opponents_->Update(*notice);
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<Frame>> blob =
      transport_->FetchWeights(notice->version(), notice->bytes(), notice->hash());
  switch (blob.status().code()) {
    case absl::StatusCode::kOk:
      break;
    case absl::StatusCode::kNotFound:  // superseded: the next notice is on its way
      notices_ = transport_->notices();
      return absl::OkStatus();
    case absl::StatusCode::kUnavailable:  // its learner is away, or another worker takes too long
    case absl::StatusCode::kDeadlineExceeded:
      return absl::OkStatus();
    default:
      return blob.status();
  }
  absl::StatusOr<Weights> weights = DecodeWeights(shape_, (*blob)->bytes());
  if (!weights.ok()) return weights.status();
  notices_ = transport_->notices();
  loaded_hash_ = notice->hash();
  opponents_->Update(*notice);
  return policy_->Load(*weights);
}

void RolloutWorker::Emit(v1::ChunkHeader* header, MutableChunk::Payload payload) {
  header->set_worker(id_);
  header->set_number(produced_++);
  if (outbox_.empty() && transport_->credits() > 0) {
    absl::Status status = transport_->SendChunk(*header, std::move(payload));
    if (!status.ok()) fault_ = std::move(status);
  } else {
    outbox_.push_back({*header, std::move(payload)});
  }
}

absl::Status RolloutWorker::Flush() {
  while (!outbox_.empty() && transport_->credits() > 0) {
    absl::Status status =
        transport_->SendChunk(outbox_.front().header, std::move(outbox_.front().payload));
    if (!status.ok()) return status;
    outbox_.pop_front();
  }
  return absl::OkStatus();
}

absl::Status RolloutWorker::Report(Clock::time_point now) {
  if (now < next_report_) return absl::OkStatus();
  next_report_ = now + kReportEvery;
  v1::WorkerReport& report = *report_.mutable_report();
  uint64_t frames = 0;
  double game_seconds = 0;
  report.clear_waiting_for();
  for (const World& world : worlds_) {
    if (world.away_since) report.set_waiting_for(FirstLine(world.failure.message()));
    const EnvStats stats = world.env->stats();
    frames += stats.frames;
    game_seconds += stats.game_seconds;
  }
  report.set_worker(id_);
  report.set_produced_chunks(produced_);
  report.set_timesteps(timesteps_);
  report.set_frames(frames);
  report.set_game_seconds(game_seconds);
  report.set_seconds(std::chrono::duration<double>(now - begun_).count());
  report.set_seconds_game(seconds_game_);
  report.set_seconds_policy(seconds_policy_);
  report.set_seconds_credit(seconds_credit_);
  report.set_seconds_other(seconds_other_);
  report.set_game_restarts(restarts_);
  report.set_last_error(last_error_);
  report.set_resident_bytes(ResidentBytes());
  return transport_->Send(report_);
}

// An orderly end: what has credit still leaves, what has not is counted as dropped.
absl::Status RolloutWorker::Leave() {
  if (absl::Status status = Flush(); !status.ok()) return status;
  report_.mutable_report()->set_dropped_chunks(outbox_.size());
  outbox_.clear();
  next_report_ = Clock::time_point::min();
  if (absl::Status status = Report(Clock::now()); !status.ok()) return status;
  v1::FromWorker goodbye;
  goodbye.mutable_goodbye()->set_worker(id_);
  goodbye.mutable_goodbye()->set_produced_chunks(produced_);
  absl::Status status = transport_->Send(goodbye);
  transport_.reset();
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Worker>> Worker::Create(WorkerOptions options) {
  auto worker = std::make_unique<RolloutWorker>(std::move(options));
  if (absl::Status status = worker->Prepare(); !status.ok()) return status;
  return worker;
}

}  // namespace midlane
