// The suite that every Env must pass. Include it in one file of a test program, and say there
// which environments it runs on:
//   INSTANTIATE_TEST_SUITE_P(Null, EnvConformance, testing::Values(EnvCase{...}), EnvCaseName);
#ifndef MIDLANE_TESTS_BRIDGE_ENV_CONFORMANCE_H_
#define MIDLANE_TESTS_BRIDGE_ENV_CONFORMANCE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "bridge/env.h"

namespace midlane {

struct EnvCase {
  std::string name;  // of the case, letters and digits
  EnvOptions options;
  // Settings under which the tests run: short episodes.
  Settings settings;
  // Others under which a Reset must also work, in mid-episode and at a match's end; empty: none.
  Settings other_settings;
  // Settings that put every agent of the spec under the caller's control; empty: `settings` do.
  Settings all_agents;
  // Frames from an observation to the first one that its action acts on.
  uint64_t delay = 1;
  // Frames from one timestep to the next within an episode.
  uint64_t frame_skip = 1;
  // Longest episode, in timesteps.
  int length_max = 100000;
  std::function<absl::StatusOr<std::unique_ptr<Env>>(const EnvOptions&)> make = MakeEnv;
};

// What gtest prints of a case that failed.
inline void PrintTo(const EnvCase& c, std::ostream* out) { *out << c.name; }

inline std::string EnvCaseName(const testing::TestParamInfo<EnvCase>& info) {
  return info.param.name;
}

class EnvConformance : public testing::TestWithParam<EnvCase> {
 protected:
  static constexpr absl::Duration kPatience = absl::Seconds(30);

  std::unique_ptr<Env> Make(EnvOptions options) {
    absl::StatusOr<std::unique_ptr<Env>> env = GetParam().make(options);
    EXPECT_TRUE(env.ok()) << env.status();
    return env.ok() ? *std::move(env) : nullptr;
  }

  std::unique_ptr<Env> Make() { return Make(GetParam().options); }

  std::unique_ptr<Env> MakeAndReset() {
    std::unique_ptr<Env> env = Make();
    if (env == nullptr) return nullptr;
    Begin(env.get(), GetParam().settings);
    return env;
  }

  void Begin(Env* env, const Settings& settings) {
    absl::Status status = env->Reset(settings);
    ASSERT_TRUE(status.ok()) << status;
    Await(env);
    for (int i = 0; i < agents(env); ++i) {
      if (!env->agent(i).active()) continue;
      EXPECT_TRUE(env->agent(i).first()) << "agent " << i;
    }
  }

  void Await(Env* env) {
    absl::Status status = env->Wait(kPatience);
    ASSERT_TRUE(status.ok()) << status;
    absl::StatusOr<bool> ready = env->Ready();
    ASSERT_TRUE(ready.ok()) << ready.status();
    ASSERT_TRUE(*ready);
  }

  static int agents(Env* env) { return static_cast<int>(env->spec().agents.size()); }

  static bool Allowed(const Spec& spec, const AgentView& view, size_t head, int32_t choice) {
    const int mask = spec.heads[head].mask_tensor;
    return mask < 0 || view.observation[spec.tensors[mask].offset + choice] != 0;
  }

  // Writes random allowed actions for whoever wants some.
  void Act(Env* env) {
    const Spec& spec = env->spec();
    for (int i = 0; i < agents(env); ++i) {
      AgentView view = env->agent(i);
      if (!view.wants_action()) continue;
      for (size_t h = 0; h < spec.heads.size(); ++h) {
        do {
          view.actions[h] = static_cast<int32_t>(random_() % spec.heads[h].choices);
        } while (!Allowed(spec, view, h, view.actions[h]));
      }
    }
  }

  void StepRandomly(Env* env) {
    Act(env);
    absl::Status status = env->Step();
    ASSERT_TRUE(status.ok()) << status;
    Await(env);
  }

  static bool AllEnded(Env* env) {
    for (int i = 0; i < agents(env); ++i) {
      const AgentView view = env->agent(i);
      if (view.active() && !view.last()) return false;
    }
    return true;
  }

