// Publisher: makes versions known. Each is encoded, served and announced together with the league's
// present distribution; old ones are retired once no worker can still ask for them.
// Thread-safety: one thread. Ownership: the transport must outlive the publisher.
#ifndef MIDLANE_LEARNER_PUBLISHER_H_
#define MIDLANE_LEARNER_PUBLISHER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "learner/league.h"
#include "rollout/policy/network.h"
#include "rollout/policy/weights.h"

namespace midlane {

class LearnerTransport;

class Publisher {
 public:
  // Versions that stay served behind the latest, for workers that ask late.
  static constexpr size_t kServedBehind = 3;

  Publisher(LearnerTransport* transport, const NetworkShape& shape, WireDtype dtype)
      : transport_(transport), shape_(shape), dtype_(dtype) {}

  // Serves a past version that a checkpoint brought back.
  void ServePast(uint64_t version, std::shared_ptr<const std::string> blob);
  // Encodes, serves and announces.
  void Publish(const Weights& weights, const League& league);
  // Puts the latest version into the pool of `league`; announced with the next version.
  void AddToPool(League* league);

  // The latest versions as workers decode them, oldest first.
  const std::deque<Weights>& recent() const { return recent_; }
  // Blobs of the pool, by version.
  const std::map<uint64_t, std::shared_ptr<const std::string>>& pool() const { return pool_; }

 private:
  LearnerTransport* const transport_;
  const NetworkShape shape_;
  const WireDtype dtype_;
  std::deque<Weights> recent_;
  std::map<uint64_t, std::shared_ptr<const std::string>> pool_;
  std::shared_ptr<const std::string> latest_;
  uint64_t latest_hash_ = 0;
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_PUBLISHER_H_
