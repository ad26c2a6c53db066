#include "bridge/rpc/world.h"

#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "bridge/rpc/packed_timestep.h"

namespace midlane::rpc {
namespace {

// How often the world's thread looks for waits that took too long.
constexpr absl::Duration kExpiryPoll = absl::Milliseconds(500);
constexpr char kWeights[] = "weights.";

void Fail(const absl::Status& status, wire::EnvironmentResponse* response, Completion* completion,
          Finished* finished) {
  SetError(status, response);
  finished->Add(completion);
}

absl::Status Left() { return absl::CancelledError("the request's own client is gone"); }

}  // namespace

World::World(WorldOptions options, WorldEnvFactory factory, EnvPoller* poller, Settings settings,
             std::function<void(absl::Status)> started)
    : options_(std::move(options)),
      factory_(std::move(factory)),
      poller_(poller),
      created_settings_(std::move(settings)),
      settings_(created_settings_) {
  poller_->Add(this);
  thread_ = std::thread(&World::Run, this, std::move(started));
}

World::~World() {
  BeginDestroy(absl::UnavailableError("the world is gone"), [] {});
  thread_.join();
  poller_->Remove(this);
}

absl::Status World::Start() {
  absl::StatusOr<std::unique_ptr<Env>> env =
      factory_(created_settings_, options_.seed, poller_->doorbell());
  if (!env.ok()) return env.status();
  absl::StatusOr<AgentSpecs> specs = AgentSpecs::Make((*env)->spec());
  if (!specs.ok()) return specs.status();
  absl::Status status = (*env)->Reset(created_settings_);
  if (!status.ok()) return status;
  {
    absl::MutexLock lock(&mu_);
    env_ = *std::move(env);
  }
  status = AwaitEnv();
  if (!status.ok()) return status;
  absl::MutexLock lock(&mu_);
  specs_ = *std::move(specs);
  seats_.resize(specs_->spec().agents.size());
  ReadPlayable();
  started_ = true;
  fresh_ = true;
  return absl::OkStatus();
}

absl::Status World::RestartEnv(const Settings& settings) {
  absl::Status status = env_->Restart();
  if (status.ok()) status = env_->Reset(settings);
  return status.ok() ? AwaitEnv() : status;
}

absl::Status World::AwaitEnv() {
  absl::MutexLock lock(&mu_);
  if (std::optional<absl::Status> answer = AnswerOfEnv()) return *answer;
  thread_awaits_ = true;
  while (!thread_answer_ && destroyed_.ok()) wake_.Wait(&mu_);
  thread_awaits_ = false;
  awaited_ = false;
  std::optional<absl::Status> answer = std::exchange(thread_answer_, std::nullopt);
  return answer ? *answer : destroyed_;
}

std::optional<absl::Status> World::AnswerOfEnv() {
  // Awaited before the look: an answer that comes just after it rings for the poller.
  if (!awaited_) answer_deadline_ = absl::Now() + options_.env_timeout;
  awaited_ = true;
  const absl::StatusOr<bool> ready = env_->Ready();
  absl::Status status = ready.status();
  if (status.ok() && !*ready) {
    if (absl::Now() < answer_deadline_) return std::nullopt;
    status = absl::DeadlineExceededError(absl::StrCat("the environment has not answered within ",
                                                      absl::FormatDuration(options_.env_timeout)));
  }
  awaited_ = false;
  return status;
}

void World::Poll(Finished* finished) {
  if (!awaited_.load(std::memory_order_acquire)) return;
  absl::MutexLock lock(&mu_);
  if (!awaited_) return;
  std::optional<absl::Status> answer = AnswerOfEnv();
  if (!answer) return;
  if (!thread_awaits_) return OnAnswer(*answer, finished);
  thread_answer_ = *std::move(answer);
  wake_.Signal();
}

void World::Run(std::function<void(absl::Status)> started) {
  poller_->PinCaller();
  const absl::Status start = Start();
  started(start);
  started = nullptr;
  if (!start.ok()) {
    absl::MutexLock lock(&mu_);
    if (destroyed_.ok()) destroyed_ = start;
  }
  mu_.Lock();
  while (destroyed_.ok()) {
    if (!restart_wanted_) wake_.WaitWithTimeout(&mu_, kExpiryPoll);
    const bool restart = std::exchange(restart_wanted_, false);
    const Settings settings = restart ? settings_ : Settings();
    mu_.Unlock();
    const absl::Status status = restart ? RestartEnv(settings) : absl::OkStatus();
    {
      Finished finished;
      absl::MutexLock lock(&mu_);
      if (restart) {
        OnAnswer(status, &finished);
      } else {
        ExpireWaits(&finished);
      }
    }
    mu_.Lock();
  }
  awaited_ = false;
  std::unique_ptr<Env> env = std::move(env_);
  mu_.Unlock();
  env.reset();
  std::vector<std::function<void()>> when_gone;
  {
    absl::MutexLock lock(&mu_);
    gone_ = true;
    when_gone.swap(when_gone_);
  }
  for (const std::function<void()>& gone : when_gone) gone();
}

void World::ReadPlayable() {
  for (size_t i = 0; i < seats_.size(); ++i) {
    const AgentView view = env_->agent(static_cast<int>(i));
    seats_[i].playable = view.active() && !(view.flags & MIDLANE_SLOT_PASSIVE);
  }
}

std::string World::SeatName(const Seat& seat) {
  return absl::StrCat("agent '", specs_->spec().agents[&seat - seats_.data()], "'",
                      seat.joined ? absl::StrCat(" (", seat.client, ")") : "");
}

absl::Status World::NotPlayable(const Seat& seat) {
  const std::string& agent = specs_->spec().agents[&seat - seats_.data()];
  return absl::FailedPreconditionError(absl::StrCat("agent '", agent, "' of world '", name(),
                                                    "' is left to a scripted bot by the "
                                                    "world's settings: set '",
                                                    agent, "' to 'agent', or take another agent"));
}

std::vector<float> World::DefaultWeights() const {
  const std::vector<std::string>& terms = specs_->spec().terms;
  const bool named = std::any_of(terms.begin(), terms.end(), [this](const std::string& term) {
    return options_.weights.count(term) > 0;
  });
  std::vector<float> weights(terms.size(), named ? 0.0f : 1.0f);
  for (size_t i = 0; i < terms.size(); ++i) {
    const auto found = options_.weights.find(terms[i]);
    if (found != options_.weights.end()) weights[i] = static_cast<float>(found->second);
  }
  return weights;
}

absl::StatusOr<std::vector<float>> World::TakeWeights(Settings* settings,
                                                      std::vector<float> weights) {
  const Spec& spec = specs_->spec();
  for (auto it = settings->begin(); it != settings->end();) {
    if (!absl::StartsWith(it->first, kWeights)) {
      ++it;
      continue;
    }
    const int term = spec.FindTerm(std::string_view(it->first).substr(sizeof kWeights - 1));
    if (term < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("setting '", it->first, "' names no reward term: the terms are ",
                       spec.terms.empty() ? "none" : absl::StrJoin(spec.terms, ", ")));
    }
    if (!absl::SimpleAtof(it->second, &weights[term])) {
      return absl::InvalidArgumentError(
          absl::StrCat("setting '", it->first, "' is '", it->second, "': give a finite number"));
    }
    it = settings->erase(it);
  }
  return weights;
}

