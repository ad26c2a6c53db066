#include "learner/publisher.h"

#include <optional>
#include <utility>

#include "rollout/hash.h"
#include "rollout/transport.h"

namespace midlane {

void Publisher::ServePast(uint64_t version, std::shared_ptr<const std::string> blob) {
  transport_->Serve(version, blob);
  pool_[version] = std::move(blob);
}

void Publisher::Publish(const Weights& weights, const League& league) {
  latest_ = std::make_shared<const std::string>(EncodeWeights(shape_, weights, dtype_));
  latest_hash_ = Hash64(*latest_);
  transport_->Serve(weights.version, latest_);

  recent_.push_back(weights);
  RoundToWire(dtype_, &recent_.back().parameters);
  if (recent_.size() > kServedBehind + 1) {
    const uint64_t old = recent_.front().version;
    if (!pool_.contains(old)) transport_->Retire(old);
    recent_.pop_front();
  }

  v1::Notice notice;
  notice.set_version(weights.version);
  notice.set_bytes(latest_->size());
  notice.set_hash(latest_hash_);
  const std::vector<double> probabilities = league.MatchProbabilities();
  for (size_t i = 0; i < probabilities.size(); ++i) {
    const LeagueEntry& entry = league.entries()[i];
    if (probabilities[i] <= 0) continue;
    v1::Opponent* opponent = notice.add_opponents();
    opponent->set_id(entry.id);
    opponent->set_probability(probabilities[i]);
    switch (entry.kind) {
      case OpponentKind::kLatest:
        opponent->set_kind(v1::Opponent::LATEST);
        break;
      case OpponentKind::kPast:
        opponent->set_kind(v1::Opponent::PAST);
        opponent->set_version(entry.version);
        opponent->set_bytes(entry.bytes);
        opponent->set_hash(entry.hash);
        break;
      case OpponentKind::kScripted:
        opponent->set_kind(v1::Opponent::SCRIPTED);
        opponent->set_bot(entry.bot);
        opponent->set_strength(entry.strength);
        break;
    }
  }
  transport_->Announce(notice);
}

void Publisher::AddToPool(League* league) {
  const uint64_t version = recent_.back().version;
  const std::optional<uint64_t> removed = league->AddPast(version, latest_->size(), latest_hash_);
  if (removed != version) pool_[version] = latest_;
  if (!removed || *removed == version) return;
  pool_.erase(*removed);
  for (const Weights& recent : recent_) {
    if (recent.version == *removed) return;  // retired when it leaves `recent_`
  }
  transport_->Retire(*removed);
}

}  // namespace midlane
