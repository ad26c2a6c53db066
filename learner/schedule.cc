#include "learner/learner.h"

namespace midlane {

double Schedule::At(uint64_t timestep) const {
  if (steps == 0) return from;
  if (timestep >= steps) return to;
  return from + (to - from) * (static_cast<double>(timestep) / static_cast<double>(steps));
}

}  // namespace midlane
