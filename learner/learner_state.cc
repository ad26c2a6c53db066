#include "learner/learner_state.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "learner/bytes.h"

namespace midlane {
namespace {

constexpr char kPastPrefix[] = "past/";
constexpr char kAverage[] = "average";
constexpr uint32_t kHeadsMax = 4096;
constexpr uint32_t kInputsMax = 1u << 24;

std::string EncodeNetwork(const NetworkShape& shape) {
  ByteWriter out;
  out.Put<uint32_t>(shape.inputs);
  out.PutVector(shape.heads);
  out.PutVector(shape.config.hidden);
  out.Put<uint32_t>(shape.config.lstm);
  out.Put<uint8_t>(shape.config.separate_value ? 1 : 0);
  out.Put<uint32_t>(static_cast<uint32_t>(shape.config.activation));
  return out.Take();
}

absl::Status DecodeNetwork(std::string_view bytes, NetworkShape* shape) {
  ByteReader in(bytes);
  shape->inputs = in.Get<uint32_t>("inputs");
  shape->heads = in.GetVector<uint32_t>("heads");
  shape->config.hidden = in.GetVector<uint32_t>("hidden");
  shape->config.lstm = in.Get<uint32_t>("lstm");
  shape->config.separate_value = in.Get<uint8_t>("separate_value") != 0;
  shape->config.activation = static_cast<Activation>(in.Get<uint32_t>("activation"));
  if (absl::Status status = in.Done(); !status.ok()) return status;
  if (shape->inputs < 1 || shape->inputs > kInputsMax) in.Fail("inputs");
  if (shape->heads.empty() || shape->heads.size() > kHeadsMax) in.Fail("heads");
  for (const uint32_t choices : shape->heads) {
    if (choices < 1 || choices > kInputsMax) in.Fail("heads");
  }
  if (absl::Status status = in.Done(); !status.ok()) return status;
  return ValidateNetworkConfig(shape->config);
}

void PutMoments(const RunningMoments& moments, ByteWriter* out) {
  out->Put<double>(moments.count);
  out->PutVector(moments.mean);
  out->PutVector(moments.m2);
}

RunningMoments GetMoments(ByteReader* in, size_t width, const char* field) {
  RunningMoments moments;
  moments.count = in->Get<double>(field);
  moments.mean = in->GetVector<double>(field);
  moments.m2 = in->GetVector<double>(field);
  if (moments.mean.size() != width || moments.m2.size() != width) in->Fail(field);
  return moments;
}

void PutTally(const Tally& tally, ByteWriter* out) {
  out->Put<uint64_t>(tally.won);
  out->Put<uint64_t>(tally.lost);
  out->Put<uint64_t>(tally.drawn);
  out->Put<uint64_t>(tally.cut);
  out->Put<uint64_t>(tally.recent.size());
  for (const Tally::Match& match : tally.recent) {
    out->Put<uint32_t>(static_cast<uint32_t>(match.outcome));
    out->Put<uint64_t>(match.frames);
    out->PutVector(match.metrics);
  }
}

Tally GetTally(ByteReader* in) {
  Tally tally;
  tally.won = in->Get<uint64_t>("won");
  tally.lost = in->Get<uint64_t>("lost");
  tally.drawn = in->Get<uint64_t>("drawn");
  tally.cut = in->Get<uint64_t>("cut");
  const uint64_t recent = in->GetCount("recent", 4 + 8 + 8);
  for (uint64_t i = 0; i < recent; ++i) {
    Tally::Match match;
    const uint32_t outcome = in->Get<uint32_t>("outcome");
    if (outcome < 1 || outcome > 4) in->Fail("outcome");
    match.outcome = static_cast<Outcome>(outcome);
    match.frames = in->Get<uint64_t>("frames");
    match.metrics = in->GetVector<float>("metrics");
    tally.recent.push_back(std::move(match));
    if (tally.recent.size() > Tally::kRecentMax) tally.recent.pop_front();  // of a wider window
  }
  return tally;
}

std::string EncodeLeague(const LeagueState& league) {
  ByteWriter out;
  out.Put<uint32_t>(league.next_id);
  out.Put<uint64_t>(league.entries.size());
  for (const LeagueEntry& entry : league.entries) {
    out.Put<uint32_t>(entry.id);
    out.Put<uint32_t>(static_cast<uint32_t>(entry.kind));
    out.Put<uint64_t>(entry.version);
    out.Put<uint64_t>(entry.bytes);
    out.Put<uint64_t>(entry.hash);
    out.PutString(entry.bot);
    out.PutString(entry.strength);
    out.Put<double>(entry.quality);
    PutTally(entry.tally, &out);
  }
  return out.Take();
}

absl::Status DecodeLeague(std::string_view bytes, LeagueState* league) {
  ByteReader in(bytes);
  league->next_id = in.Get<uint32_t>("next_id");
  const uint64_t count = in.GetCount("entries", 2 * 4 + 3 * 8 + 2 * 8 + 8 + 5 * 8);
  for (uint64_t i = 0; i < count; ++i) {
    LeagueEntry entry;
    entry.id = in.Get<uint32_t>("id");
    const uint32_t kind = in.Get<uint32_t>("kind");
    if (kind < 1 || kind > 3) in.Fail("kind");
    entry.kind = static_cast<OpponentKind>(kind);
    entry.version = in.Get<uint64_t>("version");
    entry.bytes = in.Get<uint64_t>("bytes");
    entry.hash = in.Get<uint64_t>("hash");
    entry.bot = in.GetString("bot");
    entry.strength = in.GetString("strength");
    entry.quality = in.Get<double>("quality");
    if (!std::isfinite(entry.quality)) in.Fail("quality");
    entry.tally = GetTally(&in);
    league->entries.push_back(std::move(entry));
  }
  return in.Done();
}

std::string EncodeAccounts(const ChunkAccounts::State& accounts) {
  ByteWriter out;
  out.Put<uint64_t>(accounts.trained);
  out.Put<uint64_t>(accounts.held);
  out.Put<uint64_t>(accounts.repeated);
  out.Put<uint64_t>(accounts.workers_lost);
  for (const uint64_t dropped : accounts.dropped) out.Put<uint64_t>(dropped);
  out.Put<uint64_t>(accounts.workers.size());
  for (const ChunkAccounts::Worker& worker : accounts.workers) {
    out.Put<uint64_t>(worker.id);
    out.Put<uint64_t>(worker.produced);
    out.Put<uint64_t>(worker.next);
    out.Put<uint64_t>(worker.unsent);
    out.Put<uint8_t>(worker.gone ? 1 : 0);
  }
  return out.Take();
}

absl::Status DecodeAccounts(std::string_view bytes, ChunkAccounts::State* accounts) {
  ByteReader in(bytes);
  accounts->trained = in.Get<uint64_t>("trained");
  accounts->held = in.Get<uint64_t>("held");
  accounts->repeated = in.Get<uint64_t>("repeated");
  accounts->workers_lost = in.Get<uint64_t>("workers_lost");
  for (uint64_t& dropped : accounts->dropped) dropped = in.Get<uint64_t>("dropped");
  const uint64_t count = in.GetCount("workers", 8 * 4 + 1);
  for (uint64_t i = 0; i < count; ++i) {
    ChunkAccounts::Worker worker;
    worker.id = in.Get<uint64_t>("worker id");
    worker.produced = in.Get<uint64_t>("worker produced");
    worker.next = in.Get<uint64_t>("worker next");
    worker.unsent = in.Get<uint64_t>("worker unsent");
    worker.gone = in.Get<uint8_t>("worker gone") != 0;
    if (worker.next > worker.produced) in.Fail("worker next");
    accounts->workers.push_back(worker);
  }
  return in.Done();
}

std::string DescribeNetwork(const NetworkShape& shape) {
  return absl::StrCat(shape.inputs, " inputs, heads [", absl::StrJoin(shape.heads, " "),
                      "], hidden [", absl::StrJoin(shape.config.hidden, " "), "], lstm ",
                      shape.config.lstm, shape.separate_value() ? ", separate value" : "",
                      shape.config.activation == Activation::kTanh ? ", tanh" : ", relu");
}

}  // namespace

absl::Status CheckSameNetwork(const std::string& file, const NetworkShape& made_for,
                              const NetworkShape& asked) {
  if (made_for.Hash() == asked.Hash()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      file, " was made for another network (section 'network'): ", DescribeNetwork(made_for),
      "; this configuration asks for ", DescribeNetwork(asked),
      "; set [network] back, or choose another run name"));
}

