// Server: dm_env_rpc v1 over gRPC, by itself and in lanes (midlane/bridge/v1/lanes.proto), with the
// standard health and reflection services.
//
// Listens on one address: a Unix socket (mode 0600), loopback TCP, or TCP with TLS and client
//   certificates. A TCP address beyond loopback without TLS is refused.
// Thread-safety: all methods, any thread; Shutdown once.
// Ownership: owns the worlds, sessions and socket file.
// Errors of Start: InvalidArgument (address, limits), AlreadyExists (in use), PermissionDenied
//   (TLS is asked for), NotFound and InvalidArgument (key files), Unavailable (cannot listen).
//   Streams beyond connections_max end at once with RESOURCE_EXHAUSTED, and so does one that sends
//   a message longer than message_bytes_max.
#ifndef MIDLANE_BRIDGE_RPC_SERVER_H_
#define MIDLANE_BRIDGE_RPC_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bridge/rpc/registry.h"

namespace midlane::rpc {

// PEM files; all empty: no TLS.
struct TlsFiles {
  std::string ca;    // whose certificates the other side must have
  std::string cert;  // our own, with its chain
  std::string key;   // of cert

  bool empty() const { return ca.empty() && cert.empty() && key.empty(); }
};

struct ServerOptions {
  std::string listen;  // unix:///PATH or HOST:PORT
  TlsFiles tls;
  int connections_max = 1024;               // streams and lanes at once
  int message_bytes_max = 4 << 20;          // of one request
  absl::Duration drain = absl::Seconds(2);  // that streams get to end at Shutdown
  RegistryOptions registry;
};

class Server {
 public:
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options,
                                                       WorldEnvFactory factory);
  virtual ~Server() = default;

  // Where it listens, as a client writes it: unix:///PATH or HOST:PORT with the port that was
  // given for 0.
  virtual std::string address() const = 0;

  // Ends everything: health says NOT_SERVING, what waits is told UNAVAILABLE, streams end, worlds
  // and games are gone and the socket file too when it returns. Also done by the destructor.
  virtual void Shutdown() = 0;

  virtual int connections() = 0;
  virtual int worlds() = 0;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_SERVER_H_
