#include "bridge/local_world.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace midlane {
namespace {

class LocalWorld final : public Env {
 public:
  LocalWorld(std::shared_ptr<Doorbell> doorbell, const Settings& initial, LocalWorldParts parts)
      : doorbell_(std::move(doorbell)), parts_(std::move(parts)), slots_(parts_.spec) {
    for (const std::string& name : parts_.shaping) shape_[name] = initial.at(name);
  }

  const Spec& spec() const override { return parts_.spec; }

  absl::Status Reset(const Settings& settings) override {
    if (running_ && settings == given_) {
      parts_.rules->Reset(settings_, !episode_over(), &slots_);
      Posted();
      return absl::OkStatus();
    }
    Settings given = shape_;
    for (const auto& [name, value] : settings) {
      const auto shaped = shape_.find(name);
      if (shaped != shape_.end() && shaped->second != value) {
        return absl::InvalidArgumentError(
            absl::StrCat("setting '", name, "' shapes the spec and was made '", shaped->second,
                         "': give '", value, "' when the environment is made"));
      }
      given[name] = value;
    }
    absl::StatusOr<Settings> resolved = ResolveSettings(parts_.settings, given);
    if (!resolved.ok()) return resolved.status();
    if (absl::Status status = parts_.rules->Check(*resolved); !status.ok()) return status;
    settings_ = *std::move(resolved);
    given_ = settings;
    running_ = true;
    parts_.rules->Reset(settings_, /*fresh=*/true, &slots_);
    Posted();
    return absl::OkStatus();
  }

  absl::Status Step() override {
    if (!running_) return absl::FailedPreconditionError("Step before Reset: call Reset first");
    bool goes_on = false;
    for (size_t i = 0; i < parts_.spec.agents.size(); ++i) {
      const AgentView view = ViewSlot(slots_.slot(i));
      goes_on |= view.active() && !view.last();
      if (!view.wants_action()) continue;
      absl::Status status =
          CheckActions(parts_.spec, static_cast<int>(i), *slots_.slot(i), view.observation);
      if (!status.ok()) return status;
    }
    if (!goes_on) {
      return absl::FailedPreconditionError("Step after the episode's end: call Reset first");
    }
    parts_.rules->Step(&slots_);
    Posted();
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Ready() override {
    if (running_) return true;
    return absl::FailedPreconditionError("nothing is coming: call Reset first");
  }

  absl::Status Wait(absl::Duration) override { return Ready().status(); }

  AgentView agent(int index) override { return ViewSlot(slots_.slot(index)); }

  absl::Status Restart() override {
    running_ = false;
    ++stats_.restarts;
    return absl::OkStatus();
  }

  EnvStats stats() const override {
    EnvStats stats = stats_;
    stats.frames = parts_.rules->frames();
    stats.game_seconds = static_cast<double>(stats.frames) / parts_.spec.frames_per_second;
    return stats;
  }

 private:
  // True between two episodes of one match.
  bool episode_over() {
    for (size_t i = 0; i < parts_.spec.agents.size(); ++i) {
      const AgentView view = ViewSlot(slots_.slot(i));
      if (view.active() && (!view.last() || view.match_over())) return false;
    }
    return true;
  }

  void Posted() {
    ++stats_.timesteps;
    doorbell_->Ring();
  }

  std::shared_ptr<Doorbell> doorbell_;
  LocalWorldParts parts_;
  SlotBuffer slots_;
  Settings shape_;     // of the settings that shape the spec
  Settings given_;     // at the last Reset
  Settings settings_;  // the same with every default
  bool running_ = false;
  EnvStats stats_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Env>> MakeLocalWorld(const EnvOptions& options,
                                                    const Settings& initial,
                                                    LocalWorldParts parts) {
  std::shared_ptr<Doorbell> doorbell = options.doorbell;
  if (doorbell == nullptr) {
    absl::StatusOr<std::shared_ptr<Doorbell>> made = Doorbell::Create();
    if (!made.ok()) return made.status();
    doorbell = *std::move(made);
  }
  return std::make_unique<LocalWorld>(std::move(doorbell), initial, std::move(parts));
}

}  // namespace midlane
