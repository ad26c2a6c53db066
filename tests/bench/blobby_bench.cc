// Blobby under the shim: how fast it runs alone, what an exchange adds, how fast it is with a
// policy, and how it scales to two cores. Game speeds are multiples of real time (75 frames a
// second).
//
// blobby_free            bot against bot, one core
// blobby_exchange        what one decision adds to the game's own frames, one core. Time is
//                        frames * f + decisions * e: two runs, with a decision every 4 and every 75
//                        frames, give f and e. Primitive: bare futex ping-pong on the same core.
// blobby_policy          agent (MLP 64-64) against `reduced`, a decision every 4 frames, 4 games
// and
//                        their host on one core
// blobby_decisions_1_core  decisions/s of the same in self-play, both sides deciding (information)
// blobby_scaling         as blobby_policy: a host with two games on each of two cores against one
// game on one core
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bridge/env.h"
#include "rollout/policy/policy.h"
#include "rollout/sampler.h"
#include "tests/bench/bench.h"

namespace midlane::bench {
namespace {

constexpr double kFramesPerSecond = 75;
constexpr uint32_t kTurnsAClock = 64;  // the clock is no part of what is measured

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "blobby_bench: %s\n", what.c_str());
  _exit(1);
}

void Must(const absl::Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

struct Played {
  double seconds = 0;
  double frames = 0;
  double decisions = 0;
  double speed() const { return frames / kFramesPerSecond / seconds; }
};

// Plays `games` worlds of `settings` on the calling thread's processors. Without a policy, actions
// come from a fixed sequence.
Played Play(uint32_t games, const Settings& settings, bool with_policy, double seconds) {
  auto doorbell = Doorbell::Create();
  if (!doorbell.ok()) Fail(doorbell.status().ToString());
  std::vector<std::unique_ptr<Env>> envs;
  for (uint32_t i = 0; i < games; ++i) {
    EnvOptions options;
    options.name = "blobby";
    options.doorbell = *doorbell;
    options.seed = i + 1;
    auto env = MakeEnv(options);
    if (!env.ok()) Fail(env.status().ToString());
    envs.push_back(*std::move(env));
  }
  const Spec& spec = envs[0]->spec();
  const NetworkShape shape = MakeNetworkShape(spec, NetworkConfig{});
  std::unique_ptr<Policy> policy = MakeNativePolicy(shape);
  Weights weights;
  weights.version = 1;
  weights.mean.assign(shape.inputs, 0.0f);
  weights.inv_std.assign(shape.inputs, 1.0f);
  weights.parameters.assign(ParameterCount(shape), 0.01f);
  Must(policy->Load(weights));
  const uint32_t rows_max = games * static_cast<uint32_t>(spec.agents.size());
  std::vector<float> inputs(rows_max * shape.inputs), logits(rows_max * shape.logits_width()),
      values(rows_max);
  std::vector<uint8_t> masks(rows_max * shape.logits_width());
  std::vector<int32_t*> slots(rows_max);
  Random random(1, 1);
  uint64_t scripted = 1;

  for (auto& env : envs) Must(env->Reset(settings));
  const auto frames_of = [&] {
    double frames = 0;
    for (auto& env : envs) frames += static_cast<double>(env->stats().frames);
    return frames;
  };
  Played played;
  double start = 0, frames_before = 0;
  const double warm_until = Now() + 0.5;
  std::vector<Env*> ready;
  uint32_t turns = 0;
  for (bool warm = false;;) {
    const double now = turns++ % kTurnsAClock == 0 ? Now() : 0;
    if (!warm && now >= warm_until) {
      warm = true;
      start = now;
      frames_before = frames_of();
      played.decisions = 0;
    }
    if (warm && now - start >= seconds) {
      played.seconds = now - start;
      played.frames = frames_of() - frames_before;
      return played;
    }
    const uint32_t rings = (*doorbell)->rings();
    ready.clear();
    uint32_t rows = 0;
    for (auto& env : envs) {
      auto is_ready = env->Ready();
      if (!is_ready.ok()) Fail(is_ready.status().ToString());
      if (!*is_ready) continue;
      bool ended = false;
      for (size_t a = 0; a < spec.agents.size(); ++a) {
        const AgentView view = env->agent(static_cast<int>(a));
        if (!view.active()) continue;
        ended = ended || view.last();
        if (!view.wants_action()) continue;
        FlattenObservation(spec, view.observation, &inputs[rows * shape.inputs],
                           &masks[rows * shape.logits_width()]);
        slots[rows++] = view.actions;
      }
      if (ended) {
        Must(env->Reset(settings));
      } else {
        ready.push_back(env.get());
      }
    }
    if (with_policy && rows > 0) {
      Must(policy->Evaluate({.rows = rows,
                             .inputs = inputs.data(),
                             .states = nullptr,
                             .logits = logits.data(),
                             .values = values.data()}));
      for (uint32_t row = 0; row < rows; ++row) {
        Must(SampleActions(shape.heads, &logits[row * shape.logits_width()],
                           &masks[row * shape.logits_width()], &random, slots[row])
                 .status());
      }
    } else {
      for (uint32_t row = 0; row < rows; ++row) {
        scripted = scripted * 6364136223846793005ull + 1442695040888963407ull;
        *slots[row] = static_cast<int32_t>((scripted >> 33) % 6);
      }
    }
    played.decisions += rows;
    for (Env* env : ready) Must(env->Step());
    if (ready.empty()) (*doorbell)->WaitFor(rings, 1, absl::Seconds(10));
  }
}

// The same in a process of its own on one processor.
class Player {
 public:
  Player(uint32_t games, const Settings& settings, bool with_policy, double seconds, int cpu) {
    if (pipe(ends_) != 0) Fail("pipe");
    child_ = fork();
    if (child_ == 0) {
      Pin(cpu);
      const Played played = Play(games, settings, with_policy, seconds);
      if (write(ends_[1], &played, sizeof(played)) != sizeof(played)) Fail("write");
      _exit(0);
    }
    close(ends_[1]);
  }
  Played Result() {
    Played played;
    if (read(ends_[0], &played, sizeof(played)) != sizeof(played)) Fail("a player failed");
    close(ends_[0]);
    waitpid(child_, nullptr, 0);
    return played;
  }

 private:
  int ends_[2];
  pid_t child_;
};

Played PlayOn(uint32_t games, const Settings& settings, bool with_policy, double seconds, int cpu) {
  return Player(games, settings, with_policy, seconds, cpu).Result();
}

const Settings kAgentAgainstReduced = {
    {"left", "agent"}, {"right", "reduced"}, {"frame_skip", "4"}};

void FreeRow(int repeats, double seconds) {
  Row row{.name = "blobby_free", .unit = "x real time", .bound = 3000};
  row.kind = Bound::kAtLeast;
  for (int i = 0; i < repeats; ++i) {
    row.measured.push_back(
        PlayOn(1, {{"left", "reduced"}, {"right", "reduced"}}, false, seconds, 0).speed());
  }
  Print(row);
}

void ExchangeRow(int repeats, double seconds) {
  Row row{.name = "blobby_exchange",
          .unit = "us a decision",
          .primitive_name = "futex ping-pong, same core",
          .bound = 1.5};
  row.kind = Bound::kAtMost;
  Settings rare = kAgentAgainstReduced;
  rare["frame_skip"] = "75";
  for (int i = 0; i < repeats; ++i) {
    const Played often = PlayOn(1, kAgentAgainstReduced, false, seconds, 0);
    const Played seldom = PlayOn(1, rare, false, seconds, 0);
    const double determinant = often.frames * seldom.decisions - seldom.frames * often.decisions;
    row.measured.push_back(1e6 * (often.frames * seldom.seconds - seldom.frames * often.seconds) /
                           determinant);
    row.primitive.push_back(1e6 * FutexPingPong(100000, 0, 0));
  }
  Print(row);
}

void PolicyRows(int repeats, double seconds) {
  Row policy{.name = "blobby_policy", .unit = "x real time", .bound = 2000};
  policy.kind = Bound::kAtLeast;
  Row scaling{.name = "blobby_scaling",
              .unit = "x real time",
              .primitive_name = "one game on one core",
              .bound = 1.8};
  scaling.kind = Bound::kAtLeast;
  for (int i = 0; i < repeats; ++i) {
    const Played one_core = PlayOn(4, kAgentAgainstReduced, true, seconds, 0);
    policy.measured.push_back(one_core.speed());
    scaling.primitive.push_back(PlayOn(1, kAgentAgainstReduced, true, seconds, 0).speed());
    Player first(2, kAgentAgainstReduced, true, seconds, 0);
    Player second(2, kAgentAgainstReduced, true, seconds, 1);
    scaling.measured.push_back(first.Result().speed() + second.Result().speed());
  }
  Print(policy);
  Print(scaling);
}

void DecisionsRow(int repeats, double seconds) {
  Row row{.name = "blobby_decisions_1_core", .unit = "decisions/s"};
  for (int i = 0; i < repeats; ++i) {
    const Played self_play =
        PlayOn(4, {{"left", "agent"}, {"right", "agent"}, {"frame_skip", "4"}}, true, seconds, 0);
    row.measured.push_back(self_play.decisions / self_play.seconds);
  }
  Print(row);
}

}  // namespace
}  // namespace midlane::bench

int main(int argc, char** argv) {
  const int repeats = midlane::bench::Repeats(5);
  const double seconds = midlane::bench::Seconds(2);
  if (argc > 1 && std::string(argv[1]) == "--decisions") {
    midlane::bench::DecisionsRow(repeats, seconds);
    return 0;
  }
  midlane::bench::FreeRow(repeats, seconds);
  midlane::bench::ExchangeRow(repeats, seconds);
  midlane::bench::PolicyRows(repeats, seconds);
  midlane::bench::DecisionsRow(repeats, seconds);
}
