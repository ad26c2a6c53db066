// FakeEnv: an Env whose answers a test can hold back, and whose faults it can order.
//
// Agents a0, a1, ...; observation `tick` (i32 scalar: steps since Reset), `acted` (i32, one element
// an agent: the actions of the last step), `mask` (u8, 4 choices, all allowed but the tick's
// remainder of 4 where `masked`); head `move` (4 choices, masked); terms `one` (1 a step) and
// `two` (2 a step). Settings: `length` (steps of an episode), `bot` (name of an agent that is
// PASSIVE), `bad` refused.
#ifndef MIDLANE_TESTS_BRIDGE_RPC_FAKE_ENV_H_
#define MIDLANE_TESTS_BRIDGE_RPC_FAKE_ENV_H_

#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bridge/doorbell.h"
#include "bridge/env.h"
#include "bridge/slots.h"

namespace midlane {

// What the test holds in its hand; outlives the Env.
struct FakeControl {
  std::mutex mutex;
  std::condition_variable changed;
  bool held = false;       // answers wait for Release
  int allowed = 0;         // answers let through while held
  absl::Status fault;      // of the next answer
  int made = 0, gone = 0;  // Envs
  int steps = 0, resets = 0, restarts = 0;
  bool masked = false;
  std::shared_ptr<Doorbell> doorbell;  // of the Env made last

  void Hold() {
    std::lock_guard<std::mutex> lock(mutex);
    held = true;
    allowed = 0;
  }
  void Release(int answers) {
    std::lock_guard<std::mutex> lock(mutex);
    allowed += answers;
    changed.notify_all();
    if (doorbell) doorbell->Ring();
  }
  void Break(absl::Status status) {
    std::lock_guard<std::mutex> lock(mutex);
    fault = std::move(status);
    if (doorbell) doorbell->Ring();
  }
  int Count(int FakeControl::*counter) {
    std::lock_guard<std::mutex> lock(mutex);
    return this->*counter;
  }
};

class FakeEnv final : public Env {
 public:
  FakeEnv(int agents, FakeControl* control, const std::shared_ptr<Doorbell>& doorbell)
      : control_(control), spec_(MakeSpec(agents)), slots_(spec_) {
    std::lock_guard<std::mutex> lock(control_->mutex);
    ++control_->made;
    control_->doorbell = doorbell;
  }
  ~FakeEnv() override {
    std::lock_guard<std::mutex> lock(control_->mutex);
    ++control_->gone;
  }

  const Spec& spec() const override { return spec_; }

  absl::Status Reset(const Settings& settings) override {
    int length = 3;
    std::string bot;
    for (const auto& [name, value] : settings) {
      if (name == "length" && absl::SimpleAtoi(value, &length) && length > 0) continue;
      if (name == "bot" && spec_.FindAgent(value) >= 0) {
        bot = value;
        continue;
      }
      return absl::InvalidArgumentError(absl::StrCat("unknown setting '", name, "' (or its value '",
                                                     value, "'): known are length, bot"));
    }
    length_ = length;
    bot_ = spec_.FindAgent(bot);
    ++episode_;
    tick_ = 0;
    Called(&FakeControl::resets);
    for (size_t i = 0; i < spec_.agents.size(); ++i) slots_.slot(i)->action[0] = -1;
    Write(MIDLANE_SLOT_FIRST);
    return absl::OkStatus();
  }