Sections EncodeLearnerState(const LearnerState& state) {
  Sections sections;
  sections["network"] = EncodeNetwork(state.shape);
  {
    ByteWriter out;
    out.PutString(state.environment);
    out.Put<uint64_t>(state.environment_hash);
    sections["environment"] = out.Take();
  }
  sections["weights"] = EncodeWeights(state.shape, state.weights, WireDtype::kF32);
  if (!state.average.empty()) {
    Weights average = state.weights;
    average.parameters = state.average;
    sections[kAverage] = EncodeWeights(state.shape, average, WireDtype::kF32);
  }
  {
    ByteWriter out;
    out.Put<uint64_t>(state.adam.steps);
    out.PutVector(state.adam.m);
    out.PutVector(state.adam.v);
    sections["adam"] = out.Take();
  }
  {
    ByteWriter out;
    PutMoments(state.observations, &out);
    PutMoments(state.returns, &out);
    sections["normaliser"] = out.Take();
  }
  {
    ByteWriter out;
    out.Put<uint64_t>(state.seed);
    out.Put<uint64_t>(state.iteration);
    out.Put<uint64_t>(state.timesteps);
    out.Put<double>(state.seconds);
    sections["counters"] = out.Take();
  }
  sections["league"] = EncodeLeague(state.league);
  sections["accounts"] = EncodeAccounts(state.accounts);
  sections["config"] = state.config_text;
  for (const auto& [version, blob] : state.past) {
    sections[absl::StrCat(kPastPrefix, version)] = *blob;
  }
  return sections;
}