absl::StatusOr<Ticket> World::Join(const Settings& settings, const std::string& client,
                                   wire::ActionObservationSpecs* specs) {
  absl::MutexLock lock(&mu_);
  if (!destroyed_.ok()) return destroyed_;
  if (!started_) {
    return absl::FailedPreconditionError(
        absl::StrCat("world '", name(), "' is starting: wait for its CreateWorldResponse"));
  }
  const Spec& spec = specs_->spec();
  Settings rest = settings;
  absl::StatusOr<std::vector<float>> weights = TakeWeights(&rest, DefaultWeights());
  if (!weights.ok()) return weights.status();
  int wanted = -1;
  if (const auto agent = rest.find("agent"); agent != rest.end()) {
    wanted = spec.FindAgent(agent->second);
    if (wanted < 0) {
      return absl::InvalidArgumentError(absl::StrCat("setting 'agent' is '", agent->second,
                                                     "': the agents are ",
                                                     absl::StrJoin(spec.agents, ", ")));
    }
    rest.erase(agent);
  }
  if (!rest.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown join setting '", rest.begin()->first,
        "': known are agent and weights.TERM (TERM: ", absl::StrJoin(spec.terms, ", "), ")"));
  }
  if (wanted >= 0) {
    const Seat& seat = seats_[wanted];
    if (!seat.playable) return NotPlayable(seat);
    if (seat.joined) {
      return absl::FailedPreconditionError(
          absl::StrCat(SeatName(seat), " of world '", name(), "' is taken: take another agent"));
    }
  } else {
    for (size_t i = 0; i < seats_.size() && wanted < 0; ++i) {
      if (seats_[i].playable && !seats_[i].joined) wanted = static_cast<int>(i);
    }
    if (wanted < 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("world '", name(), "' has no free agent (of ", seats_.size(),
                       "): create another world, or set more of ", absl::StrJoin(spec.agents, ", "),
                       " to 'agent' in its settings"));
    }
  }
  Seat& seat = seats_[wanted];
  seat = Seat();
  seat.playable = true;
  seat.joined = true;
  seat.ticket = ++tickets_ * MIDLANE_AGENTS_MAX + wanted;
  seat.client = client;
  seat.weights = *std::move(weights);
  *specs = specs_->proto();
  return seat.ticket;
}

