#include "rollout/opponents.h"

#include <algorithm>
#include <utility>

namespace midlane {

Opponents::Opponents(int agents, uint64_t seed, MakePolicy make_policy, Fetch fetch)
    : agents_(agents),
      make_policy_(std::move(make_policy)),
      fetch_(std::move(fetch)),
      random_(seed, /*stream=*/0) {}

void Opponents::Update(const v1::Notice& notice) {
  entries_.assign(notice.opponents().begin(), notice.opponents().end());
}

absl::StatusOr<Assignment> Opponents::Draw() {
  const v1::Opponent* const entry = DrawEntry();
  if (entry == nullptr || agents_ == 1) return Latest();
  Assignment assignment;
  assignment.opponent = entry->id();
  switch (entry->kind()) {
    case v1::Opponent::PAST: {
      absl::StatusOr<std::shared_ptr<Policy>> past = PastPolicy(*entry);
      // It left the pool meanwhile, or its learner is away: play goes on without it.
      if (absl::IsNotFound(past.status()) || absl::IsUnavailable(past.status()) ||
          absl::IsDeadlineExceeded(past.status())) {
        return Latest();
      }
      if (!past.ok()) return past.status();
      assignment.past = *std::move(past);
      break;
    }
    case v1::Opponent::SCRIPTED:
      assignment.bot = entry->bot();
      assignment.strength = entry->strength();
      break;
    default:
      return assignment;
  }
  // From a random first side on, so that many workers do not all begin on the same.
  auto [met, first] = matches_.try_emplace(entry->id(), 0);
  if (first) met->second = random_.Below(static_cast<uint32_t>(agents_));
  assignment.learner = static_cast<int>(met->second++ % static_cast<uint32_t>(agents_));
  return assignment;
}

const v1::Opponent* Opponents::DrawEntry() {
  double left = random_.Uniform();
  const v1::Opponent* last = nullptr;
  for (const v1::Opponent& entry : entries_) {
    if (entry.probability() <= 0) continue;
    last = &entry;
    left -= entry.probability();
    if (left < 0) break;
  }
  return last;
}

Assignment Opponents::Latest() const {
  Assignment assignment;
  for (const v1::Opponent& entry : entries_) {
    if (entry.kind() == v1::Opponent::LATEST) assignment.opponent = entry.id();
  }
  return assignment;
}

absl::StatusOr<std::shared_ptr<Policy>> Opponents::PastPolicy(const v1::Opponent& entry) {
  for (Past& past : past_) {
    if (past.version != entry.version()) continue;
    past.used = ++uses_;
    return past.policy;
  }
  absl::StatusOr<std::unique_ptr<Frame>> blob =
      fetch_(entry.version(), entry.bytes(), entry.hash());
  if (!blob.ok()) return blob.status();
  absl::StatusOr<std::unique_ptr<Policy>> made = make_policy_();
  if (!made.ok()) return made.status();
  const std::shared_ptr<Policy> policy = *std::move(made);
  absl::StatusOr<Weights> weights = DecodeWeights(policy->shape(), (*blob)->bytes());
  if (!weights.ok()) return weights.status();
  if (absl::Status status = policy->Load(*weights); !status.ok()) return status;
  // Nobody else holds an idle one; the longest idle leave first.
  std::sort(past_.begin(), past_.end(),
            [](const Past& a, const Past& b) { return a.used > b.used; });
  size_t idle = 0;
  std::erase_if(past_, [&](const Past& past) {
    return past.policy.use_count() == 1 && ++idle >= kIdlePastPoliciesMax;
  });
  past_.push_back({entry.version(), ++uses_, policy});
  return policy;
}

Settings MatchSettings(const Settings& base, const std::vector<std::string>& agents,
                       const Assignment& assignment) {
  Settings settings = base;
  for (size_t i = 0; i < agents.size(); ++i) {
    const bool scripted = !assignment.bot.empty() && !assignment.learns(static_cast<int>(i));
    settings[agents[i]] = scripted ? assignment.bot : "agent";
    if (scripted && !assignment.strength.empty()) {
      settings[agents[i] + "_strength"] = assignment.strength;
    }
  }
  return settings;
}

}  // namespace midlane
