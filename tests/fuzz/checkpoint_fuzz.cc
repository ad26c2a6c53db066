// Checkpoints from a disk: any file is refused in words or holds a consistent learner's state.
// Input: one byte, then the file. Where the byte is odd the hash (and the length) are made right,
// so that the table and the sections behind them are reached.
#include <cstring>
#include <memory>
#include <string>

#include "learner/checkpoint.h"
#include "learner/learner_state.h"
#include "learner/sha256.h"
#include "tests/fuzz/fuzz.h"

namespace {

constexpr size_t kLengthOffset = 16;
constexpr size_t kHeaderBytes = 24;
constexpr size_t kHashBytes = 32;

}  // namespace

std::vector<std::string> midlane::FuzzSeeds() {
  LearnerState state;
  state.shape.inputs = 2;
  state.shape.heads = {2};
  state.shape.config.hidden = {2};
  state.environment = "null";
  state.weights.version = 3;
  state.weights.mean = {0, 0};
  state.weights.inv_std = {1, 1};
  state.weights.parameters.assign(ParameterCount(state.shape), 0.5f);
  state.adam.m = state.adam.v = state.weights.parameters;
  state.observations = RunningMoments(2);
  LeagueOptions options;
  options.scripted = {{"bot", ""}};
  League league(options);
  const auto blob = std::make_shared<const std::string>(
      EncodeWeights(state.shape, state.weights, WireDtype::kF32));
  league.AddPast(2, blob->size(), 1);
  league.Record(1, {Outcome::kWon, 9, {1, 2}});
  state.league = league.state();
  state.past[2] = blob;
  state.accounts.workers.push_back({1, 2, 2, 0, false, false});
  state.config_text = "x = 1";
  const std::string file = EncodeCheckpoint(EncodeLearnerState(state));
  return {"\1" + file, std::string(1, '\0') + file, "\1" + EncodeCheckpoint({{"a", "b"}})};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace midlane;
  if (size < 1) return 0;
  std::string file(reinterpret_cast<const char*>(data + 1), size - 1);
  if ((data[0] & 1) && file.size() >= kHeaderBytes + kHashBytes) {
    const uint64_t length = file.size();
    std::memcpy(file.data() + kLengthOffset, &length, sizeof(length));
    const Sha256Digest digest = Sha256(std::string_view(file).substr(0, file.size() - kHashBytes));
    std::memcpy(file.data() + file.size() - kHashBytes, digest.data(), kHashBytes);
  }
  const auto sections = DecodeCheckpoint("fuzz.mdl", file);
  if (!sections.ok()) {
    if (sections.status().message().find("fuzz.mdl") == std::string::npos) __builtin_trap();
    return 0;
  }
  const auto state = DecodeLearnerState("fuzz.mdl", *sections);
  if (!state.ok()) {
    if (state.status().message().find("fuzz.mdl") == std::string::npos) __builtin_trap();
    return 0;
  }
  if (state->weights.parameters.size() != ParameterCount(state->shape) ||
      state->adam.m.size() != state->weights.parameters.size() ||
      state->observations.mean.size() != state->shape.inputs) {
    __builtin_trap();
  }
  return 0;
}
