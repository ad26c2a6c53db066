// Transport: the ZeroMQ pair between workers and the learner; the only code that includes zmq.h.
// One ROUTER (learner) to DEALER (workers) carries experience, credits, notices and reports; a
// second ROUTER serves weights in checked parts, so that fetching never delays experience.
//
// Flow control: a worker may have sent at most the chunks it was granted credit for. Nothing is
//   dropped by a queue: high-water marks are unlimited because credits bound what is in flight.
//   SIGKILL of either side loses what was in its memory, and the counters say how much.
// Thread-safety: WorkerTransport: one thread. LearnerTransport: Receive, Grant, Publish and the
//   counters may be called from any thread; its I/O runs on threads of its own.
// Errors: AlreadyExists (port or path in use, with the address), Unavailable (peer gone),
//   DeadlineExceeded, DataLoss (hash), FailedPrecondition (refused by the learner: says why),
//   NotFound (a version that is not or no longer served), Cancelled (WorkerTransportOptions.stop).
#ifndef MIDLANE_ROLLOUT_TRANSPORT_H_
#define MIDLANE_ROLLOUT_TRANSPORT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rollout/chunk.h"
#include "rollout/experience.pb.h"

namespace midlane {

inline constexpr uint32_t kWeightsPartBytes = 1u << 20;
inline constexpr uint64_t kWeightsBytesMax = 4ull << 30;

// Bytes that came by message, alive as long as this is.
class Frame {
 public:
  virtual ~Frame() = default;
  virtual std::string_view bytes() const = 0;
};

// ---- Worker side ----------------------------------------------------------------------------

struct WorkerTransportOptions {
  std::string learner;  // "tcp://HOST:PORT" or "ipc://PATH"
  v1::Hello hello;      // sent on connecting and after a learner restart
  // Longest wait for the learner: for its Welcome, its return after it went away, and weights.
  absl::Duration timeout = absl::Seconds(30);
  const std::atomic<bool>* stop = nullptr;  // ends waits with Cancelled once it is true
};

class WorkerTransport {
 public:
  // Connects and waits for the learner's Welcome.
  static absl::StatusOr<std::unique_ptr<WorkerTransport>> Connect(WorkerTransportOptions options);
  virtual ~WorkerTransport() = default;

  // Takes in what has come, without blocking beyond `wait`: credits, the newest notice. While the
  // learner is away there is no credit; Unavailable once it stayed away for `timeout`.
  virtual absl::Status Poll(absl::Duration wait) = 0;
  virtual uint64_t credits() const = 0;
  virtual bool joined() const = 0;  // false while the learner is away
  // The newest notice, or null before the first. Changes only in Poll.
  virtual const v1::Notice* notice() const = 0;
  virtual uint64_t notices() const = 0;  // came so far

  // Ships a chunk and spends a credit; the payload is sent without a copy.
  // REQUIRES: credits() > 0.
  virtual absl::Status SendChunk(const v1::ChunkHeader& header, MutableChunk::Payload payload) = 0;
  virtual absl::Status Send(const v1::FromWorker& message) = 0;  // result, report, goodbye

  // The blob of a version: from this machine's shared cache, or fetched once into it. Blocks.
  virtual absl::StatusOr<std::unique_ptr<Frame>> FetchWeights(uint64_t version, uint64_t bytes,
                                                              uint64_t hash) = 0;
};

// ---- Learner side ---------------------------------------------------------------------------

struct LearnerTransportOptions {
  std::string listen = "tcp://127.0.0.1:*";  // experience
  std::string weights = "tcp://127.0.0.1:*";
  uint64_t environment_hash = 0;  // workers with another one are refused in words
  uint64_t network_hash = 0;
  uint32_t credits_total = 64;  // chunks in flight over all workers
};

struct Received {
  v1::FromWorker message;
  std::unique_ptr<Frame> payload;  // of a chunk
};

class LearnerTransport {
 public:
  static absl::StatusOr<std::unique_ptr<LearnerTransport>> Bind(LearnerTransportOptions options);
  virtual ~LearnerTransport() = default;

  virtual std::string address() const = 0;  // with the real port
  virtual std::string weights_address() const = 0;

  // The next chunk, result, report or goodbye; hello and credits are handled inside. Chunks are not
  // looked into (ParseChunk checks them) but come only from the worker that their header names.
  // DeadlineExceeded at the timeout.
  virtual absl::StatusOr<Received> Receive(absl::Duration timeout) = 0;

  // Gives credit back after chunks of `worker` were trained on or dropped; it is dealt to the
  // workers that hold least. Credits of workers that vanished are dealt to the others.
  virtual void Grant(uint64_t worker, uint32_t chunks) = 0;

  // Serves `blob` as `version` and keeps it until Retire.
  virtual void Serve(uint64_t version, std::shared_ptr<const std::string> blob) = 0;
  virtual void Retire(uint64_t version) = 0;
  // Tells all workers, now and as they join.
  virtual void Announce(const v1::Notice& notice) = 0;

  virtual uint32_t workers() const = 0;  // heard from within the last seconds
};

}  // namespace midlane

#endif  // MIDLANE_ROLLOUT_TRANSPORT_H_