World::Seat* World::SeatOf(Ticket ticket) {
  if (ticket == 0) return nullptr;
  Seat* seat = &seats_[ticket % MIDLANE_AGENTS_MAX];
  return seat->ticket == ticket ? seat : nullptr;
}

void World::Leave(Ticket ticket, const char* how) {
  Finished finished;
  absl::MutexLock lock(&mu_);
  if (SeatOf(ticket) == nullptr) return;
  Seat& leaver = *SeatOf(ticket);
  const int index = static_cast<int>(&leaver - seats_.data());
  const absl::Status aborted = absl::AbortedError(absl::StrCat(
      SeatName(leaver), " ", how, " world '", name(),
      "' and cut the sequence: step once more for its end, and again to begin another (which waits "
      "for an agent in its place)"));
  if (leaver.step) Fail(Left(), leaver.step->response, leaver.step->completion, &finished);
  if (leaver.reset) Fail(Left(), leaver.reset->response, leaver.reset->completion, &finished);
  if (reset_ && reset_->seat == index) FailWorldReset(Left(), &finished);
  const bool playable = leaver.playable;
  leaver = Seat();
  leaver.playable = playable;
  if (!destroyed_.ok()) return;
  if (operation_ == Operation::kStep || (!busy_ && !fresh_)) cut_ = true;
  for (Seat& seat : seats_) {
    if (!seat.joined) continue;
    if (seat.state == wire::RUNNING && !seat.reset) seat.interrupted = true;
    if (seat.step) {
      Fail(aborted, seat.step->response, seat.step->completion, &finished);
      seat.step.reset();
    }
  }
  SettleResets(&finished);
  TryFinishWorldReset(&finished);
}

template <typename Request>
void World::BeginStep(Ticket ticket, const Request& request, wire::EnvironmentResponse* response,
                      Completion* completion) {
  Finished finished;
  absl::MutexLock lock(&mu_);
  if (!destroyed_.ok()) return Fail(destroyed_, response, completion, &finished);
  if (SeatOf(ticket) == nullptr) return Fail(Left(), response, completion, &finished);
  Seat& seat = *SeatOf(ticket);
  const int index = static_cast<int>(&seat - seats_.data());
  const absl::StatusOr<Requested> requested = specs_->ParseRequested(request);
  if (!requested.ok()) return Fail(requested.status(), response, completion, &finished);
  if (!seat.playable && !seat.interrupted) {
    return Fail(NotPlayable(seat), response, completion, &finished);
  }
  if (seat.state == wire::RUNNING && !seat.interrupted) {
    const absl::Status status =
        specs_->ParseActions(request, env_->agent(index).observation, seat.actions);
    if (!status.ok()) return Fail(status, response, completion, &finished);
  }
  seat.step = Pending{response, completion, *requested};
  if (seats_.size() > 1) seat.step->deadline = absl::Now() + options_.barrier_timeout;
  Advance(&finished);
}

void World::Step(Ticket ticket, const wire::StepRequest& request,
                 wire::EnvironmentResponse* response, Completion* completion) {
  BeginStep(ticket, request, response, completion);
}

