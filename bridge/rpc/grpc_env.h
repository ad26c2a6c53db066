// GrpcEnv: an Env whose world lives in a Midlane bridge, near or far.
//
// Names: grpc://HOST:PORT, grpc+unix:///PATH, and grpc+tls://HOST:PORT with the certificates of the
//   folder that $MIDLANE_TLS_DIR names (ca.pem, client.pem, client.key; `midlane keys` makes them).
// One world: a control lane creates, resets and destroys it, and every agent that the settings
//   leave to us has a lane of its own, all in the stream that this process has to that server
//   (client_lanes.h); agents that are played by the game's bots are inactive.
// What Step and Reset send leaves with the next Ready or Wait of any world of this process, so that
//   the steps of a batch share a message.
// Reset and Step return at once, except a Reset that changes settings or cuts an episode, which
//   takes a round trip.
// EnvOptions: `speed`, `render_every` and `work_dir` are the server's affair and not sent; settings
//   given here keep their value in every Reset that does not name them.
// Thread-safety, ownership, errors: as Env. Unavailable: the server is not reached, or went away.
#ifndef MIDLANE_BRIDGE_RPC_GRPC_ENV_H_
#define MIDLANE_BRIDGE_RPC_GRPC_ENV_H_

#include <memory>

#include "absl/status/statusor.h"
#include "bridge/env.h"

namespace midlane::rpc {

// `options.name` as above.
absl::StatusOr<std::unique_ptr<Env>> MakeGrpcEnv(const EnvOptions& options);

// What the server there says of its environment.
absl::StatusOr<EnvironmentInfo> DescribeGrpcEnv(const std::string& name);

// Teaches MakeEnv and DescribeEnvironment the names above. Call it once in main.
void RegisterGrpcEnv();

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_GRPC_ENV_H_
