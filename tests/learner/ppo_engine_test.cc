// The engines' loss, gradients and steps against PyTorch's (ppo_golden.h), against each other, and
// against what must hold whatever the numbers: the torch engine on the CPU, and on CUDA where
// there is a device.
#include "learner/ppo_engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "learner/mlp_kernels.h"
#include "learner/ppo.h"
#include "rollout/sampler.h"
#include "tests/learner/devices.h"
#include "tests/learner/ppo_golden.h"

namespace midlane {
namespace {

// ppo_golden.py's formulas.
constexpr uint32_t kSteps = 20, kInputs = 3, kWindow = 4;
const LossOptions kLoss{0.2, 0.15, 0.5, 0.03};

std::vector<float> Wave(size_t count, double scale, double factor, double shift, double base = 0) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] =
        static_cast<float>(base + scale * std::sin(factor * static_cast<double>(i) + shift));
  }
  return values;
}

NetworkShape Shape(std::vector<uint32_t> hidden, uint32_t lstm, bool separate) {
  NetworkShape shape;
  shape.inputs = kInputs;
  shape.heads = {3, 2};
  shape.config.hidden = std::move(hidden);
  shape.config.lstm = lstm;
  shape.config.separate_value = separate;
  return shape;
}

Batch GoldenBatch(const NetworkShape& shape) {
  BatchShape batch_shape{kInputs, 5, true, 2, 1, shape.state_width(), kWindow};
  Batch batch(batch_shape);
  batch.inputs = Wave(kSteps * kInputs, 1, 0.37, 0.1);
  batch.log_probs = Wave(kSteps, 0.3, 1.1, 0.2, -1.8);
  batch.values = Wave(kSteps, 0.5, 0.9, 0.3);
  batch.advantages = Wave(kSteps, 1, 2.3, 0.4);
  batch.returns = Wave(kSteps, 0.7, 1.9, 0.5);
  batch.masks.assign(kSteps * 5, 1);
  for (uint32_t t = 0; t < kSteps; ++t) {
    batch.actions.push_back(static_cast<int32_t>(t % 3));
    batch.actions.push_back(static_cast<int32_t>(t / 2 % 2));
    if (t % 3 == 0) batch.masks[t * 5 + (t + 1) % 3] = 0;
    batch.starts.push_back(t == 0 || t == 6 || t == 13);
    batch.versions.push_back(1);
  }
  for (uint32_t first = 0; first < kSteps; first += kWindow) {
    batch.windows.push_back({first, kWindow});
    const std::vector<float> state = Wave(shape.state_width(), 0.4, 0.8, first);
    batch.states.insert(batch.states.end(), state.begin(), state.end());
  }
  return batch;
}

std::vector<uint32_t> Rows(const Batch& batch, const NetworkShape& shape) {
  std::vector<uint32_t> rows(shape.config.lstm > 0 ? batch.windows.size() : batch.steps());
  for (uint32_t i = 0; i < rows.size(); ++i) rows[i] = i;
  return rows;
}

void ExpectNear(const std::vector<float>& got, const std::vector<float>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], tolerance) << "at " << i;
}

std::unique_ptr<PpoEngine> Torch(const NetworkShape& shape, const std::string& device = "cpu") {
  auto engine = MakeTorchEngine(shape, device, 1);
  EXPECT_TRUE(engine.ok()) << engine.status();
  return *std::move(engine);
}

class TorchEngineTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(On, TorchEngineTest, ::testing::ValuesIn(Devices()),
                         [](const auto& test) { return test.param; });

const std::vector<float> kNoMean(kInputs, 0.0f), kNoScale(kInputs, 1.0f);

