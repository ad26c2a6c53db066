// World: one Env served to the agents that joined it, behind a symmetric barrier.
//
// Purpose: the thread-safe core that dm_env_rpc's rules live in; it knows no gRPC. Requests come
//   as messages, answers go into messages, and a Completion says when one is complete.
// Seats: one an agent of the spec. A seat is *playable* where the environment leaves it to us
//   under the settings of the running match; only those are joined and waited for.
// The barrier: the world moves when every playable seat is joined and has stepped, so all agents
//   observe the same tick and nobody sees another's action. A seat whose agent asked for Reset in
//   mid-sequence takes part with its default actions until the sequence ends; where nobody else is
//   running, the sequence is cut at once.
// Sequences: begin with a seat's first step (its actions are ignored). When an agent leaves, or
//   the world is reset by another connection, every running agent is told INTERRUPTED by its next
//   step (which moves nothing) and the step after it begins a sequence.
// Invariants:
//   1. `busy_` means that the Env has an answer outstanding: no slot is touched, and only who waits
//      for it calls the Env: the poller, with mu_ held, while `awaited_`, else the world's thread.
//   2. A RUNNING seat that is not `interrupted` and has nothing pending implies !busy_.
//   3. No Completion is told under mu_.
// Thread-safety: all methods, any thread; at most one request of one seat at a time. Requests are
//   carried out on the calling thread where the Env answers at once, otherwise the poller's thread
//   goes on when it has. The world's own thread starts and restarts the Env, which takes long.
// Ownership: owns the Env and the thread; the poller outlives it. A request's messages live until
//   its Completion is told.
// Errors, in the response: INVALID_ARGUMENT (settings, actions, ids; nothing changed),
//   FAILED_PRECONDITION (out of order), DEADLINE_EXCEEDED (the barrier or the game took too long),
//   ABORTED (another agent went away), UNAVAILABLE and INTERNAL (the game; the next sequence
//   begins with a fresh one), CANCELLED (the request's own client is gone).
#ifndef MIDLANE_BRIDGE_RPC_WORLD_H_
#define MIDLANE_BRIDGE_RPC_WORLD_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bridge/env.h"
#include "bridge/rpc/agent_specs.h"
#include "bridge/rpc/completion.h"
#include "bridge/rpc/env_poller.h"
#include "midlane/bridge/v1/describe.pb.h"

namespace midlane::rpc {

// An agent's claim to a seat, unique in its world; 0: none.
using Ticket = uint64_t;

// Makes the Env of a world that is created under `settings`; it rings `doorbell`, or need not where
// it answers at once (a ring that nobody needs wakes the poller for nothing).
using WorldEnvFactory = std::function<absl::StatusOr<std::unique_ptr<Env>>(
    const Settings& settings, uint64_t seed, const std::shared_ptr<Doorbell>& doorbell)>;

struct WorldOptions {
  std::string name;
  uint64_t seed = 1;
  // Of reward terms in an agent's `reward`, where its client names none; terms that are not here
  // weigh nothing, but where it names none of the world's terms each weighs 1.
  std::map<std::string, double> weights;
  // Longest wait of a step for the other agents, of ResetWorld for their next steps.
  absl::Duration barrier_timeout = absl::Minutes(10);
  // Longest wait for the Env, beyond the deadline of its own.
  absl::Duration env_timeout = absl::Seconds(30);
};

class World final : private Polled {
 public:
  // The Env is made and first reset on the world's thread; `started` is told the outcome there.
  // After an error nothing but destruction may follow.
  World(WorldOptions options, WorldEnvFactory factory, EnvPoller* poller, Settings settings,
        std::function<void(absl::Status)> started);
  // REQUIRES: no request under way. Waits until the Env is gone.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  const std::string& name() const { return options_.name; }

  // Takes a seat: the join setting `agent`, or the first playable one that is free. `client` names
  // the connection in others' errors. Returns the claim; `specs` gets the agent's specs.
  absl::StatusOr<Ticket> Join(const Settings& settings, const std::string& client,
                              wire::ActionObservationSpecs* specs);

  // Frees the seat. Its own pending request ends with CANCELLED, those of the others with ABORTED
  // and "`how`" ("left", "vanished").
  void Leave(Ticket ticket, const char* how);

  // The answer goes to completion->step, an error to `response`.
  void Step(Ticket ticket, const wire::StepRequest& request, wire::EnvironmentResponse* response,
            Completion* completion);
  void Step(Ticket ticket, const PlainStep& request, wire::EnvironmentResponse* response,
            Completion* completion);
  void Reset(Ticket ticket, const wire::ResetRequest& request, wire::EnvironmentResponse* response,
             Completion* completion);
  // `ticket`: the caller's, or 0. Settings that are not named go back to what they were created
  // with.
  void ResetWorld(Ticket ticket, const Settings& settings, wire::EnvironmentResponse* response,
                  Completion* completion);

  // Ends a ResetWorld of a caller without a seat whose client is gone.
  void CancelReset(Completion* completion);

