#include "rollout/evaluate.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bridge/cores.h"
#include "rollout/experience.pb.h"
#include "rollout/latency_histogram.h"
#include "rollout/match_book.h"
#include "rollout/sampler.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace midlane {
namespace {

constexpr uint32_t kGamesMax = 1024;
constexpr uint64_t kTurnsATold = 4096;  // between two looks whether to tell of progress

using Outcome = v1::MatchResult;

// One agent of a world while a match is played.
struct Player {
  Policy* policy = nullptr;  // null: a scripted bot, or nobody
  Random random;
  std::vector<float> state;
};

struct World {
  std::unique_ptr<Env> env;
  std::optional<Match> match;
  Settings settings;
  std::vector<Player> players;  // of each agent
  XXH3_state_t hash;
  bool begun = false;    // the match's first timestep was seen
  bool watched = false;  // and told to EvaluationOptions::watch
  uint64_t first_frame = 0;
  uint64_t frames = 0;
  uint32_t crashes = 0;  // of this match, in a row
};

// The rows that one policy is asked about together.
struct Batch {
  Policy* policy = nullptr;
  std::vector<std::pair<World*, int>> rows;  // world, agent
  std::vector<float> inputs;
  std::vector<uint8_t> masks;
  std::vector<float> states;
  std::vector<float> logits;
  std::vector<float> values;
};

bool Stopped(const EvaluationOptions& options) {
  return options.stop != nullptr && options.stop->load(std::memory_order_relaxed);
}

// One thread's worlds.
class Evaluation {
 public:
  // `games` of the evaluation's, numbered from `first_game`.
  Evaluation(EvaluationOptions options, MatchBook* book, uint32_t first_game, uint32_t games)
      : options_(std::move(options)), book_(book), first_game_(first_game), games_(games) {}

  // Until no match is left, or another thread has `failed`.
  absl::Status Run(const std::atomic<bool>& failed);
  const LatencyHistogram& latency() const { return latency_; }

 private:
  absl::Status Prepare();
  absl::Status CheckPolicy(const Policy& policy, const std::string& name) const;
  absl::Status CheckOpponent(const EvaluationOpponent& opponent) const;
  bool Takes(const std::string& setting) const;
  Settings SettingsOf(const Match& match) const;

  // Each of the next three answers a failure of the world, which Survive then judges.
  absl::Status Begin(World* world);
  absl::Status Observe(World* world);  // a readable timestep
  absl::Status Advance(World* world);  // with its actions written
  absl::Status Survive(World* world, const absl::Status& failure);

  absl::Status Act();
  void Watch(World* world);
  void Finish(World* world, int outcome);
  void TellLongest();
  bool TakeMatch(World* world);
  AgentView SubjectView(World* world, bool* swapped) const;
  std::vector<float> SubjectMetrics(World* world) const;
  void HashTimestep(World* world);

  EvaluationOptions options_;
  MatchBook* const book_;
  const uint32_t first_game_;
  const uint32_t games_;
  std::shared_ptr<Doorbell> doorbell_;
  std::optional<EnvironmentInfo> info_;  // nothing where the environment cannot be described
  Spec spec_;
  int won_ = -1;
  int lost_ = -1;
  std::vector<World> worlds_;
  std::vector<World*> acting_;  // observed, waiting for actions
  std::vector<Batch> batches_;
  LatencyHistogram latency_;
};

bool Evaluation::Takes(const std::string& setting) const {
  if (!info_.has_value()) {
    return setting == "seed" ||
           std::find(spec_.agents.begin(), spec_.agents.end(), setting) != spec_.agents.end();
  }
  return std::any_of(info_->settings.begin(), info_->settings.end(),
                     [&](const auto& known) { return known.name == setting; });
}

absl::Status Evaluation::CheckPolicy(const Policy& policy, const std::string& name) const {
  const NetworkShape shape = MakeNetworkShape(spec_, policy.shape().config);
  if (shape.Hash() == policy.shape().Hash()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, " was made for ", policy.shape().inputs, " inputs and ", policy.shape().logits_width(),
      " choices, environment '", spec_.environment, "' has ", shape.inputs, " and ",
      shape.logits_width(), "; evaluate it on the environment that it was trained on"));
}

