#include "bridge/slots.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace midlane {
namespace {

absl::Status RefuseAction(const Spec& spec, int agent, int head, int32_t action,
                          absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("action ", action, " of '", spec.heads[head].name,
                                                 "' for agent '", spec.agents[agent], "' ",
                                                 reason));
}

}  // namespace

absl::Status CheckActions(const Spec& spec, int agent, const midlane_slot& slot,
                          const unsigned char* observation) {
  for (size_t h = 0; h < spec.heads.size(); ++h) {
    const HeadSpec& head = spec.heads[h];
    const int32_t action = slot.action[h];
    if (action < 0 || static_cast<uint32_t>(action) >= head.choices) {
      return RefuseAction(spec, agent, static_cast<int>(h), action,
                          absl::StrCat("is out of range: give 0 to ", head.choices - 1));
    }
    if (head.mask_tensor < 0) continue;
    const unsigned char* mask = observation + spec.tensors[head.mask_tensor].offset;
    if (mask[action]) continue;
    const bool none = std::all_of(mask, mask + head.choices, [](unsigned char m) { return !m; });
    return RefuseAction(spec, agent, static_cast<int>(h), action,
                        none ? "cannot be given: its mask allows no choice at all, which is a "
                               "fault of the adapter"
                             : "is masked: choose among those whose mask is 1");
  }
  return absl::OkStatus();
}

SlotBuffer::SlotBuffer(const Spec& spec)
    : stride_(midlane_slot_header_bytes() + midlane_align(spec.observation_bytes)) {
  const size_t bytes = stride_ * spec.agents.size();
  void* memory = std::aligned_alloc(MIDLANE_ALIGN, bytes);
  if (memory == nullptr) throw std::bad_alloc();
  std::memset(memory, 0, bytes);
  memory_.reset(static_cast<unsigned char*>(memory));
}

void SlotBuffer::Free::operator()(unsigned char* memory) const { std::free(memory); }

}  // namespace midlane
