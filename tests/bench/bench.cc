#include "tests/bench/bench.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "bridge/cores.h"

namespace midlane::bench {
namespace {

void FutexWait(std::atomic<uint32_t>* word, uint32_t seen) {
  syscall(SYS_futex, word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
}

void FutexWake(std::atomic<uint32_t>* word) {
  syscall(SYS_futex, word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

struct PingPong {
  alignas(64) std::atomic<uint32_t> ping;
  alignas(64) std::atomic<uint32_t> pong;
};

void AwaitValue(std::atomic<uint32_t>* word, uint32_t value) {
  for (uint32_t seen; (seen = word->load(std::memory_order_acquire)) != value;) {
    FutexWait(word, seen);
  }
}

void SetAndWake(std::atomic<uint32_t>* word, uint32_t value) {
  word->store(value, std::memory_order_release);
  FutexWake(word);
}

double Variable(const char* name, double fallback) {
  const char* text = std::getenv(name);
  return text != nullptr && *text != '\0' ? std::atof(text) : fallback;
}

}  // namespace

double Median(std::vector<double> values) {
  if (values.empty()) return NAN;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void Print(const Row& row) {
  std::vector<double> ratios = row.measured;
  if (!row.primitive.empty()) {
    for (size_t i = 0; i < ratios.size(); ++i) ratios[i] /= row.primitive[i];
  }
  const double ratio = Median(ratios);
  const char* verdict = "-";
  if (row.kind == Bound::kAtMost) verdict = ratio <= row.bound ? "holds" : "short";
  if (row.kind == Bound::kAtLeast) verdict = ratio >= row.bound ? "holds" : "short";
  const char* sign = row.kind == Bound::kAtMost ? "<=" : row.kind == Bound::kAtLeast ? ">=" : "";
  char bound[32] = "-";
  if (row.kind != Bound::kInformation)
    std::snprintf(bound, sizeof(bound), "%s%.6g", sign, row.bound);
  char primitive[32] = "-";
  if (!row.primitive.empty()) {
    std::snprintf(primitive, sizeof(primitive), "%.4g", Median(row.primitive));
  }
  std::printf("ROW\t%s\t%.4g\t%s\t%s\t%s\t%.4g\t%s\t%s\n", row.name.c_str(), Median(row.measured),
              row.unit.c_str(), primitive,
              row.primitive_name.empty() ? "-" : row.primitive_name.c_str(), ratio, bound, verdict);
  std::fflush(stdout);
}

int Repeats(int fallback) {
  return std::max(1, static_cast<int>(Variable("MIDLANE_BENCH_REPEATS", fallback)));
}

double Seconds(double fallback) { return Variable("MIDLANE_BENCH_SECONDS", fallback); }

double Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void Pin(int cpu) {
  if (cpu >= 0) PinToCore(cpu);
}

double FutexPingPong(int round_trips, int cpu_a, int cpu_b) {
  void* memory =
      mmap(nullptr, sizeof(PingPong), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* words = new (memory) PingPong{};
  cpu_set_t before;
  sched_getaffinity(0, sizeof(before), &before);
  const pid_t child = fork();
  if (child == 0) {
    Pin(cpu_b);
    for (int i = 1; i <= round_trips; ++i) {
      AwaitValue(&words->ping, static_cast<uint32_t>(i));
      SetAndWake(&words->pong, static_cast<uint32_t>(i));
    }
    _exit(0);
  }
  Pin(cpu_a);
  const double start = Now();
  for (int i = 1; i <= round_trips; ++i) {
    SetAndWake(&words->ping, static_cast<uint32_t>(i));
    AwaitValue(&words->pong, static_cast<uint32_t>(i));
  }
  const double seconds = Now() - start;
  waitpid(child, nullptr, 0);
  sched_setaffinity(0, sizeof(before), &before);
  munmap(memory, sizeof(PingPong));
  return seconds / round_trips;
}

}  // namespace midlane::bench
