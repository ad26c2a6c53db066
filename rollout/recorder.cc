#include "rollout/recorder.h"

#include <cstring>

namespace midlane {

Recorder::Recorder(const ChunkShape& shape, uint32_t chunk_steps, uint32_t agent, ChunkSink* sink)
    : chunk_(shape, chunk_steps), sink_(sink), agent_(agent) {}

void Recorder::Begin(uint64_t episode, uint32_t opponent) {
  episode_ = episode;
  opponent_ = opponent;
  sequence_ = 0;
}

void Recorder::Act(const Step& step) {
  const ChunkShape& shape = chunk_.shape();
  auto& arrays = chunk_.arrays();
  if (steps_ == chunk_.capacity()) {
    // Where the last step ended its episode the chunk has left already.
    arrays.bootstrap[steps_ - 1] = step.value;
    Emit();
  }
  const size_t t = steps_++;
  pending_ = true;
  std::memcpy(&arrays.inputs[t * shape.inputs], step.inputs, shape.inputs * sizeof(float));
  if (shape.masked) std::memcpy(&arrays.masks[t * shape.logits], step.masks, shape.logits);
  std::memcpy(&arrays.actions[t * shape.heads], step.actions, shape.heads * sizeof(int32_t));
  arrays.log_probs[t] = step.log_prob;
  arrays.values[t] = step.value;
  arrays.bootstrap[t] = 0;
  arrays.starts[t] = step.start ? 1 : 0;
  if (shape.state > 0 && t % shape.window == 0) {
    std::memcpy(&arrays.states[t / shape.window * shape.state], step.state,
                shape.state * sizeof(float));
  }
  const int runs = header_.version_size();
  if (runs > 0 && header_.version(runs - 1) == step.version) {
    header_.set_version_steps(runs - 1, header_.version_steps(runs - 1) + 1);
  } else {
    header_.add_version(step.version);
    header_.add_version_steps(1);
  }
}

void Recorder::Settle(const float* rewards, ChunkEnd end) {
  auto& arrays = chunk_.arrays();
  const size_t t = steps_ - 1;
  const size_t terms = chunk_.shape().terms;
  if (terms > 0) std::memcpy(&arrays.terms[t * terms], rewards, terms * sizeof(float));
  arrays.ends[t] = end;
  pending_ = false;
  if (end == kTerminated && steps_ == chunk_.capacity()) Emit();
}

void Recorder::Truncated(float value) {
  chunk_.arrays().bootstrap[steps_ - 1] = value;
  if (steps_ == chunk_.capacity()) Emit();
}

void Recorder::Cut() {
  if (pending_) {
    pending_ = false;
    --steps_;
    const int last = header_.version_steps_size() - 1;
    header_.set_version_steps(last, header_.version_steps(last) - 1);
    if (header_.version_steps(last) == 0) {
      header_.mutable_version()->RemoveLast();
      header_.mutable_version_steps()->RemoveLast();
    }
    auto& arrays = chunk_.arrays();
    if (steps_ > 0 && arrays.ends[steps_ - 1] == kGoesOn) {
      arrays.bootstrap[steps_ - 1] = arrays.values[steps_];
    }
  }
  if (steps_ > 0) Emit();
}

void Recorder::Emit() {
  header_.set_episode(episode_);
  header_.set_sequence(sequence_++);
  header_.set_agent(agent_);
  header_.set_opponent(opponent_);
  MutableChunk::Payload payload = chunk_.Finish(steps_, &header_);
  sink_->Emit(&header_, std::move(payload));
  header_.clear_version();
  header_.clear_version_steps();
  steps_ = 0;
}

}  // namespace midlane