absl::StatusOr<LearnerState> DecodeLearnerState(const std::string& file, const Sections& sections) {
  LearnerState state;
  absl::Status status;
  const auto decode = [&](const char* name, auto f) {
    if (!status.ok()) return;
    const auto found = sections.find(name);
    if (found == sections.end()) {
      status = absl::InvalidArgumentError(
          absl::StrCat(file, ": section '", name,
                       "' is missing; restore it from a copy, or delete it to begin anew"));
      return;
    }
    const absl::Status got = f(found->second);
    if (!got.ok()) {
      status = absl::Status(
          got.code(), absl::StrCat(file, ": section '", name, "': ", std::string(got.message()),
                                   "; restore it from a copy, or delete it to begin anew"));
    }
  };
  decode("network", [&](std::string_view bytes) { return DecodeNetwork(bytes, &state.shape); });
  decode("environment", [&](std::string_view bytes) {
    ByteReader in(bytes);
    state.environment = in.GetString("environment");
    state.environment_hash = in.Get<uint64_t>("environment_hash");
    return in.Done();
  });
  decode("weights", [&](std::string_view bytes) {
    absl::StatusOr<Weights> weights = DecodeWeights(state.shape, bytes);
    if (weights.ok()) state.weights = *std::move(weights);
    return weights.status();
  });
  if (sections.contains(kAverage)) {
    decode(kAverage, [&](std::string_view bytes) {
      absl::StatusOr<Weights> average = DecodeWeights(state.shape, bytes);
      if (average.ok()) state.average = std::move(average->parameters);
      return average.status();
    });
  }
  decode("adam", [&](std::string_view bytes) {
    ByteReader in(bytes);
    state.adam.steps = in.Get<uint64_t>("steps");
    state.adam.m = in.GetVector<float>("m");
    state.adam.v = in.GetVector<float>("v");
    if (state.adam.m.size() != state.weights.parameters.size()) in.Fail("m");
    if (state.adam.v.size() != state.weights.parameters.size()) in.Fail("v");
    return in.Done();
  });
  decode("normaliser", [&](std::string_view bytes) {
    ByteReader in(bytes);
    state.observations = GetMoments(&in, state.shape.inputs, "observations");
    state.returns = GetMoments(&in, 1, "returns");
    return in.Done();
  });
  decode("counters", [&](std::string_view bytes) {
    ByteReader in(bytes);
    state.seed = in.Get<uint64_t>("seed");
    state.iteration = in.Get<uint64_t>("iteration");
    state.timesteps = in.Get<uint64_t>("timesteps");
    state.seconds = in.Get<double>("seconds");
    if (!std::isfinite(state.seconds) || state.seconds < 0) in.Fail("seconds");
    return in.Done();
  });
  decode("league", [&](std::string_view bytes) { return DecodeLeague(bytes, &state.league); });
  decode("accounts",
         [&](std::string_view bytes) { return DecodeAccounts(bytes, &state.accounts); });
  decode("config", [&](std::string_view bytes) {
    state.config_text = std::string(bytes);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;

  for (const LeagueEntry& entry : state.league.entries) {
    if (entry.kind != OpponentKind::kPast) continue;
    const std::string name = absl::StrCat(kPastPrefix, entry.version);
    decode(name.c_str(), [&](const std::string& bytes) {
      const absl::StatusOr<Weights> weights = DecodeWeights(state.shape, bytes);
      if (!weights.ok()) return weights.status();
      state.past[entry.version] = std::make_shared<const std::string>(bytes);
      return absl::OkStatus();
    });
  }
  if (!status.ok()) return status;
  return state;
}

}  // namespace midlane