  absl::Status Describe(midlane::bridge::v1::DescribeWorldResponse* response);

  // Ends everything pending with `why`, lets the world's thread drop the Env, then calls `gone`
  // there. Later requests are answered with `why`. Only the first call counts; others' `gone` is
  // called too.
  void BeginDestroy(absl::Status why, std::function<void()> gone);
  bool destroyed();

 private:
  // A request that waits.
  struct Pending {
    wire::EnvironmentResponse* response = nullptr;
    Completion* completion = nullptr;
    Requested requested;  // Step only
    absl::Time deadline = absl::InfiniteFuture();
  };
  // The last timestep of a sequence that ResetWorld cut, kept for the agent's next step.
  struct Snapshot {
    AgentView view;
    std::vector<unsigned char> observation;
    std::vector<float> rewards, metrics;
  };
  struct Seat {
    bool playable = false;
    bool joined = false;
    Ticket ticket = 0;
    std::string client;
    wire::EnvironmentStateType state = wire::TERMINATED;
    bool interrupted = false;  // the next step answers INTERRUPTED
    bool by_reset = false;     // ... and a ResetWorld waits for that
    std::optional<Snapshot> snapshot;
    std::optional<Pending> step;
    std::optional<Pending> reset;
    std::vector<float> weights;
    int32_t actions[MIDLANE_HEADS_MAX] = {};
  };
  // A ResetWorld, or a Reset with world settings.
  struct WorldReset {
    Pending pending;
    Settings settings;
    std::vector<float> weights;  // of_agent: the seat's from then on
    int seat = -1;
    bool of_agent = false;  // answer as Reset
    bool begun = false;
  };
  enum class Operation { kNone, kStep, kReset };

  void Run(std::function<void(absl::Status)> started);
  absl::Status Start();
  absl::Status RestartEnv(const Settings& settings);
  // On the world's thread, with an answer of the Env outstanding: waits for it.
  absl::Status AwaitEnv();
  void Poll(Finished* finished) override;

  template <typename Request>
  void BeginStep(Ticket ticket, const Request& request, wire::EnvironmentResponse* response,
                 Completion* completion);

  // All below: with mu_ held.
  void Advance(Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void BeginCall(Operation operation, Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void BeginRestart() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the Env's answer is there, or will not come; else it is awaited from now on.
  std::optional<absl::Status> AnswerOfEnv() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnAnswer(const absl::Status& status, Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnFailure(const absl::Status& status, Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DeliverAll(Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DeliverInterrupted(Seat* seat, Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Answer(Seat* seat, const AgentView& view, wire::EnvironmentStateType state,
              Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AnswerReset(Seat* seat, Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SettleResets(Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TryWorldReset(Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TryFinishWorldReset(Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FailWorldReset(const absl::Status& status, Finished* finished)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void QueueWorldReset(WorldReset reset, Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ExpireWaits(Finished* finished) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Seat* SeatOf(Ticket ticket) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);  // null where it left
  void ReadPlayable() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool SequenceEnded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string Missing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string SeatName(const Seat& seat) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status NotPlayable(const Seat& seat) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<float> DefaultWeights() const;
  absl::StatusOr<std::vector<float>> TakeWeights(Settings* settings, std::vector<float> weights)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const WorldOptions options_;
  const WorldEnvFactory factory_;
  EnvPoller* const poller_;
  const Settings created_settings_;

  absl::Mutex mu_;
  absl::CondVar wake_;
  // Called as invariant 1 says while busy_, else by whoever holds mu_.
  std::unique_ptr<Env> env_;
  std::optional<AgentSpecs> specs_;  // constant once started
  Settings settings_ ABSL_GUARDED_BY(mu_);
  std::vector<Seat> seats_ ABSL_GUARDED_BY(mu_);
  uint64_t tickets_ ABSL_GUARDED_BY(mu_) = 0;
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool busy_ ABSL_GUARDED_BY(mu_) = false;
  bool fresh_ ABSL_GUARDED_BY(mu_) = false;   // a first timestep that nobody has seen
  bool cut_ ABSL_GUARDED_BY(mu_) = false;     // the next move is a reset
  absl::Status broken_ ABSL_GUARDED_BY(mu_);  // of the Env: it must restart
  Operation operation_ ABSL_GUARDED_BY(mu_) = Operation::kNone;
  bool restart_wanted_ ABSL_GUARDED_BY(mu_) = false;
  std::atomic<bool> awaited_{false};  // by the poller; changes with mu_ held
  absl::Time answer_deadline_ ABSL_GUARDED_BY(mu_);
  bool thread_awaits_ ABSL_GUARDED_BY(mu_) = false;  // the answer goes to thread_answer_
  std::optional<absl::Status> thread_answer_ ABSL_GUARDED_BY(mu_);
  std::optional<WorldReset> reset_ ABSL_GUARDED_BY(mu_);
  absl::Status destroyed_ ABSL_GUARDED_BY(mu_);
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::function<void()>> when_gone_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_WORLD_H_