void World::Step(Ticket ticket, const PlainStep& request, wire::EnvironmentResponse* response,
                 Completion* completion) {
  BeginStep(ticket, request, response, completion);
}

void World::Reset(Ticket ticket, const wire::ResetRequest& request,
                  wire::EnvironmentResponse* response, Completion* completion) {
  Finished finished;
  absl::MutexLock lock(&mu_);
  if (!destroyed_.ok()) return Fail(destroyed_, response, completion, &finished);
  if (SeatOf(ticket) == nullptr) return Fail(Left(), response, completion, &finished);
  Seat& seat = *SeatOf(ticket);
  const int index = static_cast<int>(&seat - seats_.data());
  absl::StatusOr<Settings> settings = SettingsOf(request.settings());
  if (!settings.ok()) return Fail(settings.status(), response, completion, &finished);
  absl::StatusOr<std::vector<float>> weights = TakeWeights(&*settings, seat.weights);
  if (!weights.ok()) return Fail(weights.status(), response, completion, &finished);
  if (!settings->empty()) {
    for (const Seat& other : seats_) {
      if (&other == &seat || !other.joined) continue;
      return Fail(absl::FailedPreconditionError(absl::StrCat(
                      "Reset cannot change setting '", settings->begin()->first, "' while ",
                      SeatName(other), " is in world '", name(), "': send ResetWorld")),
                  response, completion, &finished);
    }
    WorldReset reset;
    reset.pending = Pending{response, completion, {}};
    reset.settings = *std::move(settings);
    reset.weights = *std::move(weights);
    reset.seat = index;
    reset.of_agent = true;
    return QueueWorldReset(std::move(reset), &finished);
  }
  seat.weights = *std::move(weights);
  seat.reset = Pending{response, completion, {}};
  if (seat.state != wire::RUNNING || seat.interrupted) {
    if (seat.interrupted) seat.state = wire::INTERRUPTED;
    seat.interrupted = seat.by_reset = false;
    seat.snapshot.reset();
    AnswerReset(&seat, &finished);
    return TryFinishWorldReset(&finished);
  }
  SettleResets(&finished);
  Advance(&finished);
}

void World::AnswerReset(Seat* seat, Finished* finished) {
  *seat->reset->response->mutable_reset()->mutable_specs() = specs_->proto();
  finished->Add(seat->reset->completion);
  seat->reset.reset();
}

// Cuts the sequence where all agents that still run it want it reset.
void World::SettleResets(Finished* finished) {
  bool any = false;
  for (const Seat& seat : seats_) {
    if (!seat.joined) continue;
    if (seat.reset) {
      any = true;
    } else if (seat.state == wire::RUNNING && !seat.interrupted) {
      return;
    }
  }
  if (!any) return;
  if (!fresh_ && operation_ != Operation::kReset) cut_ = true;
  for (Seat& seat : seats_) {
    if (!seat.joined || !seat.reset) continue;
    seat.state = wire::INTERRUPTED;
    AnswerReset(&seat, finished);
  }
}

void World::ResetWorld(Ticket ticket, const Settings& settings, wire::EnvironmentResponse* response,
                       Completion* completion) {
  Finished finished;
  absl::MutexLock lock(&mu_);
  if (!destroyed_.ok()) return Fail(destroyed_, response, completion, &finished);
  if (!started_) {
    return Fail(absl::FailedPreconditionError(absl::StrCat(
                    "world '", name(), "' is starting: wait for its CreateWorldResponse")),
                response, completion, &finished);
  }
  WorldReset reset;
  reset.pending = Pending{response, completion, {}, absl::Now() + options_.barrier_timeout};
  reset.settings = settings;
  if (const Seat* seat = SeatOf(ticket)) reset.seat = static_cast<int>(seat - seats_.data());
  QueueWorldReset(std::move(reset), &finished);
}

void World::QueueWorldReset(WorldReset reset, Finished* finished) {
  if (reset_) {
    return Fail(absl::AbortedError(absl::StrCat("another ResetWorld of world '", name(),
                                                "' is under way: send yours after it")),
                reset.pending.response, reset.pending.completion, finished);
  }
  reset_ = std::move(reset);
  TryWorldReset(finished);
}

