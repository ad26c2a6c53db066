#include "bridge/probe_env.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bridge/local_world.h"

namespace midlane {
namespace {

constexpr float kFramesPerSecond = 60;
constexpr uint32_t kChoices = 4;
constexpr uint64_t kSeedFrames = 1000;

enum Tensor { kFrame, kOwnAction, kOwnEffect, kOtherAction, kOtherEffect, kStepsLeft, kMask };

struct Side {
  uint64_t length = 0;    // timesteps of an episode
  uint64_t step = 0;      // timesteps of this episode so far
  int32_t action = -1;    // that acted last
  uint64_t effect = 0;    // since when
  uint64_t echo_sum = 0;  // over the match
  bool idle = false;
};

class ProbeRules final : public LocalRules {
 public:
  ProbeRules(const Spec& spec, uint64_t seed) : spec_(spec), default_seed_(seed) {
    sides_.resize(spec_.agents.size());
  }

  absl::Status Check(const Settings& settings) const override {
    if (IntegerSetting(settings, "delay") <= IntegerSetting(settings, "frame_skip")) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "setting 'delay' cannot be '", settings.at("delay"),
        "': an action must act within 'frame_skip' (", settings.at("frame_skip"), ") frames"));
  }

  void Reset(const Settings& settings, bool fresh, SlotBuffer* slots) override {
    if (fresh) {
      skip_ = IntegerSetting(settings, "frame_skip");
      delay_ = IntegerSetting(settings, "delay");
      masks_ = settings.at("masks") == "true";
      truncates_ = settings.at("ends") == "truncated";
      episodes_per_match_ = IntegerSetting(settings, "match");
      const uint64_t seed =
          settings.at("seed").empty() ? default_seed_ : IntegerSetting(settings, "seed");
      frame_ = 1 + seed % kSeedFrames;
      episodes_left_ = episodes_per_match_;
      for (size_t i = 0; i < sides_.size(); ++i) {
        sides_[i].echo_sum = 0;
        sides_[i].length = IntegerSetting(settings, i == 0 ? "length" : "length_right");
        if (sides_[i].length == 0) sides_[i].length = IntegerSetting(settings, "length");
        sides_[i].idle = settings.at(i == 0 ? "left" : "right") == "idle";
      }
    } else {
      frame_ += skip_;
      frames_ += skip_;
    }
    for (size_t i = 0; i < sides_.size(); ++i) Begin(slots->slot(i), &sides_[i]);
    for (size_t i = 0; i < sides_.size(); ++i) Observe(i, slots);
  }

  void Step(SlotBuffer* slots) override {
    const uint64_t effect = frame_ + delay_;
    frame_ += skip_;
    frames_ += skip_;
    bool match_over = false;
    for (size_t i = 0; i < sides_.size(); ++i) {
      midlane_slot* slot = slots->slot(i);
      if (slot->flags & (MIDLANE_SLOT_TERMINATED | MIDLANE_SLOT_TRUNCATED)) {
        Begin(slot, &sides_[i]);
        continue;
      }
      Side& side = sides_[i];
      side.action = side.idle ? 0 : slot->action[0];
      side.effect = effect;
      side.echo_sum += side.action;
      ++side.step;
      slot->flags = Flags(side);
      if (side.step >= side.length) slot->flags |= End();
      slot->effect_frame = effect;
      slot->reward[0] = 1;
      slot->reward[1] = static_cast<float>(side.action);
      if (i == 0 && side.step >= side.length) match_over = --episodes_left_ == 0;
    }
    if (match_over) EndMatch(slots);
    for (size_t i = 0; i < sides_.size(); ++i) Observe(i, slots);
  }

  uint64_t frames() const override { return frames_; }

 private:
  uint32_t Flags(const Side& side) const {
    return MIDLANE_SLOT_ACTIVE | (side.idle ? MIDLANE_SLOT_PASSIVE : 0);
  }

  uint32_t End() const { return truncates_ ? MIDLANE_SLOT_TRUNCATED : MIDLANE_SLOT_TERMINATED; }

  void Begin(midlane_slot* slot, Side* side) {
    side->step = 0;
    side->action = -1;
    side->effect = 0;
    slot->flags = Flags(*side) | MIDLANE_SLOT_FIRST;
    slot->effect_frame = 0;
    slot->reward[0] = slot->reward[1] = 0;
    slot->metric[0] = slot->metric[1] = slot->metric[2] = 0;
    ++slot->episode;
  }

  // Whoever is in mid-episode when the match ends is cut.
  void EndMatch(SlotBuffer* slots) {
    for (size_t i = 0; i < sides_.size(); ++i) {
      midlane_slot* slot = slots->slot(i);
      if (slot->flags & MIDLANE_SLOT_FIRST) slot->flags &= ~uint32_t{MIDLANE_SLOT_FIRST};
      if (!(slot->flags & (MIDLANE_SLOT_TERMINATED | MIDLANE_SLOT_TRUNCATED))) {
        slot->flags |= MIDLANE_SLOT_TRUNCATED;
      }
      slot->flags |= MIDLANE_SLOT_MATCH_OVER;
      if (sides_.size() == 2) {
        slot->metric[0] = sides_[i].echo_sum > sides_[1 - i].echo_sum;
        slot->metric[1] = sides_[i].echo_sum < sides_[1 - i].echo_sum;
      }
    }
  }

