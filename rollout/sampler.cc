#include "rollout/sampler.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace midlane {
namespace {

// A head's allowed choices as a distribution: exp(logit - largest) / sum.
struct Distribution {
  float largest;
  int32_t likeliest;
  double sum;

  float LogProbability(float logit) const {
    return (logit - largest) - std::log(static_cast<float>(sum));
  }
};

bool Allowed(const uint8_t* masks, uint32_t choice) {
  return masks == nullptr || masks[choice] != 0;
}

// The pointers are the head's own.
absl::StatusOr<Distribution> MakeDistribution(uint32_t choices, const float* logits,
                                              const uint8_t* masks, size_t head) {
  Distribution distribution{-std::numeric_limits<float>::infinity(), -1, 0};
  for (uint32_t c = 0; c < choices; ++c) {
    if (!Allowed(masks, c)) continue;
    if (!std::isfinite(logits[c])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "logit ", c, " of action head ", head,
          " is not finite; the policy's weights or the observation hold NaN or infinity"));
    }
    if (distribution.likeliest < 0 || logits[c] > distribution.largest) {
      distribution.largest = logits[c];
      distribution.likeliest = static_cast<int32_t>(c);
    }
  }
  if (distribution.likeliest < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the mask of action head ", head,
                     " allows no choice; the adapter must allow at least one"));
  }
  for (uint32_t c = 0; c < choices; ++c) {
    if (Allowed(masks, c)) distribution.sum += std::exp(logits[c] - distribution.largest);
  }
  return distribution;
}

int32_t Pick(const Distribution& distribution, uint32_t choices, const float* logits,
             const uint8_t* masks, Random* random) {
  double left = random->Uniform() * distribution.sum;
  int32_t last = distribution.likeliest;
  for (uint32_t c = 0; c < choices; ++c) {
    if (!Allowed(masks, c)) continue;
    const double share = std::exp(logits[c] - distribution.largest);
    if (share == 0) continue;
    left -= share;
    last = static_cast<int32_t>(c);
    if (left < 0) break;
  }
  return last;
}

// Calls choose(head, distribution, logits, masks) -> action for each head and sums
// log-probabilities.
template <typename Choose>
absl::StatusOr<float> ForEachHead(const std::vector<uint32_t>& heads, const float* logits,
                                  const uint8_t* masks, Choose choose) {
  float log_prob = 0;
  for (size_t h = 0; h < heads.size(); ++h) {
    auto distribution = MakeDistribution(heads[h], logits, masks, h);
    if (!distribution.ok()) return distribution.status();
    const int32_t action = choose(h, *distribution, logits, masks);
    log_prob += Allowed(masks, static_cast<uint32_t>(action))
                    ? distribution->LogProbability(logits[action])
                    : -std::numeric_limits<float>::infinity();
    logits += heads[h];
    if (masks != nullptr) masks += heads[h];
  }
  return log_prob;
}

}  // namespace

Random::Random(uint64_t seed, uint64_t stream) : state_(0), increment_((stream << 1) | 1) {
  Next();
  state_ += seed;
  Next();
}

uint32_t Random::Below(uint32_t bound) {
  // Lemire 2019, arXiv:1805.10941.
  uint64_t product = uint64_t{Next()} * bound;
  if (static_cast<uint32_t>(product) < bound) {
    const uint32_t threshold = (0u - bound) % bound;
    while (static_cast<uint32_t>(product) < threshold) product = uint64_t{Next()} * bound;
  }
  return static_cast<uint32_t>(product >> 32);
}

absl::StatusOr<float> SampleActions(const std::vector<uint32_t>& heads, const float* logits,
                                    const uint8_t* masks, Random* random, int32_t* actions) {
  return ForEachHead(heads, logits, masks,
                     [&](size_t h, const Distribution& distribution, const float* head_logits,
                         const uint8_t* head_masks) {
                       return actions[h] =
                                  Pick(distribution, heads[h], head_logits, head_masks, random);
                     });
}

absl::StatusOr<float> GreedyActions(const std::vector<uint32_t>& heads, const float* logits,
                                    const uint8_t* masks, int32_t* actions) {
  return ForEachHead(heads, logits, masks,
                     [&](size_t h, const Distribution& distribution, const float*, const uint8_t*) {
                       return actions[h] = distribution.likeliest;
                     });
}

absl::StatusOr<float> LogProbability(const std::vector<uint32_t>& heads, const float* logits,
                                     const uint8_t* masks, const int32_t* actions) {
  return ForEachHead(
      heads, logits, masks,
      [&](size_t h, const Distribution&, const float*, const uint8_t*) { return actions[h]; });
}

}  // namespace midlane
