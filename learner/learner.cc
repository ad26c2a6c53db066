#include "learner/learner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "learner/checkpoint_writer.h"
#include "learner/files.h"
#include "learner/learner_state.h"
#include "learner/metrics.h"
#include "learner/ppo.h"
#include "learner/publisher.h"
#include "learner/receiver.h"
#include "learner/version_file.h"
#include "learner/weight_average.h"
#include "rollout/transport.h"

namespace midlane {
namespace {

using Clock = std::chrono::steady_clock;

// Above it the behaviour policy was not the published one.
constexpr double kBehaviourErrorMax = 1e-4;
// Timesteps compared of each version in a batch: all of a small one, about 1 % of a large one's
// work.
constexpr uint32_t kBehaviourRowsMin = 64;
constexpr uint32_t kBehaviourRowsMax = 512;
// Credit flows back as training goes on, ahead of its progress by this share of the iteration: the
// next batch is whole when this one is done, and no timestep waits longer than one version.
constexpr double kCreditLead = 0.25;
constexpr uint32_t kCreditsMin = 4;
constexpr double kCreditSpare = 0.25;  // of an iteration's
// A network of more parameters keeps libtorch's BLAS busy enough.
constexpr size_t kNativeParametersMax = 1u << 19;
// Each iteration has its line of metrics.jsonl, but those that are quicker than this share one: a
// small network on `null` makes 300 a second, which were 2 GB an hour.
constexpr double kLineSeconds = 0.1;
// TensorBoard points and lists of past versions come no faster.
constexpr double kTensorBoardSeconds = 1.0;
constexpr double kPastSeconds = 10.0;
// Workers report once a second: their rates are over a few reports.
constexpr double kWorkerWindowSeconds = 4.0;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double WallTime() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Adds the time from its making to its end to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(double* sum) : sum_(sum), start_(Clock::now()) {}
  ~Stopwatch() { *sum_ += SecondsSince(start_); }

 private:
  double* const sum_;
  const Clock::time_point start_;
};

// Where the learner's time went since the last line.
struct Times {
  double receive = 0, train = 0, publish = 0, checkpoint = 0;
  Clock::time_point since = Clock::now();
};

class PpoLearner final : public Learner {
 public:
  PpoLearner(const Spec& spec, LearnerOptions options, std::unique_ptr<RunLock> lock)
      : spec_(spec),
        options_(std::move(options)),
        lock_(std::move(lock)),
        version_file_(options_.run_dir),
        checkpoints_(options_.run_dir, options_.checkpoints_keep),
        shape_(MakeNetworkShape(spec, options_.network)),
        league_(LeagueOptionsFor(spec, options_.league)),
        average_(options_.average_steps) {}

  absl::Status Initialise() {
    std::error_code ignored;
    std::filesystem::remove(AddressPath(), ignored);

    const bool native = options_.engine == "native" ||
                        (options_.engine == "auto" && options_.device == "cpu" &&
                         shape_.config.lstm == 0 && ParameterCount(shape_) <= kNativeParametersMax);
    if (native) {
      engine_ = MakeMlpEngine(shape_);
    } else {
      auto engine = MakeTorchEngine(shape_, options_.device, options_.threads);
      if (!engine.ok()) return engine.status();
      engine_ = *std::move(engine);
    }
    if (absl::Status status = Load(); !status.ok()) return status;

    LearnerTransportOptions transport;
    transport.listen = options_.listen;
    transport.environment_hash = spec_.Hash();
    transport.network_hash = shape_.Hash();
    transport.credits_total = Credits();
    auto bound = LearnerTransport::Bind(transport);
    if (!bound.ok()) return bound.status();
    transport_ = *std::move(bound);
    publisher_ = std::make_unique<Publisher>(
        transport_.get(), shape_,
        options_.wire_dtype == "bf16" ? WireDtype::kBf16 : WireDtype::kF32);
    for (const auto& [version, blob] : loaded_past_) publisher_->ServePast(version, blob);
    loaded_past_.clear();

    ReceiverOptions receiver;
    receiver.shape.inputs = shape_.inputs;
    receiver.shape.logits = shape_.logits_width();
    receiver.shape.masked = std::any_of(spec_.heads.begin(), spec_.heads.end(),
                                        [](const HeadSpec& head) { return head.mask_tensor >= 0; });
    receiver.shape.heads = static_cast<uint32_t>(shape_.heads.size());
    receiver.shape.terms = static_cast<uint32_t>(spec_.terms.size());
    receiver.shape.state = shape_.state_width();
    receiver.shape.window = options_.ppo.window;
    receiver.heads = shape_.heads;
    receiver.environment_hash = spec_.Hash();
    receiver.network_hash = shape_.Hash();
    receiver.batch_steps = options_.ppo.batch_steps;
    receiver.chunk_steps = options_.chunk_steps;
    receiver.staleness_max = options_.ppo.staleness_max;
    receiver_ = std::make_unique<Receiver>(transport_.get(), receiver);
    receiver_->Restore(loaded_accounts_);

    auto log = MetricsLog::Open(options_.run_dir);
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
    return absl::OkStatus();
  }

