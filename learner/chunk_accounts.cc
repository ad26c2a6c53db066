#include "learner/chunk_accounts.h"

#include <algorithm>

namespace midlane {

const char* DropName(Drop reason) {
  switch (reason) {
    case Drop::kStale:
      return "stale";
    case Drop::kDuplicate:
      return "duplicate";
    case Drop::kInvalid:
      return "invalid";
    case Drop::kUnsent:
      return "unsent";
    case Drop::kLostWorker:
      return "lost_worker";
    case Drop::kLostTransport:
      return "lost_transport";
    case Drop::kLostLearner:
      return "lost_learner";
    case Drop::kCount:
      break;
  }
  return "";
}

ChunkAccounts::Entry& ChunkAccounts::Find(uint64_t worker) {
  Entry& entry = workers_[worker];
  entry.worker.id = worker;
  if (entry.worker.gone && entry.lost_counted) {
    entry.lost_counted = false;
    --workers_lost_;
  }
  entry.worker.gone = false;
  return entry;
}

void ChunkAccounts::Heard(uint64_t worker, uint64_t produced, uint64_t unsent) {
  Worker& account = Find(worker).worker;
  account.produced = std::max(account.produced, produced);
  account.unsent = std::max(account.unsent, unsent);
}

ChunkAccounts::Arrival ChunkAccounts::Arrived(uint64_t worker, uint64_t number, uint64_t episode,
                                              uint32_t agent, uint32_t sequence) {
  Entry& entry = Find(worker);
  Worker& account = entry.worker;
  if (number < account.next) {
    ++repeated_;
    return Arrival::kRepeated;
  }
  dropped(account.restored ? Drop::kLostLearner : Drop::kLostTransport) += number - account.next;
  account.restored = false;
  account.next = number + 1;
  account.produced = std::max(account.produced, account.next);

  Stream& stream = entry.streams[{episode, agent}];
  if (sequence < stream.next_sequence) {
    ++dropped(Drop::kDuplicate);
    return Arrival::kDuplicate;
  }
  stream.next_sequence = sequence + 1;
  stream.touched = ++entry.clock;
  if (entry.streams.size() > kStreamsMax) {
    std::erase_if(entry.streams, [&](const auto& item) {
      return item.second.touched + kStreamsMax / 2 < entry.clock;
    });
  }
  ++held_;
  return Arrival::kFresh;
}

void ChunkAccounts::Trained(uint64_t chunks) {
  held_ -= chunks;
  trained_ += chunks;
}

void ChunkAccounts::Dropped(Drop reason, uint64_t chunks) {
  held_ -= chunks;
  dropped(reason) += chunks;
}

void ChunkAccounts::Gone(uint64_t worker, bool orderly) {
  Entry& entry = Find(worker);
  entry.worker.gone = true;
  entry.streams.clear();
  if (orderly) return;
  entry.lost_counted = true;
  ++workers_lost_;
}

void ChunkAccounts::Ended() {
  dropped(Drop::kUnsent) += held_;
  held_ = 0;
  for (auto& [id, entry] : workers_) {
    Worker& worker = entry.worker;
    if (worker.gone) continue;
    worker.unsent = std::max(worker.unsent, worker.produced - worker.next);
    worker.gone = true;
  }
}

ChunkAccounts::Totals ChunkAccounts::totals() const {
  Totals totals;
  std::array<uint64_t, static_cast<size_t>(Drop::kCount)> dropped = dropped_;
  for (const auto& [id, entry] : workers_) {
    const Worker& worker = entry.worker;
    totals.produced += worker.produced;
    if (!worker.gone) continue;
    const uint64_t missing = worker.produced - worker.next;
    const uint64_t unsent = std::min(missing, worker.unsent);
    dropped[static_cast<size_t>(Drop::kUnsent)] += unsent;
    dropped[static_cast<size_t>(Drop::kLostWorker)] += missing - unsent;
  }
  totals.trained = trained_;
  totals.repeated = repeated_;
  totals.workers_lost = workers_lost_;
  totals.in_flight = totals.produced - trained_;
  for (size_t i = 0; i < dropped.size(); ++i) {
    totals.in_flight -= dropped[i];
    totals.dropped.emplace_back(DropName(static_cast<Drop>(i)), dropped[i]);
  }
  return totals;
}

ChunkAccounts::State ChunkAccounts::state() const {
  State state;
  for (const auto& [id, entry] : workers_) state.workers.push_back(entry.worker);
  state.trained = trained_;
  state.held = held_;
  state.repeated = repeated_;
  state.workers_lost = workers_lost_;
  state.dropped = dropped_;
  return state;
}

void ChunkAccounts::Restore(const State& state) {
  workers_.clear();
  for (const Worker& worker : state.workers) {
    Entry& entry = workers_[worker.id];
    entry.worker = worker;
    entry.worker.restored = true;
  }
  trained_ = state.trained;
  repeated_ = state.repeated;
  workers_lost_ = state.workers_lost;
  dropped_ = state.dropped;
  dropped(Drop::kLostLearner) += state.held;
  held_ = 0;
}

}  // namespace midlane
