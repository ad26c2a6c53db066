#include "deploy/progress.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace midlane {
namespace {

using Json = nlohmann::json;

constexpr size_t kLineBytesMax = 4u << 20;

double Number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

uint64_t Count(const Json& object, const char* key) {
  const double value = Number(object, key);
  return value > 0 ? uint64_t(value) : 0;
}

std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const Json& Member(const Json& object, const char* key) {
  static const Json* empty = new Json(Json::object());
  const auto found = object.find(key);
  return found != object.end() ? *found : *empty;
}

}  // namespace

bool ParseMetricsLine(const std::string& text, MetricsLine* out) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  *out = MetricsLine();
  out->event = Text(json, "event");
  out->reason = Text(json, "reason");
  out->text = Text(json, "text");
  out->iteration = Count(json, "iteration");
  out->version = Count(json, "version");
  out->timesteps = Count(json, "timesteps");
  out->seconds = Number(json, "seconds");
  out->timesteps_per_s = Number(json, "timesteps_per_s");
  out->game_speed = Number(json, "game_speed");
  out->staleness_mean = Number(json, "staleness_mean");
  out->sample_reuse = Number(json, "sample_reuse");
  out->entropy = Number(json, "entropy");
  out->verdict = Text(json, "verdict");
  const Json& opponents = Member(json, "opponents");
  if (opponents.is_array()) {
    for (const Json& opponent : opponents) {
      if (!opponent.is_object()) continue;
      out->opponents.push_back({Text(opponent, "name"), Text(opponent, "kind"),
                                Count(opponent, "recent_matches"),
                                Number(opponent, "recent_win_rate")});
    }
  }
  const Json& workers = Member(json, "workers");
  if (workers.is_object()) {
    out->workers = Count(workers, "count");
    out->game_restarts = Count(workers, "restarts");
    out->workers_lost = Count(workers, "lost");
    out->last_error = Text(workers, "last_error");
  }
  const Json& chunks = Member(json, "chunks");
  if (chunks.is_object()) {
    out->chunks_produced = Count(chunks, "produced");
    out->chunks_trained = Count(chunks, "trained");
    out->chunks_in_flight = Count(chunks, "in_flight");
    const Json& dropped = Member(chunks, "dropped");
    if (dropped.is_object()) {
      for (const auto& [reason, count] : dropped.items()) {
        if (count.is_number()) out->chunks_dropped[reason] = count.get<uint64_t>();
      }
    }
  }
  return true;
}

std::vector<MetricsLine> MetricsFollower::Poll() {
  std::vector<MetricsLine> lines;
  const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return lines;
  char block[65536];
  ssize_t got;
  while (lines.size() < kLinesMax && (got = pread(fd, block, sizeof block, offset_)) > 0) {
    offset_ += got;
    rest_.append(block, size_t(got));
    size_t begin = 0, end;
    while ((end = rest_.find('\n', begin)) != std::string::npos) {
      MetricsLine line;
      if (ParseMetricsLine(rest_.substr(begin, end - begin), &line)) lines.push_back(line);
      begin = end + 1;
    }
    rest_.erase(0, begin);
    if (rest_.size() > kLineBytesMax) rest_.clear();
  }
  close(fd);
  return lines;
}

std::vector<std::string> Ladder::Reached(const MetricsLine& line) {
  std::vector<std::string> sentences;
  for (const OpponentProgress& opponent : line.opponents) {
    if (opponent.kind != "scripted" || opponent.recent_matches < kMilestoneMatches ||
        opponent.recent_win_rate < kMilestoneWinRate || !names_.insert(opponent.name).second) {
      continue;
    }
    sentences.push_back(
        absl::StrFormat("beats %s: %.0f %% of the last %d matches, after %s and %s timesteps",
                        opponent.name, 100 * opponent.recent_win_rate, opponent.recent_matches,
                        ShortDuration(line.seconds), ShortCount(double(line.timesteps))));
  }
  return sentences;
}

