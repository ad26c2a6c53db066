#include "learner/league.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace midlane {
namespace {

// Rate of matches not won of the last few, with a prior of two lost ones: 1 before the first match.
double LossRate(const Tally& tally) {
  const size_t matches = std::min(tally.recent.size(), League::kBeatenMatches);
  const double n = static_cast<double>(matches);
  const double won = tally.recent_win_rate(matches) * n;
  return (n - won + 2) / (n + 2);
}

}  // namespace

const char* KindName(OpponentKind kind) {
  switch (kind) {
    case OpponentKind::kLatest:
      return "latest";
    case OpponentKind::kPast:
      return "past";
    case OpponentKind::kScripted:
      return "scripted";
  }
  return "";
}

void Tally::Add(Match match) {
  switch (match.outcome) {
    case Outcome::kWon:
      ++won;
      break;
    case Outcome::kLost:
      ++lost;
      break;
    case Outcome::kDrawn:
      ++drawn;
      break;
    case Outcome::kCut:
      ++cut;
      break;
  }
  recent.push_back(std::move(match));
  if (recent.size() > kRecentMax) recent.pop_front();
}

double Tally::recent_win_rate(size_t matches_max) const {
  if (recent.empty()) return 0;
  const size_t count = std::min(recent.size(), matches_max);
  const auto wins = std::count_if(recent.end() - static_cast<ptrdiff_t>(count), recent.end(),
                                  [](const Match& m) { return m.outcome == Outcome::kWon; });
  return static_cast<double>(wins) / static_cast<double>(count);
}

double Tally::recent_metric(size_t index) const {
  double sum = 0;
  size_t count = 0;
  for (const Match& match : recent) {
    if (index >= match.metrics.size()) continue;
    sum += match.metrics[index];
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

double Tally::recent_frames() const {
  double sum = 0;
  for (const Match& match : recent) sum += static_cast<double>(match.frames);
  return recent.empty() ? 0 : sum / static_cast<double>(recent.size());
}

double Tally::expected_frames() const {
  const size_t count = std::min(recent.size(), kLengthMax);
  double sum = 0;
  for (size_t i = recent.size() - count; i < recent.size(); ++i) {
    sum += static_cast<double>(recent[i].frames);
  }
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

std::string LeagueEntry::name() const {
  switch (kind) {
    case OpponentKind::kLatest:
      return "latest";
    case OpponentKind::kPast:
      return absl::StrCat("version ", version);
    case OpponentKind::kScripted:
      return strength.empty() ? bot : absl::StrCat(bot, ":", strength);
  }
  return "";
}

League::League(LeagueOptions options) : options_(std::move(options)) {
  entries_.emplace_back();
  for (const ScriptedOpponent& scripted : options_.scripted) {
    LeagueEntry entry;
    entry.id = next_id_++;
    entry.kind = OpponentKind::kScripted;
    entry.bot = scripted.bot;
    entry.strength = scripted.strength;
    entries_.push_back(std::move(entry));
  }
}

void League::Restore(LeagueState state) {
  next_id_ = std::max(next_id_, state.next_id);
  for (LeagueEntry& saved : state.entries) {
    if (saved.kind == OpponentKind::kPast) {
      entries_.push_back(std::move(saved));
      continue;
    }
    const auto same = std::find_if(entries_.begin(), entries_.end(), [&](const LeagueEntry& e) {
      return e.kind == saved.kind && e.bot == saved.bot && e.strength == saved.strength;
    });
    if (same != entries_.end()) *same = std::move(saved);
  }
  // A scripted opponent that is new in the options may have an id that is taken.
  for (size_t i = 1; i < entries_.size(); ++i) {
    const auto taken = std::count_if(entries_.begin(), entries_.end(),
                                     [&](const LeagueEntry& e) { return e.id == entries_[i].id; });
    if (taken > 1 && entries_[i].kind == OpponentKind::kScripted &&
        entries_[i].tally.matches() == 0) {
      entries_[i].id = next_id_++;
    }
  }
}

std::vector<double> League::PastProbabilities() const {
  std::vector<double> p(entries_.size(), 0.0);
  double highest = -std::numeric_limits<double>::infinity();
  for (const LeagueEntry& entry : entries_) {
    if (entry.kind == OpponentKind::kPast) highest = std::max(highest, entry.quality);
  }
  double sum = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].kind != OpponentKind::kPast) continue;
    p[i] = std::exp(entries_[i].quality - highest);
    sum += p[i];
  }
  if (sum > 0) {
    for (double& value : p) value /= sum;
  }
  return p;
}

