// WorldRegistry: the worlds of one server, their names, their number and their lifetime.
//
// A world lives until DestroyWorld, or until the connection that created it is gone, no agent is
// joined, and `grace` has passed since.
// Thread-safety: all methods, any thread; Completions are told under no lock.
// Ownership: owns the worlds; what Find gives keeps one from being destructed, not from being
//   destroyed.
// Errors: NotFound names the worlds there are; ResourceExhausted beyond worlds_max; Unavailable
//   while draining; whatever starting the environment says.
#ifndef MIDLANE_BRIDGE_RPC_REGISTRY_H_
#define MIDLANE_BRIDGE_RPC_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bridge/cores.h"
#include "bridge/rpc/world.h"

namespace midlane::rpc {

inline constexpr char kWorldSeed[] = "world.seed";

struct RegistryOptions {
  std::string environment = "world";  // worlds are called NAME-1, NAME-2, ...
  EnvironmentInfo info;               // for clients that ask; its name is not used
  int worlds_max = 256;
  absl::Duration grace = absl::Seconds(10);
  std::map<std::string, double> weights;  // as of WorldOptions
  uint64_t seed = 1;  // world n gets seed + n - 1 where it is created without kWorldSeed
  absl::Duration barrier_timeout = absl::Minutes(10);
  absl::Duration env_timeout = absl::Seconds(30);
};

class WorldRegistry {
 public:
  WorldRegistry(RegistryOptions options, WorldEnvFactory factory);
  // REQUIRES: no request under way. Waits until every world is gone.
  ~WorldRegistry();
  WorldRegistry(const WorldRegistry&) = delete;
  WorldRegistry& operator=(const WorldRegistry&) = delete;

  // `client`: the connection that creates. The setting kWorldSeed is taken out and seeds
  // everything random in the world that no setting of its own covers. `poller`: null: the one
  // without a core.
  void Create(uint64_t client, const Settings& settings, EnvPoller* poller,
              wire::EnvironmentResponse* response, Completion* completion);
  absl::StatusOr<std::shared_ptr<World>> Find(const std::string& name);
  // `who`: for the errors of the world's agents.
  void Destroy(const std::string& name, const std::string& who, wire::EnvironmentResponse* response,
               Completion* completion);

  // An agent of the world has come (+1) or gone (-1).
  void CountAgent(const std::string& name, int change);
  void ClientGone(uint64_t client);

  // Refuses new worlds and ends all there are; what waits in them is told UNAVAILABLE.
  void Drain();

  void Describe(midlane::bridge::v1::DescribeEnvironmentResponse* response) const;

  // Null where it could not be made; then there are no worlds.
  EnvPoller* poller() const { return poller_.ok() ? poller_->get() : nullptr; }
  // Made where there is none yet. Null: this process may not use that core, or its worlds answer at
  // once and have no use for a poller.
  EnvPoller* PollerOf(int core);

  int worlds();  // that exist, also while they start or end

 private:
  struct Entry {
    std::shared_ptr<World> world;
    uint64_t creator = 0;
    bool creator_here = true;
    int agents = 0;
    absl::Time unused_since = absl::InfiniteFuture();
  };

  void OnStarted(const std::string& name, const absl::Status& status,
                 wire::EnvironmentResponse* response, Completion* completion);
  // Takes the world out of the names. End must follow.
  std::shared_ptr<World> Take(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `gone` is called when the world no longer counts; the reaper joins its thread.
  void End(std::shared_ptr<World> world, const absl::Status& why, std::function<void()> gone);
  void Reap();
  void NoteUse(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const RegistryOptions options_;
  const WorldEnvFactory factory_;
  const absl::StatusOr<std::unique_ptr<EnvPoller>> poller_;
  const std::vector<int> cores_ = AvailableCores();
  absl::Mutex pollers_mu_;
  std::map<int, std::unique_ptr<EnvPoller>> poller_of_core_ ABSL_GUARDED_BY(pollers_mu_);
  absl::Mutex mu_;
  absl::CondVar wake_;
  std::map<std::string, Entry> worlds_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<World>> buried_ ABSL_GUARDED_BY(mu_);
  int ending_ ABSL_GUARDED_BY(mu_) = 0;  // taken, but the game is not gone yet
  uint64_t created_ ABSL_GUARDED_BY(mu_) = 0;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool stop_ ABSL_GUARDED_BY(mu_) = false;
  std::thread reaper_;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_REGISTRY_H_
