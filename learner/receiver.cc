#include "learner/receiver.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/time/clock.h"
#include "rollout/chunk.h"
#include "rollout/transport.h"

namespace midlane {
namespace {

constexpr absl::Duration kLookEvery = absl::Seconds(1);

ChunkShape ShapeOf(const ReceiverOptions& options) {
  ChunkShape shape;
  shape.inputs = options.shape.inputs;
  shape.logits = options.shape.logits;
  shape.masked = options.shape.masked;
  shape.heads = options.shape.heads;
  shape.terms = options.shape.terms;
  shape.state = options.shape.state;
  shape.window = options.shape.window;
  shape.environment_hash = options.environment_hash;
  shape.network_hash = options.network_hash;
  return shape;
}

void AddTo(const WorkerTotals& one, WorkerTotals* all) {
  all->timesteps += one.timesteps;
  all->frames += one.frames;
  all->game_seconds += one.game_seconds;
  all->seconds += one.seconds;
  all->seconds_game += one.seconds_game;
  all->seconds_policy += one.seconds_policy;
  all->seconds_credit += one.seconds_credit;
  all->seconds_other += one.seconds_other;
  all->game_restarts += one.game_restarts;
  if (!one.last_error.empty()) all->last_error = one.last_error;
}

// What training would stumble over though the chunk is well-formed. Empty: nothing.
std::string Implausible(const std::vector<uint32_t>& heads, const ChunkView& view) {
  const auto finite = [](absl::Span<const float> values) {
    // NaN and infinities have all exponent bits set. Without a branch, so that it vectorises.
    constexpr uint32_t kExponent = 0x7f800000;
    uint32_t bad = 0;
    for (const float x : values) bad |= (std::bit_cast<uint32_t>(x) & kExponent) == kExponent;
    return bad == 0;
  };
  const std::pair<const char*, absl::Span<const float>> floats[] = {
      {"inputs", view.inputs}, {"log_probs", view.log_probs}, {"values", view.values},
      {"terms", view.terms},   {"bootstrap", view.bootstrap}, {"states", view.states}};
  for (const auto& [name, values] : floats) {
    if (!finite(values)) return std::string("a chunk's ") + name + " hold NaN or infinity";
  }
  for (size_t i = 0; i < view.actions.size(); ++i) {
    const int32_t action = view.actions[i];
    if (action < 0 || static_cast<uint32_t>(action) >= heads[i % heads.size()]) {
      return "a chunk's actions leave their head";
    }
  }
  return "";
}

}  // namespace

Receiver::Receiver(LearnerTransport* transport, ReceiverOptions options)
    : transport_(transport),
      options_(std::move(options)),
      filling_(std::make_unique<Batch>(options_.shape)) {}

Receiver::~Receiver() { Stop(); }

void Receiver::Restore(const ChunkAccounts::State& accounts) {
  absl::MutexLock lock(&mutex_);
  accounts_.Restore(accounts);
  for (const ChunkAccounts::Worker& worker : accounts.workers) {
    if (worker.gone) continue;
    WorkerFigures& figures = Heard(worker.id);
    figures.restored = true;
  }
}

void Receiver::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Receiver::Stop() {
  stop_.store(true);
  if (thread_.joinable()) thread_.join();
}

void Receiver::SetVersion(uint64_t version) { version_.store(version); }

void Receiver::Run() {
  absl::Time next_look = absl::Now() + kLookEvery;
  while (!stop_.load()) {
    const absl::StatusOr<Received> received = transport_->Receive(absl::Milliseconds(100));
    if (received.ok()) Handle(*received);
    if (const absl::Time now = absl::Now(); now >= next_look) {
      LookForSilent(now);
      next_look = now + kLookEvery;
    }
  }
}

Receiver::WorkerFigures& Receiver::Heard(uint64_t worker) {
  WorkerFigures& figures = workers_[worker];
  figures.heard = absl::Now();
  figures.gone = false;
  figures.restored = false;
  return figures;
}

void Receiver::LookForSilent(absl::Time now) {
  absl::MutexLock lock(&mutex_);
  for (auto& [worker, figures] : workers_) {
    if (figures.gone || now - figures.heard < options_.silence_max) continue;
    figures.gone = true;
    // One that ended while no learner ran is no loss to tell of; its chunks are counted.
    accounts_.Gone(worker, /*orderly=*/figures.restored);
  }
}

void Receiver::Handle(const Received& received) {
  const v1::FromWorker& message = received.message;
  switch (message.body_case()) {
    case v1::FromWorker::kChunk:
      HandleChunk(received);
      return;
    case v1::FromWorker::kResult: {
      const v1::MatchResult& result = message.result();
      MatchReport report;
      report.opponent = result.opponent();
      if (result.outcome() < v1::MatchResult::WON || result.outcome() > v1::MatchResult::CUT)
        return;
      report.match.outcome = static_cast<Outcome>(result.outcome());
      report.match.frames = result.frames();
      report.match.metrics.assign(result.metrics().begin(), result.metrics().end());
      absl::MutexLock lock(&mutex_);
      Heard(result.worker());
      matches_.push_back(std::move(report));
      return;
    }
    case v1::FromWorker::kReport: {
      const v1::WorkerReport& report = message.report();
      absl::MutexLock lock(&mutex_);
      WorkerTotals& figures = Heard(report.worker()).figures;
      figures.timesteps = report.timesteps();
      figures.frames = report.frames();
      figures.game_seconds = report.game_seconds();
      figures.seconds = report.seconds();
      figures.seconds_game = report.seconds_game();
      figures.seconds_policy = report.seconds_policy();
      figures.seconds_credit = report.seconds_credit();
      figures.seconds_other = report.seconds_other();
      figures.game_restarts = report.game_restarts();
      figures.resident_bytes = report.resident_bytes();
      figures.last_error = report.last_error();
      figures.waiting_for = report.waiting_for();
      accounts_.Heard(report.worker(), report.produced_chunks(), report.dropped_chunks());
      return;
    }
    case v1::FromWorker::kGoodbye: {
      const v1::Goodbye& goodbye = message.goodbye();
      absl::MutexLock lock(&mutex_);
      Heard(goodbye.worker()).gone = true;
      accounts_.Heard(goodbye.worker(), goodbye.produced_chunks());
      accounts_.Gone(goodbye.worker(), /*orderly=*/true);
      return;
    }
    case v1::FromWorker::kHello:
    case v1::FromWorker::BODY_NOT_SET:
      return;
  }
}

void Receiver::HandleChunk(const Received& received) {
  const v1::ChunkHeader& header = received.message.chunk();
  {
    absl::MutexLock lock(&mutex_);
    Heard(header.worker());
    const auto arrival = accounts_.Arrived(header.worker(), header.number(), header.episode(),
                                           header.agent(), header.sequence());
    if (arrival != ChunkAccounts::Arrival::kFresh) {
      transport_->Grant(header.worker(), 1);
      return;
    }
  }
  const auto drop = [&](Drop reason, std::string why) {
    {
      absl::MutexLock lock(&mutex_);
      accounts_.Dropped(reason, 1);
      if (!why.empty()) last_invalid_ = std::move(why);
    }
    transport_->Grant(header.worker(), 1);
  };

  const absl::StatusOr<ChunkView> view =
      ParseChunk(ShapeOf(options_), header,
                 received.payload != nullptr ? received.payload->bytes() : std::string_view());
  if (!view.ok()) return drop(Drop::kInvalid, std::string(view.status().message()));

  ChunkData chunk;
  chunk.worker = header.worker();
  chunk.episode = header.episode();
  chunk.sequence = header.sequence();
  chunk.agent = header.agent();
  chunk.opponent = header.opponent();
  chunk.steps = header.steps();
  uint64_t oldest = ~uint64_t{0};
  for (int i = 0; i < header.version_size(); ++i) {
    chunk.versions.emplace_back(header.version(i), header.version_steps(i));
    oldest = std::min(oldest, header.version(i));
  }
  const uint64_t version = version_.load();
  if (oldest + options_.staleness_max < version) return drop(Drop::kStale, "");

  chunk.inputs = view->inputs;
  chunk.masks = view->masks;
  chunk.actions = view->actions;
  chunk.log_probs = view->log_probs;
  chunk.values = view->values;
  chunk.terms = view->terms;
  chunk.ends = view->ends;
  chunk.bootstrap = view->bootstrap;
  chunk.states = view->states;
  chunk.starts = view->starts;
  if (std::string why = Implausible(options_.heads, *view); !why.empty()) {
    return drop(Drop::kInvalid, std::move(why));
  }
  filling_->Append(chunk);

  unfilled_credit_ += 1 - static_cast<double>(chunk.steps) / options_.chunk_steps;
  if (unfilled_credit_ >= 1) {
    unfilled_credit_ -= 1;
    filling_->chunks.back().credit_returned = true;
    transport_->Grant(header.worker(), 1);
  }
  if (filling_->steps() < options_.batch_steps) return;

  absl::MutexLock lock(&mutex_);
  full_.push_back(std::move(filling_));
  if (spare_.empty()) {
    filling_ = std::make_unique<Batch>(options_.shape);
  } else {
    filling_ = std::move(spare_.back());
    spare_.pop_back();
  }
}

std::unique_ptr<Batch> Receiver::Next(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto any = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !full_.empty(); };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&any), timeout)) return nullptr;
  std::unique_ptr<Batch> batch = std::move(full_.front());
  full_.pop_front();
  return batch;
}

