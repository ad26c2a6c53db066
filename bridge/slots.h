// Slots: an agent's part of the channel as an AgentView, and slots for worlds without a channel.
//
// Thread-safety: as Env, one thread at a time.
// Ownership: SlotBuffer owns its memory; views point into it and live as long.
#ifndef MIDLANE_BRIDGE_SLOTS_H_
#define MIDLANE_BRIDGE_SLOTS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "bridge/env.h"
#include "bridge/spec.h"

namespace midlane {

inline AgentView ViewSlot(midlane_slot* slot) {
  AgentView view;
  view.flags = slot->flags;
  view.observed_frame = slot->observed_frame;
  view.effect_frame = slot->effect_frame;
  view.episode = slot->episode;
  view.observation = midlane_slot_observation(slot);
  view.rewards = slot->reward;
  view.metrics = slot->metric;
  view.actions = slot->action;
  return view;
}

// InvalidArgument where an action of the slot is not a choice of its head, or is masked.
// REQUIRES: the slot wants an action.
absl::Status CheckActions(const Spec& spec, int agent, const midlane_slot& slot,
                          const unsigned char* observation);

// Zeroed slots of a world in this process, laid out as the channel's are.
class SlotBuffer {
 public:
  explicit SlotBuffer(const Spec& spec);

  midlane_slot* slot(int agent) {
    return reinterpret_cast<midlane_slot*>(memory_.get() + agent * stride_);
  }
  unsigned char* observation(int agent) { return midlane_slot_observation(slot(agent)); }

 private:
  struct Free {
    void operator()(unsigned char* memory) const;
  };
  size_t stride_;
  std::unique_ptr<unsigned char, Free> memory_;
};

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_SLOTS_H_
