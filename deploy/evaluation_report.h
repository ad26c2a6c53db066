// EvaluationReport: an evaluation's result as a table for people and as JSON for programs.
//
// Thread-safety: values and pure functions.
#ifndef MIDLANE_DEPLOY_EVALUATION_REPORT_H_
#define MIDLANE_DEPLOY_EVALUATION_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "bridge/spec.h"
#include "deploy/contestant.h"
#include "rollout/evaluate.h"

namespace midlane {

// What of an opponent's matches falls to one side (-1: to both).
struct SideSummary {
  uint64_t won = 0, lost = 0, drawn = 0, cut = 0;
  uint64_t distinct = 0;  // matches, those that are equal to the last bit counted once
  double win_rate = 0, wilson_low = 0, wilson_high = 0;  // of all matches, cut and drawn included
  double points_for = 0, points_against = 0;             // means; 0 where there is no such metric
  double game_seconds = 0;                               // mean length
};
SideSummary Summarise(const Spec& spec, const OpponentScore& score, int side);

// Rows for each opponent and side, and for both sides together; of one agent alone its row and the
// means of its other metrics; then latency and crashes.
std::string EvaluationTable(const Spec& spec, const EvaluationResult& result);

// Everything, down to each match's seed, outcome and hash, with what it takes to play the same
// again: which weights, and the conditions that `options` set for every match. `contestants`: who
// is evaluated, then the opponents as in `result`.
std::string EvaluationJson(const Spec& spec, const std::vector<Contestant>& contestants,
                           const EvaluationOptions& options, const EvaluationResult& result);

// The same of everyone against everyone: `rows[i]` has contestants[i] against those behind it, so
// `rows` is one shorter; `win_rates` as CrossTable takes them, null where not played.
std::string CrossJson(const Spec& spec, const std::vector<Contestant>& contestants,
                      const EvaluationOptions& options,
                      const std::vector<std::vector<double>>& win_rates,
                      const std::vector<EvaluationResult>& rows);

// A square of win rates in per cent, row against column; below 0: not played.
std::string CrossTable(const std::vector<std::string>& names,
                       const std::vector<std::vector<double>>& win_rates);

// What to know beside that table: how many matches a pair, how many were cut or repeat others.
// `rows` as CrossJson takes them.
std::string CrossNotes(const Spec& spec, const std::vector<std::string>& names,
                       const std::vector<EvaluationResult>& rows);

// Whether the matches of `again` (JSON as above) have the hashes of the same matches in `result`:
// empty, or what differs.
std::string CompareHashes(const EvaluationResult& result, const std::string& again);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_EVALUATION_REPORT_H_
