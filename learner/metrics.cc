#include "learner/metrics.h"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "learner/json_writer.h"

namespace midlane {
namespace {

void WriteNamed(const char* key, const Named& values, JsonWriter* json) {
  json->Key(key).BeginObject();
  for (const auto& [name, value] : values) json->Key(name).Number(value);
  json->EndObject();
}

void WriteOpponent(const OpponentMetrics& opponent, const std::vector<std::string>& metric_names,
                   JsonWriter* json) {
  const LeagueEntry& entry = *opponent.entry;
  const Tally& tally = entry.tally;
  json->BeginObject();
  json->Key("id").Integer(entry.id).Key("name").String(entry.name());
  json->Key("kind").String(KindName(entry.kind));
  json->Key("share").Number(opponent.share);
  if (entry.kind == OpponentKind::kPast) json->Key("quality").Number(entry.quality);
  json->Key("matches").Integer(tally.matches()).Key("won").Integer(tally.won);
  json->Key("lost").Integer(tally.lost).Key("drawn").Integer(tally.drawn);
  json->Key("cut").Integer(tally.cut).Key("recent_matches").Integer(tally.recent.size());
  json->Key("recent_win_rate").Number(tally.recent_win_rate());
  json->Key("recent_frames").Number(tally.recent_frames());
  Named means;
  if (!tally.recent.empty()) {
    for (size_t i = 0; i < metric_names.size(); ++i) {
      means.emplace_back(metric_names[i], tally.recent_metric(i));
    }
  }
  WriteNamed("metrics", means, json);
  json->EndObject();
}

// Scalars of the optimisation and the loop that are plain numbers, in the order of the line.
Named Plain(const IterationMetrics& m) {
  return {{"timesteps_per_s", m.timesteps_per_s},
          {"decisions_per_s", m.decisions_per_s},
          {"game_speed", m.game_speed},
          {"staleness_mean", m.staleness_mean},
          {"staleness_max", m.staleness_max},
          {"sample_reuse", m.sample_reuse},
          {"policy_loss", m.policy_loss},
          {"value_loss", m.value_loss},
          {"entropy", m.entropy},
          {"kl", m.kl},
          {"clip_fraction", m.clip_fraction},
          {"explained_variance", m.explained_variance},
          {"gradient_norm", m.gradient_norm},
          {"learning_rate", m.learning_rate},
          {"entropy_weight", m.entropy_weight},
          {"minibatches", static_cast<double>(m.minibatches)},
          {"reward_deviation", m.reward_deviation},
          {"behaviour_log_prob_error", m.behaviour_log_prob_error},
          {"reward_total", m.reward_total}};
}

Named TimeShares(const IterationMetrics& m) {
  return {{"receive", m.time_receive},
          {"train", m.time_train},
          {"publish", m.time_publish},
          {"checkpoint", m.time_checkpoint},
          {"other", m.time_other}};
}

}  // namespace

std::string IterationJson(const IterationMetrics& m, const std::string& event,
                          const std::string& reason) {
  JsonWriter json;
  json.BeginObject().Key("event").String(event);
  if (!reason.empty()) json.Key("reason").String(reason);
  char wall_time[32];
  std::snprintf(wall_time, sizeof(wall_time), "%.3f", m.wall_time);
  json.Key("wall_time").Raw(wall_time);
  json.Key("iteration").Integer(m.iteration).Key("version").Integer(m.version);
  json.Key("timesteps").Integer(m.timesteps).Key("seconds").Number(m.seconds);
  for (const auto& [name, value] : Plain(m)) json.Key(name).Number(value);
  WriteNamed("reward", m.reward, &json);
  WriteNamed("reward_weight", m.reward_weight, &json);
  json.Key("episodes").BeginObject().Key("ended").Integer(m.episodes_ended);
  json.Key("truncated").Integer(m.episodes_truncated);
  json.Key("length_mean").Number(m.episode_length_mean).EndObject();
  json.Key("opponents").BeginArray();
  for (const OpponentMetrics& opponent : m.opponents) {
    WriteOpponent(opponent, m.metric_names, &json);
  }
  json.EndArray();
  WriteNamed("time", TimeShares(m), &json);
  json.Key("workers").BeginObject().Key("count").Integer(m.workers);
  json.Key("games").Number(m.workers_games).Key("policy").Number(m.workers_policy);
  json.Key("credit").Number(m.workers_credit).Key("other").Number(m.workers_other);
  json.Key("restarts").Integer(m.game_restarts).Key("lost").Integer(m.workers_lost);
  json.Key("resident_bytes").Integer(m.workers_resident_bytes);
  json.Key("last_error").String(m.last_error).EndObject();
  json.Key("chunks").BeginObject().Key("produced").Integer(m.chunks_produced);
  json.Key("trained").Integer(m.chunks_trained).Key("in_flight").Integer(m.chunks_in_flight);
  json.Key("dropped").BeginObject();
  for (const auto& [name, count] : m.chunks_dropped) json.Key(name).Integer(count);
  json.EndObject().EndObject();
  json.Key("resident_bytes").Integer(m.resident_bytes);
  json.Key("verdict").String(m.verdict).EndObject();
  return json.text();
}

Scalars IterationScalars(const IterationMetrics& m) {
  Scalars scalars;
  for (const auto& [name, value] : Plain(m)) scalars.emplace_back("train/" + name, value);
  for (const auto& [name, value] : m.reward) scalars.emplace_back("reward/" + name, value);
  for (const auto& [name, value] : TimeShares(m)) scalars.emplace_back("time/" + name, value);
  scalars.emplace_back("episode/length_mean", m.episode_length_mean);
  for (const OpponentMetrics& opponent : m.opponents) {
    const LeagueEntry& entry = *opponent.entry;
    if (entry.kind == OpponentKind::kPast || entry.tally.recent.empty()) continue;
    scalars.emplace_back("win_rate/" + entry.name(), entry.tally.recent_win_rate());
  }
  scalars.emplace_back("workers/games", m.workers_games);
  scalars.emplace_back("workers/policy", m.workers_policy);
  scalars.emplace_back("workers/credit", m.workers_credit);
  scalars.emplace_back("memory/learner", static_cast<double>(m.resident_bytes));
  scalars.emplace_back("memory/workers", static_cast<double>(m.workers_resident_bytes));
  return scalars;
}

std::string Verdict(const IterationMetrics& m) {
  const auto percent = [](double share) { return std::lround(100 * share); };
  if (m.workers == 0) return "no worker is connected: the learner waits for experience";
  if (m.workers_games + m.workers_policy + m.workers_credit + m.workers_other == 0) {
    return "too early to say: no worker has told yet where its time goes";
  }
  constexpr double kMuch = 0.15;
  if (m.workers_credit > kMuch && m.workers_credit >= m.time_receive) {
    return absl::StrCat("workers wait for credit ", percent(m.workers_credit),
                        " %: the learner is the limit");
  }
  if (m.time_receive > kMuch) {
    const double most = std::max({m.workers_games, m.workers_policy, m.workers_other});
    const char* const limit = m.workers_games == most    ? "games are"
                              : m.workers_policy == most ? "workers' network is"
                                                         : "workers' own work is";
    return absl::StrCat("the learner waits for experience ", percent(m.time_receive), " %: the ",
                        limit, " the limit (games ", percent(m.workers_games), " %, network ",
                        percent(m.workers_policy), " %, their own work ", percent(m.workers_other),
                        " % of the workers' time)");
  }
  return absl::StrCat("balanced: the learner waits ", percent(m.time_receive),
                      " %, the workers wait for credit ", percent(m.workers_credit), " %");
}

uint64_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  unsigned long long size = 0, resident = 0;
  const int got = std::fscanf(file, "%llu %llu", &size, &resident);
  std::fclose(file);
  return got == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

absl::StatusOr<std::unique_ptr<MetricsLog>> MetricsLog::Open(const std::string& run_dir) {
  auto lines = AppendFile::Open(absl::StrCat(run_dir, "/metrics.jsonl"), /*after_newline=*/true);
  if (!lines.ok()) return lines.status();
  auto tensorboard = TensorBoardWriter::Create(absl::StrCat(run_dir, "/tensorboard"));
  if (!tensorboard.ok()) return tensorboard.status();
  return std::unique_ptr<MetricsLog>(new MetricsLog(*std::move(lines), *std::move(tensorboard)));
}

absl::Status MetricsLog::Start(bool resumed, uint64_t version, uint64_t iteration,
                               uint64_t timesteps, double seconds) {
  JsonWriter json;
  json.BeginObject().Key("event").String("start").Key("resumed").Bool(resumed);
  json.Key("version").Integer(version).Key("iteration").Integer(iteration);
  json.Key("timesteps").Integer(timesteps).Key("seconds").Number(seconds);
  json.Key("pid").Integer(static_cast<uint64_t>(getpid())).EndObject();
  return lines_->Append(json.text() + "\n");
}

absl::Status MetricsLog::Iteration(const IterationMetrics& metrics) {
  return lines_->Append(IterationJson(metrics, "iteration", "") + "\n");
}

absl::Status MetricsLog::TensorBoard(const IterationMetrics& metrics) {
  return tensorboard_->Add(metrics.timesteps, IterationScalars(metrics));
}

absl::Status MetricsLog::Warning(const std::string& text) {
  JsonWriter json;
  json.BeginObject().Key("event").String("warning").Key("text").String(text).EndObject();
  return lines_->Append(json.text() + "\n");
}

absl::Status MetricsLog::Stop(const IterationMetrics& metrics, const std::string& reason) {
  return lines_->Append(IterationJson(metrics, "stop", reason) + "\n");
}

}  // namespace midlane
