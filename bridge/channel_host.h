// ChannelHost: the host's end of one game's channel (channel.h).
//
// Purpose: creates the memory, reads what the game posts, answers. Trusts nothing that the game
//   wrote: every offset used here is the host's own, and the spec is read through ParseSpec.
// Thread-safety: one thread at a time; the game is the other side.
// Ownership: owns the memfd and the mapping; the game inherits fd(). Slots live as long as this.
// Errors: ResourceExhausted where there is no memory or descriptor; InvalidArgument where a text
//   does not fit or the spec is wrong.
// Cost: posted() is one atomic load; Answer is one store, one load and, where the game sleeps, one
//   futex wake.
#ifndef MIDLANE_BRIDGE_CHANNEL_HOST_H_
#define MIDLANE_BRIDGE_CHANNEL_HOST_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bridge/channel.h"
#include "bridge/futex.h"
#include "bridge/spec.h"

namespace midlane {

struct ChannelOptions {
  uint32_t spin = 0;
  // How long a game waits for this host before it takes its fallback. Long: a worker may wait for
  // its learner, and a game notices at once when the host's process ends.
  absl::Duration wait_limit = absl::Minutes(30);
  uint32_t slots = MIDLANE_AGENTS_MAX;
  // Memory that is never touched costs nothing, so any adapter's spec fits.
  uint32_t observation_bytes = MIDLANE_OBSERVATION_BYTES_MAX;
};

// A copy of what the shim found.
struct Announcement {
  std::string dialect, linkage, library, executable;
  uint32_t states = 0, chunks = 0, calls = 0;
};

class ChannelHost {
 public:
  static absl::StatusOr<std::unique_ptr<ChannelHost>> Create(absl::string_view description,
                                                             absl::string_view settings,
                                                             const ChannelOptions& options);
  ~ChannelHost();
  ChannelHost(const ChannelHost&) = delete;
  ChannelHost& operator=(const ChannelHost&) = delete;

  int fd() const { return fd_; }
  uint32_t state() const { return channel_->state.load(std::memory_order_acquire); }

  // True where the game posted and waits for an answer: slots may be read and written.
  bool posted() const { return channel_->game_seq.load(std::memory_order_acquire) != answered_; }
  // True where the game counted its posts as the protocol says.
  bool in_step() const {
    return channel_->game_seq.load(std::memory_order_acquire) - answered_ <= 1;
  }

  midlane_slot* slot(uint32_t agent) {
    return reinterpret_cast<midlane_slot*>(slots_ + uint64_t{agent} * slot_capacity_);
  }

  // REQUIRES: posted().
  void Answer(midlane_command command) {
    ++answered_;
    channel_->command.store(command, std::memory_order_relaxed);
    channel_->host_seq.store(answered_, std::memory_order_seq_cst);
    if (channel_->game_asleep.load(std::memory_order_seq_cst) != 0) {
      FutexWake(&channel_->host_seq);
    }
  }

  // Replaces the settings text for the next answer. REQUIRES: posted().
  absl::Status SetSettings(absl::string_view settings);

  // Asks the game to close at its next exchange; answers one that waits.
  void RequestClose();

  // What the adapter declared. REQUIRES: state() is ATTACHED.
  absl::StatusOr<Spec> ReadSpec() const;

  // The game's own sentence. REQUIRES: state() is FAILED.
  std::string Error() const;

  Announcement ReadAnnouncement() const;
  uint32_t game_pid() const { return channel_->game_pid.load(std::memory_order_relaxed); }
  // Game frames at the last post. REQUIRES: posted().
  uint64_t frames() const { return channel_->frames; }
  // The game's virtual clock at the last post; zero where it runs by the real one. REQUIRES:
  // posted().
  absl::Duration game_clock() const {
    return absl::Nanoseconds(static_cast<int64_t>(channel_->virtual_ns));
  }

 private:
  ChannelHost(int fd, unsigned char* memory, const midlane_channel& header);

  int fd_;
  midlane_channel* channel_;
  unsigned char* slots_;
  // Own copies: the header is writable by the game.
  uint64_t total_bytes_;
  uint32_t slot_capacity_, settings_offset_, settings_capacity_, spec_offset_;
  uint32_t slot_count_;
  uint32_t answered_ = 0;
};

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_CHANNEL_HOST_H_
