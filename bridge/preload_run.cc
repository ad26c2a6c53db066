#include "bridge/preload_run.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bridge/description.h"
#include "bridge/doorbell.h"
#include "bridge/executable_file.h"
#include "bridge/game_launch.h"
#include "bridge/launcher.h"
#include "bridge/make_env.h"

extern char** environ;

namespace midlane {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kLook = absl::Milliseconds(20);
constexpr absl::Duration kSettled = absl::Milliseconds(500);  // states and chunks come in a burst
constexpr absl::Duration kWrapperLimit = absl::Seconds(3);
constexpr absl::Duration kWrapperSettled = absl::Milliseconds(300);
constexpr absl::Duration kStopGrace = absl::Seconds(1);
constexpr char kNobody[] = "no process has this name";

std::string FileName(const std::string& path) { return fs::path(path).filename().string(); }

std::string ExecutableOf(const fs::path& process) {
  std::error_code error;
  return fs::read_symlink(process / "exe", error).string();
}

// The processes of a group, the leader first.
std::vector<pid_t> GroupMembers(pid_t group) {
  std::vector<pid_t> members;
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const pid_t pid = static_cast<pid_t>(std::stoi(name));
    if (pid == group) {
      members.insert(members.begin(), pid);
    } else if (getpgid(pid) == group) {
      members.push_back(pid);
    }
  }
  return members;
}

bool MapsHold(pid_t pid, const std::string& name) {
  std::ifstream maps(absl::StrCat("/proc/", pid, "/maps"));
  for (std::string line; std::getline(maps, line);) {
    if (absl::StrContains(line, name)) return true;
  }
  return false;
}

// One program under the shim, looking into processes called `executable`.
class Run {
 public:
  static absl::StatusOr<std::unique_ptr<Run>> Start(const PreloadOptions& options,
                                                    const std::string& preload,
                                                    const std::string& executable) {
    GameDescription shown;
    shown.executable = executable;
    shown.fallback_play = true;
    shown.virtual_clock = false;
    ShimOptions shim;
    shim.vanilla = options.vanilla;
    shim.speed = 1;
    ChannelOptions small;
    small.slots = 1;
    small.observation_bytes = MIDLANE_ALIGN;
    absl::StatusOr<std::unique_ptr<ChannelHost>> channel =
        ChannelHost::Create(ShimText(shown, shim), "", small);
    if (!channel.ok()) return channel.status();
    absl::StatusOr<std::shared_ptr<Doorbell>> doorbell = Doorbell::Create();
    if (!doorbell.ok()) return doorbell.status();
    LaunchOptions launch;
    launch.command = options.command;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      if (!absl::StartsWith(*entry, "LD_PRELOAD=")) launch.environment.push_back(*entry);
    }
    const char* others = std::getenv("LD_PRELOAD");
    launch.environment.push_back(
        absl::StrCat("LD_PRELOAD=", preload, others ? ":" : "", others ? others : ""));
    launch.environment.push_back(absl::StrCat(MIDLANE_ENV_CHANNEL_FD, "=", (*channel)->fd()));
    launch.environment.push_back(absl::StrCat(MIDLANE_ENV_DOORBELL_FD, "=", (*doorbell)->fd()));
    launch.inherited = {(*channel)->fd(), (*doorbell)->fd()};
    launch.randomise_addresses = true;
    launch.keep_output = false;
    absl::StatusOr<std::unique_ptr<GameProcess>> game = GameProcess::Start(launch);
    if (!game.ok()) return game.status();
    auto run = std::make_unique<Run>();
    run->channel = *std::move(channel);
    run->doorbell = *std::move(doorbell);
    run->game = *std::move(game);
    return run;
  }

  std::unique_ptr<ChannelHost> channel;
  std::shared_ptr<Doorbell> doorbell;
  std::unique_ptr<GameProcess> game;
};

