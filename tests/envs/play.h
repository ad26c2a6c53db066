// Helpers of the tests that play real games through Env: a world that fails the test where a call
// does, and policies in one line.
#ifndef MIDLANE_TESTS_ENVS_PLAY_H_
#define MIDLANE_TESTS_ENVS_PLAY_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "bridge/env.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace midlane {

// Chooses the actions of one agent whose action is wanted.
using Chooser = std::function<void(int agent, const AgentView& view)>;

// Uniform over the first head's choices; the same for the same seed.
class RandomChooser {
 public:
  RandomChooser(uint32_t choices, uint64_t seed) : random_(seed), choice_(0, int(choices) - 1) {}
  void operator()(int, const AgentView& view) { view.actions[0] = choice_(random_); }

 private:
  std::mt19937_64 random_;
  std::uniform_int_distribution<int> choice_;
};

// An Env whose every call must succeed. After an error done() is true and the test has failed.
class World {
 public:
  explicit World(const EnvOptions& options) : World(MakeEnv(options)) {}
  explicit World(absl::StatusOr<std::unique_ptr<Env>> env) {
    if (env.ok()) {
      env_ = *std::move(env);
    } else {
      Fail("MakeEnv", env.status());
    }
  }

  bool ok() const { return env_ != nullptr && !failed_; }
  Env& env() { return *env_; }
  const Spec& spec() const { return env_->spec(); }
  AgentView agent(int index) { return env_->agent(index); }

  bool Reset(const Settings& settings) {
    return Check("Reset", env_->Reset(settings)) && Check("Wait", env_->Wait(absl::Seconds(20)));
  }

  // One step; `choose` is asked for every agent that wants an action.
  bool Step(const Chooser& choose) {
    for (size_t i = 0; i < spec().agents.size(); ++i) {
      const AgentView view = agent(int(i));
      if (view.wants_action()) choose(int(i), view);
    }
    return Check("Step", env_->Step()) && Check("Wait", env_->Wait(absl::Seconds(20)));
  }

  float Value(int agent_index, const std::string& tensor, int element) {
    const TensorSpec& t = spec().tensors[size_t(spec().FindTensor(tensor))];
    return reinterpret_cast<const float*>(agent(agent_index).observation + t.offset)[element];
  }
  float Reward(int agent_index, const std::string& term) {
    return agent(agent_index).rewards[spec().FindTerm(term)];
  }
  float Metric(int agent_index, const std::string& metric) {
    return agent(agent_index).metrics[spec().FindMetric(metric)];
  }

  // True where an active agent's episode has ended.
  bool Last() {
    for (size_t i = 0; i < spec().agents.size(); ++i) {
      if (agent(int(i)).active() && agent(int(i)).last()) return true;
    }
    return false;
  }
  bool MatchOver() {
    for (size_t i = 0; i < spec().agents.size(); ++i) {
      if (agent(int(i)).active() && agent(int(i)).match_over()) return true;
    }
    return false;
  }

 private:
  bool Check(const char* call, const absl::Status& status) {
    if (!status.ok()) Fail(call, status);
    return status.ok();
  }
  void Fail(const char* call, const absl::Status& status) {
    failed_ = true;
    ADD_FAILURE() << call << ": " << status;
  }

  std::unique_ptr<Env> env_;
  bool failed_ = false;
};

// XXH3 over a run's observations, rewards and flags.
class RunHash {
 public:
  RunHash() { XXH3_64bits_reset(&state_); }
  void Add(World* world) {
    for (size_t i = 0; i < world->spec().agents.size(); ++i) {
      const AgentView view = world->agent(int(i));
      if (!view.active()) continue;
      XXH3_64bits_update(&state_, view.observation, world->spec().observation_bytes);
      XXH3_64bits_update(&state_, view.rewards, world->spec().terms.size() * sizeof(float));
      XXH3_64bits_update(&state_, &view.flags, sizeof view.flags);
    }
  }
  uint64_t Digest() const { return XXH3_64bits_digest(&state_); }

 private:
  XXH3_state_t state_;
};

}  // namespace midlane

#endif  // MIDLANE_TESTS_ENVS_PLAY_H_