void Receiver::Trained(std::unique_ptr<Batch> batch) {
  const uint64_t chunks = batch->chunks.size();
  batch->Clear();
  absl::MutexLock lock(&mutex_);
  accounts_.Trained(chunks);
  spare_.push_back(std::move(batch));
}

std::vector<MatchReport> Receiver::TakeMatches() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(matches_, {});
}

WorkerTotals Receiver::workers() const {
  absl::MutexLock lock(&mutex_);
  WorkerTotals totals;
  for (const auto& [worker, figures] : workers_) {
    AddTo(figures.figures, &totals);
    if (figures.gone || figures.restored) continue;
    ++totals.living;
    totals.resident_bytes += figures.figures.resident_bytes;
    if (!figures.figures.waiting_for.empty()) totals.waiting_for = figures.figures.waiting_for;
  }
  return totals;
}

void Receiver::Ended() {
  absl::MutexLock lock(&mutex_);
  accounts_.Ended();
}

ChunkAccounts::Totals Receiver::accounts() const {
  absl::MutexLock lock(&mutex_);
  return accounts_.totals();
}

ChunkAccounts::State Receiver::accounts_state() const {
  absl::MutexLock lock(&mutex_);
  return accounts_.state();
}

std::string Receiver::last_invalid() const {
  absl::MutexLock lock(&mutex_);
  return last_invalid_;
}

}  // namespace midlane
