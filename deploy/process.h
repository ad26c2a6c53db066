// Process: one child that the launcher starts, watches and ends.
//
// A child has a process group of its own (the terminal's Ctrl-C reaches the launcher alone), reads
// /dev/null, writes to a log file, and gets SIGTERM from the kernel when the launcher dies, however
// it dies, so that no orphan goes on.
// Thread-safety: one thread, the same that started the child (the death signal is tied to it).
// Ownership: the destructor kills a child that still runs and reaps it.
#ifndef MIDLANE_DEPLOY_PROCESS_H_
#define MIDLANE_DEPLOY_PROCESS_H_

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace midlane {

struct ProcessOptions {
  std::vector<std::string> command;                // command[0] is a path
  std::map<std::string, std::string> environment;  // set in the child, beside what it inherits
  std::string log;                                 // stdout and stderr; empty: inherited
  bool append_log = false;                         // false: the log begins anew
  std::optional<int> core;                         // affinity; nullopt: any
  int niceness = 0;                                // added to ours: positive gives way
};

class Process {
 public:
  // Errors: Unavailable (fork). A command that cannot be executed ends with exit code 127 and a
  // line in the log.
  static absl::StatusOr<std::unique_ptr<Process>> Start(const ProcessOptions& options);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  // Takes in what the kernel tells of the child. Never blocks.
  bool Running();
  // Since when the child is stopped (SIGSTOP), or InfiniteFuture where it is not.
  absl::Time stopped_since() const { return stopped_since_; }
  // REQUIRES: !Running().
  bool succeeded() const { return exit_code_ == 0; }
  bool killed() const { return signal_ != 0; }
  int exit_code() const { return exit_code_; }  // -1 where a signal ended it
  std::string Outcome() const;                  // "exit code 1", "signal 9 (Killed)"

  // Sends a signal to the child; nothing where it has ended.
  void Signal(int signal);
  // SIGTERM, a wait of at most `grace`, then SIGKILL. Reaps.
  void Terminate(absl::Duration grace);

 private:
  explicit Process(pid_t pid) : pid_(pid) {}

  pid_t pid_;
  bool reaped_ = false;
  int exit_code_ = -1;
  int signal_ = 0;
  absl::Time stopped_since_ = absl::InfiniteFuture();
};

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_PROCESS_H_
