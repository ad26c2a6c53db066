// Receiver: takes experience off the transport on a thread of its own: parses and copies chunks
// into batches, drops what must not be trained on, counts everything, and keeps what workers
// report.
//
// Batches: chunks are appended in order of arrival until a batch holds batch_steps timesteps or
// more
//   (the last chunk is not cut). Memory is bounded by the credits of the transport.
// Credits: a dropped chunk's is granted back here. A chunk that is shorter than chunk_steps returns
//   the part of its credit that it does not fill, so that workers that ship short chunks can always
//   fill a batch. The rest is the learner's to grant as it trains.
// Thread-safety: all methods from any thread.
// Ownership: the transport must outlive the receiver.
#ifndef MIDLANE_LEARNER_RECEIVER_H_
#define MIDLANE_LEARNER_RECEIVER_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "learner/batch.h"
#include "learner/chunk_accounts.h"
#include "learner/league.h"

namespace midlane {

class LearnerTransport;
struct Received;

struct ReceiverOptions {
  BatchShape shape;
  std::vector<uint32_t> heads;  // choices of each
  uint64_t environment_hash = 0;
  uint64_t network_hash = 0;
  uint32_t batch_steps = 0;
  uint32_t chunk_steps = 0;
  uint32_t staleness_max = 0;
  // A worker that sends nothing for so long counts as gone (workers report every second).
  absl::Duration silence_max = absl::Seconds(10);
};

struct MatchReport {
  uint32_t opponent = 0;
  Tally::Match match;
};

// Sums of all workers since the run of this learner began, the gone ones included.
struct WorkerTotals {
  uint64_t timesteps = 0;
  uint64_t frames = 0;
  double game_seconds = 0;
  double seconds = 0;  // wall time of all workers added up; likewise the parts of it
  double seconds_game = 0, seconds_policy = 0, seconds_credit = 0, seconds_other = 0;
  uint64_t game_restarts = 0;
  uint64_t resident_bytes = 0;  // of the living, now
  uint32_t living = 0;
  std::string last_error;
  std::string waiting_for;  // of one of the living that waits for a server; empty: none does
};

class Receiver {
 public:
  Receiver(LearnerTransport* transport, ReceiverOptions options);
  ~Receiver();
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  // Before Start: what an earlier learner of this run had counted.
  void Restore(const ChunkAccounts::State& accounts);
  void Start();
  void Stop();  // joins the thread; what is held stays held

  // Chunks with older data than staleness_max below it are dropped on arrival.
  void SetVersion(uint64_t version);

  // The next full batch, or null after `timeout`.
  std::unique_ptr<Batch> Next(absl::Duration timeout);
  // Counts its chunks as trained and takes the memory back.
  void Trained(std::unique_ptr<Batch> batch);

  std::vector<MatchReport> TakeMatches();
  WorkerTotals workers() const;
  // Once stopped, at the learner's orderly end: what was not trained on is left behind.
  void Ended();
  ChunkAccounts::Totals accounts() const;
  // For a checkpoint.
  ChunkAccounts::State accounts_state() const;
  // Reason of the last chunk that the parser refused, empty where there is none.
  std::string last_invalid() const;

  // Handles one message, as the thread does. For tests.
  void Handle(const Received& received);
  // Looks for workers that fell silent, as the thread does.
  void LookForSilent(absl::Time now);

 private:
  struct WorkerFigures {
    WorkerTotals figures;
    absl::Time heard;
    bool gone = false;
    bool restored = false;  // known from a checkpoint alone
  };

  void Run();
  void HandleChunk(const Received& received);
  WorkerFigures& Heard(uint64_t worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  LearnerTransport* const transport_;
  const ReceiverOptions options_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> version_{0};
  std::thread thread_;

  mutable absl::Mutex mutex_;
  ChunkAccounts accounts_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::unique_ptr<Batch>> full_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Batch>> spare_ ABSL_GUARDED_BY(mutex_);
  std::vector<MatchReport> matches_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, WorkerFigures> workers_ ABSL_GUARDED_BY(mutex_);
  std::string last_invalid_ ABSL_GUARDED_BY(mutex_);

  // Of the receiving thread.
  std::unique_ptr<Batch> filling_;
  double unfilled_credit_ = 0;
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_RECEIVER_H_