void World::TryWorldReset(Finished* finished) {
  if (!reset_ || reset_->begun || busy_) return;
  Settings merged = created_settings_;
  for (const auto& [name, value] : reset_->settings) merged[name] = value;
  std::vector<std::optional<Snapshot>> snapshots(seats_.size());
  for (size_t i = 0; i < seats_.size() && broken_.ok(); ++i) {
    const Seat& seat = seats_[i];
    if (!seat.joined || seat.state != wire::RUNNING || static_cast<int>(i) == reset_->seat)
      continue;
    if (seat.snapshot) {
      snapshots[i] = seat.snapshot;
      continue;
    }
    const Spec& spec = specs_->spec();
    Snapshot snapshot;
    snapshot.view = env_->agent(static_cast<int>(i));
    snapshot.observation.assign(snapshot.view.observation,
                                snapshot.view.observation + spec.observation_bytes);
    // What was rewarded has been told with the step before.
    snapshot.rewards.assign(spec.terms.size(), 0);
    snapshot.metrics.assign(snapshot.view.metrics, snapshot.view.metrics + spec.metrics.size());
    snapshots[i] = std::move(snapshot);
  }
  if (broken_.ok()) {
    const absl::Status status = env_->Reset(merged);
    if (absl::IsInvalidArgument(status)) return FailWorldReset(status, finished);
    if (!status.ok()) return OnFailure(status, finished);
  }
  settings_ = std::move(merged);
  reset_->begun = true;
  operation_ = Operation::kReset;
  busy_ = true;
  cut_ = false;
  if (reset_->of_agent) seats_[reset_->seat].weights = reset_->weights;
  for (size_t i = 0; i < seats_.size(); ++i) {
    Seat& seat = seats_[i];
    if (!seat.joined || seat.state != wire::RUNNING) continue;
    if (static_cast<int>(i) == reset_->seat) {
      seat.state = wire::INTERRUPTED;
      seat.interrupted = false;
      seat.snapshot.reset();
      continue;
    }
    if (seat.reset) {
      seat.state = wire::INTERRUPTED;
      AnswerReset(&seat, finished);
      continue;
    }
    seat.interrupted = seat.by_reset = true;
    seat.snapshot = std::move(snapshots[i]);
    if (seat.step) DeliverInterrupted(&seat, finished);
  }
  if (!broken_.ok()) return BeginRestart();
  BeginCall(Operation::kReset, finished);
}

void World::TryFinishWorldReset(Finished* finished) {
  if (!reset_ || !reset_->begun || busy_) return;
  for (const Seat& seat : seats_) {
    if (seat.joined && seat.by_reset) return;
  }
  wire::EnvironmentResponse* response = reset_->pending.response;
  if (reset_->of_agent) {
    *response->mutable_reset()->mutable_specs() = specs_->proto();
  } else {
    response->mutable_reset_world();
  }
  finished->Add(reset_->pending.completion);
  reset_.reset();
}

void World::FailWorldReset(const absl::Status& status, Finished* finished) {
  if (!reset_) return;
  Fail(status, reset_->pending.response, reset_->pending.completion, finished);
  reset_.reset();
  for (Seat& seat : seats_) seat.by_reset = false;
}

void World::CancelReset(Completion* completion) {
  Finished finished;
  absl::MutexLock lock(&mu_);
  if (!reset_ || reset_->pending.completion != completion) return;
  FailWorldReset(Left(), &finished);
}

// True where no agent's sequence goes on, so that the Env asks for Reset.
bool World::SequenceEnded() {
  for (size_t i = 0; i < seats_.size(); ++i) {
    const AgentView view = env_->agent(static_cast<int>(i));
    if (view.active() && !view.last()) return false;
  }
  return true;
}