  void PlayToEnd(Env* env) {
    for (int step = 0; !AllEnded(env); ++step) {
      ASSERT_LE(step, GetParam().length_max) << "the episode does not end";
      ASSERT_NO_FATAL_FAILURE(StepRandomly(env));
    }
  }

  // Everything that a timestep shows, as bytes.
  static std::string Snapshot(Env* env) {
    const Spec& spec = env->spec();
    std::string bytes;
    const auto add = [&bytes](const void* data, size_t size) {
      bytes.append(static_cast<const char*>(data), size);
    };
    for (int i = 0; i < agents(env); ++i) {
      const AgentView view = env->agent(i);
      add(&view.flags, sizeof(view.flags));
      if (!view.active()) continue;
      for (const TensorSpec& tensor : spec.tensors) {
        add(view.observation + tensor.offset, tensor.bytes());
      }
      add(view.rewards, spec.terms.size() * sizeof(float));
    }
    return bytes;
  }

  std::mt19937 random_{7};
};

TEST_P(EnvConformance, SpecSurvivesTheChannel) {
  std::unique_ptr<Env> env = Make();
  ASSERT_NE(env, nullptr);
  absl::StatusOr<midlane_spec> raw = MakeRawSpec(env->spec());
  ASSERT_TRUE(raw.ok()) << raw.status();
  absl::StatusOr<Spec> parsed = ParseSpec(*raw);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->Hash(), env->spec().Hash());
}