absl::Status Evaluation::CheckOpponent(const EvaluationOpponent& opponent) const {
  if (opponent.bot.empty()) {
    if (opponent.policy != nullptr) {
      return CheckPolicy(*opponent.policy, absl::StrCat("opponent '", opponent.name, "'"));
    }
    if (spec_.agents.size() == 1) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("opponent '", opponent.name, "' has neither a bot nor a policy"));
  }
  for (const std::string& agent : spec_.agents) {
    if (Takes(agent)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("environment '", spec_.environment, "' has no setting '", agent,
                     "' to say who plays that side, so bot '", opponent.bot, "' cannot be met"));
  }
  if (info_.has_value() && !info_->bots.empty() &&
      std::find(info_->bots.begin(), info_->bots.end(), opponent.bot) == info_->bots.end()) {
    std::string known;
    for (const std::string& bot : info_->bots) absl::StrAppend(&known, " ", bot);
    return absl::InvalidArgumentError(absl::StrCat(
        "environment '", spec_.environment, "' has no bot '", opponent.bot, "'; it has:", known));
  }
  return absl::OkStatus();
}

absl::Status Evaluation::Prepare() {
  doorbell_ = options_.env.doorbell;
  if (doorbell_ == nullptr) {
    auto doorbell = Doorbell::Create();
    if (!doorbell.ok()) return doorbell.status();
    doorbell_ = *std::move(doorbell);
  }
  auto info = DescribeEnvironment(options_.env.name);
  if (info.ok() && !info->settings.empty()) info_ = *std::move(info);

  worlds_.resize(games_);
  for (size_t i = 0; i < worlds_.size(); ++i) {
    EnvOptions env = options_.env;
    env.doorbell = doorbell_;
    if (!env.work_dir.empty()) absl::StrAppend(&env.work_dir, "/", first_game_ + i);
    auto made = MakeEnv(env);
    if (!made.ok()) return made.status();
    worlds_[i].env = *std::move(made);
  }
  spec_ = worlds_[0].env->spec();
  won_ = spec_.FindMetric("won");
  lost_ = spec_.FindMetric("lost");
  if (won_ < 0) {
    return absl::InvalidArgumentError(absl::StrCat("environment '", spec_.environment,
                                                   "' declares no metric 'won', so an evaluation "
                                                   "cannot tell who won; add it to the adapter"));
  }
  if (options_.policy != nullptr) {
    if (auto status = CheckPolicy(*options_.policy, "the evaluated policy"); !status.ok()) {
      return status;
    }
  } else if (options_.subject_bot.bot.empty()) {
    return absl::InvalidArgumentError("nothing to evaluate: give a policy or a bot");
  } else if (auto status = CheckOpponent(options_.subject_bot); !status.ok()) {
    return status;
  }
  for (const EvaluationOpponent& opponent : options_.opponents) {
    if (auto status = CheckOpponent(opponent); !status.ok()) return status;
  }
  for (World& world : worlds_) world.players.resize(spec_.agents.size());
  return absl::OkStatus();
}

Settings Evaluation::SettingsOf(const Match& match) const {
  Settings settings = options_.env.settings;
  if (info_.has_value()) {
    for (const auto& setting : info_->settings) {
      const auto& choices = setting.choices;
      if (setting.name == "episode" &&
          std::find(choices.begin(), choices.end(), "match") != choices.end()) {
        settings["episode"] = "match";
      }
    }
  }
  for (const auto& [name, value] : options_.settings) settings[name] = value;
  if (Takes("seed")) settings["seed"] = absl::StrCat(match.seed);
  if (options_.frame_skip > 0) settings["frame_skip"] = absl::StrCat(options_.frame_skip);
  for (size_t agent = 0; agent < spec_.agents.size(); ++agent) {
    const std::string& name = spec_.agents[agent];
    const bool subject = static_cast<int>(agent) == match.side;
    const EvaluationOpponent& who =
        subject ? options_.subject_bot : options_.opponents[match.opponent];
    const bool scripted = subject ? options_.policy == nullptr : !who.bot.empty();
    if (!scripted) {
      if (Takes(name)) settings[name] = "agent";
      continue;
    }
    settings[name] = who.bot;
    if (!who.strength.empty()) settings[name + "_strength"] = who.strength;
  }
  return settings;
}

bool Evaluation::TakeMatch(World* world) {
  if (world->match.has_value()) return true;
  world->match = book_->Take();
  world->crashes = 0;
  return world->match.has_value();
}

