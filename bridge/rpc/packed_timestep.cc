#include "bridge/rpc/packed_timestep.h"

#include <cstring>

namespace midlane::rpc {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they lie");

// Calls `field(memory, bytes)` for each part of a timestep, in the order of the layout. `timestep`
// is an AgentView or a midlane_slot.
template <typename Timestep, typename Rewards, typename Metrics, typename Observation,
          typename Field>
void ForEachField(const Spec& spec, Timestep& timestep, Rewards* rewards, Metrics* metrics,
                  Observation* observation, const Field& field) {
  field(&timestep.observed_frame, sizeof timestep.observed_frame);
  field(&timestep.effect_frame, sizeof timestep.effect_frame);
  field(&timestep.episode, sizeof timestep.episode);
  field(&timestep.flags, sizeof timestep.flags);
  if (!spec.terms.empty()) field(rewards, spec.terms.size() * sizeof(float));
  if (!spec.metrics.empty()) field(metrics, spec.metrics.size() * sizeof(float));
  field(observation, spec.observation_bytes);
}

}  // namespace

size_t PackedBytes(const Spec& spec) {
  return 2 * sizeof(uint64_t) + 2 * sizeof(uint32_t) +
         (spec.terms.size() + spec.metrics.size()) * sizeof(float) + spec.observation_bytes;
}

void PackTimestep(const Spec& spec, const AgentView& view, unsigned char* packed) {
  ForEachField(spec, view, view.rewards, view.metrics, view.observation,
               [&packed](const void* from, size_t bytes) {
                 std::memcpy(packed, from, bytes);
                 packed += bytes;
               });
}

bool UnpackTimestep(const Spec& spec, std::string_view packed, midlane_slot* slot) {
  if (packed.size() != PackedBytes(spec)) return false;
  const char* from = packed.data();
  ForEachField(spec, *slot, slot->reward, slot->metric, midlane_slot_observation(slot),
               [&from](void* to, size_t bytes) {
                 std::memcpy(to, from, bytes);
                 from += bytes;
               });
  return true;
}

}  // namespace midlane::rpc
