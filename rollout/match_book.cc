#include "rollout/match_book.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "rollout/experience.pb.h"

namespace midlane {
namespace {

using Outcome = v1::MatchResult;

uint64_t Played(const OpponentScore& score) {
  return score.won + score.lost + score.drawn + score.cut;
}

}  // namespace

void MatchBook::Schedule(uint32_t sides) {
  absl::MutexLock lock(&mu_);
  if (std::exchange(scheduled_, true)) return;
  scores_.resize(options_.opponents.size());
  for (size_t o = 0; o < scores_.size(); ++o) {
    scores_[o].opponent = options_.opponents[o].name;
    scores_[o].matches.resize(options_.matches);
    for (uint32_t side = 0; side < sides; ++side) {
      for (uint32_t m = side; m < options_.matches; m += sides) {
        const Match match = {o, m, static_cast<int>(side), options_.seed + m / sides};
        schedule_.push_back(match);
        RecordOf(match).seed = match.seed;
        RecordOf(match).side = match.side;
      }
    }
  }
}

std::optional<Match> MatchBook::Take() {
  absl::MutexLock lock(&mu_);
  if (schedule_.empty()) return std::nullopt;
  const Match match = schedule_.front();
  schedule_.pop_front();
  return match;
}

void MatchBook::Watch(const Match& match, bool first, std::vector<float> metrics, uint64_t frames) {
  absl::MutexLock lock(&mu_);
  MatchRecord& record = RecordOf(match);
  if (!first && metrics == record.metrics) return;
  record.metrics = std::move(metrics);
  record.frames = frames;
  options_.watch(record);
}

void MatchBook::Finish(const Match& match, int outcome, std::vector<float> metrics, uint64_t frames,
                       uint64_t hash) {
  absl::MutexLock lock(&mu_);
  MatchRecord& record = RecordOf(match);
  record.outcome = outcome;
  record.metrics = std::move(metrics);
  record.frames = frames;
  record.hash = hash;
  if (options_.watch) options_.watch(record);

  OpponentScore& score = scores_[match.opponent];
  score.won += outcome == Outcome::WON;
  score.lost += outcome == Outcome::LOST;
  score.drawn += outcome == Outcome::DRAWN;
  score.cut += outcome == Outcome::CUT;
  Tell(score, "", Played(score) == options_.matches);
}

void MatchBook::Tell(const OpponentScore& score, const std::string& more, bool due) {
  if (!options_.progress) return;
  const absl::Time now = absl::Now();
  if (!due && now - last_told_ < absl::Seconds(1)) return;
  last_told_ = now;
  options_.progress(absl::StrCat(score.opponent, ": ", Played(score), " of ", options_.matches,
                                 " matches, ", score.won, " won, ", score.lost, " lost",
                                 score.drawn > 0 ? absl::StrCat(", ", score.drawn, " drawn") : "",
                                 score.cut > 0 ? absl::StrCat(", ", score.cut, " cut") : "", more));
}

void MatchBook::TellLongest(const Match& match, uint64_t frames) {
  absl::MutexLock lock(&mu_);
  Tell(scores_[match.opponent],
       absl::StrCat("; one under way for ", frames, " frames (cut at ", options_.frames_max, ")"),
       /*due=*/false);
}

absl::Status MatchBook::Crashed(const Match& match, uint32_t times, const absl::Status& why) {
  const auto line = std::string(why.message().substr(0, why.message().find('\n')));
  absl::MutexLock lock(&mu_);
  OpponentScore& score = scores_[match.opponent];
  if (score.crashes++ == 0) score.first_crash = line;
  if (times > options_.crashes_max) {
    return absl::Status(why.code(), absl::StrCat("the match with seed ", match.seed, " ended ",
                                                 times, " times in a row with: ", why.message()));
  }
  if (options_.progress) {
    options_.progress(absl::StrCat("match with seed ", match.seed, " is played again: ", line));
  }
  return absl::OkStatus();
}

bool MatchBook::finished() {
  absl::MutexLock lock(&mu_);
  return std::all_of(scores_.begin(), scores_.end(), [this](const OpponentScore& score) {
    return Played(score) == options_.matches;
  });
}

std::vector<OpponentScore> MatchBook::TakeScores() {
  absl::MutexLock lock(&mu_);
  for (OpponentScore& score : scores_) {
    const uint64_t played = Played(score);
    std::erase_if(score.matches,
                  [](const MatchRecord& match) { return match.outcome == Outcome::INVALID; });
    score.win_rate = played > 0 ? static_cast<double>(score.won) / static_cast<double>(played) : 0;
    WilsonInterval(score.won, played, kWilsonZ95, &score.wilson_low, &score.wilson_high);
  }
  return std::move(scores_);
}

}  // namespace midlane