  void Stop() override { stop_.store(true); }

  absl::Status Run() override {
    started_ = Clock::now();
    Note(log_->Start(resumed_, weights_.version, iteration_, timesteps_, seconds_before_));
    receiver_->SetVersion(weights_.version);
    receiver_->Start();
    if (absl::Status status = version_file_.Write(weights_.version); !status.ok()) return status;
    publisher_->Publish(weights_, league_);
    if (absl::Status status = WriteFileAtomically(AddressPath(), transport_->address() + "\n");
        !status.ok()) {
      return status;
    }
    times_ = Times();
    last_checkpoint_ = Clock::now();
    warned_lost_ = receiver_->accounts().workers_lost;  // by earlier starts

    std::string reason;
    absl::Status status;
    while (reason.empty() && status.ok()) {
      std::unique_ptr<Batch> batch;
      {
        Stopwatch watch(&times_.receive);
        while (batch == nullptr && (reason = StopReason()).empty()) {
          batch = receiver_->Next(absl::Milliseconds(100));
          WarnOfWaiting();
          WarnOfLostWorkers();
        }
      }
      if (batch == nullptr) break;
      status = Iterate(std::move(batch));
    }
    if (!status.ok()) reason = std::string(status.message());
    return Finish(std::move(status), reason);
  }

 private:
  static LeagueOptions LeagueOptionsFor(const Spec& spec, LeagueOptions options) {
    // Alone in its world an agent has no side to give to a past version.
    if (spec.agents.size() < 2) options.latest_share = 1;
    return options;
  }

  std::string AddressPath() const { return absl::StrCat(options_.run_dir, "/learner.address"); }

  uint32_t Credits() const {
    const double iteration = std::ceil(static_cast<double>(options_.ppo.batch_steps) /
                                       static_cast<double>(options_.chunk_steps));
    // Fewer than an iteration's could never fill a batch. Where none is to spare, a worker that has
    // used up its own waits for one that has not; much more only lets experience grow older.
    const auto smallest = static_cast<uint32_t>(iteration) + 1;
    const auto fitting = static_cast<uint32_t>(std::ceil(iteration * (1 + kCreditSpare)));
    const uint32_t wanted = options_.credits_total > 0 ? options_.credits_total : fitting;
    return std::max({kCreditsMin, smallest, wanted});
  }

