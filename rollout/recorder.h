// Recorder: writes one agent's timesteps into chunks and emits every chunk that is complete.
//
// A timestep t is written in two halves: Act, with what was observed and chosen, and Settle, when
//   the next observation brings its rewards and whether the episode ended. A step between the two
//   is pending; no chunk ever holds one.
// Bootstraps: a terminated step has none; a truncated step's comes with Truncated (value of the
//   final observation); the last step of a chunk that goes on takes the value of the next
//   observation, which Act brings: a full chunk leaves when the agent acts again.
// Runs: chunks of one run (`episode`) continue each other without a gap, sequence by sequence. A
// run
//   goes over many of the agent's episodes and ends with Cut.
// Thread-safety: one thread at a time.
#ifndef MIDLANE_ROLLOUT_RECORDER_H_
#define MIDLANE_ROLLOUT_RECORDER_H_

#include <cstdint>

#include "rollout/chunk.h"
#include "rollout/experience.pb.h"

namespace midlane {

class ChunkSink {
 public:
  virtual ~ChunkSink() = default;
  // `header` lacks `worker` and `number`; it is the recorder's again after the call.
  virtual void Emit(v1::ChunkHeader* header, MutableChunk::Payload payload) = 0;
};

class Recorder {
 public:
  // `sink` outlives the recorder. REQUIRES: 1 <= chunk_steps <= kChunkStepsMax.
  Recorder(const ChunkShape& shape, uint32_t chunk_steps, uint32_t agent, ChunkSink* sink);

  // A run begins. REQUIRES: nothing is recorded since the last Cut.
  void Begin(uint64_t episode, uint32_t opponent);
  uint32_t opponent() const { return opponent_; }

  bool pending() const { return pending_; }

  // One observation and what was done in it. Pointers as ChunkArrays has them for one step; `masks`
  // and `state` (before the step) may be null where the shape has none. `start`: the state was
  // reset before this step. REQUIRES: not pending.
  struct Step {
    const float* inputs = nullptr;
    const uint8_t* masks = nullptr;
    const float* state = nullptr;
    const int32_t* actions = nullptr;
    float log_prob = 0;
    float value = 0;
    bool start = false;
    uint64_t version = 0;
  };
  void Act(const Step& step);

  // The outcome of the pending step. After kTruncated, Truncated must follow.
  void Settle(const float* rewards, ChunkEnd end);
  // The value of the observation at which the episode was cut.
  void Truncated(float value);

  // Ends the run: emits what is complete. A pending step has no outcome and is left out; its value
  // is the bootstrap of the one before.
  void Cut();

 private:
  void Emit();

  MutableChunk chunk_;
  ChunkSink* const sink_;
  const uint32_t agent_;
  v1::ChunkHeader header_;
  uint32_t steps_ = 0;  // written, the pending one included
  bool pending_ = false;
  uint64_t episode_ = 0;
  uint32_t sequence_ = 0;
  uint32_t opponent_ = 0;
};

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_RECORDER_H_
