// ChunkAccounts: what became of every chunk that workers produced, and which were seen before.
//
// Invariant: produced = trained + sum(dropped) + in_flight, always; in_flight = held (received,
//   neither trained nor dropped) + what living workers numbered and has not arrived.
// A worker numbers its chunks from 0 and its messages come in order, so a jump in the numbers is a
//   loss: of the transport, or of the learner where it was restarted in between. What a worker that
//   is gone for good had under way counts as lost with it; should it return, it is under way again.
// Duplicates: a number that came before is a repeated delivery (counted apart, not produced twice);
//   a fresh number whose (episode, agent, sequence) was seen is dropped as a duplicate.
// Thread-safety: one thread at a time.
#ifndef MIDLANE_LEARNER_CHUNK_ACCOUNTS_H_
#define MIDLANE_LEARNER_CHUNK_ACCOUNTS_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace midlane {

enum class Drop : uint32_t {
  kStale = 0,      // older than staleness_max versions on arrival
  kDuplicate,      // trained on before
  kInvalid,        // refused by the parser
  kUnsent,         // left in a worker at its orderly end, or untrained at the learner's
  kLostWorker,     // under way when its worker died
  kLostTransport,  // missing between two that arrived
  kLostLearner,    // received and not yet trained on when the learner was killed, or sent meanwhile
  kCount,
};
const char* DropName(Drop reason);

class ChunkAccounts {
 public:
  // Streams remembered for each worker.
  static constexpr size_t kStreamsMax = 1 << 14;

  enum class Arrival { kFresh, kDuplicate, kRepeated };

  struct Worker {
    uint64_t id = 0;
    uint64_t produced = 0;  // chunks it is known to have numbered
    uint64_t next = 0;      // number that comes next
    uint64_t unsent = 0;    // it said it leaves
    bool gone = false;
    bool restored = false;  // nothing came since the learner was restarted
  };
  struct State {
    std::vector<Worker> workers;
    uint64_t trained = 0;
    uint64_t held = 0;
    uint64_t repeated = 0;
    uint64_t workers_lost = 0;
    std::array<uint64_t, static_cast<size_t>(Drop::kCount)> dropped{};
  };
  struct Totals {
    uint64_t produced = 0, trained = 0, in_flight = 0, repeated = 0, workers_lost = 0;
    std::vector<std::pair<std::string, uint64_t>> dropped;  // every reason
  };

  // `produced`: chunks that the worker numbered so far.
  void Heard(uint64_t worker, uint64_t produced, uint64_t unsent = 0);
  // A fresh one is held until Trained or Dropped; a duplicate is counted here already.
  Arrival Arrived(uint64_t worker, uint64_t number, uint64_t episode, uint32_t agent,
                  uint32_t sequence);
  void Trained(uint64_t chunks);
  void Dropped(Drop reason, uint64_t chunks);  // held ones
  // The worker left (orderly: after Heard with its last counts) or has been silent for long.
  void Gone(uint64_t worker, bool orderly);
  // The learner ends as it was told to: what is held or under way is trained by nobody (kUnsent).
  void Ended();

  Totals totals() const;
  uint64_t held() const { return held_; }

  State state() const;
  // After a learner's restart: what was held is lost.
  void Restore(const State& state);

 private:
  struct Stream {
    uint32_t next_sequence = 0;
    uint64_t touched = 0;
  };
  struct Entry {
    Worker worker;
    bool lost_counted = false;
    std::map<std::pair<uint64_t, uint32_t>, Stream> streams;  // by (episode, agent)
    uint64_t clock = 0;
  };

  Entry& Find(uint64_t worker);
  uint64_t& dropped(Drop reason) { return dropped_[static_cast<size_t>(reason)]; }

  std::map<uint64_t, Entry> workers_;
  uint64_t trained_ = 0, held_ = 0, repeated_ = 0, workers_lost_ = 0;
  std::array<uint64_t, static_cast<size_t>(Drop::kCount)> dropped_{};
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_CHUNK_ACCOUNTS_H_
