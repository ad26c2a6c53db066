// Config: everything that a run can be told, as one TOML file, with every default visible.
//
// Layers, later ones win: the defaults of the option structs, envs/NAME/train.toml (what is known
//   to work for that environment), a file of the user's, single values ("ppo.epochs=2").
// FormatConfig prints every key with its comment and present value; the text parses back to an
//   equal Config, and a run folder keeps it as config.toml.
// Thread-safety: values and pure functions.
// Errors: InvalidArgument with file and line, naming the key, what was expected, and for an unknown
//   key the nearest known one. NotFound: a file, with its path. Nothing is changed on an error.
#ifndef MIDLANE_DEPLOY_CONFIG_H_
#define MIDLANE_DEPLOY_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bridge/env.h"
#include "learner/learner.h"
#include "rollout/worker.h"

namespace midlane {

inline constexpr size_t kConfigBytesMax = 1u << 20;
inline constexpr uint32_t kWorkersMax = 4096;
inline constexpr uint32_t kGamesMax = 256;

// What belongs to the run as a whole.
struct RunOptions {
  std::string environment;
  uint64_t seed = 1;
  uint32_t workers = 0;           // 0: sized to the machine
  uint32_t learner_threads = 0;   // 0: sized to the machine
  std::string policy = "native";  // backend of the workers: "native" or "torch"
  std::string pin = "auto";       // CPU affinity: "auto" or "off"
  uint32_t worker_nice = 19;      // of workers and games, 0 to 19
};

// `learner` and `worker` hold what their sections say; what both must agree on (seed, network,
// chunk and window length) is filled in by MakeLearnerOptions and MakeWorkerOptions.
struct Config {
  RunOptions run;
  LearnerOptions learner;
  WorkerOptions worker;
};

// Reads `text` over `config`. `source` names it in errors: a path, or "--set ppo.epochs=2".
absl::Status ParseConfig(absl::string_view text, absl::string_view source, Config* config);
absl::Status ReadConfigFile(const std::string& path, Config* config);

// One "section.key=value", the value as in TOML; text that is no TOML value counts as a string.
absl::Status SetConfigValue(absl::string_view assignment, Config* config);

// Limits that concern several keys at once.
absl::Status ValidateConfig(const Config& config);

// InvalidArgument where league.scripted names a bot that the environment's description does not, or
// a strength that is none; OK where the environment is behind a server, which alone knows.
absl::Status CheckScriptedBots(const Config& config);

// InvalidArgument where `strength` is none that the bots of `environment` can have.
absl::Status CheckStrength(const EnvironmentInfo& environment, const std::string& strength);

// "ppo.gamma = 0.9, was 0.99" for each value in which `now` differs.
std::vector<std::string> ConfigChanges(Config before, Config now);

// The whole of `config` as commented TOML.
std::string FormatConfig(const Config& config);

// Defaults of an environment: the structs' own under envs/NAME/train.toml, where there is one. Of a
// server (grpc://...) it is asked which environment it has, and batches are larger.
absl::StatusOr<Config> EnvironmentConfig(const std::string& environment);

LearnerOptions MakeLearnerOptions(const Config& config, const std::string& run_dir);
// `index`: of the worker in the run, from 0; every worker has other seeds.
WorkerOptions MakeWorkerOptions(const Config& config, uint32_t index);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_CONFIG_H_
