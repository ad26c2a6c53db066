// The network's written-out backward pass against torch's own, and the initialisation's properties.
#include "rollout/policy/torch/torch_network.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/rollout/policy/test_weights.h"

namespace midlane {
namespace {

using at::Tensor;

Tensor Random(at::IntArrayRef sizes, uint32_t seed, float bound = 1) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  const std::vector<float> floats = RandomFloats(count, bound, seed);
  return at::from_blob(const_cast<float*>(floats.data()), sizes, at::kFloat).clone();
}

// The same network in plain torch operations, with leaves of its own.
struct Reference {
  explicit Reference(const TorchNetwork& network) : shape(network.shape()) {
    const auto layout = WeightLayout(shape);
    for (size_t i = 0; i < layout.size(); ++i) {
      Tensor leaf = network.parameters()[i].clone();
      leaf.set_requires_grad(true);
      weights[layout[i].name] = leaf;
    }
  }

  Tensor Linear(const std::string& name, const Tensor& x) const {
    return at::matmul(x, weights.at(name + ".weight").t()) + weights.at(name + ".bias");
  }
  Tensor Trunk(const std::string& name, Tensor x) const {
    for (size_t i = 0; i < shape.config.hidden.size(); ++i) {
      x = Linear(name + "." + std::to_string(i), x);
      x = shape.config.activation == Activation::kTanh ? at::tanh(x) : at::relu(x);
    }
    return x;
  }
  TorchNetwork::Output Rows(const Tensor& x) const {
    const Tensor policy = Trunk("policy", x);
    const Tensor value = shape.separate_value() ? Trunk("value", x) : policy;
    return {Linear("policy.head", policy), Linear("value.head", value).squeeze(-1), Tensor()};
  }
  TorchNetwork::Output Sequence(const Tensor& x, const Tensor& states, const Tensor& starts) const {
    const int64_t width = shape.config.lstm;
    Tensor h = states.narrow(1, 0, width);
    Tensor c = states.narrow(1, width, width);
    std::vector<Tensor> outputs;
    for (int64_t t = 0; t < x.size(0); ++t) {
      if (starts.defined()) {
        const Tensor keep = starts[t].eq(0).to(at::kFloat).unsqueeze(1);
        h = h * keep;
        c = c * keep;
      }
      std::tie(h, c) = at::lstm_cell(Trunk("policy", x[t]), {h, c}, weights.at("lstm.weight_ih"),
                                     weights.at("lstm.weight_hh"), weights.at("lstm.bias_ih"),
                                     weights.at("lstm.bias_hh"));
      outputs.push_back(h);
    }
    const Tensor all = at::stack(outputs);
    return {Linear("policy.head", all), Linear("value.head", all).squeeze(-1),
            at::cat({h, c}, 1).detach()};
  }

  NetworkShape shape;
  std::map<std::string, Tensor> weights;
};

double LargestDifference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return (a - b).abs().max().item<double>();
}

Tensor Loss(const TorchNetwork::Output& output) {
  return (output.logits * Random(output.logits.sizes(), 11)).sum() +
         (output.values - Random(output.values.sizes(), 12)).square().sum();
}

void ExpectEqualGradients(const TorchNetwork& network, const Reference& reference) {
  const auto layout = WeightLayout(network.shape());
  for (size_t i = 0; i < layout.size(); ++i) {
    const Tensor& expected = reference.weights.at(layout[i].name).grad();
    ASSERT_TRUE(expected.defined()) << layout[i].name;
    const double scale = std::max(1.0, expected.abs().max().item<double>());
    EXPECT_LT(LargestDifference(network.gradients()[i], expected), 2e-5 * scale) << layout[i].name;
  }
}

void Randomise(TorchNetwork* network) {
  at::NoGradGuard no_grad;
  network->flat_parameters().copy_(Random(network->flat_parameters().sizes(), 1, 0.4f));
}

