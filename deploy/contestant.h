// Contestant: somebody who can play evaluation matches: a scripted bot or a trained agent.
//
// Thread-safety: a value and functions; a contestant's policy is one thread's.
// Errors: NotFound (no such run), those of LoadCheckpointWeights, with the file.
#ifndef MIDLANE_DEPLOY_CONTESTANT_H_
#define MIDLANE_DEPLOY_CONTESTANT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "deploy/command.h"
#include "rollout/evaluate.h"

namespace midlane {

struct Contestant {
  EvaluationOpponent player;
  // Of an agent: what its checkpoint says.
  std::string config_text;
  uint64_t version = 0, timesteps = 0;
  bool averaged = false;  // plays with the mean of the weights up to that version
  double seconds = 0;
};

// `backend`: "native" or "torch" (then `context` must have it).
// An agent's `name`: a run by name or folder, or a checkpoint file. It plays with the mean weights
// of the last part of its training; as "RUN@last" with the very last ones, and as "RUN@VERSION" it
// is a past version of its pool.
absl::StatusOr<Contestant> LoadAgent(const std::string& name, const std::string& backend,
                                     const CommandContext& context);

// The scripted bots of an environment's description; none where it has no description.
std::vector<std::string> BotsOf(const std::string& environment);

// Fills the world, its settings and frame_skip as the agent was trained, from its checkpoint's
// `config_text` (may be empty), with --setting `assignments` over them. `environment` is filled
// where it is empty; InvalidArgument where the configuration names none either.
absl::Status FillFromTraining(const std::string& config_text,
                              const std::vector<std::string>& assignments, std::string* environment,
                              EvaluationOptions* options);

// InvalidArgument where one of the --setting `assignments` is what a match sets by itself, with the
// option of `command` that says so.
absl::Status CheckMatchSettings(const std::vector<std::string>& assignments, const Spec& spec,
                                const std::string& command);

// "hyp014" or "hyp014:5": a bot of `environment`; anything with a slash: an agent. NotFound says
// what was meant, where that can be guessed.
absl::StatusOr<Contestant> LoadContestant(const std::string& name, const std::string& environment,
                                          const std::string& backend,
                                          const CommandContext& context);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_CONTESTANT_H_