void CheckGolden(const NetworkShape& shape, PpoEngine* engine, const std::vector<float>& figures,
                 const std::vector<float>& gradient, const std::vector<float>& after) {
  const Batch batch = GoldenBatch(shape);
  engine->SetParameters(Wave(ParameterCount(shape), 0.5, 1.7, 0.5));
  ASSERT_TRUE(engine->SetBatch(batch, kNoMean, kNoScale).ok());
  const std::vector<uint32_t> rows = Rows(batch, shape);
  const auto got = engine->Gradient(rows, kLoss);
  ASSERT_TRUE(got.ok()) << got.status();
  ExpectNear({static_cast<float>(got->policy_loss), static_cast<float>(got->value_loss),
              static_cast<float>(got->entropy), static_cast<float>(got->kl),
              static_cast<float>(got->clip_fraction)},
             figures, 2e-6);
  ExpectNear(engine->GetGradient(), gradient, 2e-6);
  double norm = 0;
  for (const float g : gradient) norm += double{g} * g;
  EXPECT_NEAR(*engine->Step(0.01, 0.5), std::sqrt(norm), 1e-5);
  ASSERT_TRUE(engine->Gradient(rows, kLoss).ok());
  ASSERT_TRUE(engine->Step(0.01, 0.5).ok());
  ExpectNear(engine->GetParameters(), after, 2e-5);
}

TEST(PpoEngineTest, NativeAgreesWithPyTorch) {
  const NetworkShape separate = Shape({5, 4}, 0, true), shared = Shape({5}, 0, false);
  CheckGolden(separate, MakeMlpEngine(separate).get(), golden::kSeparateFigures,
              golden::kSeparateGradient, golden::kSeparateAfterTwoSteps);
  CheckGolden(shared, MakeMlpEngine(shared).get(), golden::kSharedFigures, golden::kSharedGradient,
              golden::kSharedAfterTwoSteps);
}

TEST_P(TorchEngineTest, AgreesWithPyTorch) {
  const NetworkShape separate = Shape({5, 4}, 0, true), shared = Shape({5}, 0, false);
  CheckGolden(separate, Torch(separate, GetParam()).get(), golden::kSeparateFigures,
              golden::kSeparateGradient, golden::kSeparateAfterTwoSteps);
  CheckGolden(shared, Torch(shared, GetParam()).get(), golden::kSharedFigures,
              golden::kSharedGradient, golden::kSharedAfterTwoSteps);
}

// Truncated windows with stored states and resets within them.
TEST_P(TorchEngineTest, LstmWindowsAgreeWithPyTorch) {
  const NetworkShape shape = Shape({5}, 4, false);
  CheckGolden(shape, Torch(shape, GetParam()).get(), golden::kLstmFigures, golden::kLstmGradient,
              golden::kLstmAfterTwoSteps);
}

// A random batch as a chunk of each of several lengths would make it.
Batch RandomBatch(const NetworkShape& shape, bool masked, uint32_t steps, uint64_t seed) {
  Random random(seed, 1);
  const auto uniform = [&] { return 2 * random.Uniform() - 1; };
  Batch batch(BatchShape{shape.inputs, shape.logits_width(), masked,
                         static_cast<uint32_t>(shape.heads.size()), 1, shape.state_width(),
                         kWindow});
  for (uint32_t t = 0; t < steps; ++t) {
    for (uint32_t i = 0; i < shape.inputs; ++i) batch.inputs.push_back(3 * uniform());
    for (const uint32_t choices : shape.heads) {
      const uint32_t action = random.Below(choices);
      batch.actions.push_back(static_cast<int32_t>(action));
      for (uint32_t j = 0; masked && j < choices; ++j) {
        batch.masks.push_back(j == action || random.Below(2) == 0);
      }
    }
    batch.log_probs.push_back(-1 + 0.5f * uniform());
    batch.values.push_back(uniform());
    batch.advantages.push_back(uniform());
    batch.returns.push_back(uniform());
    batch.starts.push_back(random.Below(7) == 0);
    batch.versions.push_back(1);
  }
  for (uint32_t first = 0; first < steps; first += kWindow) {
    batch.windows.push_back({first, std::min(kWindow, steps - first)});
    for (uint32_t i = 0; i < shape.state_width(); ++i) batch.states.push_back(uniform());
  }
  return batch;
}

struct Case {
  std::vector<uint32_t> hidden;
  bool separate;
  Activation activation;
  bool masked;
  uint32_t steps;
  double value_clip;
};

