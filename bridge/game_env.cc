#include "bridge/game_env.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bridge/channel_host.h"
#include "bridge/doorbell.h"
#include "bridge/futex.h"
#include "bridge/game_launch.h"
#include "bridge/launcher.h"
#include "bridge/process_state.h"
#include "bridge/slots.h"
#include "bridge/work_folder.h"

namespace midlane {
namespace {

constexpr absl::Duration kWaitSlice = absl::Milliseconds(100);
constexpr absl::Duration kAttachPoll = absl::Milliseconds(2);
// Whoever waits looks more often.
constexpr int64_t kAwayNs = 2'000'000'000;
constexpr absl::Duration kStopGrace = absl::Milliseconds(500);
// From one process of a world to the next; odd, and far from what tells neighbouring worlds apart.
constexpr uint64_t kSeedsOfProcesses = 0x9E3779B97F4A7C15;
constexpr uint32_t kSlotFlags = MIDLANE_SLOT_ACTIVE | MIDLANE_SLOT_PASSIVE | MIDLANE_SLOT_FIRST |
                                MIDLANE_SLOT_TERMINATED | MIDLANE_SLOT_TRUNCATED |
                                MIDLANE_SLOT_MATCH_OVER;

class GameEnv final : public Env {
 public:
  GameEnv(const EnvOptions& options, GameDescription description, std::string preload,
          std::shared_ptr<Doorbell> doorbell)
      : options_(options),
        description_(std::move(description)),
        preload_(std::move(preload)),
        doorbell_(std::move(doorbell)),
        seed_(options.seed),
        given_(options.settings) {}

  ~GameEnv() override {
    if (game_ == nullptr) return;
    channel_->RequestClose();
    game_->Stop(kStopGrace);
  }

  // Launches under options.settings and waits for the spec.
  absl::Status Start() {
    absl::StatusOr<Settings> settings = ResolveSettings(description_.settings, given_);
    if (!settings.ok()) return settings.status();
    settings_ = *std::move(settings);
    if (absl::Status status = CheckPreload(preload_); !status.ok()) return status;
    if (absl::Status status = Launch(); !status.ok()) return status;
    while (channel_->state() != MIDLANE_STATE_ATTACHED) {
      absl::Status status = CheckAlive();
      if (!status.ok()) return status;
      // The shim wakes nobody when it attaches, and the doorbell may be another thread's to wait
      // on.
      absl::SleepFor(kAttachPoll);
    }
    absl::StatusOr<Spec> spec = channel_->ReadSpec();
    if (!spec.ok()) return Fault(spec.status().message());
    if (spec->environment != description_.name) {
      return Fault(absl::StrCat("the adapter declares the environment '", spec->environment,
                                "', its description the name '", description_.name,
                                "': make them equal"));
    }
    spec_ = *std::move(spec);
    spec_hash_ = spec_.Hash();
    attached_ = true;
    return absl::OkStatus();
  }

  const Spec& spec() const override { return spec_; }

  absl::Status Reset(const Settings& given) override {
    if (given != given_) {
      absl::StatusOr<Settings> settings = ResolveSettings(description_.settings, given);
      if (!settings.ok()) return settings.status();
      if (*settings != settings_) {
        absl::Status status = ChangeSettings(*std::move(settings));
        if (!status.ok()) return status;
      }
      given_ = given;
    }
    if (!failure_.ok()) return failure_;
    if (ClockIsSpent()) {
      if (absl::Status status = Replace(); !status.ok()) return status;
    }
    if (!begun_) deadline_ns_ = 0;
    begun_ = true;
    if (!settings_changed_ && StandsAtFirst()) {
      if (phase_ == Phase::kStarting) phase_ = Phase::kRunning;
      expects_first_ = true;
    } else if (phase_ == Phase::kReadable) {
      return AnswerReset();
    } else {
      phase_ = Phase::kResetting;
    }
    // Its own ring may have been spent before anybody waited for it.
    if (channel_->posted()) doorbell_->Ring();
    return absl::OkStatus();
  }