TEST(TorchNetworkTest, ViewsShareTheFlatTensorsInLayoutOrder) {
  const NetworkShape shape = TestShape(3, {3, 2}, {5, 4}, 6);
  TorchNetwork network(shape);
  const auto layout = WeightLayout(shape);
  ASSERT_EQ(network.parameters().size(), layout.size());
  EXPECT_EQ(network.flat_parameters().numel(), static_cast<int64_t>(ParameterCount(shape)));
  for (size_t i = 0; i < layout.size(); ++i) {
    network.flat_parameters().narrow(0, layout[i].offset, layout[i].elements()).fill_(i + 1.0);
    EXPECT_TRUE(network.parameters()[i].eq(i + 1.0).all().item<bool>());
    network.gradients()[i].fill_(i + 2.0);
    EXPECT_TRUE(network.flat_gradients()
                    .narrow(0, layout[i].offset, layout[i].elements())
                    .eq(i + 2.0)
                    .all()
                    .item<bool>());
  }
}

TEST(TorchNetworkTest, RowsGradientsAreTorchsOwn) {
  for (const NetworkShape& shape :
       {TestShape(5, {6}, {8, 7}), TestShape(5, {3, 2}, {9}, 0, false),
        TestShape(5, {6}, {8, 7, 6}, 0, true, Activation::kRelu), TestShape(5, {4}, {}),
        TestShape(5, {4}, {}, 0, false), TestShape(5, {4}, {8, 8}, 0, false, Activation::kRelu)}) {
    TorchNetwork network(shape);
    Randomise(&network);
    const Reference reference(network);
    const Tensor inputs = Random({33, 5}, 2, 2);
    const auto output = network.Forward(inputs);
    const auto expected = reference.Rows(inputs);
    EXPECT_LT(LargestDifference(output.logits, expected.logits), 1e-5);
    EXPECT_LT(LargestDifference(output.values, expected.values), 1e-5);
    Loss(output).backward();
    Loss(expected).backward();
    ExpectEqualGradients(network, reference);
  }
}

TEST(TorchNetworkTest, SequenceGradientsAreTorchsOwn) {
  for (const bool with_starts : {false, true}) {
    for (const NetworkShape& shape : {TestShape(5, {6}, {8, 7}, 10), TestShape(5, {3, 2}, {}, 9),
                                      TestShape(5, {4}, {6}, 7, true, Activation::kRelu)}) {
      TorchNetwork network(shape);
      Randomise(&network);
      const Reference reference(network);
      const int64_t steps = 7;
      const int64_t batch = 4;
      const Tensor inputs = Random({steps, batch, 5}, 2, 2);
      const Tensor states = Random({batch, shape.state_width()}, 3);
      Tensor starts;
      if (with_starts) {
        starts = at::zeros({steps, batch}, at::kByte);
        starts[0][1] = 1;
        starts[3][0] = 1;
        starts[3][2] = 1;
        starts[6][3] = 1;
      }
      const auto output = network.ForwardSequence(inputs, states, starts);
      const auto expected = reference.Sequence(inputs, states, starts);
      EXPECT_LT(LargestDifference(output.logits, expected.logits), 1e-5);
      EXPECT_LT(LargestDifference(output.values, expected.values), 1e-5);
      EXPECT_LT(LargestDifference(output.states, expected.states), 1e-5);
      Loss(output).backward();
      Loss(expected).backward();
      ExpectEqualGradients(network, reference);
    }
  }
}

TEST(TorchNetworkTest, UndefinedStatesAreZeros) {
  const NetworkShape shape = TestShape(5, {6}, {8}, 10);
  TorchNetwork network(shape);
  Randomise(&network);
  const Tensor inputs = Random({3, 2, 5}, 2);
  at::NoGradGuard no_grad;
  const auto zeros = network.ForwardSequence(inputs, at::zeros({2, 20}), Tensor());
  const auto none = network.ForwardSequence(inputs, Tensor(), Tensor());
  EXPECT_EQ(LargestDifference(zeros.logits, none.logits), 0);
}