std::vector<double> League::Shares() const {
  std::vector<double> shares = PastProbabilities();
  double scripted_sum = 0;
  bool past = false;
  std::vector<double> weights(entries_.size(), 0.0);
  bool reached = true;
  for (size_t i = 0; i < entries_.size(); ++i) {
    past = past || entries_[i].kind == OpponentKind::kPast;
    if (entries_[i].kind != OpponentKind::kScripted) continue;
    const Tally& tally = entries_[i].tally;
    if (options_.scripted_ladder && !reached && tally.matches() == 0) continue;
    reached = tally.recent.size() >= kBeatenMatches &&
              tally.recent_win_rate(kBeatenMatches) >= kBeatenWinRate;
    weights[i] = options_.scripted_by_loss_rate ? LossRate(tally) + kLossRateFloor : 1.0;
    scripted_sum += weights[i];
  }
  const double scripted_share = scripted_sum > 0 ? options_.scripted_share : 0.0;
  const double past_share = past ? (1 - scripted_share) * (1 - options_.latest_share) : 0.0;
  double rest = 1;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].kind == OpponentKind::kScripted) {
      shares[i] = scripted_share * weights[i] / scripted_sum;
    } else {
      shares[i] *= past_share;
    }
    rest -= shares[i];
  }
  shares[0] = std::max(0.0, rest);
  return shares;
}

std::vector<double> League::MatchProbabilities() const {
  std::vector<double> probabilities = Shares();
  double known_sum = 0;
  int known = 0;
  for (const LeagueEntry& entry : entries_) {
    const double frames = entry.tally.expected_frames();
    known_sum += frames;
    known += frames > 0;
  }
  if (known == 0) return probabilities;
  double sum = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const double frames = entries_[i].tally.expected_frames();
    probabilities[i] /= frames > 0 ? frames : known_sum / known;
    sum += probabilities[i];
  }
  for (double& probability : probabilities) probability /= sum;
  return probabilities;
}

std::optional<uint64_t> League::AddPast(uint64_t version, uint64_t bytes, uint64_t hash) {
  if (options_.pool_max == 0) return version;
  LeagueEntry added;
  added.id = next_id_++;
  added.kind = OpponentKind::kPast;
  added.version = version;
  added.bytes = bytes;
  added.hash = hash;

  size_t pool = 0;
  size_t weakest = 0;
  bool first = true;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const LeagueEntry& entry = entries_[i];
    if (entry.kind != OpponentKind::kPast) continue;
    ++pool;
    added.quality = first ? entry.quality : std::max(added.quality, entry.quality);
    if (first || entry.quality < entries_[weakest].quality) weakest = i;
    first = false;
  }
  std::optional<uint64_t> removed;
  if (pool >= options_.pool_max) {
    removed = entries_[weakest].version;
    entries_.erase(entries_.begin() + static_cast<ptrdiff_t>(weakest));
  }
  entries_.push_back(std::move(added));
  return removed;
}

bool League::Record(uint32_t id, Tally::Match match) {
  for (size_t i = 0; i < entries_.size(); ++i) {
    LeagueEntry& entry = entries_[i];
    if (entry.id != id) continue;
    if (entry.kind == OpponentKind::kPast && match.outcome == Outcome::kWon) {
      const auto pool = std::count_if(entries_.begin(), entries_.end(), [](const LeagueEntry& e) {
        return e.kind == OpponentKind::kPast;
      });
      entry.quality -= options_.quality_rate / (static_cast<double>(pool) * PastProbabilities()[i]);
    }
    entry.tally.Add(std::move(match));
    return true;
  }
  return false;
}

bool League::Beats(double win_rate) const {
  bool any = false;
  for (const LeagueEntry& entry : entries_) {
    if (entry.kind != OpponentKind::kScripted) continue;
    any = true;
    if (entry.tally.recent.size() < Tally::kRecentMax) return false;
    if (entry.tally.recent_win_rate() <= win_rate) return false;
  }
  return any;
}

}  // namespace midlane