  absl::Status Load() {
    const absl::StatusOr<Sections> sections = ReadCheckpoint(checkpoints_.path());
    if (absl::IsNotFound(sections.status())) {
      weights_.version = version_file_.Read() + 1;
      weights_.parameters = InitialParameters(shape_, options_.seed);
      observations_ = RunningMoments(shape_.inputs);
      seed_ = options_.seed;
      NormaliserOf(RunningMoments(shape_.inputs), &weights_.mean, &weights_.inv_std);
      engine_->SetParameters(weights_.parameters);
      return absl::OkStatus();
    }
    if (!sections.ok()) return sections.status();
    absl::StatusOr<LearnerState> state = DecodeLearnerState(checkpoints_.path(), *sections);
    if (!state.ok()) return state.status();
    if (auto status = CheckSameNetwork(checkpoints_.path(), state->shape, shape_); !status.ok()) {
      return status;
    }
    if (state->environment_hash != spec_.Hash()) {
      return absl::InvalidArgumentError(absl::StrCat(
          checkpoints_.path(), " was made for another environment (section 'environment'): '",
          state->environment, "' as it was then; this one is '", spec_.environment,
          "' with another spec; choose another run name"));
    }
    resumed_ = true;
    weights_ = std::move(state->weights);
    // Versions published after the checkpoint are gone: their numbers are not given again.
    const uint64_t published = version_file_.Read();
    if (published > weights_.version) weights_.version = published + 1;
    engine_->SetParameters(weights_.parameters);
    engine_->SetAdam(state->adam);
    observations_ = std::move(state->observations);
    deviation_.Restore(std::move(state->returns));
    average_.Restore(std::move(state->average));
    seed_ = state->seed;
    iteration_ = state->iteration;
    timesteps_ = state->timesteps;
    seconds_before_ = state->seconds;
    league_.Restore(std::move(state->league));
    loaded_past_ = std::move(state->past);
    loaded_accounts_ = std::move(state->accounts);
    return absl::OkStatus();
  }

  double Seconds() const { return seconds_before_ + SecondsSince(started_); }

  std::string StopReason() const {
    if (stop_.load()) return "stopped";
    if (options_.timesteps_max > 0 && timesteps_ >= options_.timesteps_max) return "timesteps_max";
    if (options_.seconds_max > 0 && Seconds() >= options_.seconds_max) return "seconds_max";
    if (options_.target_win_rate > 0 && league_.Beats(options_.target_win_rate)) {
      return "target_win_rate";
    }
    return "";
  }

  std::vector<float> RewardWeights() const {
    std::vector<float> weights(spec_.terms.size(), options_.rewards.empty() ? 1.0f : 0.0f);
    for (const auto& [name, schedule] : options_.rewards) {
      weights[static_cast<size_t>(spec_.FindTerm(name))] =
          static_cast<float>(schedule.At(timesteps_));
    }
    return weights;
  }