TEST_P(TorchEngineTest, AgreesWithNativeOnEveryKindOfNetwork) {
  const Case cases[] = {{{64, 64}, true, Activation::kTanh, false, 300, 0.2},
                        {{64, 64}, true, Activation::kTanh, true, 97, 0.2},
                        {{33, 17, 9}, true, Activation::kRelu, true, 96, 0},
                        {{40}, false, Activation::kTanh, false, 1, 0.2},
                        {{16, 8}, false, Activation::kRelu, true, 200, 0.2},
                        {{}, true, Activation::kTanh, true, 64, 0.2}};
  for (const Case& c : cases) {
    SCOPED_TRACE(::testing::Message() << c.hidden.size() << " layers, " << c.steps << " steps");
    NetworkShape shape = Shape(c.hidden, 0, c.separate);
    shape.inputs = 22;
    shape.heads = {6, 3, 2};
    shape.config.activation = c.activation;
    const Batch batch = RandomBatch(shape, c.masked, c.steps, 7);
    const std::vector<float> parameters = Wave(ParameterCount(shape), 0.2, 0.7, 0.5);
    const std::vector<float> mean = Wave(22, 0.5, 1, 0), inv_std = Wave(22, 0.4, 2, 0, 1);
    LossOptions loss = kLoss;
    loss.value_clip = c.value_clip;
    auto native = MakeMlpEngine(shape);
    auto torch = Torch(shape, GetParam());
    for (PpoEngine* engine : {native.get(), torch.get()}) {
      engine->SetParameters(parameters);
      ASSERT_TRUE(engine->SetBatch(batch, mean, inv_std).ok());
    }
    const std::vector<uint32_t> rows = Rows(batch, shape);
    const auto a = native->Gradient(rows, loss);
    const auto b = torch->Gradient(rows, loss);
    ASSERT_TRUE(a.ok() && b.ok()) << b.status();
    EXPECT_NEAR(a->policy_loss, b->policy_loss, 1e-5);
    EXPECT_NEAR(a->value_loss, b->value_loss, 1e-5);
    EXPECT_NEAR(a->entropy, b->entropy, 1e-5);
    EXPECT_NEAR(a->kl, b->kl, 1e-5);
    EXPECT_NEAR(a->clip_fraction, b->clip_fraction, 1e-5);
    ExpectNear(native->GetGradient(), torch->GetGradient(), 1e-5);
    ExpectNear(*native->LogProbabilities(batch, rows, parameters, mean, inv_std),
               *torch->LogProbabilities(batch, rows, parameters, mean, inv_std), 1e-5);
  }
}

TEST(PpoEngineTest, EveryInstructionSetAgrees) {
  const size_t m = 13, n = 32, k = 21;
  const std::vector<float> a = Wave(m * k, 1, 0.3, 0), b = Wave(k * n, 1, 0.7, 1);
  const std::vector<float> bias = Wave(n, 1, 0.2, 2);
  for (const MlpKernels* const* set = AvailableMlpKernels(); *set != nullptr; ++set) {
    SCOPED_TRACE((*set)->name);
    std::vector<float> c(m * n);
    (*set)->multiply(m, n, k, a.data(), k, 1, b.data(), n, bias.data(), c.data(), n);
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < n; ++j) {
        double sum = bias[j];
        for (size_t p = 0; p < k; ++p) sum += double{a[i * k + p]} * b[p * n + j];
        EXPECT_NEAR(c[i * n + j], sum, 1e-5);
      }
    }
    std::vector<float> x = Wave(64, 12, 0.37, 0);
    const std::vector<float> before = x;
    (*set)->tanh(x.size(), x.data());
    for (size_t i = 0; i < x.size(); ++i)
      EXPECT_NEAR(x[i], std::tanh(before[i]), 3e-7) << before[i];
  }
}

// Short windows are padded for the matrix products; the padding must not count.
TEST_P(TorchEngineTest, PaddingOfShortWindowsDoesNotCount) {
  const NetworkShape shape = Shape({6}, 5, false);
  const Batch batch = RandomBatch(shape, true, 11, 3);  // windows of 4, 4 and 3
  auto engine = Torch(shape, GetParam());
  engine->SetParameters(Wave(ParameterCount(shape), 0.4, 1.3, 0.2));
  ASSERT_TRUE(engine->SetBatch(batch, kNoMean, kNoScale).ok());
  const auto weighted = [&](std::vector<std::vector<uint32_t>> parts) {
    std::vector<double> sum(ParameterCount(shape), 0.0);
    for (const auto& part : parts) {
      double steps = 0;
      for (const uint32_t w : part) steps += batch.windows[w].steps;
      EXPECT_TRUE(engine->Gradient(part, kLoss).ok());
      const std::vector<float> gradient = engine->GetGradient();
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += gradient[i] * steps / batch.steps();
    }
    return std::vector<float>(sum.begin(), sum.end());
  };
  ExpectNear(weighted({{0, 1, 2}}), weighted({{0}, {2}, {1}}), 1e-6);
}