absl::Status Evaluation::Begin(World* world) {
  const Match& match = *world->match;
  world->settings = SettingsOf(match);
  world->begun = world->watched = false;
  world->frames = 0;
  XXH3_64bits_reset(&world->hash);
  for (size_t agent = 0; agent < world->players.size(); ++agent) {
    Player& player = world->players[agent];
    const bool subject = static_cast<int>(agent) == match.side;
    player.policy =
        subject ? options_.policy.get() : options_.opponents[match.opponent].policy.get();
    if (!subject && !options_.opponents[match.opponent].bot.empty()) player.policy = nullptr;
    // Neighbouring match seeds must not give related streams: PCG's state is linear in its seed.
    player.random = Random(XXH3_64bits(&match.seed, sizeof(match.seed)), agent);
    player.state.assign(player.policy != nullptr ? player.policy->shape().state_width() : 0, 0.0f);
  }
  return world->env->Reset(world->settings);
}

void Evaluation::HashTimestep(World* world) {
  for (size_t agent = 0; agent < spec_.agents.size(); ++agent) {
    const AgentView view = world->env->agent(static_cast<int>(agent));
    if (!view.active()) continue;
    const uint32_t head[2] = {static_cast<uint32_t>(agent), view.flags};
    XXH3_64bits_update(&world->hash, head, sizeof(head));
    for (const TensorSpec& tensor : spec_.tensors) {
      XXH3_64bits_update(&world->hash, view.observation + tensor.offset, tensor.bytes());
    }
  }
}

// The slot that shows the evaluated side; where its own is not posted (both sides scripted) the
// other's, of which won and lost, for and against change places.
AgentView Evaluation::SubjectView(World* world, bool* swapped) const {
  const int side = world->match->side;
  *swapped = false;
  if (const AgentView own = world->env->agent(side); own.active()) return own;
  for (int agent = 0; agent < static_cast<int>(spec_.agents.size()); ++agent) {
    const AgentView other = world->env->agent(agent);
    if (!other.active()) continue;
    *swapped = true;
    return other;
  }
  return world->env->agent(side);
}

absl::Status Evaluation::Observe(World* world) {
  bool swapped;
  const AgentView subject = SubjectView(world, &swapped);
  if (!world->begun) {
    world->begun = true;
    world->first_frame = subject.observed_frame;
  }
  world->frames = subject.observed_frame - world->first_frame;
  HashTimestep(world);
  Watch(world);
  if (subject.match_over()) {
    if (subject.truncated()) {
      Finish(world, Outcome::CUT);
      return absl::OkStatus();
    }
    // A slot of another side knows the same match: who of two has not won there has lost here.
    const bool won = subject.metrics[swapped && lost_ >= 0 ? lost_ : won_] > 0.5f;
    const bool lost = lost_ < 0 ? !won : subject.metrics[swapped ? won_ : lost_] > 0.5f;
    Finish(world, won ? Outcome::WON : lost ? Outcome::LOST : Outcome::DRAWN);
    return absl::OkStatus();
  }
  bool goes_on = false;
  for (size_t agent = 0; agent < spec_.agents.size(); ++agent) {
    const AgentView view = world->env->agent(static_cast<int>(agent));
    goes_on |= view.active() && !view.last();
    Player& player = world->players[agent];
    if (view.first()) std::fill(player.state.begin(), player.state.end(), 0.0f);
    if (view.wants_action() && player.policy == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(
          "environment '", spec_.environment, "' asks for an action of '", spec_.agents[agent],
          "', which setting ", spec_.agents[agent], " gave to a bot; mend its adapter"));
    }
  }
  // Only where an episode goes on does Reset surely begin a new match, also with equal settings.
  if (goes_on && world->frames >= options_.frames_max) {
    Finish(world, Outcome::CUT);
    return absl::OkStatus();
  }
  if (!goes_on) return world->env->Reset(world->settings);
  acting_.push_back(world);
  return absl::OkStatus();
}