  absl::Status CheckBehaviour(const Batch& batch) {
    const uint32_t rows = std::clamp(batch.steps() / 64, kBehaviourRowsMin, kBehaviourRowsMax) /
                          (shape_.config.lstm > 0 ? options_.ppo.window : 1);
    for (const Weights& recent : publisher_->recent()) {
      const absl::StatusOr<double> error = BehaviourLogProbError(
          batch, shape_.config.lstm > 0, recent.version, recent.parameters, recent.mean,
          recent.inv_std, std::max(1u, rows), engine_.get(), &compared_);
      if (!error.ok()) return error.status();
      behaviour_error_ = std::max(behaviour_error_, *error);
      if (*error > kBehaviourErrorMax) {
        return absl::InternalError(absl::StrFormat(
            "behaviour log-probabilities of version %d differ by %.3g from those recomputed here "
            "(at most %.0e): workers and learner disagree on masks, recurrent state or the "
            "normaliser; start both from the same build, and report it if they are",
            recent.version, *error, kBehaviourErrorMax));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Iterate(std::unique_ptr<Batch> batch) {
    const uint64_t version = weights_.version;
    double staleness_sum = 0;
    for (const uint64_t acted : batch->versions) {
      const double staleness = acted < version ? static_cast<double>(version - acted) : 0.0;
      staleness_sum += staleness;
      staleness_max_ = std::max(staleness_max_, staleness);
    }
    staleness_mean_ = staleness_sum / batch->steps();
    {
      Stopwatch watch(&times_.train);
      if (absl::Status status = Train(batch.get()); !status.ok()) return status;
    }
    {
      Stopwatch watch(&times_.publish);
      weights_.parameters = engine_->GetParameters();
      if (options_.ppo.normalise_observation) {
        NormaliserOf(observations_, &weights_.mean, &weights_.inv_std);
      }
      for (MatchReport& report : receiver_->TakeMatches()) {
        league_.Record(report.opponent, std::move(report.match));
      }
      ++iteration_;
      timesteps_ += batch->steps();
      average_.Add(weights_.parameters, batch->steps(), timesteps_);
      line_timesteps_ += batch->steps();
      receiver_->Trained(std::move(batch));
      ++weights_.version;
      if (absl::Status status = version_file_.Write(weights_.version); !status.ok()) Note(status);
      receiver_->SetVersion(weights_.version);
      if (iteration_ % options_.league.add_every == 0 && spec_.agents.size() > 1) {
        publisher_->AddToPool(&league_);
      }
      publisher_->Publish(weights_, league_);
    }
    {
      Stopwatch watch(&times_.checkpoint);
      CheckpointWhenDue();
    }
    WriteLineWhenDue();
    return absl::OkStatus();
  }

  absl::Status Train(Batch* batch) {
    if (absl::Status status = CheckBehaviour(*batch); !status.ok()) return status;
    reward_weights_ = RewardWeights();
    summary_ = FinishBatch(options_.ppo, reward_weights_, &deviation_, batch);
    episodes_ended_ += summary_.ended;
    episodes_truncated_ += summary_.truncated;
    episode_steps_ += batch->steps();
    if (absl::Status status = engine_->SetBatch(*batch, weights_.mean, weights_.inv_std);
        !status.ok()) {
      return status;
    }
    PpoIteration iteration;
    iteration.seed = seed_;
    iteration.iteration = iteration_;
    iteration.timestep = timesteps_;
    iteration.lstm = shape_.config.lstm > 0;
    size_t granted = 0;
    const auto grant = [&](double done) {
      const auto until = static_cast<size_t>(done * static_cast<double>(batch->chunks.size()));
      for (; granted < until; ++granted) {
        BatchChunk& chunk = batch->chunks[granted];
        if (!chunk.credit_returned) transport_->Grant(chunk.worker, 1);
        chunk.credit_returned = true;
      }
    };
    grant(kCreditLead);
    iteration.progress = [&](double done) { grant(std::min(1.0, done + kCreditLead)); };
    const absl::StatusOr<PpoFigures> figures =
        TrainPpo(options_.ppo, iteration, *batch, engine_.get());
    if (!figures.ok()) return figures.status();
    grant(1.0);
    figures_ = *figures;
    if (options_.ppo.normalise_observation) observations_.Add(batch->inputs);
    return absl::OkStatus();
  }

  // ---- Checkpoints ---------------------------------------------------------------------------

  LearnerState State() {
    LearnerState state;
    state.shape = shape_;
    state.environment = spec_.environment;
    state.environment_hash = spec_.Hash();
    state.weights = weights_;
    state.average = average_.mean();
    state.adam = engine_->GetAdam();
    state.observations = observations_;
    state.returns = deviation_.moments();
    state.seed = seed_;
    state.iteration = iteration_;
    state.timesteps = timesteps_;
    state.seconds = Seconds();
    state.league = league_.state();
    state.past = publisher_->pool();
    state.accounts = receiver_->accounts_state();
    state.config_text = options_.config_text;
    return state;
  }

  void CheckpointWhenDue() {
    TellOfCheckpoint(checkpoints_.Poll());
    if (checkpoints_.busy()) return;
    // The first one at once: who begins anew after a fault may not lose half a minute of training.
    const bool first = iteration_ == 1;
    if (!first && SecondsSince(last_checkpoint_) < options_.checkpoint_seconds) return;
    last_checkpoint_ = Clock::now();
    checkpoints_.Begin(State());
  }

  void TellOfCheckpoint(const absl::Status& status) {
    if (status.ok()) return;
    Warn(absl::StrCat("the checkpoint could not be written, training goes on with the old one: ",
                      std::string(status.message())));
  }

  absl::Status Finish(absl::Status status, const std::string& reason) {
    receiver_->Stop();
    TellOfCheckpoint(checkpoints_.Wait());
    std::error_code ignored;
    std::filesystem::remove(AddressPath(), ignored);
    if (status.ok()) {
      // After an error the engine's state is not to be trusted: the last checkpoint stands.
      receiver_->Ended();
      status = checkpoints_.Write(State());
    }
    Note(log_->Stop(Metrics(), reason));
    return status;
  }

  // ---- Metrics -------------------------------------------------------------------------------

  void WriteLineWhenDue() {
    if (SecondsSince(times_.since) < kLineSeconds) return;
    const IterationMetrics metrics = Metrics();
    Note(log_->Iteration(metrics));
    if (SecondsSince(last_tensorboard_) >= kTensorBoardSeconds) {
      last_tensorboard_ = Clock::now();
      Note(log_->TensorBoard(metrics));
    }
    if (const std::string why = receiver_->last_invalid(); why != warned_invalid_) {
      warned_invalid_ = why;
      Warn(absl::StrCat("a chunk was refused: ", why));
    }
    times_ = Times();
    staleness_max_ = 0;
    behaviour_error_ = 0;
    line_timesteps_ = 0;
    episodes_ended_ = episodes_truncated_ = episode_steps_ = 0;
  }

  void FillWorkers(IterationMetrics* m) {
    const WorkerTotals now = receiver_->workers();
    history_.emplace_back(Clock::now(), now);
    while (history_.size() > 2 && SecondsSince(history_[1].first) >= kWorkerWindowSeconds) {
      history_.pop_front();
    }
    const WorkerTotals& before = history_.front().second;
    const double seconds = SecondsSince(history_.front().first);
    const double workers_seconds = now.seconds - before.seconds;
    m->workers = now.living;
    m->game_restarts = now.game_restarts;
    m->workers_resident_bytes = now.resident_bytes;
    m->last_error = now.last_error;
    if (seconds > 0.5) {
      m->decisions_per_s = static_cast<double>(now.timesteps - before.timesteps) / seconds;
      m->game_speed = (now.game_seconds - before.game_seconds) / seconds;
    }
    if (workers_seconds > 0) {
      m->workers_games = (now.seconds_game - before.seconds_game) / workers_seconds;
      m->workers_policy = (now.seconds_policy - before.seconds_policy) / workers_seconds;
      m->workers_credit = (now.seconds_credit - before.seconds_credit) / workers_seconds;
      m->workers_other = (now.seconds_other - before.seconds_other) / workers_seconds;
    }
  }

  IterationMetrics Metrics() {
    IterationMetrics m;
    const double elapsed = std::max(1e-9, SecondsSince(times_.since));
    m.wall_time = WallTime();
    m.iteration = iteration_;
    m.version = weights_.version;
    m.timesteps = timesteps_;
    m.seconds = Seconds();
    m.timesteps_per_s = static_cast<double>(line_timesteps_) / elapsed;
    m.staleness_mean = staleness_mean_;
    m.staleness_max = staleness_max_;
    m.sample_reuse = figures_.epochs;
    m.policy_loss = figures_.loss.policy_loss;
    m.value_loss = figures_.loss.value_loss;
    m.entropy = figures_.loss.entropy;
    m.kl = figures_.loss.kl;
    m.clip_fraction = figures_.loss.clip_fraction;
    m.explained_variance = summary_.explained_variance;
    m.gradient_norm = figures_.gradient_norm;
    m.learning_rate = figures_.learning_rate;
    m.entropy_weight = figures_.entropy_weight;
    m.minibatches = figures_.minibatches;
    m.reward_deviation = deviation_.deviation();
    m.behaviour_log_prob_error = behaviour_error_;
    for (size_t i = 0; i < summary_.terms.size(); ++i) {
      m.reward.emplace_back(spec_.terms[i], summary_.terms[i]);
      m.reward_weight.emplace_back(spec_.terms[i], reward_weights_[i]);
    }
    m.reward_total = summary_.reward;
    m.episodes_ended = episodes_ended_;
    m.episodes_truncated = episodes_truncated_;
    m.episode_length_mean = episodes_ended_ > 0 ? static_cast<double>(episode_steps_) /
                                                      static_cast<double>(episodes_ended_)
                                                : 0.0;
    const bool list_past = SecondsSince(last_past_) >= kPastSeconds;
    if (list_past) last_past_ = Clock::now();
    const std::vector<double> shares = league_.Shares();
    for (size_t i = 0; i < shares.size(); ++i) {
      const LeagueEntry& entry = league_.entries()[i];
      if (entry.kind == OpponentKind::kPast && !list_past) continue;
      m.opponents.push_back({&entry, shares[i]});
    }
    m.metric_names = spec_.metrics;
    m.time_receive = times_.receive / elapsed;
    m.time_train = times_.train / elapsed;
    m.time_publish = times_.publish / elapsed;
    m.time_checkpoint = times_.checkpoint / elapsed;
    m.time_other =
        std::max(0.0, 1 - m.time_receive - m.time_train - m.time_publish - m.time_checkpoint);
    FillWorkers(&m);
    const ChunkAccounts::Totals accounts = receiver_->accounts();
    m.chunks_produced = accounts.produced;
    m.chunks_trained = accounts.trained;
    m.chunks_in_flight = accounts.in_flight;
    m.chunks_dropped = accounts.dropped;
    m.workers_lost = accounts.workers_lost;
    m.resident_bytes = ResidentBytes();
    m.verdict = Verdict(m);
    return m;
  }

  void Warn(const std::string& text) {
    std::fprintf(stderr, "midlane learner: %s\n", text.c_str());
    (void)log_->Warning(text);
  }

  // What keeps workers from playing is said when it begins.
  void WarnOfWaiting() {
    std::string waiting_for = receiver_->workers().waiting_for;
    if (waiting_for == warned_waiting_) return;
    warned_waiting_ = std::move(waiting_for);
    Warn(warned_waiting_.empty() ? "workers go on"
                                 : absl::StrCat("workers wait: ", warned_waiting_));
  }

  void WarnOfLostWorkers() {
    const uint64_t lost = receiver_->accounts().workers_lost;
    if (lost > warned_lost_) {
      Warn(absl::StrCat("a worker fell silent (", lost,
                        " so far); what it had under way is counted as dropped"));
    }
    warned_lost_ = lost;
  }

  // Figures that cannot be written do not stop training; it is said once.
  void Note(const absl::Status& status) {
    if (status.ok() || noted_) return;
    noted_ = true;
    std::fprintf(stderr, "midlane learner: metrics are being lost: %s\n",
                 std::string(status.message()).c_str());
  }

  const Spec spec_;
  const LearnerOptions options_;
  const std::unique_ptr<RunLock> lock_;
  VersionFile version_file_;
  CheckpointWriter checkpoints_;
  const NetworkShape shape_;
  League league_;
  std::unique_ptr<PpoEngine> engine_;
  std::unique_ptr<LearnerTransport> transport_;
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<Receiver> receiver_;
  std::unique_ptr<MetricsLog> log_;
  std::atomic<bool> stop_{false};
  static_assert(std::atomic<bool>::is_always_lock_free, "Stop is called from signal handlers");

  // What a checkpoint holds.
  bool resumed_ = false;
  Weights weights_;  // published last
  WeightAverage average_;
  RunningMoments observations_;
  ReturnDeviation deviation_;
  uint64_t seed_ = 1;
  uint64_t iteration_ = 0;
  uint64_t timesteps_ = 0;
  double seconds_before_ = 0;
  std::map<uint64_t, std::shared_ptr<const std::string>> loaded_past_;
  ChunkAccounts::State loaded_accounts_;

  Clock::time_point started_ = Clock::now();
  Clock::time_point last_checkpoint_ = Clock::now();

  // Of the present line.
  Times times_;
  BatchSummary summary_;
  PpoFigures figures_;
  std::vector<float> reward_weights_;
  double staleness_mean_ = 0, staleness_max_ = 0, behaviour_error_ = 0;
  uint64_t compared_ = 0;
  uint64_t line_timesteps_ = 0, episodes_ended_ = 0, episodes_truncated_ = 0, episode_steps_ = 0;
  Clock::time_point last_tensorboard_, last_past_;
  std::deque<std::pair<Clock::time_point, WorkerTotals>> history_;
  std::string warned_invalid_;
  std::string warned_waiting_;
  uint64_t warned_lost_ = 0;
  bool noted_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Learner>> Learner::Create(const Spec& spec, LearnerOptions options) {
  if (absl::Status status = ValidateLearnerOptions(spec, options); !status.ok()) return status;
  if (absl::Status status = MakeFolder(options.run_dir); !status.ok()) return status;
  auto lock = RunLock::Take(options.run_dir);
  if (!lock.ok()) return lock.status();
  auto learner = std::make_unique<PpoLearner>(spec, std::move(options), *std::move(lock));
  if (absl::Status status = learner->Initialise(); !status.ok()) return status;
  return learner;
}

}  // namespace midlane