TEST_P(EnvConformance, CallsOutOfOrderAreRefused) {
  std::unique_ptr<Env> env = Make();
  ASSERT_NE(env, nullptr);
  EXPECT_EQ(env->Step().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(env->Ready().status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_NO_FATAL_FAILURE(Begin(env.get(), GetParam().settings));
  ASSERT_NO_FATAL_FAILURE(PlayToEnd(env.get()));
  EXPECT_EQ(env->Step().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(EnvConformance, FirstTimestepsCarryNoRewardAndNoEffect) {
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  for (int episode = 0; episode < 2; ++episode) {
    bool active = false;
    for (int i = 0; i < agents(env.get()); ++i) {
      const AgentView view = env->agent(i);
      if (!view.active()) continue;
      active = true;
      EXPECT_EQ(view.effect_frame, 0u);
      for (size_t t = 0; t < env->spec().terms.size(); ++t) EXPECT_EQ(view.rewards[t], 0.0f);
    }
    EXPECT_TRUE(active);
    ASSERT_NO_FATAL_FAILURE(PlayToEnd(env.get()));
    ASSERT_NO_FATAL_FAILURE(Begin(env.get(), GetParam().settings));
  }
}

TEST_P(EnvConformance, EpisodesAreCounted) {
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  const int count = agents(env.get());
  for (int episode = 0; episode < 3; ++episode) {
    std::vector<uint32_t> number(count);
    for (int i = 0; i < count; ++i) number[i] = env->agent(i).episode;
    ASSERT_NO_FATAL_FAILURE(PlayToEnd(env.get()));
    ASSERT_NO_FATAL_FAILURE(Begin(env.get(), GetParam().settings));
    for (int i = 0; i < count; ++i) {
      if (!env->agent(i).active()) continue;
      EXPECT_GT(env->agent(i).episode, number[i]);
    }
  }
}

// The declared delay, frame by frame: what "off by one" would break.
TEST_P(EnvConformance, ActionsActAfterTheDeclaredDelay) {
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  const int count = agents(env.get());
  int checked = 0;
  for (int episode = 0; episode < 2; ++episode) {
    for (int step = 0; step < 100 && !AllEnded(env.get()); ++step) {
      std::vector<AgentView> before;
      for (int i = 0; i < count; ++i) before.push_back(env->agent(i));
      ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
      for (int i = 0; i < count; ++i) {
        const AgentView now = env->agent(i);
        if (!now.active() || !before[i].wants_action() || now.first()) continue;
        EXPECT_EQ(now.effect_frame, before[i].observed_frame + GetParam().delay);
        if (!now.last()) {
          EXPECT_EQ(now.observed_frame, before[i].observed_frame + GetParam().frame_skip);
        } else {
          EXPECT_GT(now.observed_frame, before[i].observed_frame);
          EXPECT_LE(now.observed_frame, before[i].observed_frame + GetParam().frame_skip);
        }
        ++checked;
      }
    }
    ASSERT_NO_FATAL_FAILURE(Begin(env.get(), GetParam().settings));
  }
  EXPECT_GT(checked, 2);
}

TEST_P(EnvConformance, ValuesKeepToTheSpec) {
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  const Spec& spec = env->spec();
  for (int step = 0; step < 300; ++step) {
    for (int i = 0; i < agents(env.get()); ++i) {
      const AgentView view = env->agent(i);
      if (!view.active()) continue;
      for (const TensorSpec& tensor : spec.tensors) {
        for (uint32_t e = 0; e < tensor.elements(); ++e) {
          float value = 0;
          int32_t whole = 0;
          const unsigned char* at =
              view.observation + tensor.offset + e * midlane_dtype_bytes(tensor.dtype);
          switch (tensor.dtype) {
            case MIDLANE_DTYPE_F32:
              std::memcpy(&value, at, sizeof(value));
              break;
            case MIDLANE_DTYPE_I32:
              std::memcpy(&whole, at, sizeof(whole));
              value = static_cast<float>(whole);
              break;
            default:
              value = *at;
          }
          ASSERT_TRUE(value >= tensor.minimum && value <= tensor.maximum)
              << tensor.name << "[" << e << "] = " << value << " is outside " << tensor.minimum
              << " to " << tensor.maximum;
        }
      }
      for (size_t t = 0; t < spec.terms.size(); ++t) ASSERT_TRUE(std::isfinite(view.rewards[t]));
    }
    if (AllEnded(env.get())) {
      ASSERT_NO_FATAL_FAILURE(Begin(env.get(), GetParam().settings));
    } else {
      ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
    }
  }
}

TEST_P(EnvConformance, BadActionsAreRefusedAndChangeNothing) {
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  Act(env.get());
  int actor = 0;
  while (!env->agent(actor).wants_action()) ++actor;
  const std::string before = Snapshot(env.get());
  const HeadSpec& head = env->spec().heads[0];
  const int32_t good = env->agent(actor).actions[0];
  for (int32_t bad : {-1, static_cast<int32_t>(head.choices), INT32_MAX, INT32_MIN}) {
    env->agent(actor).actions[0] = bad;
    absl::Status status = env->Step();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(head.name));
  }
  EXPECT_EQ(Snapshot(env.get()), before);
  env->agent(actor).actions[0] = good;
  EXPECT_TRUE(env->Step().ok());
  ASSERT_NO_FATAL_FAILURE(Await(env.get()));
}

TEST_P(EnvConformance, MaskedActionsAreRefused) {
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  const Spec& spec = env->spec();
  int refused = 0;
  for (int step = 0; step < 10 && !AllEnded(env.get()); ++step) {
    Act(env.get());
    for (int i = 0; i < agents(env.get()); ++i) {
      AgentView view = env->agent(i);
      for (size_t h = 0; view.wants_action() && h < spec.heads.size(); ++h) {
        const int32_t good = view.actions[h];
        for (uint32_t c = 0; c < spec.heads[h].choices; ++c) {
          if (Allowed(spec, view, h, static_cast<int32_t>(c))) continue;
          view.actions[h] = static_cast<int32_t>(c);
          EXPECT_EQ(env->Step().code(), absl::StatusCode::kInvalidArgument);
          ++refused;
        }
        view.actions[h] = good;
      }
    }
    ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
  }
  if (refused == 0) GTEST_SKIP() << "this environment masks nothing under these settings";
}

TEST_P(EnvConformance, UnknownSettingsAreRefusedAndChangeNothing) {
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  const std::string before = Snapshot(env.get());
  absl::Status status = env->Reset({{"no_such_setting", "1"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("no_such_setting"));
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("seed"));
  EXPECT_EQ(Snapshot(env.get()), before);
  ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
}

TEST_P(EnvConformance, SameSeedSameWorld) {
  std::vector<std::string> runs[2];
  for (auto& run : runs) {
    random_.seed(11);
    std::unique_ptr<Env> env = MakeAndReset();
    ASSERT_NE(env, nullptr);
    for (int step = 0; step < 200; ++step) {
      run.push_back(Snapshot(env.get()));
      if (AllEnded(env.get())) {
        ASSERT_NO_FATAL_FAILURE(Begin(env.get(), GetParam().settings));
      } else {
        ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
      }
    }
  }
  for (size_t step = 0; step < runs[0].size(); ++step) {
    ASSERT_EQ(runs[0][step], runs[1][step]) << "at timestep " << step;
  }
}

TEST_P(EnvConformance, EveryTimestepRings) {
  EnvOptions options = GetParam().options;
  absl::StatusOr<std::shared_ptr<Doorbell>> doorbell = Doorbell::Create();
  ASSERT_TRUE(doorbell.ok());
  options.doorbell = *doorbell;
  std::unique_ptr<Env> env = Make(options);
  ASSERT_NE(env, nullptr);
  // Looks, then waits for rings alone, as a worker does.
  const auto await_ring = [&](uint32_t before) {
    uint32_t seen = before;
    for (int ring = 0; ring < 100; ++ring) {
      absl::StatusOr<bool> ready = env->Ready();
      ASSERT_TRUE(ready.ok()) << ready.status();
      ASSERT_TRUE((*doorbell)->WaitFor(*ready ? before : seen, 1, kPatience)) << "nobody rang";
      if (*ready) return;
      seen = (*doorbell)->rings();
    }
    FAIL() << "rung a hundred times without a timestep";
  };
  for (int episode = 0; episode < 2; ++episode) {
    uint32_t seen = (*doorbell)->rings();
    ASSERT_TRUE(env->Reset(GetParam().settings).ok());
    ASSERT_NO_FATAL_FAILURE(await_ring(seen));
    for (int step = 0; step < 20 && !AllEnded(env.get()); ++step) {
      Act(env.get());
      seen = (*doorbell)->rings();
      ASSERT_TRUE(env->Step().ok());
      ASSERT_NO_FATAL_FAILURE(await_ring(seen));
    }
  }
}

TEST_P(EnvConformance, ResetInMidEpisodeBeginsAnew) {
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  for (int round = 0; round < 3; ++round) {
    for (int step = 0; step < 3 && !AllEnded(env.get()); ++step) {
      ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
    }
    ASSERT_NO_FATAL_FAILURE(Begin(env.get(), GetParam().settings));
  }
}

TEST_P(EnvConformance, SettingsMayChange) {
  if (GetParam().other_settings.empty()) GTEST_SKIP() << "nothing to change";
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  for (const Settings& settings :
       {GetParam().other_settings, GetParam().settings, GetParam().other_settings}) {
    ASSERT_NO_FATAL_FAILURE(Begin(env.get(), settings));
    ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
  }
}

TEST_P(EnvConformance, ResetBeforeReadyIsTaken) {
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  Act(env.get());
  ASSERT_TRUE(env->Step().ok());
  ASSERT_NO_FATAL_FAILURE(Begin(env.get(), GetParam().settings));
  if (!GetParam().other_settings.empty()) {
    ASSERT_TRUE(env->Reset(GetParam().other_settings).ok());
    ASSERT_NO_FATAL_FAILURE(Begin(env.get(), GetParam().settings));
  }
  ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
}

TEST_P(EnvConformance, RestartMakesAFreshWorld) {
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  const uint64_t hash = env->spec().Hash();
  ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
  const EnvStats before = env->stats();
  ASSERT_TRUE(env->Restart().ok());
  EXPECT_EQ(env->Step().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_NO_FATAL_FAILURE(Begin(env.get(), GetParam().settings));
  ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
  EXPECT_EQ(env->spec().Hash(), hash);
  EXPECT_EQ(env->stats().restarts, before.restarts + 1);
  EXPECT_GE(env->stats().timesteps, before.timesteps + 2);
  EXPECT_GE(env->stats().frames, before.frames);
}

TEST_P(EnvConformance, StatsGrow) {
  std::unique_ptr<Env> env = MakeAndReset();
  ASSERT_NE(env, nullptr);
  const EnvStats before = env->stats();
  ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
  const EnvStats after = env->stats();
  EXPECT_EQ(after.timesteps, before.timesteps + 1);
  EXPECT_GT(after.frames, before.frames);
  EXPECT_GT(after.game_seconds, before.game_seconds);
}

// All agents of a world show the same frame in the same exchange, so none of them can have seen
// what another does at it.
TEST_P(EnvConformance, AgentsSeeTheSameFrame) {
  std::unique_ptr<Env> env = Make();
  ASSERT_NE(env, nullptr);
  const Settings& settings =
      GetParam().all_agents.empty() ? GetParam().settings : GetParam().all_agents;
  ASSERT_NO_FATAL_FAILURE(Begin(env.get(), settings));
  const int count = agents(env.get());
  if (count < 2) GTEST_SKIP() << "one agent";
  for (int step = 0; step < 200; ++step) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(env->agent(i).active());
      ASSERT_EQ(env->agent(i).observed_frame, env->agent(0).observed_frame);
    }
    if (AllEnded(env.get())) {
      ASSERT_NO_FATAL_FAILURE(Begin(env.get(), settings));
    } else {
      ASSERT_NO_FATAL_FAILURE(StepRandomly(env.get()));
    }
  }
}

// The action of one side at a frame changes nothing of what the other observes at that frame.
TEST_P(EnvConformance, NeitherSideSeesTheOthersActionOfTheSameFrame) {
  const Settings& settings =
      GetParam().all_agents.empty() ? GetParam().settings : GetParam().all_agents;
  std::string shown[2];
  for (int world = 0; world < 2; ++world) {
    std::unique_ptr<Env> env = Make();
    ASSERT_NE(env, nullptr);
    if (agents(env.get()) < 2) GTEST_SKIP() << "one agent";
    ASSERT_NO_FATAL_FAILURE(Begin(env.get(), settings));
    for (int step = 0; step < 5; ++step) {
      for (int i = 0; i < agents(env.get()); ++i) {
        // The two worlds differ in the second agent's last action only.
        AgentView view = env->agent(i);
        int32_t choice = i == 1 && step == 4 ? world : 0;
        for (size_t h = 0; h < env->spec().heads.size(); ++h) {
          while (!Allowed(env->spec(), view, h, choice)) choice += 2;
          view.actions[h] = choice;
        }
      }
      shown[world] = Snapshot(env.get());
      ASSERT_TRUE(env->Step().ok());
      ASSERT_NO_FATAL_FAILURE(Await(env.get()));
    }
  }
  EXPECT_EQ(shown[0], shown[1]);
}

TEST_P(EnvConformance, ManyWorldsShareOneDoorbell) {
  EnvOptions options = GetParam().options;
  absl::StatusOr<std::shared_ptr<Doorbell>> doorbell = Doorbell::Create();
  ASSERT_TRUE(doorbell.ok());
  options.doorbell = *doorbell;
  std::vector<std::unique_ptr<Env>> envs;
  for (int i = 0; i < 3; ++i) {
    envs.push_back(Make(options));
    ASSERT_NE(envs.back(), nullptr);
    ASSERT_TRUE(envs.back()->Reset(GetParam().settings).ok());
  }
  std::vector<int> steps(envs.size());
  const absl::Time deadline = absl::Now() + kPatience;
  while (*std::min_element(steps.begin(), steps.end()) < 20) {
    ASSERT_LT(absl::Now(), deadline);
    const uint32_t seen = (*doorbell)->rings();
    bool any = false;
    for (size_t i = 0; i < envs.size(); ++i) {
      absl::StatusOr<bool> ready = envs[i]->Ready();
      ASSERT_TRUE(ready.ok()) << ready.status();
      if (!*ready) continue;
      any = true;
      if (AllEnded(envs[i].get())) {
        ASSERT_TRUE(envs[i]->Reset(GetParam().settings).ok());
      } else {
        Act(envs[i].get());
        ASSERT_TRUE(envs[i]->Step().ok());
        ++steps[i];
      }
    }
    if (!any) (*doorbell)->WaitFor(seen, 1, absl::Milliseconds(500));
  }
}

}  // namespace midlane

#endif  // MIDLANE_TESTS_BRIDGE_ENV_CONFORMANCE_H_
