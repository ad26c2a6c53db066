// Core hint: how a client that keeps to one core tells its server, so that its games keep to that
// core too.
//
// It is metadata of Lanes.Process (lanes.proto) and names the running kernel beside the core, so
//   that it counts on no other machine, however the connection got there.
// Thread-safety: pure functions.
#ifndef MIDLANE_BRIDGE_RPC_CORE_HINT_H_
#define MIDLANE_BRIDGE_RPC_CORE_HINT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace midlane::rpc {

inline constexpr char kCoreHintKey[] = "midlane-core";

// Empty where the kernel has no name (no /proc).
std::string CoreHint(int core);

// The core, where `hint` is of this kernel.
std::optional<int> ReadCoreHint(absl::string_view hint);

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_CORE_HINT_H_