  absl::Status Step() override {
    if (!failure_.ok()) return failure_;
    if (phase_ != Phase::kReadable || !begun_) {
      return absl::FailedPreconditionError(
          begun_ ? "Step before the timestep was read: call Ready or Wait first"
                 : "Step before Reset: call Reset first");
    }
    bool goes_on = false;
    for (size_t i = 0; i < spec_.agents.size(); ++i) {
      midlane_slot* slot = channel_->slot(static_cast<uint32_t>(i));
      const uint32_t flags = slot->flags;
      if (!(flags & MIDLANE_SLOT_ACTIVE)) continue;
      if (flags & (MIDLANE_SLOT_TERMINATED | MIDLANE_SLOT_TRUNCATED)) continue;
      goes_on = true;
      if (flags & MIDLANE_SLOT_PASSIVE) continue;
      absl::Status status =
          CheckActions(spec_, static_cast<int>(i), *slot, midlane_slot_observation(slot));
      if (!status.ok()) return status;
    }
    if (!goes_on) {
      return absl::FailedPreconditionError("Step after the episode's end: call Reset first");
    }
    expects_first_ = false;
    Answer(MIDLANE_COMMAND_STEP);
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Ready() override {
    if (phase_ == Phase::kReadable) return true;
    if (!failure_.ok()) return failure_;
    if (channel_->posted()) return Accept();
    return Pending();
  }

  absl::Status Wait(absl::Duration timeout) override {
    const absl::Time deadline = absl::Now() + timeout;
    for (;;) {
      const uint32_t rings = doorbell_->rings();
      absl::StatusOr<bool> ready = Ready();
      if (!ready.ok()) return ready.status();
      if (*ready) return absl::OkStatus();
      const absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) {
        return absl::DeadlineExceededError(
            absl::StrCat(description_.name, " has not answered within ",
                         absl::FormatDuration(timeout), ": wait longer or call Restart"));
      }
      doorbell_->WaitFor(rings, 1, std::min(left, kWaitSlice), options_.spin);
    }
  }

  AgentView agent(int index) override {
    return ViewSlot(channel_->slot(static_cast<uint32_t>(index)));
  }

  absl::Status Restart() override {
    failure_ = absl::OkStatus();
    return Replace();
  }

  EnvStats stats() const override {
    EnvStats stats = stats_;
    stats.frames += frames_now_;
    stats.game_seconds =
        static_cast<double>(stats.frames) / std::max(spec_.frames_per_second, 1e-6f);
    return stats;
  }

 private:
  enum class Phase {
    kStarting,   // launched, nobody asked for a timestep yet
    kRunning,    // a timestep is on its way
    kResetting,  // the timestep on its way is answered with a reset
    kReadable,   // the caller may read, write and answer
  };

  // True where the world shows, or will show without being told, the first timestep of a match.
  bool StandsAtFirst() const {
    switch (phase_) {
      case Phase::kStarting:
        return true;
      case Phase::kReadable:
        return fresh_;
      case Phase::kRunning:
        return expects_first_;
      case Phase::kResetting:
        return false;
    }
    return false;
  }

  // True where the next match is to begin in a fresh process. Between two episodes of one match it
  // waits for the match's end.
  bool ClockIsSpent() {
    const absl::Duration limit = description_.clock_limit;
    if (limit == absl::ZeroDuration() || phase_ != Phase::kReadable) return false;
    if (channel_->game_clock() < limit) return false;
    for (size_t i = 0; i < spec_.agents.size(); ++i) {
      const AgentView view = agent(static_cast<int>(i));
      if (view.active() && view.last()) return view.match_over();
    }
    return true;
  }

  // A fresh process. It draws other matches than those before it, but where a match's seed is set
  // the match must not show which process plays it.
  absl::Status Replace() {
    ++stats_.restarts;
    const auto seed = settings_.find("seed");
    const bool set = seed != settings_.end() && !seed->second.empty() && seed->second != "0";
    if (!set) seed_ += kSeedsOfProcesses;
    return Launch();
  }

  // A new process under settings_; the old one, if any, is killed.
  absl::Status Launch() {
    game_.reset();
    channel_.reset();
    stats_.frames += std::exchange(frames_now_, 0);
    if (work_ == nullptr) {
      absl::StatusOr<std::unique_ptr<WorkFolder>> work = WorkFolder::Create(options_.work_dir);
      if (!work.ok()) return Fail(work.status());
      work_ = *std::move(work);
    }
    // The process before may have died while it wrote one of them.
    files_ = GameFiles();
    if (absl::Status status = files_.Write(description_, settings_, work_.get()); !status.ok()) {
      return Fail(status);
    }
    ShimOptions shim;
    shim.seed = seed_;
    shim.speed = options_.speed;
    shim.render_every = options_.render_every;
    ChannelOptions channel_options;
    channel_options.spin = options_.spin;
    absl::StatusOr<std::unique_ptr<ChannelHost>> channel =
        ChannelHost::Create(ShimText(description_, shim), SettingsText(settings_), channel_options);
    if (!channel.ok()) return Fail(channel.status());
    channel_ = *std::move(channel);
    absl::StatusOr<LaunchOptions> launch = Plan();
    if (!launch.ok()) return Fail(launch.status());
    launch->on_exit = [doorbell = doorbell_] { doorbell->Ring(); };
    launched_command_ = launch->command;
    launched_environment_ = launch->environment;
    absl::StatusOr<std::unique_ptr<GameProcess>> game = GameProcess::Start(*launch);
    if (!game.ok()) return Fail(game.status());
    game_ = *std::move(game);
    phase_ = Phase::kStarting;
    attached_ = settings_changed_ = fresh_ = begun_ = expects_first_ = false;
    deadline_ns_ = 0;
    return absl::OkStatus();
  }