// By hand: at zero moments Adam's first step is lr * g / (|g| + epsilon) for each parameter, here
// with the gradient scaled to the norm allowed.
TEST_P(TorchEngineTest, FirstAdamStepAndClippingByHand) {
  const NetworkShape shape = Shape({5}, 0, true);
  const Batch batch = GoldenBatch(shape);
  for (const bool native : {true, false}) {
    auto engine = native ? MakeMlpEngine(shape) : Torch(shape, GetParam());
    const std::vector<float> before = Wave(ParameterCount(shape), 0.5, 1.7, 0.5);
    engine->SetParameters(before);
    ASSERT_TRUE(engine->SetBatch(batch, kNoMean, kNoScale).ok());
    ASSERT_TRUE(engine->Gradient(Rows(batch, shape), kLoss).ok());
    const std::vector<float> gradient = engine->GetGradient();
    const double norm = *engine->Step(0.02, 0.01);
    ASSERT_GT(norm, 0.01);
    std::vector<float> want = before;
    for (size_t i = 0; i < want.size(); ++i) {
      const double g = gradient[i] * 0.01 / norm;
      want[i] -= static_cast<float>(0.02 * g / (std::abs(g) + kAdamEpsilon));
    }
    ExpectNear(engine->GetParameters(), want, 1e-5);
    EXPECT_EQ(engine->GetAdam().steps, 1u);
  }
}

