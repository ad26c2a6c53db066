#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "learner/learner.h"

namespace midlane {
namespace {

constexpr uint32_t kBatchStepsMax = 1u << 26;
constexpr uint32_t kEpochsMax = 1000;
constexpr uint32_t kWindowMax = 4096;
constexpr uint32_t kThreadsMax = 1024;

class Checker {
 public:
  void Range(const char* name, double value, double low, double high, const char* remedy = "") {
    if (!status_.ok() || (value >= low && value <= high)) return;
    status_ = absl::InvalidArgumentError(absl::StrCat(name, " is ", value, "; give ", low, " to ",
                                                      high, *remedy != '\0' ? ", " : "", remedy));
  }
  void Schedule(const std::string& name, const midlane::Schedule& schedule, double low,
                double high) {
    Range((name + ".from").c_str(), schedule.from, low, high);
    Range((name + ".to").c_str(), schedule.to, low, high);
  }
  void OneOf(const char* name, const std::string& value, const std::vector<std::string>& choices) {
    if (!status_.ok() || std::find(choices.begin(), choices.end(), value) != choices.end()) return;
    status_ = absl::InvalidArgumentError(
        absl::StrCat(name, " is '", value, "'; give one of ", absl::StrJoin(choices, ", ")));
  }
  void Fail(std::string why) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(why);
  }
  absl::Status status() const { return status_; }

 private:
  absl::Status status_;
};

}  // namespace

absl::Status ValidateLearnerOptions(const Spec& spec, const LearnerOptions& options) {
  const PpoOptions& ppo = options.ppo;
  Checker check;
  if (options.run_dir.empty()) check.Fail("learner.run_dir is empty; name the run's folder");
  check.Range("ppo.batch_steps", ppo.batch_steps, 1, kBatchStepsMax);
  check.Range("ppo.minibatch_steps", ppo.minibatch_steps, 1, kBatchStepsMax);
  check.Range("ppo.epochs", ppo.epochs, 1, kEpochsMax);
  check.Range("ppo.window", ppo.window, 1, kWindowMax);
  check.Schedule("ppo.learning_rate", ppo.learning_rate, 0, 10);
  check.Schedule("ppo.entropy", ppo.entropy, -10, 10);
  check.Range("ppo.clip", ppo.clip, 1e-6, 100);
  check.Range("ppo.value_clip", ppo.value_clip, 0, 1e6);
  check.Range("ppo.value_weight", ppo.value_weight, 0, 1e6);
  check.Range("ppo.gradient_norm_max", ppo.gradient_norm_max, 0, 1e9, "0 for no clipping");
  check.Range("ppo.gamma", ppo.gamma, 0, 1);
  check.Range("ppo.gae_lambda", ppo.gae_lambda, 0, 1);
  check.Range("ppo.target_kl", ppo.target_kl, 0, 1e6);
  check.Range("league.latest_share", options.league.latest_share, 0, 1);
  check.Range("league.scripted_share", options.league.scripted_share, 0, 1);
  check.Range("league.quality_rate", options.league.quality_rate, 0, 10);
  check.Range("league.add_every", options.league.add_every, 1, 1e9);
  check.Range("learner.threads", options.threads, 1, kThreadsMax);
  check.Range("learner.chunk_steps", options.chunk_steps, 1, 4096);
  check.Range("learner.checkpoint_seconds", options.checkpoint_seconds, 0, 1e9);
  check.Range("learner.average_steps", options.average_steps, 0, 1e12);
  check.Range("learner.target_win_rate", options.target_win_rate, 0, 1);
  check.OneOf("learner.wire_dtype", options.wire_dtype, {"f32", "bf16"});
  check.OneOf("learner.engine", options.engine, {"auto", "native", "torch"});
  if (!IsDeviceName(options.device)) {
    check.Fail(absl::StrCat("learner.device is '", options.device,
                            "'; give \"cpu\", \"cuda\" or \"cuda:N\""));
  }
  if (options.engine == "native" && options.network.lstm > 0) {
    check.Fail("learner.engine is 'native', which has no LSTM; set it to \"auto\" or \"torch\"");
  }
  if (options.engine == "native" && options.device != "cpu") {
    check.Fail("learner.engine is 'native', which has no GPU; set it to \"auto\" or \"torch\"");
  }
  if (options.league.scripted_share > 0 && options.league.scripted.empty()) {
    check.Fail("league.scripted_share is above 0 but league.scripted names no bot; name some");
  }
  for (const auto& [name, schedule] : options.rewards) {
    if (spec.FindTerm(name) < 0) {
      check.Fail(absl::StrCat("rewards.", name, " is no reward term of ", spec.environment,
                              "; it has ", absl::StrJoin(spec.terms, ", ")));
    }
    check.Schedule(absl::StrCat("rewards.", name), schedule, -1e9, 1e9);
  }
  if (!check.status().ok()) return check.status();
  return ValidateNetworkConfig(options.network);
}

}  // namespace midlane