TEST(TorchNetworkTest, AWindowGoesOnWhereTheLastOneStopped) {
  const NetworkShape shape = TestShape(5, {6}, {8}, 10);
  TorchNetwork network(shape);
  Randomise(&network);
  at::NoGradGuard no_grad;
  const Tensor inputs = Random({6, 2, 5}, 2);
  const auto whole = network.ForwardSequence(inputs, Tensor(), Tensor());
  const auto first = network.ForwardSequence(inputs.narrow(0, 0, 4), Tensor(), Tensor());
  const auto second = network.ForwardSequence(inputs.narrow(0, 4, 2), first.states, Tensor());
  EXPECT_LT(LargestDifference(whole.logits.narrow(0, 4, 2), second.logits), 1e-6);
  EXPECT_LT(LargestDifference(whole.states, second.states), 1e-6);
}

TEST(TorchNetworkTest, SequencesWithoutLstmAreRows) {
  const NetworkShape shape = TestShape(5, {6}, {8});
  TorchNetwork network(shape);
  Randomise(&network);
  const Tensor inputs = Random({3, 4, 5}, 2);
  const auto sequence = network.ForwardSequence(inputs, Tensor(), Tensor());
  const auto rows = network.Forward(inputs.view({12, 5}));
  EXPECT_EQ(LargestDifference(sequence.logits, rows.logits.view({3, 4, 6})), 0);
  EXPECT_EQ(LargestDifference(sequence.values, rows.values.view({3, 4})), 0);
}

TEST(TorchNetworkTest, BackwardAddsToTheGradients) {
  TorchNetwork network(TestShape(5, {6}, {8}));
  Randomise(&network);
  const Tensor inputs = Random({9, 5}, 2);
  Loss(network.Forward(inputs)).backward();
  const Tensor once = network.flat_gradients().clone();
  Loss(network.Forward(inputs)).backward();
  EXPECT_LT(LargestDifference(network.flat_gradients(), once * 2), 1e-4);
}

TEST(TorchNetworkTest, OneOutputAloneMayBeDifferentiated) {
  TorchNetwork network(TestShape(5, {6}, {8}));
  Randomise(&network);
  network.Forward(Random({9, 5}, 2)).values.sum().backward();
  EXPECT_GT(network.flat_gradients().abs().max().item<double>(), 0);
  EXPECT_EQ(network.gradients()[0].abs().max().item<double>(), 0);  // policy.0.weight
}

TEST(TorchNetworkTest, InitialisationIsOrthogonalAndScaled) {
  const NetworkShape shape = TestShape(12, {3, 2}, {24, 16});
  TorchNetwork network(shape);
  network.Initialise(5);
  const auto layout = WeightLayout(shape);
  for (size_t i = 0; i < layout.size(); ++i) {
    const Tensor& weight = network.parameters()[i];
    if (weight.dim() == 1) {
      EXPECT_EQ(weight.abs().max().item<double>(), 0) << layout[i].name;
      continue;
    }
    const double gain = layout[i].name == "policy.head.weight"  ? 0.01
                        : layout[i].name == "value.head.weight" ? 1
                                                                : std::sqrt(2.0);
    const Tensor rows = weight.size(0) <= weight.size(1) ? weight : weight.t();
    EXPECT_LT(LargestDifference(at::mm(rows, rows.t()), at::eye(rows.size(0)) * gain * gain), 1e-5)
        << layout[i].name;
  }
}