  absl::StatusOr<LaunchOptions> Plan() {
    return PlanLaunch(description_, settings_, options_.render_every > 0, preload_, *work_,
                      channel_->fd(), doorbell_->fd());
  }

  absl::Status ChangeSettings(Settings settings) {
    if (SettingsText(settings).size() > MIDLANE_TEXT_BYTES_MAX) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the settings have more than ", MIDLANE_TEXT_BYTES_MAX, " bytes: shorten their values"));
    }
    std::swap(settings_, settings);
    if (!failure_.ok()) return absl::OkStatus();
    absl::StatusOr<LaunchOptions> launch = Plan();
    absl::Status status = launch.status();
    if (status.ok() &&
        (launch->command != launched_command_ || launch->environment != launched_environment_)) {
      ++stats_.restarts;
      return Launch();
    }
    if (!status.ok()) {
      std::swap(settings_, settings);
      return status;
    }
    settings_changed_ = true;
    return absl::OkStatus();
  }

  void Answer(midlane_command command) {
    phase_ = Phase::kRunning;
    fresh_ = false;
    deadline_ns_ = 0;
    channel_->Answer(command);
  }

  absl::Status AnswerReset() {
    if (settings_changed_) {
      // Both while the game waits: it must not read the one without the other.
      absl::Status status = files_.Write(description_, settings_, work_.get());
      if (status.ok()) status = channel_->SetSettings(SettingsText(settings_));
      if (!status.ok()) return status;
      settings_changed_ = false;
    }
    expects_first_ = true;
    Answer(MIDLANE_COMMAND_RESET);
    return absl::OkStatus();
  }

  // A post came: true where it is what the caller waits for.
  absl::StatusOr<bool> Accept() {
    if (phase_ == Phase::kStarting) {
      return absl::FailedPreconditionError("nothing is coming: call Reset first");
    }
    if (!channel_->in_step()) {
      return Fault("the game counted its posts wrongly: it and Midlane are of different versions");
    }
    if (!attached_) {
      absl::Status status = CheckSameSpec();
      if (!status.ok()) return status;
    }
    if (phase_ == Phase::kResetting) {
      absl::Status status = AnswerReset();
      if (!status.ok()) return status;
      return false;
    }
    if (absl::Status status = CheckSlots(); !status.ok()) return status;
    frames_now_ = channel_->frames();
    ++stats_.timesteps;
    phase_ = Phase::kReadable;
    fresh_ = expects_first_;
    return true;
  }

  absl::Status CheckSlots() {
    bool active = false;
    for (size_t i = 0; i < spec_.agents.size(); ++i) {
      const midlane_slot* slot = channel_->slot(static_cast<uint32_t>(i));
      const uint32_t flags = slot->flags;
      if (!(flags & MIDLANE_SLOT_ACTIVE)) continue;
      active = true;
      if (flags & ~kSlotFlags) {
        return Fault(absl::StrCat("agent '", spec_.agents[i], "' was posted with unknown flags ",
                                  flags, ": use the module's constants"));
      }
      if (expects_first_ && !(flags & MIDLANE_SLOT_FIRST)) {
        return Fault(absl::StrCat("agent '", spec_.agents[i],
                                  "' was posted without FIRST after a reset: begin a new episode "
                                  "before the next post"));
      }
      float sum = 0;
      for (size_t t = 0; t < spec_.terms.size(); ++t) sum += slot->reward[t] - slot->reward[t];
      if (sum != 0) {  // x - x is NaN where x is not finite
        return Fault(absl::StrCat("a reward term of agent '", spec_.agents[i],
                                  "' is not a finite number: correct the adapter"));
      }
    }
    if (active) return absl::OkStatus();
    return Fault("an exchange posted no agent: call midlane.post for at least one");
  }

  absl::Status CheckSameSpec() {
    absl::StatusOr<Spec> spec = channel_->ReadSpec();
    if (!spec.ok()) return Fault(spec.status().message());
    if (spec->Hash() != spec_hash_) {
      return Fault(
          "the adapter declared another spec than before its restart: declare one that "
          "depends on nothing that changes");
    }
    attached_ = true;
    return absl::OkStatus();
  }

  // Nothing was posted: false, or why nothing will come.
  absl::StatusOr<bool> Pending() {
    if (absl::Status status = CheckAlive(); !status.ok()) return status;
    if (phase_ == Phase::kStarting) {
      return absl::FailedPreconditionError("nothing is coming: call Reset first");
    }
    return false;
  }

