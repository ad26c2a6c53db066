// What a batch costs in the native policy, held against the torch policy on one thread: the network
// of the default configuration at a worker's usual batches, and a large LSTM. Processor time of the
// one thread, so that what else runs on the machine distorts less.
#include <ATen/Parallel.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "rollout/policy/policy.h"
#include "rollout/policy/torch/torch_policy.h"
#include "tests/bench/bench.h"
#include "tests/rollout/policy/test_weights.h"

namespace midlane::bench {
namespace {

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "policy_bench: %s\n", status.ToString().c_str());
  std::exit(1);
}

double ThreadSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Microseconds a batch, over about `seconds`.
double Measure(Policy* policy, uint32_t rows, double seconds) {
  const NetworkShape& shape = policy->shape();
  const std::vector<float> inputs = RandomFloats(size_t{rows} * shape.inputs, 2, 1);
  std::vector<float> states(size_t{rows} * shape.state_width());
  std::vector<float> logits(size_t{rows} * shape.logits_width());
  std::vector<float> values(rows);
  const PolicyBatch batch{rows, inputs.data(), states.data(), logits.data(), values.data()};
  Must(policy->Evaluate(batch));
  const double begin = ThreadSeconds();
  uint64_t batches = 0;
  double now = begin;
  while (now - begin < seconds) {
    for (int i = 0; i < 8; ++i) Must(policy->Evaluate(batch));
    batches += 8;
    now = ThreadSeconds();
  }
  return (now - begin) / static_cast<double>(batches) * 1e6;
}

void Compare(const std::string& name, const NetworkShape& shape, std::vector<uint32_t> batches) {
  auto native = MakeNativePolicy(shape);
  auto torch = MakeTorchPolicy(shape, "cpu");
  Must(torch.status());
  const Weights weights = RandomWeights(shape, 1);
  Must(native->Load(weights));
  Must((*torch)->Load(weights));
  for (const uint32_t rows : batches) {
    Row row{name + " rows " + std::to_string(rows), "us/batch", "torch policy, one thread", {}, {}};
    for (int repeat = 0; repeat < Repeats(5); ++repeat) {
      row.measured.push_back(Measure(native.get(), rows, Seconds(0.2)));
      row.primitive.push_back(Measure(torch->get(), rows, Seconds(0.2)));
    }
    Print(row);
  }
}

}  // namespace
}  // namespace midlane::bench

int main() {
  at::set_num_threads(1);
  using midlane::TestShape;
  using midlane::bench::Compare;
  Compare("policy MLP 64-64", TestShape(22, {6}, {64, 64}), {1, 2, 4, 8, 16});
  Compare("policy LSTM 512", TestShape(16, {6}, {}, 512), {16, 64});
  Compare("policy 256 LSTM 512", TestShape(16, {6}, {256}, 512), {16, 64});
  return 0;
}
