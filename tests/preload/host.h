// TestHost: a host for one game process, as small as the channel's contract allows.
//
// Purpose: lets the shim be tested without bridge/. Makes the channel and doorbell, starts a
// program
//   under the shim, answers its posts. Thread-safety: one thread. Ownership: kills and reaps what
//   it started. Every wait has a deadline.
#ifndef MIDLANE_TESTS_PRELOAD_HOST_H_
#define MIDLANE_TESTS_PRELOAD_HOST_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "bridge/channel.h"

namespace midlane::testing {

struct HostOptions {
  std::string description;  // key=value lines
  std::string settings;
  std::vector<std::string> command;
  std::vector<std::string> environment;  // NAME=value, added
  std::string shim;                      // path of the shim; empty: no LD_PRELOAD
  bool channel = true;                   // hand the channel over
  bool randomize_addresses = true;
  uint32_t wait_limit_ms = 5000;
  uint32_t spin = 0;
  uint32_t host_pid = 0;  // 0: this process
  uint32_t slots = 4;
  uint32_t slot_capacity = 1 << 16;
};

class TestHost {
 public:
  explicit TestHost(HostOptions options);
  ~TestHost();

  void Start();
  // True when the game posted (game_seq > host_seq) in time; false: it ended or the time is over.
  bool WaitPost(double seconds = 10);
  bool WaitState(uint32_t state, double seconds = 10);
  void Answer(uint32_t command = MIDLANE_COMMAND_STEP);
  void SetSettings(const std::string& text);
  // Waits for the end of the process; its wait status, or -1 where the time is over.
  int WaitExit(double seconds = 10);
  bool Ended();
  void Kill(int signal);

  midlane_channel* channel() { return channel_; }
  midlane_doorbell* doorbell() { return doorbell_; }
  const midlane_spec& spec() { return *midlane_channel_spec(channel_); }
  midlane_slot* slot(uint32_t agent) { return midlane_channel_slot(channel_, agent); }
  const float* f32(uint32_t agent, uint32_t tensor);
  pid_t pid() const { return pid_; }
  int channel_fd() const { return channel_fd_; }
  int doorbell_fd() const { return doorbell_fd_; }
  // All that the process wrote on stdout and stderr so far.
  std::string Output();

 private:
  HostOptions options_;
  int channel_fd_ = -1;
  int doorbell_fd_ = -1;
  int output_fd_ = -1;
  midlane_channel* channel_ = nullptr;
  midlane_doorbell* doorbell_ = nullptr;
  pid_t pid_ = -1;
  bool started_ = false;
  int status_ = -1;
  std::string output_;
};

double RealSeconds();

}  // namespace midlane::testing

#endif  // MIDLANE_TESTS_PRELOAD_HOST_H_
