#include "host.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace midlane::testing {
namespace {

long Futex(std::atomic<uint32_t>* word, int operation, uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), operation, value, timeout, nullptr,
                 0);
}

void* MakeFile(const char* name, size_t bytes, int* fd) {
  *fd = memfd_create(name, 0);
  if (*fd < 0 || ftruncate(*fd, static_cast<off_t>(bytes)) != 0) abort();
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
  if (memory == MAP_FAILED) abort();
  return memory;
}

}  // namespace

double RealSeconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

TestHost::TestHost(HostOptions options) : options_(std::move(options)) {
  uint32_t description_offset = midlane_align(sizeof(midlane_channel));
  uint32_t settings_offset =
      description_offset + midlane_align(static_cast<uint32_t>(options_.description.size()) + 1);
  uint32_t settings_capacity = 4096;
  uint32_t spec_offset = settings_offset + settings_capacity;
  uint32_t slots_offset = spec_offset + midlane_align(sizeof(midlane_spec));
  uint64_t total = slots_offset + static_cast<uint64_t>(options_.slots) * options_.slot_capacity;
  channel_ = static_cast<midlane_channel*>(MakeFile("channel", total, &channel_fd_));
  doorbell_ =
      static_cast<midlane_doorbell*>(MakeFile("doorbell", sizeof(midlane_doorbell), &doorbell_fd_));
  doorbell_->magic = MIDLANE_DOORBELL_MAGIC;
  doorbell_->abi = MIDLANE_CHANNEL_ABI;
  channel_->magic = MIDLANE_CHANNEL_MAGIC;
  channel_->abi = MIDLANE_CHANNEL_ABI;
  channel_->header_bytes = sizeof(midlane_channel);
  channel_->total_bytes = total;
  channel_->description_offset = description_offset;
  channel_->description_bytes = static_cast<uint32_t>(options_.description.size());
  channel_->settings_offset = settings_offset;
  channel_->settings_capacity = settings_capacity;
  channel_->spec_offset = spec_offset;
  channel_->slots_offset = slots_offset;
  channel_->slot_capacity = options_.slot_capacity;
  channel_->slots = options_.slots;
  channel_->host_pid = options_.host_pid ? options_.host_pid : static_cast<uint32_t>(getpid());
  channel_->wait_limit_ms = options_.wait_limit_ms;
  channel_->spin = options_.spin;
  memcpy(reinterpret_cast<char*>(channel_) + description_offset, options_.description.data(),
         options_.description.size());
  SetSettings(options_.settings);
}

TestHost::~TestHost() {
  if (pid_ > 0 && !Ended()) {
    kill(pid_, SIGKILL);
    waitpid(pid_, &status_, 0);
  }
  munmap(channel_, channel_->total_bytes);
  munmap(doorbell_, sizeof(midlane_doorbell));
  close(channel_fd_);
  close(doorbell_fd_);
  if (output_fd_ >= 0) close(output_fd_);
}

void TestHost::Start() {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) abort();
  pid_ = fork();
  if (pid_ < 0) abort();
  started_ = true;
  if (pid_ == 0) {
    dup2(pipe_fds[1], STDOUT_FILENO);
    dup2(pipe_fds[1], STDERR_FILENO);
    if (!options_.randomize_addresses) personality(ADDR_NO_RANDOMIZE);
    for (const std::string& variable : options_.environment) {
      putenv(strdup(variable.c_str()));
    }
    if (options_.channel) {
      setenv(MIDLANE_ENV_CHANNEL_FD, std::to_string(channel_fd_).c_str(), 1);
      setenv(MIDLANE_ENV_DOORBELL_FD, std::to_string(doorbell_fd_).c_str(), 1);
    }
    if (!options_.shim.empty()) setenv("LD_PRELOAD", options_.shim.c_str(), 1);
    std::vector<char*> arguments;
    for (const std::string& argument : options_.command) {
      arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    perror(arguments[0]);
    _exit(127);
  }
  close(pipe_fds[1]);
  output_fd_ = pipe_fds[0];
  fcntl(output_fd_, F_SETFL, O_NONBLOCK);
}

bool TestHost::WaitPost(double seconds) {
  double deadline = RealSeconds() + seconds;
  while (channel_->game_seq.load() == channel_->host_seq.load()) {
    uint32_t rings = doorbell_->rings.load();
    doorbell_->wake_at.store(rings + 1);
    doorbell_->asleep.store(1);
    if (channel_->game_seq.load() == channel_->host_seq.load() &&
        doorbell_->rings.load() == rings) {
      timespec slice = {0, 20 * 1000 * 1000};
      Futex(&doorbell_->rings, FUTEX_WAIT, rings, &slice);
    }
    doorbell_->asleep.store(0);
    if (RealSeconds() > deadline) return false;
    // A test may post from a thread of its own: then there is no process that could end.
    bool ended = started_ && Ended();
    if (ended && channel_->game_seq.load() == channel_->host_seq.load()) return false;
  }
  return true;
}

bool TestHost::WaitState(uint32_t state, double seconds) {
  double deadline = RealSeconds() + seconds;
  while (channel_->state.load() != state) {
    if (RealSeconds() > deadline || (Ended() && channel_->state.load() != state)) return false;
    uint32_t now = channel_->state.load();
    timespec slice = {0, 20 * 1000 * 1000};
    if (now != state) Futex(&channel_->state, FUTEX_WAIT, now, &slice);
  }
  return true;
}

void TestHost::Answer(uint32_t command) {
  channel_->command.store(command);
  channel_->host_seq.store(channel_->game_seq.load());
  if (channel_->game_asleep.load()) Futex(&channel_->host_seq, FUTEX_WAKE, INT_MAX, nullptr);
}

void TestHost::SetSettings(const std::string& text) {
  memcpy(reinterpret_cast<char*>(channel_) + channel_->settings_offset, text.data(), text.size());
  channel_->settings_bytes = static_cast<uint32_t>(text.size());
  channel_->settings_seq.fetch_add(1);
}

bool TestHost::Ended() {
  if (pid_ <= 0) return true;
  if (waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ <= 0;
}

int TestHost::WaitExit(double seconds) {
  double deadline = RealSeconds() + seconds;
  while (!Ended()) {
    if (RealSeconds() > deadline) return -1;
    Output();
    usleep(2000);
  }
  return status_;
}

void TestHost::Kill(int signal) {
  if (pid_ > 0) kill(pid_, signal);
}

const float* TestHost::f32(uint32_t agent, uint32_t tensor) {
  return reinterpret_cast<const float*>(midlane_slot_observation(slot(agent)) +
                                        spec().tensor[tensor].offset);
}

std::string TestHost::Output() {
  char text[4096];
  ssize_t bytes;
  while ((bytes = read(output_fd_, text, sizeof(text))) > 0) {
    output_.append(text, static_cast<size_t>(bytes));
  }
  return output_;
}

}  // namespace midlane::testing