// The program that runs a script: of "#!/bin/sh -e" /bin/sh, of "#!/usr/bin/env python3" python3.
std::string InterpreterOf(const std::string& script) {
  std::ifstream in(script);
  std::string line;
  if (!std::getline(in, line) || !absl::StartsWith(line, "#!")) return "";
  const std::vector<std::string> words =
      absl::StrSplit(line.substr(2), absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.empty()) return "";
  std::string program = words[0];
  if (FileName(program) == "env" && words.size() > 1) {
    program = FindExecutable(words[1]).value_or(program);
  }
  std::error_code error;
  return fs::canonical(program, error).string();
}

// What a wrapper script ends in: the last program in its group that is not the wrapper's own
// interpreter, once it stays. Empty where there is none.
absl::StatusOr<std::string> FindBehindWrapper(const PreloadOptions& options,
                                              const std::string& preload,
                                              const std::string& script) {
  absl::StatusOr<std::unique_ptr<Run>> run = Run::Start(options, preload, kNobody);
  if (!run.ok()) return run.status();
  const pid_t leader = (*run)->game->pid();
  const std::string interpreter = InterpreterOf(script);
  const absl::Time deadline = absl::Now() + kWrapperLimit;
  std::string seen;
  absl::Time since = absl::Now();
  while (absl::Now() < deadline && !(*run)->game->exited() && !(options.stop && options.stop())) {
    std::string now;
    for (pid_t pid : GroupMembers(leader)) {
      const std::string path = ExecutableOf(absl::StrCat("/proc/", pid));
      if (!path.empty() && path != interpreter) now = path;
    }
    if (now != seen) {
      seen = now;
      since = absl::Now();
    }
    if (!seen.empty() && absl::Now() - since > kWrapperSettled) break;
    (*run)->game->WaitExit(kLook);
  }
  (*run)->game->Kill();
  return FileName(seen);
}

// Why the shim is in no process that was looked into.
std::vector<std::string> WhyNotAnnounced(const Run& run, const ExecutableFile& file,
                                         const std::string& preload,
                                         const std::string& executable) {
  if (file.changes_user) {
    return {absl::StrCat(file.path,
                         " is set-user-id or set-group-id, and the system's loader "
                         "ignores a preload there: run a copy of it without that bit")};
  }
  if (file.is_elf && !file.is_dynamic) {
    return {absl::StrCat(file.path,
                         " is statically linked and has no loader to preload through: "
                         "use a dynamically linked build of the game")};
  }
  if (file.is_elf && !file.is_native) {
    return {absl::StrCat(file.path,
                         " is a program for another processor or of 32 bits, this shim "
                         "is not: use a build of the game for this machine")};
  }
  if (run.game->exited()) {
    return {absl::StrCat("the program ended (", run.game->ExitText(), ") before a process '",
                         executable, "' was seen: ",
                         file.is_elf ? "run it without Midlane first"
                                     : "name the program that the script starts, which may be too "
                                       "brief to be seen, with --executable")};
  }
  std::vector<std::string> causes;
  const std::string interpreter = file.is_elf ? "" : InterpreterOf(file.path);
  for (pid_t pid : GroupMembers(run.game->pid())) {
    const std::string path = ExecutableOf(absl::StrCat("/proc/", pid));
    if (path.empty() || path == interpreter) continue;
    if (!MapsHold(pid, FileName(preload))) {
      causes.push_back(absl::StrCat(
          path,
          " runs without the shim: a wrapper (sudo, snap, flatpak, env -i) takes LD_PRELOAD "
          "out of its environment; start the game's own executable"));
    } else if (FileName(path) != executable) {
      causes.push_back(absl::StrCat("the process that runs is ", path, ", not '", executable,
                                    "': give --executable ", FileName(path)));
    }
  }
  if (causes.empty()) {
    causes.push_back(absl::StrCat("no process '", executable,
                                  "' runs in the program's group: a launcher started the game "
                                  "elsewhere; start the game's own executable"));
  }
  return causes;
}