absl::Status Evaluation::Act() {
  for (Batch& batch : batches_) batch.rows.clear();
  for (World* world : acting_) {
    for (int agent = 0; agent < static_cast<int>(spec_.agents.size()); ++agent) {
      if (!world->env->agent(agent).wants_action()) continue;
      Policy* const policy = world->players[agent].policy;
      auto batch = std::find_if(batches_.begin(), batches_.end(),
                                [&](const Batch& b) { return b.policy == policy; });
      if (batch == batches_.end()) {
        batches_.emplace_back();
        batch = batches_.end() - 1;
        batch->policy = policy;
      }
      batch->rows.emplace_back(world, agent);
    }
  }

  const uint32_t inputs = spec_.input_width();
  const uint32_t logits = spec_.logits_width();
  for (Batch& batch : batches_) {
    const size_t rows = batch.rows.size();
    if (rows == 0) continue;
    const size_t state = batch.policy->shape().state_width();
    batch.inputs.resize(rows * inputs);
    batch.masks.resize(rows * logits);
    batch.states.resize(rows * state);
    batch.logits.resize(rows * logits);
    batch.values.resize(rows);
    for (size_t r = 0; r < rows; ++r) {
      const auto [world, agent] = batch.rows[r];
      FlattenObservation(spec_, world->env->agent(agent).observation, &batch.inputs[r * inputs],
                         &batch.masks[r * logits]);
      std::copy_n(world->players[agent].state.data(), state, batch.states.data() + r * state);
    }
    const absl::Time begin = absl::Now();
    if (auto status =
            batch.policy->Evaluate({static_cast<uint32_t>(rows), batch.inputs.data(),
                                    batch.states.data(), batch.logits.data(), batch.values.data()});
        !status.ok()) {
      return status;
    }
    for (size_t r = 0; r < rows; ++r) {
      const auto [world, agent] = batch.rows[r];
      Player& player = world->players[agent];
      const AgentView view = world->env->agent(agent);
      const float* const row = &batch.logits[r * logits];
      const uint8_t* const masks = &batch.masks[r * logits];
      const auto log_prob =
          options_.greedy ? GreedyActions(batch.policy->shape().heads, row, masks, view.actions)
                          : SampleActions(batch.policy->shape().heads, row, masks, &player.random,
                                          view.actions);
      if (!log_prob.ok()) return log_prob.status();
      std::copy_n(batch.states.data() + r * state, state, player.state.data());
    }
    latency_.Add(absl::ToDoubleMicroseconds(absl::Now() - begin));
  }
  return absl::OkStatus();
}

absl::Status Evaluation::Advance(World* world) {
  for (int agent = 0; agent < static_cast<int>(spec_.agents.size()); ++agent) {
    const AgentView view = world->env->agent(agent);
    if (!view.wants_action()) continue;
    XXH3_64bits_update(&world->hash, view.actions, spec_.heads.size() * sizeof(int32_t));
  }
  return world->env->Step();
}

std::vector<float> Evaluation::SubjectMetrics(World* world) const {
  bool swapped;
  const AgentView view = SubjectView(world, &swapped);
  std::vector<float> metrics(view.metrics, view.metrics + spec_.metrics.size());
  if (!swapped) return metrics;
  for (const auto& [a, b] : {std::pair{"won", "lost"}, {"points_for", "points_against"}}) {
    const int first = spec_.FindMetric(a);
    const int second = spec_.FindMetric(b);
    if (first >= 0 && second >= 0) std::swap(metrics[first], metrics[second]);
  }
  return metrics;
}

void Evaluation::Watch(World* world) {
  if (!options_.watch) return;
  const bool first = !std::exchange(world->watched, true);
  book_->Watch(*world->match, first, SubjectMetrics(world), world->frames);
}

void Evaluation::Finish(World* world, int outcome) {
  book_->Finish(*world->match, outcome, SubjectMetrics(world), world->frames,
                XXH3_64bits_digest(&world->hash));
  world->match.reset();
}

void Evaluation::TellLongest() {
  const auto longest =
      std::max_element(worlds_.begin(), worlds_.end(), [](const World& a, const World& b) {
        return std::pair(a.match.has_value(), a.frames) < std::pair(b.match.has_value(), b.frames);
      });
  if (longest->match.has_value()) book_->TellLongest(*longest->match, longest->frames);
}

absl::Status Evaluation::Survive(World* world, const absl::Status& failure) {
  if (!absl::IsUnavailable(failure) && !absl::IsDeadlineExceeded(failure) &&
      !absl::IsInternal(failure)) {
    return failure;
  }
  const absl::Status status = book_->Crashed(*world->match, ++world->crashes, failure);
  return status.ok() ? world->env->Restart() : status;
}

