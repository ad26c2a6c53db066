#include "deploy/evaluation_report.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "rollout/experience.pb.h"

namespace midlane {
namespace {

using Json = nlohmann::json;

std::string HashText(uint64_t hash) { return absl::StrFormat("%016x", hash); }

const char* OutcomeName(int outcome) {
  switch (outcome) {
    case v1::MatchResult::WON:
      return "won";
    case v1::MatchResult::LOST:
      return "lost";
    case v1::MatchResult::DRAWN:
      return "drawn";
    case v1::MatchResult::CUT:
      return "cut";
    default:
      return "invalid";
  }
}

std::string SideName(const Spec& spec, int side) {
  if (side < 0) return "both";
  return size_t(side) < spec.agents.size() ? spec.agents[size_t(side)] : absl::StrCat(side);
}

std::string Row(const Spec& spec, const std::string& opponent, const std::string& side,
                const SideSummary& summary) {
  if (summary.won + summary.lost + summary.drawn + summary.cut == 0) {
    return absl::StrFormat("%-16s %-6s no match\n", opponent, side);
  }
  const bool points = spec.FindMetric("points_for") >= 0;
  return absl::StrFormat(
      "%-16s %-6s %5d %5d %5d %5d   %5.1f %%  %5.1f-%5.1f %%  %-13s %8.0f s\n", opponent, side,
      summary.won, summary.lost, summary.drawn, summary.cut, 100 * summary.win_rate,
      100 * summary.wilson_low, 100 * summary.wilson_high,
      points ? absl::StrFormat("%5.1f : %-5.1f", summary.points_for, summary.points_against)
             : "      -",
      summary.game_seconds);
}

// Means of the metrics that the table has no column for; empty where there are none.
std::string OtherMetrics(const Spec& spec, const OpponentScore& score) {
  std::vector<std::string> means;
  for (size_t i = 0; i < spec.metrics.size(); ++i) {
    const std::string& name = spec.metrics[i];
    if (name == "won" || name == "lost" || name == "points_for" || name == "points_against") {
      continue;
    }
    double sum = 0;
    for (const MatchRecord& match : score.matches) {
      if (i < match.metrics.size()) sum += double(match.metrics[i]);
    }
    means.push_back(absl::StrFormat("%s %.6g", name, sum / double(score.matches.size())));
  }
  return absl::StrJoin(means, ", ");
}

// Where matches are equal to the last bit: the seed is all that tells them apart, and between two
// that play without chance it tells nothing. `who` before "against" in each line.
void AddRepeats(const Spec& spec, absl::string_view who, const EvaluationResult& result,
                std::vector<std::string>* repeats) {
  for (const OpponentScore& score : result.opponents) {
    const uint64_t distinct = Summarise(spec, score, -1).distinct;
    if (distinct == score.matches.size()) continue;
    repeats->push_back(absl::StrFormat("%d of %d %sagainst %s", distinct, score.matches.size(), who,
                                       score.opponent));
  }
}

std::string RepeatsNote(const std::vector<std::string>& repeats) {
  if (repeats.empty()) return "";
  return absl::StrCat(
      "distinct matches: ", absl::StrJoin(repeats, ", "),
      "; the others repeat them (a seed changes nothing where nobody plays by chance), so the "
      "interval says less than it seems to; --sample plays by chance\n");
}

Json SummaryJson(const SideSummary& summary) {
  const bool played = summary.won + summary.lost + summary.drawn + summary.cut > 0;
  const auto mean = [played](double value) { return played ? Json(value) : Json(); };
  return {{"won", summary.won},
          {"lost", summary.lost},
          {"drawn", summary.drawn},
          {"cut", summary.cut},
          {"distinct", summary.distinct},
          {"win_rate", mean(summary.win_rate)},
          {"wilson_low", mean(summary.wilson_low)},
          {"wilson_high", mean(summary.wilson_high)},
          {"points_for", mean(summary.points_for)},
          {"points_against", mean(summary.points_against)},
          {"game_seconds", mean(summary.game_seconds)}};
}

Json ConditionsJson(const EvaluationOptions& options) {
  return {{"where", options.env.name},        {"seed", options.seed},
          {"matches", options.matches},       {"frames_max", options.frames_max},
          {"frame_skip", options.frame_skip}, {"likeliest_action", options.greedy},
          {"settings", options.settings}};
}

// Which weights an agent plays with; nothing of a bot.
void AddWeights(const Contestant& contestant, Json* json) {
  if (contestant.version == 0) return;
  (*json)["version"] = contestant.version;
  (*json)["mean_weights"] = contestant.averaged;
  if (contestant.timesteps == 0) return;  // of a past version
  (*json)["timesteps"] = contestant.timesteps;
  (*json)["training_seconds"] = contestant.seconds;
}

// `contestants`: who is evaluated, then the opponents as in `result`.
Json EvaluationObject(const Spec& spec, absl::Span<const Contestant> contestants,
                      const EvaluationOptions& options, const EvaluationResult& result) {
  Json json = {{"subject", contestants[0].player.name},
               {"midlane", MIDLANE_VERSION},
               {"environment", spec.environment},
               {"stopped", result.stopped},
               {"conditions", ConditionsJson(options)},
               {"decision_us_p50", result.decision_us_p50},
               {"decision_us_p99", result.decision_us_p99},
               {"metrics", spec.metrics},
               {"opponents", Json::array()}};
  AddWeights(contestants[0], &json);
  for (size_t i = 0; i < result.opponents.size(); ++i) {
    const OpponentScore& score = result.opponents[i];
    Json opponent = {
        {"name", score.opponent},           {"crashes", score.crashes},
        {"first_crash", score.first_crash}, {"both", SummaryJson(Summarise(spec, score, -1))},
        {"sides", Json::object()},          {"matches", Json::array()}};
    for (int side = 0; side < int(spec.agents.size()); ++side) {
      opponent["sides"][SideName(spec, side)] = SummaryJson(Summarise(spec, score, side));
    }
    if (i + 1 < contestants.size()) AddWeights(contestants[i + 1], &opponent);
    for (const MatchRecord& match : score.matches) {
      opponent["matches"].push_back({{"seed", match.seed},
                                     {"side", SideName(spec, match.side)},
                                     {"outcome", OutcomeName(match.outcome)},
                                     {"frames", match.frames},
                                     {"hash", HashText(match.hash)},
                                     {"metrics", match.metrics}});
      opponent["matches"].back()["side_index"] = match.side;
    }
    json["opponents"].push_back(std::move(opponent));
  }
  return json;
}

}  // namespace

SideSummary Summarise(const Spec& spec, const OpponentScore& score, int side) {
  SideSummary summary;
  const int points_for = spec.FindMetric("points_for");
  const int points_against = spec.FindMetric("points_against");
  uint64_t played = 0;
  double frames = 0;
  auto metric = [](const MatchRecord& match, int index) {
    return index >= 0 && size_t(index) < match.metrics.size() ? double(match.metrics[size_t(index)])
                                                              : 0.0;
  };
  std::set<uint64_t> hashes;
  for (const MatchRecord& match : score.matches) {
    if (side >= 0 && match.side != side) continue;
    ++played;
    hashes.insert(match.hash);
    summary.won += match.outcome == v1::MatchResult::WON;
    summary.lost += match.outcome == v1::MatchResult::LOST;
    summary.drawn += match.outcome == v1::MatchResult::DRAWN;
    summary.cut += match.outcome == v1::MatchResult::CUT;
    summary.points_for += metric(match, points_for);
    summary.points_against += metric(match, points_against);
    frames += double(match.frames);
  }
  summary.distinct = hashes.size();
  if (played == 0) return summary;
  const auto count = double(played);
  summary.win_rate = double(summary.won) / count;
  WilsonInterval(summary.won, played, kWilsonZ95, &summary.wilson_low, &summary.wilson_high);
  summary.points_for /= count;
  summary.points_against /= count;
  summary.game_seconds =
      spec.frames_per_second > 0 ? frames / count / double(spec.frames_per_second) : 0;
  return summary;
}

std::string EvaluationTable(const Spec& spec, const EvaluationResult& result) {
  std::string out = absl::StrFormat("%-16s %-6s %5s %5s %5s %5s  %8s  %13s  %-13s %10s\n",
                                    "opponent", "side", "won", "lost", "drawn", "cut", "win rate",
                                    "95 % interval", "   points", "mean length");
  uint64_t crashes = 0, cut = 0;
  std::string first_crash;
  for (const OpponentScore& score : result.opponents) {
    crashes += score.crashes;
    if (first_crash.empty()) first_crash = score.first_crash;
    cut += Summarise(spec, score, -1).cut;
    if (spec.agents.size() > 1) {
      for (int side = 0; side < int(spec.agents.size()); ++side) {
        absl::StrAppend(&out, Row(spec, side == 0 ? score.opponent : "", SideName(spec, side),
                                  Summarise(spec, score, side)));
      }
      absl::StrAppend(&out, Row(spec, "", "both", Summarise(spec, score, -1)));
      continue;
    }
    absl::StrAppend(&out, Row(spec, score.opponent, SideName(spec, 0), Summarise(spec, score, -1)));
    const std::string others = OtherMetrics(spec, score);
    if (!others.empty()) absl::StrAppend(&out, "mean of a match: ", others, "\n");
  }
  if (cut > 0) {
    absl::StrAppend(
        &out, "cut: ended by a limit (--frames-max, or one of the world's settings), undecided; ",
        "the win rate counts it as not won\n");
  }
  std::vector<std::string> repeats;
  AddRepeats(spec, "", result, &repeats);
  absl::StrAppend(&out, RepeatsNote(repeats));
  absl::StrAppendFormat(&out, "decision latency p50 %.1f us, p99 %.1f us; games that died: %d%s\n",
                        result.decision_us_p50, result.decision_us_p99, crashes,
                        crashes > 0 ? absl::StrCat(", the first with: ", first_crash) : "");
  return out;
}

std::string EvaluationJson(const Spec& spec, const std::vector<Contestant>& contestants,
                           const EvaluationOptions& options, const EvaluationResult& result) {
  return EvaluationObject(spec, contestants, options, result).dump(1) + "\n";
}

std::string CrossJson(const Spec& spec, const std::vector<Contestant>& contestants,
                      const EvaluationOptions& options,
                      const std::vector<std::vector<double>>& win_rates,
                      const std::vector<EvaluationResult>& rows) {
  Json json = {
      {"contestants", Json::array()}, {"win_rates", Json::array()}, {"rows", Json::array()}};
  json["stopped"] = std::any_of(rows.begin(), rows.end(),
                                [](const EvaluationResult& row) { return row.stopped; });
  for (const Contestant& contestant : contestants) {
    json["contestants"].push_back(contestant.player.name);
  }
  for (const std::vector<double>& rates : win_rates) {
    Json& row = json["win_rates"].emplace_back(Json::array());
    for (const double rate : rates) row.push_back(rate < 0 ? Json() : Json(rate));
  }
  for (size_t row = 0; row < rows.size(); ++row) {
    json["rows"].push_back(
        EvaluationObject(spec, absl::MakeSpan(contestants).subspan(row), options, rows[row]));
  }
  return json.dump(1) + "\n";
}

std::string CrossNotes(const Spec& spec, const std::vector<std::string>& names,
                       const std::vector<EvaluationResult>& rows) {
  uint64_t matches = 0, cut = 0;
  std::vector<std::string> repeats;
  for (size_t row = 0; row < rows.size(); ++row) {
    for (const OpponentScore& score : rows[row].opponents) {
      matches = std::max<uint64_t>(matches, score.matches.size());
      cut += Summarise(spec, score, -1).cut;
    }
    AddRepeats(spec, absl::StrCat(names[row], " "), rows[row], &repeats);
  }
  std::string out = absl::StrFormat("win rate of the row against the column, %d matches a pair%s\n",
                                    matches, spec.agents.size() > 1 ? ", from both sides" : "");
  if (cut > 0) absl::StrAppend(&out, cut, " matches were cut by a limit: won by neither\n");
  return absl::StrCat(out, RepeatsNote(repeats));
}

std::string CrossTable(const std::vector<std::string>& names,
                       const std::vector<std::vector<double>>& win_rates) {
  size_t width = 8;
  for (const std::string& name : names) width = std::max(width, name.size());
  std::string out = std::string(width, ' ');
  for (const std::string& name : names) absl::StrAppend(&out, "  ", name);
  absl::StrAppend(&out, "\n");
  for (size_t row = 0; row < names.size(); ++row) {
    absl::StrAppend(&out, names[row], std::string(width - names[row].size(), ' '));
    for (size_t column = 0; column < names.size(); ++column) {
      const double rate = win_rates[row][column];
      const std::string cell = rate < 0 ? "-" : absl::StrFormat("%.0f %%", 100 * rate);
      const size_t pad = names[column].size() + 2;
      absl::StrAppend(&out, std::string(pad > cell.size() ? pad - cell.size() : 1, ' '), cell);
    }
    absl::StrAppend(&out, "\n");
  }
  return out;
}

std::string CompareHashes(const EvaluationResult& result, const std::string& again) {
  const Json json = Json::parse(again, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("opponents")) return "the second process gave no result";
  std::map<std::tuple<std::string, int, uint64_t>, std::string> hashes;
  for (const OpponentScore& score : result.opponents) {
    for (const MatchRecord& match : score.matches) {
      hashes[{score.opponent, match.side, match.seed}] = HashText(match.hash);
    }
  }
  int compared = 0;
  for (const Json& opponent : json["opponents"]) {
    const std::string name = opponent.value("name", "");
    for (const Json& match : opponent["matches"]) {
      const auto found =
          hashes.find({name, match.value("side_index", 0), match.value("seed", uint64_t{0})});
      if (found == hashes.end()) continue;
      ++compared;
      const std::string hash = match.value("hash", "");
      if (hash != found->second) {
        return absl::StrFormat("the match against %s with seed %d differs: %s here, %s there", name,
                               match.value("seed", uint64_t{0}), found->second, hash);
      }
    }
  }
  return compared > 0 ? "" : "the second process played none of the same matches";
}

}  // namespace midlane
