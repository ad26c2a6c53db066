// Tensors, settings and errors between dm_env_rpc's messages and Midlane's own types.
//
// Thread-safety: pure functions.
// Errors: InvalidArgument with one sentence that names the setting or action and the remedy.
#ifndef MIDLANE_BRIDGE_RPC_TENSORS_H_
#define MIDLANE_BRIDGE_RPC_TENSORS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bridge/env.h"
#include "dm_env_rpc/v1/dm_env_rpc.pb.h"

namespace midlane::rpc {

namespace wire = ::dm_env_rpc::v1;

using SettingsMap = google::protobuf::Map<std::string, wire::Tensor>;

inline constexpr int kSettingsMax = 64;           // settings of one request
inline constexpr size_t kSettingBytesMax = 4096;  // text of one value

// "floats", "int32s", ...: the payload's field, or "no payload".
const char* PayloadName(const wire::Tensor& tensor);

// Scalars of any number type, bool (true or false) and string, as text: integers in decimal,
// doubles in the shortest form that reads back the same. A shape of one element counts as a scalar.
absl::StatusOr<std::string> SettingText(const std::string& name, const wire::Tensor& tensor);

// All of a request's settings.
absl::StatusOr<Settings> SettingsOf(const SettingsMap& map);

// The inverse of SettingText for text.
wire::Tensor TextTensor(const std::string& text);

// Turns the response into an error, whatever it held.
void SetError(const absl::Status& status, wire::EnvironmentResponse* response);

// Keeps protobuf from writing a line to stderr for each string that is no UTF-8: what cannot be
// read is answered, and a client must not fill the server's log. For the whole process.
void QuietParsing();

// The error of a response, or OK.
absl::Status ErrorOf(const wire::EnvironmentResponse& response);

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_TENSORS_H_
