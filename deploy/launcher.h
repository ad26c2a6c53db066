// Launcher: one run on this machine: a learner, its workers, and the line that tells how it goes.
//
// Start: writes run_dir/config.toml, starts the learner (midlane-torch learn), waits for the
//   address that it writes to run_dir/learner.address, then starts the workers (midlane rollout).
// Supervision: a worker that dies is started again after a pause that doubles with each death in a
//   row; a learner that a signal killed is started again from its checkpoint at the same address; a
//   process that stays stopped (SIGSTOP) is killed and counts as dead. What gives up ends the run:
//   a learner that says why (it exits non-zero), a worker that dies kDeathsMax times in a row.
// End: the learner's own (time, timesteps, win rate reached), or a signal: SIGTERM to the workers
//   and the learner, which writes its checkpoint. The same command resumes.
// Thread-safety: one thread; Interrupt is async-signal-safe.
// Errors: what the failed part said last, with the path of its log.
#ifndef MIDLANE_DEPLOY_LAUNCHER_H_
#define MIDLANE_DEPLOY_LAUNCHER_H_

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "deploy/config.h"
#include "deploy/machine.h"
#include "deploy/process.h"
#include "deploy/progress.h"

namespace midlane {

struct LauncherOptions {
  Config config;
  std::string run_dir;
  bool quiet = false;  // milestones and warnings only, no progress line
};

class Launcher {
 public:
  explicit Launcher(LauncherOptions options);
  ~Launcher();

  // Until the end of training or Interrupt; OK in both cases.
  absl::Status Run();
  void Interrupt() { interrupted_ = 1; }
  bool interrupted() const { return interrupted_ != 0; }

  // The newest figures, for a summary after Run.
  const MetricsLine& last() const { return last_; }
  bool trained() const { return trained_; }
  size_t milestones() const { return ladder_.reached(); }

  static constexpr int kDeathsMax = 8;  // of one process, each within kHealthy of its start
  static constexpr absl::Duration kHealthy = absl::Seconds(20);
  static constexpr absl::Duration kStartTimeout = absl::Seconds(90);
  static constexpr absl::Duration kStoppedMax = absl::Seconds(10);
  static constexpr absl::Duration kLearnerGrace = absl::Seconds(60);
  static constexpr absl::Duration kWorkerGrace = absl::Seconds(10);

 private:
  // One place in the run that a process fills, again and again.
  struct Seat {
    std::string name;  // "learner", "worker 0"
    ProcessOptions options;
    std::unique_ptr<Process> process;
    absl::Time started = absl::InfinitePast();
    absl::Time restart_at = absl::InfinitePast();
    int deaths_in_row = 0;
    int deaths = 0;
  };

  absl::Status StartLearner();
  absl::Status StartWorkers();
  absl::Status WaitForAddress();
  absl::Status StartSeat(Seat* seat);
  // Notices a death; decides about a restart. Errors end the run.
  absl::Status Supervise(Seat* seat);
  absl::Status GaveUp(const Seat& seat) const;
  bool ReadMetrics();  // whether there was a line
  void ShowProgress();
  void ClearProgress();
  void Say(const std::string& text);
  void StopAll();

  LauncherOptions options_;
  MachinePlan plan_;
  bool terminal_;
  std::string address_;
  Seat learner_;
  std::vector<Seat> workers_;
  MetricsFollower metrics_;
  MetricsLine last_;
  Ladder ladder_;
  bool replaying_ = true;  // the lines of earlier starts: no news
  bool trained_ = false;   // at least one iteration since this start
  bool shown_ = false;     // a progress line stands on the terminal
  absl::Time shown_at_ = absl::InfinitePast();
  MetricsLine shown_line_;
  volatile std::sig_atomic_t interrupted_ = 0;
};

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_LAUNCHER_H_
