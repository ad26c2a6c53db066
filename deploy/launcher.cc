#include "deploy/launcher.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "bridge/cores.h"
#include "deploy/files.h"
#include "learner/files.h"

namespace midlane {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(100);
constexpr absl::Duration kTerminalEvery = absl::Milliseconds(500);
constexpr absl::Duration kPlainEvery = absl::Seconds(5);
constexpr absl::Duration kBackoffFirst = absl::Milliseconds(500);
constexpr absl::Duration kBackoffMax = absl::Seconds(10);
constexpr int kErrorLines = 3;
constexpr size_t kLearnerWords = 7;  // of the learner's first command line

int TerminalWidth() {
  winsize size{};
  if (ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 120;
}

}  // namespace

Launcher::Launcher(LauncherOptions options)
    : options_(std::move(options)),
      plan_(PlanMachine(options_.config, AvailableCores())),
      terminal_(isatty(1)),
      metrics_(absl::StrCat(options_.run_dir, "/metrics.jsonl")) {
  options_.config.run.learner_threads = plan_.learner_threads;
}

Launcher::~Launcher() { StopAll(); }

absl::Status Launcher::StartSeat(Seat* seat) {
  auto process = Process::Start(seat->options);
  if (!process.ok()) return process.status();
  seat->process = std::move(*process);
  seat->started = absl::Now();
  seat->options.append_log = true;
  return absl::OkStatus();
}

absl::Status Launcher::StartLearner() {
  unlink(absl::StrCat(options_.run_dir, "/learner.address").c_str());
  learner_.name = "learner";
  learner_.options.command = {absl::StrCat(ExecutableDir(), "/midlane-torch"),
                              "learn",
                              "--run",
                              options_.run_dir,
                              "--threads",
                              absl::StrCat(plan_.learner_threads),
                              "--quiet"};
  // OpenMP threads that spin at barriers take the cores that games run on.
  learner_.options.environment = {{"OMP_WAIT_POLICY", "PASSIVE"},
                                  {"OMP_NUM_THREADS", absl::StrCat(plan_.learner_threads)}};
  learner_.options.log = absl::StrCat(options_.run_dir, "/log/learner.log");
  return StartSeat(&learner_);
}

absl::Status Launcher::GaveUp(const Seat& seat) const {
  std::string said = FileTail(seat.options.log, kErrorLines);
  // What one of our programs says of its end stands alone.
  if (const size_t at = said.rfind("midlane: "); at != std::string::npos) {
    said = said.substr(at + strlen("midlane: "));
  }
  return absl::AbortedError(absl::StrCat("the ", seat.name, " ended with ", seat.process->Outcome(),
                                         said.empty() ? "" : ": ", said,
                                         "\n(log: ", seat.options.log, ")"));
}

absl::Status Launcher::WaitForAddress() {
  const absl::Time deadline = absl::Now() + kStartTimeout;
  while (!interrupted_) {
    address_ = LearnerAddress(options_.run_dir);
    if (!address_.empty()) return absl::OkStatus();
    if (!learner_.process->Running()) return GaveUp(learner_);
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat("the learner did not open its port within ",
                                                      absl::FormatDuration(kStartTimeout),
                                                      " (log: ", learner_.options.log, ")"));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  return absl::OkStatus();
}

absl::Status Launcher::StartWorkers() {
  workers_.resize(plan_.workers);
  const bool torch = options_.config.run.policy == "torch";
  for (uint32_t index = 0; index < plan_.workers; ++index) {
    Seat& seat = workers_[index];
    seat.name = absl::StrCat("worker ", index);
    seat.options.niceness = static_cast<int>(options_.config.run.worker_nice);
    if (!plan_.worker_cpus.empty()) {
      seat.options.core = plan_.worker_cpus[index % plan_.worker_cpus.size()];
    }
    seat.options.command = {absl::StrCat(ExecutableDir(), torch ? "/midlane-torch" : "/midlane"),
                            "rollout",
                            "--config",
                            absl::StrCat(options_.run_dir, "/config.toml"),
                            "--learner",
                            address_,
                            "--index",
                            absl::StrCat(index),
                            "--quiet"};
    seat.options.environment = {{"OMP_NUM_THREADS", "1"}};
    seat.options.log = absl::StrCat(options_.run_dir, "/log/worker-", index, ".log");
    if (auto status = StartSeat(&seat); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Launcher::Supervise(Seat* seat) {
  if (!seat->process) {  // waits for its restart
    if (absl::Now() < seat->restart_at) return absl::OkStatus();
    return StartSeat(seat);
  }
  if (seat->process->Running()) {
    if (absl::Now() - seat->process->stopped_since() > kStoppedMax) {
      Say(absl::StrCat("the ", seat->name, " has been stopped for ",
                       absl::FormatDuration(kStoppedMax), ": it is killed and started again"));
      seat->process->Signal(SIGKILL);
    }
    return absl::OkStatus();
  }
  if (seat == &learner_ && !seat->process->killed()) return GaveUp(*seat);
  // A worker that never got going and says why (a setting, a missing game) would say it again.
  if (seat->deaths == 0 && !seat->process->killed() && absl::Now() - seat->started < kHealthy) {
    return GaveUp(*seat);
  }
  if (absl::Now() - seat->started > kHealthy) seat->deaths_in_row = 0;
  ++seat->deaths;
  if (++seat->deaths_in_row > kDeathsMax) return GaveUp(*seat);
  const absl::Duration pause =
      std::min(kBackoffMax, kBackoffFirst * (1 << std::min(seat->deaths_in_row - 1, 10)));
  seat->restart_at = absl::Now() + pause;
  std::string said;
  if (!seat->process->killed()) said = absl::StrCat(": ", FileTail(seat->options.log, 1));
  Say(absl::StrCat("the ", seat->name, " ended with ", seat->process->Outcome(), said,
                   "; it starts again in ", absl::FormatDuration(pause), " (restart ", seat->deaths,
                   ")"));
  if (seat == &learner_) {
    // Workers know the address: the next learner opens the same one.
    seat->options.command.resize(kLearnerWords);
    seat->options.command.insert(seat->options.command.end(), {"--listen", address_});
  }
  seat->process.reset();
  return absl::OkStatus();
}

bool Launcher::ReadMetrics() {
  std::vector<MetricsLine> lines = metrics_.Poll();
  for (MetricsLine& line : lines) {
    const std::vector<std::string> reached = ladder_.Reached(line);
    if (!replaying_) {
      for (const std::string& sentence : reached) Say(absl::StrCat("* ", sentence));
      if (line.event == "warning") Say(absl::StrCat("warning: ", line.text));
    }
    if (line.event == "iteration" || line.event == "stop") {
      trained_ = trained_ || (!replaying_ && line.event == "iteration");
      // At the end nobody works any more: what the last iteration said of its time stands.
      const bool nobody = line.event == "stop" || line.workers == 0;
      if (nobody && !last_.verdict.empty()) line.verdict = last_.verdict;
      last_ = std::move(line);
    }
  }
  return !lines.empty();
}

void Launcher::ClearProgress() {
  if (!shown_) return;
  fputs("\r\033[K", stdout);
  shown_ = false;
}

void Launcher::Say(const std::string& text) {
  ClearProgress();
  printf("%s\n", text.c_str());
  fflush(stdout);
}

void Launcher::ShowProgress() {
  if (options_.quiet || !trained_ || last_.iteration == shown_line_.iteration) return;
  const absl::Time now = absl::Now();
  if (now - shown_at_ < (terminal_ ? kTerminalEvery : kPlainEvery)) return;
  shown_at_ = now;
  MetricsLine shown = last_;
  shown.timesteps_per_s = RateSince(shown_line_, last_);
  shown_line_ = last_;
  std::string line = ProgressLine(shown, options_.config);
  if (!terminal_) {
    printf("%s\n", line.c_str());
  } else {
    line.resize(std::min<size_t>(line.size(), size_t(TerminalWidth() - 1)));
    printf("\r\033[K%s", line.c_str());
    shown_ = true;
  }
  fflush(stdout);
}

absl::Status Launcher::Run() {
  if (auto status = MakeFolder(absl::StrCat(options_.run_dir, "/log")); !status.ok()) return status;
  // What earlier starts wrote is no news, but its milestones are reached.
  while (ReadMetrics()) {
  }
  replaying_ = false;
  if (auto status = StartLearner(); !status.ok()) return status;
  if (auto status = WaitForAddress(); !status.ok()) return status;
  if (interrupted_) {
    StopAll();
    return absl::OkStatus();
  }
  if (auto status = StartWorkers(); !status.ok()) return status;

  absl::Status status;
  while (!interrupted_) {
    ReadMetrics();
    ShowProgress();
    if (learner_.process && !learner_.process->Running() && learner_.process->succeeded()) break;
    status = Supervise(&learner_);
    for (Seat& worker : workers_) {
      if (status.ok()) status = Supervise(&worker);
    }
    if (!status.ok()) break;
    absl::SleepFor(kTick);
  }
  ClearProgress();
  StopAll();
  ReadMetrics();
  ClearProgress();
  if (status.ok() && learner_.process && !learner_.process->succeeded()) status = GaveUp(learner_);
  return status;
}

void Launcher::StopAll() {
  // The workers first, so that they can say what they leave behind while the learner listens.
  for (Seat& worker : workers_) {
    if (worker.process) worker.process->Signal(SIGTERM);
  }
  const absl::Time deadline = absl::Now() + kWorkerGrace;
  for (Seat& worker : workers_) {
    if (worker.process) {
      worker.process->Terminate(std::max(absl::Milliseconds(1), deadline - absl::Now()));
    }
  }
  if (learner_.process) learner_.process->Terminate(kLearnerGrace);
}

}  // namespace midlane
