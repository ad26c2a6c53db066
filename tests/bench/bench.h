// What every benchmark program shares: rows of the table that tests/bench/run prints, medians over
// interleaved repeats, and the bare futex ping-pong that exchanges are held against.
//
// A row compares what was measured with a bare primitive measured in the same run, repeat by
// repeat; its ratio is the median over the repeats, so that a machine whose speed drifts misleads
// less.
#ifndef MIDLANE_TESTS_BENCH_BENCH_H_
#define MIDLANE_TESTS_BENCH_BENCH_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace midlane::bench {

enum class Bound { kAtMost, kAtLeast, kInformation };

struct Row {
  std::string name = {};
  std::string unit = {};
  std::string primitive_name = {};     // what the primitive is, in words
  std::vector<double> measured = {};   // one a repeat
  std::vector<double> primitive = {};  // one a repeat; empty: the bound is on the measured value
  double bound = 0;
  Bound kind = Bound::kInformation;
};

double Median(std::vector<double> values);

// Prints the row as one tab-separated line for tests/bench/run:
//   ROW name measured unit primitive primitive_name ratio bound verdict
void Print(const Row& row);

// How long and how often: from MIDLANE_BENCH_REPEATS and MIDLANE_BENCH_SECONDS (of one repeat).
int Repeats(int fallback);
double Seconds(double fallback);

double Now();  // CLOCK_MONOTONIC, seconds

// Pins the calling thread; cpu -1 leaves it alone.
void Pin(int cpu);

// Seconds a round trip of a bare futex ping-pong between two processes over shared memory, pinned
// as given (-1: anywhere).
double FutexPingPong(int round_trips, int cpu_a, int cpu_b);

}  // namespace midlane::bench

#endif  // MIDLANE_TESTS_BENCH_BENCH_H_