absl::Status Evaluation::Run(const std::atomic<bool>& failed) {
  if (auto status = Prepare(); !status.ok()) return status;
  book_->Schedule(static_cast<uint32_t>(spec_.agents.size()));

  // A world that has to begin (or to play its match again) has no timestep on its way.
  const auto begin = [&](World* world) -> absl::Status {
    while (TakeMatch(world)) {
      const absl::Status begun = Begin(world);
      if (begun.ok()) return begun;
      if (auto status = Survive(world, begun); !status.ok()) return status;
    }
    return absl::OkStatus();
  };
  for (World& world : worlds_) {
    if (auto status = begin(&world); !status.ok()) return status;
  }

  const auto playing = [&] {
    return std::any_of(worlds_.begin(), worlds_.end(),
                       [](const World& world) { return world.match.has_value(); });
  };
  uint64_t turns = 0;
  while (playing() && !failed.load(std::memory_order_relaxed) && !Stopped(options_)) {
    if (++turns % kTurnsATold == 0) TellLongest();
    const uint32_t seen = doorbell_->rings();
    bool any = false;
    acting_.clear();
    for (World& world : worlds_) {
      if (!world.match.has_value()) continue;
      const auto ready = world.env->Ready();
      if (ready.ok() && !*ready) continue;
      any = true;
      const absl::Status observed = ready.ok() ? Observe(&world) : ready.status();
      if (!observed.ok()) {
        if (auto status = Survive(&world, observed); !status.ok()) return status;
      }
      if (!observed.ok() || !world.match.has_value()) {
        if (auto status = begin(&world); !status.ok()) return status;
      }
    }
    if (!any) {
      doorbell_->WaitFor(seen, 1, absl::Seconds(1));
      continue;
    }
    if (auto status = Act(); !status.ok()) return status;
    for (World* world : acting_) {
      const absl::Status step = Advance(world);
      if (step.ok()) continue;
      if (auto status = Survive(world, step); !status.ok()) return status;
      if (auto status = begin(world); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const EvaluationOptions& options) {
  if (options.games < 1 || options.games > kGamesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("an evaluation runs 1 to ", kGamesMax, " games at once, not ", options.games));
  }
  if (options.matches < 1 || options.opponents.empty()) {
    return absl::InvalidArgumentError("give at least one opponent and one match");
  }
  if (options.seed == 0) {
    return absl::InvalidArgumentError(
        "match seed 0 means a random match to some environments; give a seed of 1 or more");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EvaluationResult> Evaluate(EvaluationOptions options) {
  std::vector<EvaluationOptions> one;
  one.push_back(std::move(options));
  return EvaluateOnCores(std::move(one), {});
}

absl::StatusOr<EvaluationResult> EvaluateOnCores(std::vector<EvaluationOptions> threads,
                                                 const std::vector<int>& cpus) {
  const EvaluationOptions options = threads.front();
  if (auto status = CheckOptions(options); !status.ok()) return status;
  const auto matches = uint64_t{options.matches} * options.opponents.size();
  const auto games = static_cast<uint32_t>(std::min<uint64_t>(options.games, matches));
  const auto count = std::min<uint32_t>(static_cast<uint32_t>(threads.size()), games);
  MatchBook book(options);
  std::atomic<bool> failed{false};
  std::vector<std::unique_ptr<Evaluation>> evaluations;
  for (uint32_t i = 0, first = 0; i < count; ++i) {
    const uint32_t share = games / count + (i < games % count ? 1 : 0);
    evaluations.push_back(std::make_unique<Evaluation>(std::move(threads[i]), &book, first, share));
    first += share;
  }
  std::vector<absl::Status> statuses(count);
  const auto run = [&](uint32_t i) {
    if (i < cpus.size()) PinToCore(cpus[i]);
    statuses[i] = evaluations[i]->Run(failed);
    if (!statuses[i].ok()) failed.store(true);
  };
  if (count == 1 && cpus.empty()) {
    run(0);
  } else {
    std::vector<std::thread> running;
    for (uint32_t i = 0; i < count; ++i) running.emplace_back(run, i);
    for (std::thread& thread : running) thread.join();
  }
  LatencyHistogram latency;
  EvaluationResult result;
  for (uint32_t i = 0; i < count; ++i) {
    result.failure.Update(statuses[i]);
    latency.Add(evaluations[i]->latency());
  }
  result.stopped = (Stopped(options) || !result.failure.ok()) && !book.finished();
  result.opponents = book.TakeScores();
  const bool any = std::any_of(result.opponents.begin(), result.opponents.end(),
                               [](const OpponentScore& score) { return !score.matches.empty(); });
  if (!any && !result.failure.ok()) return result.failure;
  result.decision_us_p50 = latency.Quantile(0.5);
  result.decision_us_p99 = latency.Quantile(0.99);
  return result;
}

void WilsonInterval(uint64_t won, uint64_t played, double z, double* low, double* high) {
  if (played == 0) {
    *low = 0;
    *high = 1;
    return;
  }
  const double n = static_cast<double>(played);
  const double p = static_cast<double>(won) / n;
  const double centre = p + z * z / (2 * n);
  const double half = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  const double scale = 1 + z * z / n;
  // The ends are exact, whatever rounding makes of them.
  *low = won == 0 ? 0 : (centre - half) / scale;
  *high = won == played ? 1 : (centre + half) / scale;
}

}  // namespace midlane
