#include "learner/inspect.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "learner/learner_state.h"

namespace midlane {
namespace {

absl::StatusOr<LearnerState> Load(const std::string& path, std::string* file) {
  std::error_code error;
  *file = std::filesystem::is_directory(path, error) ? absl::StrCat(path, "/checkpoint.mdl") : path;
  absl::StatusOr<Sections> sections = ReadCheckpoint(*file);
  if (!sections.ok()) return sections.status();
  return DecodeLearnerState(*file, *sections);
}

}  // namespace

absl::StatusOr<CheckpointContents> LoadCheckpointWeights(const std::string& path) {
  std::string file;
  absl::StatusOr<LearnerState> state = Load(path, &file);
  if (!state.ok()) return state.status();
  CheckpointContents contents;
  contents.shape = std::move(state->shape);
  contents.average = state->weights;
  contents.averaged = !state->average.empty();
  if (contents.averaged) contents.average.parameters = std::move(state->average);
  contents.weights = std::move(state->weights);
  contents.environment = std::move(state->environment);
  contents.environment_hash = state->environment_hash;
  contents.config_text = std::move(state->config_text);
  contents.league = std::move(state->league);
  contents.iteration = state->iteration;
  contents.timesteps = state->timesteps;
  contents.seconds = state->seconds;
  return contents;
}

absl::StatusOr<Weights> LoadPastWeights(const std::string& path, uint64_t version) {
  std::string file;
  absl::StatusOr<LearnerState> state = Load(path, &file);
  if (!state.ok()) return state.status();
  const auto found = state->past.find(version);
  if (found != state->past.end()) return DecodeWeights(state->shape, *found->second);
  std::vector<uint64_t> versions;
  for (const auto& [known, blob] : state->past) versions.push_back(known);
  return absl::NotFoundError(
      absl::StrCat(file, " holds no version ", version, "; it holds ",
                   versions.empty() ? "none of the past" : absl::StrJoin(versions, ", ")));
}

}  // namespace midlane