  absl::Status Step() override {
    ++tick_;
    Called(&FakeControl::steps);
    Write(tick_ >= length_ ? MIDLANE_SLOT_TERMINATED | MIDLANE_SLOT_MATCH_OVER : 0);
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Ready() override {
    std::lock_guard<std::mutex> lock(control_->mutex);
    return Answered();
  }

  absl::Status Wait(absl::Duration timeout) override {
    std::unique_lock<std::mutex> lock(control_->mutex);
    const auto until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
    for (;;) {
      const absl::StatusOr<bool> ready = Answered();
      if (!ready.ok()) return ready.status();
      if (*ready) return absl::OkStatus();
      if (control_->changed.wait_until(lock, until) == std::cv_status::timeout) {
        return absl::DeadlineExceededError("the fake is held");
      }
    }
  }

  AgentView agent(int index) override { return ViewSlot(slots_.slot(index)); }

  absl::Status Restart() override {
    std::lock_guard<std::mutex> lock(control_->mutex);
    ++control_->restarts;
    broken_ = absl::OkStatus();
    return absl::OkStatus();
  }

  EnvStats stats() const override { return {}; }

 private:
  static Spec MakeSpec(int agents) {
    Spec spec;
    spec.environment = "fake";
    for (int i = 0; i < agents; ++i) spec.agents.push_back(absl::StrCat("a", i));
    TensorSpec tick, acted, mask;
    tick.name = "tick";
    tick.dtype = MIDLANE_DTYPE_I32;
    tick.minimum = 0;
    tick.maximum = std::numeric_limits<float>::infinity();
    acted.name = "acted";
    acted.dtype = MIDLANE_DTYPE_I32;
    acted.shape = {static_cast<uint32_t>(agents)};
    acted.minimum = -1;
    acted.maximum = 3;
    mask.name = "mask";
    mask.dtype = MIDLANE_DTYPE_U8;
    mask.shape = {4};
    mask.minimum = 0;
    mask.maximum = 1;
    mask.masks_head = 0;
    spec.tensors = {tick, acted, mask};
    HeadSpec move;
    move.name = "move";
    move.choices = 4;
    move.mask_tensor = 2;
    spec.heads = {move};
    spec.terms = {"one", "two"};
    spec.metrics = {"won"};
    spec.frames_per_second = 10;
    return *ParseSpec(*MakeRawSpec(spec));
  }

  void Called(int FakeControl::*counter) {
    std::lock_guard<std::mutex> lock(control_->mutex);
    ++(control_->*counter);
    answered_ = false;
  }

  absl::StatusOr<bool> Answered() {
    if (!broken_.ok()) return broken_;
    if (answered_) return true;
    if (control_->held && control_->allowed == 0) return false;
    if (control_->held) --control_->allowed;
    if (!control_->fault.ok()) {
      broken_ = std::exchange(control_->fault, absl::OkStatus());
      return broken_;
    }
    answered_ = true;
    return true;
  }

  void Write(uint32_t flags) {
    for (size_t i = 0; i < spec_.agents.size(); ++i) {
      midlane_slot* slot = slots_.slot(i);
      unsigned char* observation = slots_.observation(i);
      std::memcpy(observation + spec_.tensors[0].offset, &tick_, sizeof tick_);
      for (size_t j = 0; j < spec_.agents.size(); ++j) {
        std::memcpy(observation + spec_.tensors[1].offset + j * sizeof(int32_t),
                    &slots_.slot(j)->action[0], sizeof(int32_t));
      }
      for (int choice = 0; choice < 4; ++choice) {
        observation[spec_.tensors[2].offset + choice] = !control_->masked || tick_ % 4 != choice;
      }
      slot->flags =
          MIDLANE_SLOT_ACTIVE | flags | (bot_ == static_cast<int>(i) ? MIDLANE_SLOT_PASSIVE : 0);
      slot->episode = episode_;
      slot->observed_frame = 100 * episode_ + tick_;
      slot->effect_frame = flags & MIDLANE_SLOT_FIRST ? 0 : slot->observed_frame;
      slot->reward[0] = flags & MIDLANE_SLOT_FIRST ? 0 : 1;
      slot->reward[1] = flags & MIDLANE_SLOT_FIRST ? 0 : 2;
    }
  }

  FakeControl* const control_;
  const Spec spec_;
  SlotBuffer slots_;
  absl::Status broken_;
  bool answered_ = false;
  int length_ = 3, bot_ = -1;
  int32_t tick_ = 0;
  uint32_t episode_ = 0;
};

}  // namespace midlane

#endif  // MIDLANE_TESTS_BRIDGE_RPC_FAKE_ENV_H_
