// channel_round_trip: one observation of 1 KB posted by the shim's own exchange code in another
// process, read here, answered with 64 B of actions. Primitive: a bare futex ping-pong between two
// processes. Expected cost beside it: writing and reading 1 KB (16 cache lines each way), a slot's
// header, two clock readings for the deadlines.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <numeric>

#include "bridge/channel_host.h"
#include "bridge/doorbell.h"
#include "preload/exchange.h"
#include "tests/bench/bench.h"

namespace midlane::bench {
namespace {

constexpr uint32_t kInputs = 256;  // 1 KB
constexpr uint32_t kHeads = 16;    // 64 B

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "channel_bench: %s\n", what);
  _exit(1);
}

Spec SpecOf() {
  Spec spec;
  spec.environment = "bench";
  spec.agents = {"one"};
  TensorSpec tensor;
  tensor.name = "state";
  tensor.shape = {kInputs};
  tensor.minimum = -1;
  tensor.maximum = 1;
  spec.tensors = {tensor};
  for (uint32_t i = 0; i < kHeads; ++i) {
    HeadSpec head;
    head.name = "head" + std::to_string(i);
    head.choices = 4;
    spec.heads.push_back(head);
  }
  spec.frames_per_second = 60;
  return spec;
}

[[noreturn]] void PlayGame(int channel, int doorbell, int cpu) {
  Pin(cpu);
  char error[MIDLANE_ERROR_BYTES];
  if (!midlane_exchange_open(channel, doorbell, error, sizeof(error))) Fail(error);
  auto spec = MakeRawSpec(SpecOf());
  if (!spec.ok()) Fail(spec.status().ToString().c_str());
  if (!midlane_exchange_declare(&*spec, error, sizeof(error))) Fail(error);
  float state[kInputs] = {};
  int64_t sum = 0;
  for (uint64_t frame = 1;; ++frame) {
    state[frame % kInputs] = 0.5f;
    std::memcpy(midlane_exchange.observation[0], state, sizeof(state));
    midlane_exchange_mark(0, frame == 1 ? MIDLANE_SLOT_FIRST : 0);
    if (midlane_exchange_post(frame) != MIDLANE_OUTCOME_STEP) _exit(sum == 42 ? 1 : 0);
    for (int32_t action : midlane_exchange.slot[0]->action) sum += action;
  }
}

double RoundTripSeconds(int round_trips, int cpu_host, int cpu_game) {
  auto doorbell = Doorbell::Create();
  auto host = ChannelHost::Create("", "", ChannelOptions{});
  if (!doorbell.ok() || !host.ok()) Fail("cannot create a channel");
  ChannelHost& channel = **host;
  const pid_t game = fork();
  if (game == 0) PlayGame(channel.fd(), (*doorbell)->fd(), cpu_game);
  Pin(cpu_host);
  float total = 0;
  uint32_t seen = (*doorbell)->rings();
  const auto exchange = [&](midlane_command command) {
    while (!channel.posted()) {
      if (!(*doorbell)->WaitFor(seen, 1, absl::Seconds(10)) && !channel.posted()) {
        Fail("the game does not post");
      }
      seen = (*doorbell)->rings();
    }
    midlane_slot* slot = channel.slot(0);
    float state[kInputs];
    std::memcpy(state, midlane_slot_observation(slot), sizeof(state));
    total = std::accumulate(state, state + kInputs, total);
    for (uint32_t i = 0; i < kHeads; ++i) slot->action[i] = static_cast<int32_t>(i % 4);
    channel.Answer(command);
  };
  for (int i = 0; i < 1000; ++i) exchange(MIDLANE_COMMAND_STEP);
  const double start = Now();
  for (int i = 0; i < round_trips; ++i) exchange(MIDLANE_COMMAND_STEP);
  const double seconds = Now() - start;
  exchange(MIDLANE_COMMAND_CLOSE);
  waitpid(game, nullptr, 0);
  if (total == 42) Fail("unlikely");
  return seconds / round_trips;
}

void RoundTripRow(const char* name, int cpu_host, int cpu_game) {
  Row row{.name = name, .unit = "us", .primitive_name = "futex ping-pong", .bound = 1.5};
  row.kind = Bound::kAtMost;
  const int trips = static_cast<int>(std::max(1000.0, 60000 * Seconds(1)));
  for (int i = Repeats(7); i > 0; --i) {
    row.primitive.push_back(1e6 * FutexPingPong(trips, cpu_host, cpu_game));
    row.measured.push_back(1e6 * RoundTripSeconds(trips, cpu_host, cpu_game));
  }
  Print(row);
}

}  // namespace
}  // namespace midlane::bench

int main() {
  midlane::bench::RoundTripRow("channel_round_trip_1_core", 0, 0);
  midlane::bench::RoundTripRow("channel_round_trip_2_cores", 0, 1);
}