TEST(PpoEngineTest, RefusesDevicesThatAreNotThere) {
  const NetworkShape shape = Shape({4}, 0, true);
  EXPECT_EQ(MakeTorchEngine(shape, "gpu", 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeTorchEngine(shape, "cuda:99", 1).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// ---- TrainPpo -------------------------------------------------------------------------------

TEST_P(TorchEngineTest, AResumedRunTrainsOnBitForBit) {
  for (const uint32_t lstm : {0u, 4u}) {
    const NetworkShape shape = Shape({6}, lstm, true);
    const Batch batch = RandomBatch(shape, true, 100, 5);
    PpoOptions options;
    options.minibatch_steps = 30;
    options.epochs = 2;
    options.learning_rate = {1e-2, 0, 1000};
    const auto make = [&] {
      return lstm > 0 || GetParam() != "cpu" ? Torch(shape, GetParam()) : MakeMlpEngine(shape);
    };
    const auto train = [&](PpoEngine* engine, uint64_t iteration) {
      ASSERT_TRUE(engine->SetBatch(batch, kNoMean, kNoScale).ok());
      PpoIteration at;
      at.seed = 3;
      at.iteration = iteration;
      at.timestep = 100 * iteration;
      at.lstm = lstm > 0;
      ASSERT_TRUE(TrainPpo(options, at, batch, engine).ok());
    };
    auto through = make();
    through->SetParameters(Wave(ParameterCount(shape), 0.3, 1.7, 0.5));
    train(through.get(), 0);
    auto resumed = make();
    resumed->SetParameters(through->GetParameters());
    resumed->SetAdam(through->GetAdam());
    train(through.get(), 1);
    train(resumed.get(), 1);
    EXPECT_EQ(through->GetParameters(), resumed->GetParameters());
    EXPECT_EQ(through->GetAdam().v, resumed->GetAdam().v);
  }
}

// Counts what it is asked for, and trains nothing.
class CountingEngine final : public PpoEngine {
 public:
  explicit CountingEngine(uint32_t rows) : seen(rows, 0) {}
  void SetParameters(const std::vector<float>&) override {}
  std::vector<float> GetParameters() override { return {}; }
  void SetAdam(const AdamState&) override {}
  AdamState GetAdam() override { return {}; }
  std::vector<float> GetGradient() override { return {}; }
  absl::Status SetBatch(const Batch&, const std::vector<float>&,
                        const std::vector<float>&) override {
    return absl::OkStatus();
  }
  absl::StatusOr<LossFigures> Gradient(absl::Span<const uint32_t> rows,
                                       const LossOptions&) override {
    for (const uint32_t row : rows) ++seen[row];
    sizes.push_back(rows.size());
    LossFigures figures;
    figures.kl = kl;
    return figures;
  }
  absl::StatusOr<double> Step(double learning_rate, double) override {
    rates.push_back(learning_rate);
    return 1.0;
  }
  absl::StatusOr<std::vector<float>> LogProbabilities(const Batch&, absl::Span<const uint32_t>,
                                                      const std::vector<float>&,
                                                      const std::vector<float>&,
                                                      const std::vector<float>&) override {
    return std::vector<float>();
  }
  std::vector<int> seen;
  std::vector<size_t> sizes;
  std::vector<double> rates;
  double kl = 0;
};

TEST(PpoTest, EveryTimestepOnceAnEpochInEqualParts) {
  const NetworkShape shape = Shape({4}, 0, true);
  const Batch batch = RandomBatch(shape, false, 103, 5);
  PpoOptions options;
  options.minibatch_steps = 25;
  options.epochs = 3;
  options.learning_rate = {1, 0, 100};
  CountingEngine engine(103);
  PpoIteration at;
  at.timestep = 50;
  std::vector<double> progress;
  at.progress = [&](double done) { progress.push_back(done); };
  const auto figures = TrainPpo(options, at, batch, &engine);
  ASSERT_TRUE(figures.ok());
  EXPECT_EQ(engine.seen, std::vector<int>(103, 3));
  EXPECT_EQ(engine.sizes.size(), 12u);
  for (const size_t size : engine.sizes) EXPECT_TRUE(size == 25 || size == 26) << size;
  EXPECT_EQ(engine.rates, std::vector<double>(12, 0.5));
  EXPECT_EQ(progress.size(), 12u);
  EXPECT_DOUBLE_EQ(progress.back(), 1.0);
  EXPECT_EQ(figures->epochs, 3);
}

TEST(PpoTest, TargetKlEndsTheEpochs) {
  const NetworkShape shape = Shape({4}, 0, true);
  const Batch batch = RandomBatch(shape, false, 100, 5);
  PpoOptions options;
  options.minibatch_steps = 50;
  options.target_kl = 0.1;
  CountingEngine engine(100);
  engine.kl = 0.2;
  EXPECT_EQ(TrainPpo(options, {}, batch, &engine)->epochs, 1);
}

TEST_P(TorchEngineTest, BehaviourErrorFindsAWrongMaskStateOrNormaliser) {
  for (const uint32_t lstm : {0u, 4u}) {
    const NetworkShape shape = Shape({6}, lstm, true);
    auto engine = Torch(shape, GetParam());
    const std::vector<float> parameters = Wave(ParameterCount(shape), 0.4, 1.7, 0.5);
    Batch batch = RandomBatch(shape, true, 42, 5);
    std::vector<uint32_t> rows = Rows(batch, shape);
    batch.log_probs = *engine->LogProbabilities(batch, rows, parameters, kNoMean, kNoScale);
    const auto error = [&](const Batch& b, const std::vector<float>& mean) {
      uint64_t compared = 0;
      const auto got = BehaviourLogProbError(b, lstm > 0, 1, parameters, mean, kNoScale, 1000,
                                             engine.get(), &compared);
      EXPECT_TRUE(got.ok()) << got.status();
      EXPECT_EQ(compared, 42u);
      return got.value_or(-1);
    };
    EXPECT_LT(error(batch, kNoMean), 1e-6);
    EXPECT_GT(error(batch, {0.5f, 0, 0}), 1e-3);
    Batch unmasked = batch;
    std::fill(unmasked.masks.begin(), unmasked.masks.end(), 1);
    EXPECT_GT(error(unmasked, kNoMean), 1e-3);
    if (lstm > 0) {
      Batch forgotten = batch;
      std::fill(forgotten.states.begin(), forgotten.states.end(), 0.0f);
      EXPECT_GT(error(forgotten, kNoMean), 1e-3);
    }
    batch.versions.assign(42, 2);
    uint64_t compared = 0;
    EXPECT_EQ(*BehaviourLogProbError(batch, lstm > 0, 1, parameters, kNoMean, kNoScale, 1000,
                                     engine.get(), &compared),
              0.0);
    EXPECT_EQ(compared, 0u) << "another version's data is not compared";
  }
}

}  // namespace
}  // namespace midlane
