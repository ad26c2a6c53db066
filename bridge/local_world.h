// LocalWorld: what the environments of this process share: settings, slots, order of calls, and
// the doorbell. Such an environment answers within Reset and Step, so it is always Ready.
//
// Thread-safety, ownership, errors: as Env.
#ifndef MIDLANE_BRIDGE_LOCAL_WORLD_H_
#define MIDLANE_BRIDGE_LOCAL_WORLD_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bridge/env.h"
#include "bridge/setting.h"
#include "bridge/slots.h"

namespace midlane {

// The rules of such a world; LocalWorld calls it in order and checks what callers give.
class LocalRules {
 public:
  virtual ~LocalRules() = default;
  // InvalidArgument where settings do not fit together; called before Reset, changes nothing.
  virtual absl::Status Check(const Settings& settings) const { return absl::OkStatus(); }
  // The agents' first timesteps. `fresh`: a new match, else the next episode of the running one.
  virtual void Reset(const Settings& settings, bool fresh, SlotBuffer* slots) = 0;
  // Reads the slots' actions and writes the next timestep.
  virtual void Step(SlotBuffer* slots) = 0;
  virtual uint64_t frames() const = 0;
};

struct LocalWorldParts {
  Spec spec;  // as parsed
  std::vector<SettingSpec> settings;
  std::vector<std::string> shaping;  // names of settings that shape the spec
  std::unique_ptr<LocalRules> rules;
};

// `initial`: the settings that `parts.spec` was made for.
absl::StatusOr<std::unique_ptr<Env>> MakeLocalWorld(const EnvOptions& options,
                                                    const Settings& initial, LocalWorldParts parts);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_LOCAL_WORLD_H_
