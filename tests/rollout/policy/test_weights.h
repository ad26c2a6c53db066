// Weights and inputs that every policy test can make again, also in Python: parameter i is
// 0.5 sin(0.7 i + 0.3), input i is 2 cos(0.9 i + 0.1), mean i is 0.1 i - 0.2, inv_std i is
// 1 + 0.5 i.
#ifndef MIDLANE_TESTS_ROLLOUT_POLICY_TEST_WEIGHTS_H_
#define MIDLANE_TESTS_ROLLOUT_POLICY_TEST_WEIGHTS_H_

#include <cmath>
#include <random>
#include <vector>

#include "rollout/policy/network.h"
#include "rollout/policy/weights.h"

namespace midlane {

inline NetworkShape TestShape(uint32_t inputs, std::vector<uint32_t> heads,
                              std::vector<uint32_t> hidden, uint32_t lstm = 0,
                              bool separate_value = true,
                              Activation activation = Activation::kTanh) {
  return {inputs, std::move(heads), {std::move(hidden), lstm, separate_value, activation}};
}

inline Weights SineWeights(const NetworkShape& shape) {
  Weights weights;
  weights.version = 1;
  for (uint32_t i = 0; i < shape.inputs; ++i) {
    weights.mean.push_back(static_cast<float>(0.1 * i - 0.2));
    weights.inv_std.push_back(static_cast<float>(1.0 + 0.5 * i));
  }
  for (size_t i = 0; i < ParameterCount(shape); ++i) {
    weights.parameters.push_back(static_cast<float>(0.5 * std::sin(0.7 * i + 0.3)));
  }
  return weights;
}

inline std::vector<float> CosineInputs(size_t count) {
  std::vector<float> inputs(count);
  for (size_t i = 0; i < count; ++i) inputs[i] = static_cast<float>(2.0 * std::cos(0.9 * i + 0.1));
  return inputs;
}

// Of the size that training begins with: uniform in +-sqrt(3 / fan in), so that no layer saturates.
inline Weights RandomWeights(const NetworkShape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  Weights weights = SineWeights(shape);
  for (uint32_t i = 0; i < shape.inputs; ++i) weights.inv_std[i] = 1.0f + 0.01f * (i % 7);
  for (const WeightTensor& tensor : WeightLayout(shape)) {
    const float bound = std::sqrt(3.0f / static_cast<float>(tensor.shape.back()));
    std::uniform_real_distribution<float> uniform(-bound, bound);
    for (size_t i = 0; i < tensor.elements(); ++i) {
      weights.parameters[tensor.offset + i] = 0.9f * uniform(random);
    }
  }
  return weights;
}

inline std::vector<float> RandomFloats(size_t count, float bound, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-bound, bound);
  std::vector<float> floats(count);
  for (float& x : floats) x = uniform(random);
  return floats;
}

}  // namespace midlane

#endif  // MIDLANE_TESTS_ROLLOUT_POLICY_TEST_WEIGHTS_H_