void World::Advance(Finished* finished) {
  if (busy_ || !destroyed_.ok()) return;
  for (Seat& seat : seats_) {
    if (seat.step && seat.interrupted) DeliverInterrupted(&seat, finished);
  }
  bool any = false;
  for (const Seat& seat : seats_) {
    if (!seat.playable) continue;
    if (!seat.step && !seat.reset) return;
    any |= seat.step.has_value();
  }
  if (!any) return;
  if (!broken_.ok()) {
    operation_ = Operation::kReset;
    busy_ = true;
    return BeginRestart();
  }
  if (cut_ || (!fresh_ && SequenceEnded())) {
    const absl::Status status = env_->Reset(settings_);
    if (!status.ok()) return OnFailure(status, finished);
    cut_ = false;
    return BeginCall(Operation::kReset, finished);
  }
  if (fresh_) return DeliverAll(finished);
  for (size_t i = 0; i < seats_.size(); ++i) {
    Seat& seat = seats_[i];
    const AgentView view = env_->agent(static_cast<int>(i));
    if (!seat.playable || !view.wants_action()) continue;
    if (seat.step && seat.state == wire::RUNNING) {
      std::memcpy(view.actions, seat.actions, specs_->spec().heads.size() * sizeof(int32_t));
    } else {
      specs_->DefaultActions(view.observation, view.actions);
    }
  }
  const absl::Status status = env_->Step();
  if (!status.ok()) return OnFailure(status, finished);
  BeginCall(Operation::kStep, finished);
}

// The Env has been called: takes its answer at once where there is one.
void World::BeginCall(Operation operation, Finished* finished) {
  operation_ = operation;
  busy_ = true;
  if (std::optional<absl::Status> answer = AnswerOfEnv()) OnAnswer(*answer, finished);
}

void World::BeginRestart() {
  restart_wanted_ = true;
  wake_.Signal();
}

void World::OnAnswer(const absl::Status& status, Finished* finished) {
  busy_ = false;
  const Operation operation = std::exchange(operation_, Operation::kNone);
  if (!status.ok()) return OnFailure(status, finished);
  broken_ = absl::OkStatus();
  if (!destroyed_.ok()) return;
  if (operation == Operation::kReset) {
    fresh_ = true;
    ReadPlayable();
    for (Seat& seat : seats_) {
      if (!seat.step || seat.playable || seat.interrupted) continue;
      Fail(NotPlayable(seat), seat.step->response, seat.step->completion, finished);
      seat.step.reset();
    }
    TryFinishWorldReset(finished);
    TryWorldReset(finished);
    if (!busy_) Advance(finished);
    return;
  }
  DeliverAll(finished);
  TryWorldReset(finished);
}

// The Env is in an error: everybody hears it, and the next move restarts it.
void World::OnFailure(const absl::Status& status, Finished* finished) {
  broken_ = status;
  fresh_ = cut_ = false;
  const absl::Status told(status.code(),
                          absl::StrCat(status.message(), " (world '", name(),
                                       "': the next sequence begins with a fresh game)"));
  for (Seat& seat : seats_) {
    if (seat.step) Fail(told, seat.step->response, seat.step->completion, finished);
    if (seat.reset) Fail(told, seat.reset->response, seat.reset->completion, finished);
    seat.step.reset();
    seat.reset.reset();
    if (seat.state == wire::RUNNING) seat.state = wire::INTERRUPTED;
    seat.interrupted = false;
    seat.snapshot.reset();
  }
  FailWorldReset(told, finished);
}

// Hands the Env's current timestep to every seat that waits for one.
void World::DeliverAll(Finished* finished) {
  bool delivered = false;
  for (size_t i = 0; i < seats_.size(); ++i) {
    Seat& seat = seats_[i];
    if (!seat.joined) continue;
    if (seat.step && seat.interrupted) {
      DeliverInterrupted(&seat, finished);
      continue;
    }
    if (!seat.step && !seat.reset) continue;
    const AgentView view = env_->agent(static_cast<int>(i));
    const wire::EnvironmentStateType state = view.terminated()  ? wire::TERMINATED
                                             : view.truncated() ? wire::INTERRUPTED
                                                                : wire::RUNNING;
    if (seat.step) {
      delivered = true;
      Answer(&seat, view, state, finished);
    } else if (state != wire::RUNNING) {
      seat.state = state;
      AnswerReset(&seat, finished);
    }
  }
  if (delivered) fresh_ = false;
  SettleResets(finished);
}

void World::Answer(Seat* seat, const AgentView& view, wire::EnvironmentStateType state,
                   Finished* finished) {
  seat->state = state;
  specs_->WriteStep({state, view, seat->weights.data()}, seat->step->requested,
                    &seat->step->completion->step);
  finished->Add(seat->step->completion);
  seat->step.reset();
}