double RateSince(const MetricsLine& before, const MetricsLine& now) {
  if (before.iteration == 0 || now.iteration <= before.iteration || now.seconds <= before.seconds) {
    return now.timesteps_per_s;
  }
  return double(now.timesteps - before.timesteps) / (now.seconds - before.seconds);
}

namespace {

// Before what a narrow terminal cuts off.
std::string TimeLeft(const MetricsLine& line, const Config& config) {
  double left = INFINITY;
  if (config.learner.seconds_max > 0) left = config.learner.seconds_max - line.seconds;
  if (config.learner.timesteps_max > line.timesteps && line.timesteps_per_s > 0) {
    left = std::min(left,
                    double(config.learner.timesteps_max - line.timesteps) / line.timesteps_per_s);
  }
  if (std::isfinite(left)) return absl::StrCat("left ", ShortDuration(std::max(0.0, left)));
  return absl::StrCat("trained ", ShortDuration(line.seconds));
}

}  // namespace

std::string ProgressLine(const MetricsLine& line, const Config& config) {
  std::string out = absl::StrFormat("%s timesteps  %s/s", ShortCount(double(line.timesteps)),
                                    WithThousands(uint64_t(line.timesteps_per_s)));
  absl::StrAppend(&out, "  ", TimeLeft(line, config));
  if (line.game_speed > 0) {  // nothing is known of it in the first seconds
    absl::StrAppend(&out, "  game ", WithThousands(uint64_t(line.game_speed)), "x");
  }
  const auto target =
      std::find_if(line.opponents.begin(), line.opponents.end(),
                   [](const OpponentProgress& opponent) { return opponent.kind == "scripted"; });
  if (target != line.opponents.end()) {
    if (target->recent_matches > 0) {
      absl::StrAppendFormat(&out, "  beats %s %.0f%%", target->name, 100 * target->recent_win_rate);
    } else {
      absl::StrAppend(&out, "  ", target->name, " not met yet");
    }
    int beaten = 0, scripted = 0;
    for (const OpponentProgress& opponent : line.opponents) {
      if (opponent.kind != "scripted") continue;
      ++scripted;
      beaten += opponent.recent_matches >= kMilestoneMatches &&
                opponent.recent_win_rate >= kMilestoneWinRate;
    }
    if (scripted > 1) absl::StrAppendFormat(&out, "  bots beaten %d/%d", beaten, scripted);
  }
  absl::StrAppendFormat(&out, "  staleness %.1f  reuse %.1f", line.staleness_mean,
                        line.sample_reuse);
  if (line.game_restarts + line.workers_lost > 0) {
    absl::StrAppendFormat(&out, "  restarts %d", line.game_restarts + line.workers_lost);
  }
  return out;
}

std::string AccountingLine(const MetricsLine& line) {
  uint64_t dropped = 0;
  std::vector<std::string> reasons;
  for (const auto& [reason, count] : line.chunks_dropped) {
    dropped += count;
    if (count > 0) reasons.push_back(absl::StrCat(reason, " ", count));
  }
  return absl::StrFormat(
      "%s chunks produced = %s trained + %s dropped%s + %s in flight",
      WithThousands(line.chunks_produced), WithThousands(line.chunks_trained),
      WithThousands(dropped),
      reasons.empty() ? "" : absl::StrCat(" (", absl::StrJoin(reasons, ", "), ")"),
      WithThousands(line.chunks_in_flight));
}

std::string ShortCount(double count) {
  if (count < 1000) return absl::StrFormat("%.0f", count);
  if (count < 1e6) return absl::StrFormat("%.1fk", count / 1e3);
  if (count < 1e9) return absl::StrFormat("%.2fM", count / 1e6);
  return absl::StrFormat("%.2fG", count / 1e9);
}

std::string WithThousands(uint64_t number) {
  const std::string digits = absl::StrCat(number);
  std::string grouped;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += ',';
    grouped += digits[i];
  }
  return grouped;
}

std::string ShortDuration(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::clamp(seconds, 0.0, 1e9)));
  if (whole >= 3600) {
    return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
}

}  // namespace midlane