TEST(TorchNetworkTest, InitialisationOfAnLstmRemembers) {
  const NetworkShape shape = TestShape(12, {3}, {}, 8);
  TorchNetwork network(shape);
  network.Initialise(5);
  const auto layout = WeightLayout(shape);
  for (size_t i = 0; i < layout.size(); ++i) {
    const Tensor& weight = network.parameters()[i];
    if (layout[i].name == "lstm.bias_ih") {
      EXPECT_EQ(weight.sum().item<double>(), 8);
      EXPECT_EQ(weight.narrow(0, 8, 8).min().item<double>(), 1);
    } else if (layout[i].name == "lstm.bias_hh") {
      EXPECT_EQ(weight.abs().max().item<double>(), 0);
    } else if (layout[i].name == "lstm.weight_hh") {
      for (int64_t gate = 0; gate < 4; ++gate) {
        const Tensor block = weight.narrow(0, gate * 8, 8);
        EXPECT_LT(LargestDifference(at::mm(block, block.t()), at::eye(8)), 1e-5);
      }
    }
  }
}

TEST(TorchNetworkTest, InitialisationDependsOnTheSeedAlone) {
  const NetworkShape shape = TestShape(12, {3}, {16}, 8);
  TorchNetwork a(shape), b(shape), c(shape);
  a.Initialise(5);
  b.Initialise(6);
  b.Initialise(5);
  c.Initialise(6);
  EXPECT_TRUE(at::equal(a.flat_parameters(), b.flat_parameters()));
  EXPECT_FALSE(at::equal(a.flat_parameters(), c.flat_parameters()));
}

TEST(NormaliseInputsTest, ClampsAfterScaling) {
  const Tensor raw = at::tensor({3.0f, 1e9f, -1e9f, 2.0f}).view({2, 2});
  const Tensor out = NormaliseInputs(raw, at::tensor({2.0f, 0.0f}), at::tensor({0.5f, 1.0f}));
  EXPECT_TRUE(at::equal(out, at::tensor({0.5f, 5.0f, -5.0f, 2.0f}).view({2, 2})));
}

// Two heads; the first row's mask leaves two choices of the first head.
TEST(EvaluateActionsTest, ByHand) {
  const NetworkShape shape = TestShape(1, {3, 2}, {});
  Tensor logits = at::tensor({0.0f, 1.0f, 5.0f, 0.0f, 0.0f,  //
                              1.0f, 1.0f, 1.0f, 2.0f, 0.0f})
                      .view({2, 5});
  logits.set_requires_grad(true);
  const Tensor masks = at::ones({2, 5}, at::kByte);
  masks[0][2] = 0;
  const Tensor actions = at::tensor({int64_t{1}, int64_t{0}, int64_t{2}, int64_t{1}}).view({2, 2});
  const auto statistics = EvaluateActions(shape, logits, masks, actions);
  const double p = 1 / (1 + std::exp(-1.0));  // of choice 1 among {0, 1}
  const double q = 1 / (1 + std::exp(-2.0));
  const double entropy_p = -p * std::log(p) - (1 - p) * std::log(1 - p);
  const double entropy_q = -q * std::log(q) - (1 - q) * std::log(1 - q);
  EXPECT_NEAR(statistics.log_probs[0].item<double>(), std::log(p) + std::log(0.5), 1e-6);
  EXPECT_NEAR(statistics.log_probs[1].item<double>(), std::log(1.0 / 3) + std::log(1 - q), 1e-6);
  EXPECT_NEAR(statistics.entropy[0].item<double>(), entropy_p + std::log(2.0), 1e-6);
  EXPECT_NEAR(statistics.entropy[1].item<double>(), std::log(3.0) + entropy_q, 1e-6);

  (statistics.log_probs.sum() + statistics.entropy.sum()).backward();
  const Tensor gradient = logits.grad();
  EXPECT_TRUE(gradient.isfinite().all().item<bool>());
  EXPECT_EQ(gradient[0][2].item<double>(), 0);
  // d log p(1) / d logit 1 = 1 - p; d entropy / d logit 1 = -p (log p + entropy).
  EXPECT_NEAR(gradient[0][1].item<double>(), (1 - p) - p * (std::log(p) + entropy_p), 1e-6);
}

}  // namespace
}  // namespace midlane