void World::DeliverInterrupted(Seat* seat, Finished* finished) {
  const std::vector<float> no_rewards(specs_->spec().terms.size());
  AgentView view;
  if (seat->snapshot) {
    view = seat->snapshot->view;
    view.observation = seat->snapshot->observation.data();
    view.metrics = seat->snapshot->metrics.data();
  } else {
    view = env_->agent(static_cast<int>(seat - seats_.data()));
  }
  view.rewards = no_rewards.data();
  Answer(seat, view, wire::INTERRUPTED, finished);
  seat->interrupted = seat->by_reset = false;
  seat->snapshot.reset();
  TryFinishWorldReset(finished);
}

// Whom a step waits for.
std::string World::Missing() {
  std::vector<std::string> names;
  for (const Seat& seat : seats_) {
    if (!seat.playable || seat.step || seat.reset) continue;
    names.push_back(absl::StrCat(SeatName(seat), seat.joined ? "" : " (not joined)"));
  }
  return absl::StrJoin(names, ", ");
}

void World::ExpireWaits(Finished* finished) {
  if (busy_ || !started_) return;
  const absl::Time now = absl::Now();
  const std::string timeout = absl::FormatDuration(options_.barrier_timeout);
  const std::string missing = Missing();
  for (Seat& seat : seats_) {
    if (!seat.step || seat.step->deadline > now) continue;
    Fail(absl::DeadlineExceededError(absl::StrCat("waited ", timeout, " for ", missing,
                                                  ": step again when they are there")),
         seat.step->response, seat.step->completion, finished);
    seat.step.reset();
  }
  if (reset_ && reset_->pending.deadline <= now) {
    FailWorldReset(absl::DeadlineExceededError(absl::StrCat(
                       "the world was reset, but for ", timeout,
                       " not every agent has stepped to hear it: have them step or leave")),
                   finished);
  }
}

absl::Status World::Describe(midlane::bridge::v1::DescribeWorldResponse* response) {
  absl::MutexLock lock(&mu_);
  if (!destroyed_.ok()) return destroyed_;
  if (!started_) {
    return absl::FailedPreconditionError(
        absl::StrCat("world '", name(), "' is starting: wait for its CreateWorldResponse"));
  }
  const Spec& spec = specs_->spec();
  response->set_environment(spec.environment);
  for (size_t i = 0; i < spec.agents.size(); ++i) {
    auto* agent = response->add_agents();
    agent->set_name(spec.agents[i]);
    agent->set_joinable(seats_[i].playable);
  }
  for (const HeadSpec& head : spec.heads) {
    if (head.mask_tensor < 0) continue;
    auto* mask = response->add_masks();
    mask->set_observation(spec.tensors[head.mask_tensor].name);
    mask->set_action(head.name);
  }
  for (const TensorSpec& tensor : spec.tensors) {
    auto* bounds = response->add_bounds();
    bounds->set_minimum(tensor.minimum);
    bounds->set_maximum(tensor.maximum);
  }
  for (const std::string& term : spec.terms) response->add_terms(term);
  for (const std::string& metric : spec.metrics) response->add_metrics(metric);
  response->set_packed_observation(kPackedObservation);
  response->set_frame_skip(spec.frame_skip);
  response->set_frames_per_second(spec.frames_per_second);
  return absl::OkStatus();
}

void World::BeginDestroy(absl::Status why, std::function<void()> gone) {
  {
    Finished finished;
    absl::MutexLock lock(&mu_);
    if (destroyed_.ok()) {
      destroyed_ = std::move(why);
      for (Seat& seat : seats_) {
        if (seat.step) {
          Fail(destroyed_, seat.step->response, seat.step->completion, &finished);
        }
        if (seat.reset) {
          Fail(destroyed_, seat.reset->response, seat.reset->completion, &finished);
        }
        seat.step.reset();
        seat.reset.reset();
      }
      FailWorldReset(destroyed_, &finished);
    }
    wake_.Signal();
    if (!gone_) {
      when_gone_.push_back(std::move(gone));
      return;
    }
  }
  gone();
}

bool World::destroyed() {
  absl::MutexLock lock(&mu_);
  return !destroyed_.ok();
}

}  // namespace midlane::rpc