// Why the shim is there and saw no Lua.
std::vector<std::string> WhyNoLua(const std::string& executable_path, bool exited) {
  std::vector<std::string> causes;
  const absl::StatusOr<ExecutableFile> file = InspectExecutable(executable_path);
  if (file.ok() && !file->lua.empty()) {
    causes.push_back(absl::StrCat(executable_path, " holds ", file->lua,
                                  " inside itself, without symbols that the shim could prove: use "
                                  "a build that links Lua as a shared library, or with symbols"));
  }
  causes.push_back(
      exited ? "the program ended before it used Lua; where it only starts the one that does, "
               "name that with --executable"
             : "the game may load Lua later, with a match or a mod: play on, this "
               "report is renewed at the end");
  if (causes.size() == 1) {
    causes.push_back(absl::StrCat(executable_path, " may not use Lua at all"));
  }
  return causes;
}

}  // namespace

absl::StatusOr<PreloadReport> RunPreloaded(const PreloadOptions& options) {
  if (options.command.empty()) return absl::InvalidArgumentError("no program given to preload");
  const std::string preload = options.preload.empty() ? PreloadPath() : options.preload;
  if (absl::Status status = CheckPreload(preload); !status.ok()) return status;
  absl::StatusOr<std::string> path = FindExecutable(options.command[0]);
  if (!path.ok()) return path.status();
  absl::StatusOr<ExecutableFile> file = InspectExecutable(*path);
  if (!file.ok()) return file.status();

  std::string executable = options.executable;
  if (executable.empty() && file->is_elf) executable = FileName(file->path);
  if (executable.empty()) {
    absl::StatusOr<std::string> behind = FindBehindWrapper(options, preload, file->path);
    if (!behind.ok()) return behind.status();
    executable = behind->empty() ? FileName(file->path) : *behind;
    if (options.runs_again) options.runs_again(*behind);
  }

  absl::StatusOr<std::unique_ptr<Run>> run = Run::Start(options, preload, executable);
  if (!run.ok()) return run.status();
  const GameProcess& game = *(*run)->game;
  const ChannelHost& channel = *(*run)->channel;
  const absl::Time start = absl::Now();
  PreloadReport report;
  std::optional<absl::Time> lua_since;
  bool told = false;

  const auto look = [&] {
    const uint32_t state = channel.state();
    report.announced = state != MIDLANE_STATE_EMPTY;
    if (report.announced) report.found = channel.ReadAnnouncement();
    if (state == MIDLANE_STATE_FAILED) report.refusal = channel.Error();
    report.exited = game.exited();
    if (report.exited) report.exit_text = game.ExitText();
    if (report.found_lua() && !lua_since) lua_since = absl::Now();
  };
  const auto explain = [&] {
    report.causes.clear();
    if (report.found_lua() || !report.refusal.empty()) return;
    report.causes = report.announced ? WhyNoLua(report.found.executable, report.exited)
                                     : WhyNotAnnounced(**run, *file, preload, executable);
  };
  const auto tell = [&] {
    told = true;
    explain();
    if (options.found) options.found(report);
  };

  for (;;) {
    look();
    const absl::Time now = absl::Now();
    const bool settled = (lua_since && now - *lua_since > kSettled) || !report.refusal.empty();
    if (!told && (settled || now - start > options.find_limit)) tell();
    if (report.exited || now - start > options.run_limit) break;
    if (options.stop && options.stop()) break;
    game.WaitExit(kLook);
  }
  if (!told) tell();
  (*run)->channel->RequestClose();
  (*run)->game->Stop(report.exited ? absl::ZeroDuration() : kStopGrace);
  const bool ran_out = !report.exited;
  look();
  if (ran_out) {  // ended by this function, not by itself
    report.exited = false;
    report.exit_text.clear();
  }
  if (report.found_lua()) report.causes.clear();
  return report;
}

}  // namespace midlane
