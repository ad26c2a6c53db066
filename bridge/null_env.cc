#include "bridge/null_env.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "bridge/local_world.h"

namespace midlane {
namespace {

constexpr float kFramesPerSecond = 60;

class NullRules final : public LocalRules {
 public:
  NullRules(const Spec& spec, uint64_t seed)
      : agents_(spec.agents.size()),
        inputs_(spec.tensors[0].elements()),
        default_seed_(seed),
        chosen_(agents_) {}

  void Reset(const Settings& settings, bool fresh, SlotBuffer* slots) override {
    length_ = IntegerSetting(settings, "length");
    const std::string& seed = settings.at("seed");
    state_ = seed.empty() ? default_seed_ + episode_ : IntegerSetting(settings, "seed");
    ++episode_;
    step_ = 0;
    ++frames_;
    for (size_t i = 0; i < agents_; ++i) {
      chosen_[i] = 0;
      Post(slots, i, MIDLANE_SLOT_FIRST, 0);
    }
  }

  void Step(SlotBuffer* slots) override {
    ++step_;
    ++frames_;
    const uint32_t flags = step_ < length_ ? 0 : MIDLANE_SLOT_TERMINATED | MIDLANE_SLOT_MATCH_OVER;
    for (size_t i = 0; i < agents_; ++i) {
      const bool good = slots->slot(i)->action[0] == 0;
      chosen_[i] += good;
      Post(slots, i, flags, good ? 1.0f : 0.0f);
    }
    if (flags == 0 || agents_ < 2) return;
    for (size_t i = 0; i < agents_; ++i) {
      bool more = true, fewer = false;
      for (size_t j = 0; j < agents_; ++j) {
        more &= j == i || chosen_[i] > chosen_[j];
        fewer |= chosen_[i] < chosen_[j];
      }
      slots->slot(i)->metric[0] = more;
      slots->slot(i)->metric[1] = fewer;
    }
  }

  uint64_t frames() const override { return frames_; }

 private:
  void Post(SlotBuffer* slots, size_t agent, uint32_t flags, float reward) {
    midlane_slot* slot = slots->slot(agent);
    slot->observed_frame = frames_;
    slot->effect_frame = flags & MIDLANE_SLOT_FIRST ? 0 : frames_;
    slot->flags = MIDLANE_SLOT_ACTIVE | flags;
    slot->episode = episode_;
    slot->reward[0] = reward;
    slot->metric[0] = slot->metric[1] = 0;
    auto* inputs = reinterpret_cast<float*>(slots->observation(agent));
    uint64_t state = state_;
    for (size_t k = 0; k < inputs_; ++k) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;  // Knuth's MMIX generator
      inputs[k] = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
    }
    state_ = state;
  }

  size_t agents_;
  size_t inputs_;
  uint64_t default_seed_;
  uint64_t state_ = 0;
  uint64_t length_ = 0, step_ = 0, frames_ = 0;
  uint32_t episode_ = 0;
  std::vector<uint64_t> chosen_;
};

}  // namespace

std::vector<SettingSpec> NullEnvSettings() {
  return {
      {"actions", SettingKind::kInteger, "6", "choices of the one action head", {}, 2, 65536},
      {"agents", SettingKind::kInteger, "1", "agents of the world", {}, 1, MIDLANE_AGENTS_MAX},
      {"frame_skip", SettingKind::kInteger, "1", "frames a timestep; only 1", {}, 1, 1},
      {"inputs", SettingKind::kInteger, "16", "floats of an observation", {}, 1, 1 << 20},
      {"length", SettingKind::kInteger, "128", "timesteps of an episode", {}, 1, 1e9},
      {"seed", SettingKind::kInteger, "", "of the noise; empty: goes on from the world's", {}, 0},
  };
}

absl::StatusOr<std::unique_ptr<Env>> MakeNullEnv(const EnvOptions& options) {
  const std::vector<SettingSpec> settings = NullEnvSettings();
  absl::StatusOr<Settings> initial = ResolveSettings(settings, options.settings);
  if (!initial.ok()) return initial.status();
  Spec spec;
  spec.environment = "null";
  const uint64_t agents = IntegerSetting(*initial, "agents");
  for (uint64_t i = 0; i < agents; ++i) spec.agents.push_back(absl::StrCat("agent", i + 1));
  TensorSpec noise;
  noise.name = "noise";
  noise.shape = {static_cast<uint32_t>(IntegerSetting(*initial, "inputs"))};
  noise.minimum = -1;
  noise.maximum = 1;
  spec.tensors.push_back(noise);
  HeadSpec head;
  head.name = "action";
  head.choices = static_cast<uint32_t>(IntegerSetting(*initial, "actions"));
  spec.heads.push_back(head);
  spec.terms = {"reward"};
  spec.metrics = {"won", "lost"};
  spec.frames_per_second = kFramesPerSecond;
  absl::StatusOr<midlane_spec> raw = MakeRawSpec(spec);
  if (!raw.ok()) return raw.status();
  absl::StatusOr<Spec> parsed = ParseSpec(*raw);
  if (!parsed.ok()) return parsed.status();

  LocalWorldParts parts;
  parts.rules = std::make_unique<NullRules>(*parsed, options.seed);
  parts.spec = *std::move(parsed);
  parts.settings = settings;
  parts.shaping = {"actions", "agents", "inputs"};
  return MakeLocalWorld(options, *initial, std::move(parts));
}

}  // namespace midlane
