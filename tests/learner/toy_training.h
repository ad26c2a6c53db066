// ToyTraining: small worlds played by the native policy and trained by the learner's own parts
// (batches, GAE, PPO, engines), in one thread and without a transport.
#ifndef MIDLANE_TESTS_LEARNER_TOY_TRAINING_H_
#define MIDLANE_TESTS_LEARNER_TOY_TRAINING_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "learner/ppo.h"
#include "learner/running_statistics.h"
#include "rollout/policy/policy.h"
#include "rollout/sampler.h"

namespace midlane {

// One world with one or several agents that act at once.
class Toy {
 public:
  virtual ~Toy() = default;
  // Of agent `agent`, before it acts. `masks` is null where the shape has none.
  virtual void Observe(int agent, float* inputs, uint8_t* masks) = 0;
  // Actions of all agents; `rewards` one each. True where the episode terminated (a fresh one has
  // begun).
  virtual bool Step(const int32_t* actions, float* rewards) = 0;
};

struct ToyOptions {
  NetworkShape shape;
  bool masked = false;
  int agents = 1;
  PpoOptions ppo;
  uint32_t worlds = 16;
  uint32_t steps = 64;  // of a chunk
  uint64_t seed = 1;
  std::string device = "cpu";  // "cpu": an MLP by the native engine
};

class ToyTraining {
 public:
  ToyTraining(ToyOptions options, const std::function<std::unique_ptr<Toy>(Random*)>& make)
      : options_(std::move(options)),
        random_(options_.seed, 77),
        policy_(MakeNativePolicy(options_.shape)),
        batch_(BatchShape{options_.shape.inputs, options_.shape.logits_width(), options_.masked,
                          static_cast<uint32_t>(options_.shape.heads.size()), 1,
                          options_.shape.state_width(), options_.ppo.window}) {
    if (options_.shape.config.lstm > 0 || options_.device != "cpu") {
      engine_ = *MakeTorchEngine(options_.shape, options_.device, 1);
    } else {
      engine_ = MakeMlpEngine(options_.shape);
    }
    weights_.parameters = InitialParameters(options_.shape, options_.seed);
    weights_.mean.assign(options_.shape.inputs, 0.0f);
    weights_.inv_std.assign(options_.shape.inputs, 1.0f);
    for (uint32_t i = 0; i < options_.worlds; ++i) {
      worlds_.push_back(make(&random_));
      for (int agent = 0; agent < options_.agents; ++agent) {
        rows_.push_back({i, agent});
        rows_.back().state.assign(options_.shape.state_width(), 0.0f);
      }
    }
  }

  std::vector<float>* parameters() { return &weights_.parameters; }

  // One iteration; answers the mean reward a timestep of it.
  double Iterate() {
    ++weights_.version;
    EXPECT_TRUE(policy_->Load(weights_).ok());
    batch_.Clear();
    const double reward = Play();
    uint64_t compared = 0;
    engine_->SetParameters(weights_.parameters);
    const bool lstm = options_.shape.config.lstm > 0;
    const auto error =
        BehaviourLogProbError(batch_, lstm, weights_.version, weights_.parameters, weights_.mean,
                              weights_.inv_std, 64, engine_.get(), &compared);
    EXPECT_TRUE(error.ok()) << error.status();
    EXPECT_LT(*error, 1e-4) << "the player and the trainer disagree";
    FinishBatch(options_.ppo, {1.0f}, &deviation_, &batch_);
    EXPECT_TRUE(engine_->SetBatch(batch_, weights_.mean, weights_.inv_std).ok());
    PpoIteration at;
    at.seed = options_.seed;
    at.iteration = weights_.version;
    at.timestep = weights_.version * batch_.steps();
    at.lstm = lstm;
    const auto figures = TrainPpo(options_.ppo, at, batch_, engine_.get());
    EXPECT_TRUE(figures.ok()) << figures.status();
    weights_.parameters = engine_->GetParameters();
    if (options_.ppo.normalise_observation) {
      observations_.Add(batch_.inputs);
      NormaliserOf(observations_, &weights_.mean, &weights_.inv_std);
    }
    return reward;
  }

  // Probabilities of the first head's choices for one observation.
  std::vector<double> Probabilities(const std::vector<float>& inputs) {
    EXPECT_TRUE(policy_->Load(weights_).ok());
    std::vector<float> logits(options_.shape.logits_width()), state(options_.shape.state_width());
    float value = 0;
    EXPECT_TRUE(policy_->Evaluate({1, inputs.data(), state.data(), logits.data(), &value}).ok());
    std::vector<double> p;
    double sum = 0;
    for (uint32_t i = 0; i < options_.shape.heads[0]; ++i) {
      p.push_back(std::exp(logits[i]));
      sum += p.back();
    }
    for (double& x : p) x /= sum;
    return p;
  }

 private:
  struct Row {
    uint32_t world = 0;
    int agent = 0;
    std::vector<float> state = {};
    bool start = true;
    // The chunk under construction.
    std::vector<float> inputs = {}, log_probs = {}, values = {}, rewards = {}, bootstrap = {},
                       states = {};
    std::vector<uint8_t> masks = {}, ends = {}, starts = {};
    std::vector<int32_t> actions = {};
  };