  void Observe(size_t agent, SlotBuffer* slots) {
    midlane_slot* slot = slots->slot(agent);
    slot->observed_frame = frame_;
    slot->metric[2] = static_cast<float>(frames_);
    const Side& own = sides_[agent];
    static const Side kNobody;
    const Side& other = sides_.size() == 2 ? sides_[1 - agent] : kNobody;
    unsigned char* observation = slots->observation(agent);
    const auto put = [&](Tensor tensor, int64_t value) {
      const auto narrow = static_cast<int32_t>(value);
      std::memcpy(observation + spec_.tensors[tensor].offset, &narrow, sizeof(narrow));
    };
    put(kFrame, frame_);
    put(kOwnAction, own.action);
    put(kOwnEffect, own.effect);
    put(kOtherAction, other.action);
    put(kOtherEffect, other.effect);
    put(kStepsLeft, own.length - own.step);
    unsigned char* mask = observation + spec_.tensors[kMask].offset;
    std::memset(mask, 1, kChoices);
    if (masks_) mask[(frame_ / skip_) % kChoices] = 0;
  }

  Spec spec_;
  uint64_t default_seed_;
  uint64_t skip_ = 1, delay_ = 1, episodes_per_match_ = 1, episodes_left_ = 1;
  bool masks_ = false, truncates_ = false;
  uint64_t frame_ = 0;   // of this match
  uint64_t frames_ = 0;  // in all
  std::vector<Side> sides_;
};

TensorSpec IntegerTensor(const char* name) {
  TensorSpec tensor;
  tensor.name = name;
  tensor.dtype = MIDLANE_DTYPE_I32;
  tensor.shape = {1};
  tensor.minimum = -1;
  tensor.maximum = 0x1p31f;
  return tensor;
}

}  // namespace

std::vector<SettingSpec> ProbeEnvSettings() {
  const std::vector<std::string> players = {"agent", "idle"};
  return {
      {"agents", SettingKind::kInteger, "1", "agents of the world", {}, 1, 2},
      {"delay", SettingKind::kInteger, "1", "frames until an action acts", {}, 1, 1000},
      {"ends", SettingKind::kText, "terminated", "how episodes end", {"terminated", "truncated"}},
      {"frame_skip", SettingKind::kInteger, "4", "frames a timestep", {}, 1, 1000},
      {"left", SettingKind::kText, "agent", "who plays the left side", players},
      {"length", SettingKind::kInteger, "16", "timesteps of an episode", {}, 1, 1e9},
      {"length_right",
       SettingKind::kInteger,
       "0",
       "timesteps of the right side's episodes; 0: as the left's",
       {},
       0,
       1e9},
      {"masks", SettingKind::kFlag, "false", "forbid one choice a timestep"},
      {"match", SettingKind::kInteger, "1", "episodes of the left side in a match", {}, 1, 1e9},
      {"right", SettingKind::kText, "agent", "who plays the right side", players},
      {"seed", SettingKind::kInteger, "", "offsets a match's first frame", {}, 0},
  };
}

absl::StatusOr<std::unique_ptr<Env>> MakeProbeEnv(const EnvOptions& options) {
  const std::vector<SettingSpec> settings = ProbeEnvSettings();
  absl::StatusOr<Settings> initial = ResolveSettings(settings, options.settings);
  if (!initial.ok()) return initial.status();
  Spec spec;
  spec.environment = "probe";
  spec.agents = {"left"};
  if (IntegerSetting(*initial, "agents") == 2) spec.agents.push_back("right");
  for (const char* name :
       {"frame", "own_action", "own_effect", "other_action", "other_effect", "steps_left"}) {
    spec.tensors.push_back(IntegerTensor(name));
  }
  TensorSpec mask;
  mask.name = "mask";
  mask.dtype = MIDLANE_DTYPE_U8;
  mask.shape = {kChoices};
  mask.maximum = 1;
  mask.masks_head = 0;
  spec.tensors.push_back(mask);
  HeadSpec head;
  head.name = "action";
  head.choices = kChoices;
  spec.heads = {head};
  spec.terms = {"step", "echo"};
  spec.metrics = {"won", "lost", "frames"};
  spec.frame_skip = 4;
  spec.frames_per_second = kFramesPerSecond;
  absl::StatusOr<midlane_spec> raw = MakeRawSpec(spec);
  if (!raw.ok()) return raw.status();
  absl::StatusOr<Spec> parsed = ParseSpec(*raw);
  if (!parsed.ok()) return parsed.status();

  LocalWorldParts parts;
  parts.rules = std::make_unique<ProbeRules>(*parsed, options.seed);
  parts.spec = *std::move(parsed);
  parts.settings = settings;
  parts.shaping = {"agents"};
  return MakeLocalWorld(options, *initial, std::move(parts));
}

}  // namespace midlane