  // Death, a reported fault, and lateness.
  absl::Status CheckAlive() {
    if (channel_->state() == MIDLANE_STATE_FAILED) return Fault(channel_->Error());
    if (game_->exited()) {
      // It may have posted, or said why, just before.
      if (channel_->state() == MIDLANE_STATE_FAILED) return Fault(channel_->Error());
      return Fail(
          absl::UnavailableError(absl::StrCat(description_.name, " ended (", game_->ExitText(), ")",
                                              Stage(), OutputText(game_->LastLines()))));
    }
    const int64_t now_ns = MonotonicNs();
    const bool starting = channel_->state() != MIDLANE_STATE_ATTACHED;
    const absl::Duration start_limit = options_.start_timeout > absl::ZeroDuration()
                                           ? options_.start_timeout
                                           : description_.start_timeout;
    const absl::Duration limit = starting ? start_limit : options_.timeout;
    if (deadline_ns_ == 0) {
      deadline_ns_ = now_ns + absl::ToInt64Nanoseconds(limit);
    } else if (now_ns - looked_ns_ > kAwayNs) {
      deadline_ns_ += now_ns - looked_ns_;  // what kept the host may have kept the game
    }
    looked_ns_ = now_ns;
    if (now_ns < deadline_ns_) return absl::OkStatus();
    if (phase_ == Phase::kStarting && !starting) return absl::OkStatus();
    const std::string state = ProcessStateText(game_->pid());
    return Fail(absl::DeadlineExceededError(absl::StrCat(
        description_.name, " has not answered within ", absl::FormatDuration(limit), Stage(),
        state.empty() ? "" : absl::StrCat(": ", state), OutputText(game_->LastLines()))));
  }

  // What had not happened yet, with what to look at.
  std::string Stage() const {
    switch (channel_->state()) {
      case MIDLANE_STATE_EMPTY:
        return absl::StrCat(" before the shim announced itself in a process '",
                            description_.executable, "': see `midlane preload -- ",
                            description_.command[0],
                            "` (is that the name of the process with Lua, which `executable` in "
                            "game.toml or --executable gives? a static or set-user-id program?)");
      case MIDLANE_STATE_ANNOUNCED:
        return absl::StrCat(" before its adapter ", description_.adapter,
                            " declared a spec: does the game reach the chunk that it waits for?");
      case MIDLANE_STATE_CLOSED:
        return " by itself";
      default:
        return begun_ ? "" : " before its first timestep";
    }
  }

  absl::Status Fault(absl::string_view sentence) {
    const std::string lines = game_ == nullptr ? "" : game_->LastLines();
    return Fail(absl::InternalError(
        absl::StrCat(description_.name, ": ", sentence, lines.empty() ? "" : OutputText(lines))));
  }

  absl::Status Fail(absl::Status status) {
    failure_ = std::move(status);
    phase_ = Phase::kRunning;
    return failure_;
  }

  const EnvOptions options_;
  const GameDescription description_;
  const std::string preload_;
  const std::shared_ptr<Doorbell> doorbell_;
  uint64_t seed_;      // of this process
  Settings given_;     // at the last Reset, or at the start
  Settings settings_;  // the same with every default
  std::unique_ptr<WorkFolder> work_;
  GameFiles files_;
  std::unique_ptr<ChannelHost> channel_;
  std::unique_ptr<GameProcess> game_;
  std::vector<std::string> launched_command_, launched_environment_;
  Spec spec_;
  uint64_t spec_hash_ = 0;
  Phase phase_ = Phase::kStarting;
  bool attached_ = false;          // this process's spec was checked
  bool begun_ = false;             // Reset was called since the launch
  bool settings_changed_ = false;  // the game does not have settings_ yet
  bool expects_first_ = false;     // the next timestep is the first of an episode
  bool fresh_ = false;             // the readable timestep is a first one
  int64_t deadline_ns_ = 0;        // of the timestep on its way; 0: not looked at yet
  int64_t looked_ns_ = 0;          // when it was last looked whether the timestep is there
  absl::Status failure_;
  uint64_t frames_now_ = 0;  // of this process
  EnvStats stats_;           // frames: of earlier processes
};

}  // namespace

absl::StatusOr<std::unique_ptr<Env>> MakeGameEnv(const EnvOptions& options,
                                                 GameDescription description,
                                                 const std::string& preload) {
  std::shared_ptr<Doorbell> doorbell = options.doorbell;
  if (doorbell == nullptr) {
    absl::StatusOr<std::shared_ptr<Doorbell>> made = Doorbell::Create();
    if (!made.ok()) return made.status();
    doorbell = *std::move(made);
  }
  auto env =
      std::make_unique<GameEnv>(options, std::move(description), preload, std::move(doorbell));
  if (absl::Status status = env->Start(); !status.ok()) return status;
  return env;
}

}  // namespace midlane