  // Observes and evaluates all rows; fills logits_, values_, observed_ and allowed_.
  void Evaluate() {
    const NetworkShape& shape = options_.shape;
    const size_t n = rows_.size();
    observed_.resize(n * shape.inputs);
    allowed_.assign(n * shape.logits_width(), 1);
    states_.resize(n * shape.state_width());
    logits_.resize(n * shape.logits_width());
    values_.resize(n);
    for (size_t r = 0; r < n; ++r) {
      worlds_[rows_[r].world]->Observe(
          rows_[r].agent, observed_.data() + r * shape.inputs,
          options_.masked ? allowed_.data() + r * shape.logits_width() : nullptr);
      std::copy(rows_[r].state.begin(), rows_[r].state.end(),
                states_.begin() + static_cast<ptrdiff_t>(r * shape.state_width()));
    }
    EXPECT_TRUE(policy_
                    ->Evaluate({static_cast<uint32_t>(n), observed_.data(), states_.data(),
                                logits_.data(), values_.data()})
                    .ok());
  }

  double Play() {
    const NetworkShape& shape = options_.shape;
    const uint32_t width = shape.logits_width(), state = shape.state_width();
    const size_t heads = shape.heads.size();
    for (Row& row : rows_) {
      row.inputs.clear(), row.log_probs.clear(), row.values.clear(), row.rewards.clear();
      row.bootstrap.clear(), row.states.clear(), row.masks.clear(), row.ends.clear();
      row.starts.clear(), row.actions.clear();
    }
    double total = 0;
    for (uint32_t t = 0; t < options_.steps; ++t) {
      Evaluate();
      for (size_t r = 0; r < rows_.size(); ++r) {
        Row& row = rows_[r];
        row.inputs.insert(row.inputs.end(), observed_.begin() + r * shape.inputs,
                          observed_.begin() + (r + 1) * shape.inputs);
        const uint8_t* masks = options_.masked ? allowed_.data() + r * width : nullptr;
        if (masks != nullptr) row.masks.insert(row.masks.end(), masks, masks + width);
        if (t % options_.ppo.window == 0) {
          row.states.insert(row.states.end(), row.state.begin(), row.state.end());
        }
        row.actions.resize(row.actions.size() + heads);
        const auto log_prob = SampleActions(shape.heads, logits_.data() + r * width, masks,
                                            &random_, row.actions.data() + t * heads);
        EXPECT_TRUE(log_prob.ok()) << log_prob.status();
        row.log_probs.push_back(*log_prob);
        row.values.push_back(values_[r]);
        row.starts.push_back(row.start);
        row.start = false;
        row.bootstrap.push_back(0);
        row.state.assign(states_.begin() + r * state, states_.begin() + (r + 1) * state);
      }
      const size_t agents = static_cast<size_t>(options_.agents);
      for (size_t w = 0; w < worlds_.size(); ++w) {
        std::vector<int32_t> actions(agents);
        std::vector<float> rewards(agents);
        for (size_t a = 0; a < agents; ++a) actions[a] = rows_[w * agents + a].actions[t * heads];
        const bool ended = worlds_[w]->Step(actions.data(), rewards.data());
        for (size_t a = 0; a < agents; ++a) {
          Row& row = rows_[w * agents + a];
          row.rewards.push_back(rewards[a]);
          row.ends.push_back(ended ? 1 : 0);
          total += rewards[a];
          if (!ended) continue;
          row.start = true;
          std::fill(row.state.begin(), row.state.end(), 0.0f);
        }
      }
    }
    Evaluate();
    for (size_t r = 0; r < rows_.size(); ++r) {
      Row& row = rows_[r];
      row.bootstrap.back() = values_[r];
      ChunkData chunk;
      chunk.worker = r + 1;
      chunk.sequence = sequence_;
      chunk.steps = options_.steps;
      chunk.versions = {{weights_.version, options_.steps}};
      chunk.inputs = row.inputs;
      chunk.masks = row.masks;
      chunk.actions = row.actions;
      chunk.log_probs = row.log_probs;
      chunk.values = row.values;
      chunk.terms = row.rewards;
      chunk.ends = row.ends;
      chunk.bootstrap = row.bootstrap;
      chunk.states = row.states;
      chunk.starts = row.starts;
      batch_.Append(chunk);
    }
    ++sequence_;
    return total / static_cast<double>(rows_.size() * options_.steps);
  }

  const ToyOptions options_;
  Random random_;
  std::unique_ptr<Policy> policy_;
  std::unique_ptr<PpoEngine> engine_;
  Weights weights_;
  RunningMoments observations_{options_.shape.inputs};
  ReturnDeviation deviation_;
  std::vector<std::unique_ptr<Toy>> worlds_;
  std::vector<Row> rows_;
  uint32_t sequence_ = 0;
  Batch batch_;
  std::vector<float> observed_, states_, logits_, values_;
  std::vector<uint8_t> allowed_;
};

}  // namespace midlane

#endif  // MIDLANE_TESTS_LEARNER_TOY_TRAINING_H_
