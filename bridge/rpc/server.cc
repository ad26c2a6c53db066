#include "bridge/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bridge/rpc/address.h"
#include "bridge/rpc/service.h"
#include "bridge/rpc/socket_file.h"

namespace midlane::rpc {
namespace {

constexpr char kServiceName[] = "dm_env_rpc.v1.Environment";
// A TCP client whose machine is gone is noticed within the sum of both.
constexpr int kKeepaliveMs = 20'000;
constexpr int kKeepaliveTimeoutMs = 10'000;

absl::StatusOr<std::string> ReadPem(const char* option, const std::string& path) {
  if (path.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "TLS needs --", option, " too: `midlane keys DIR` makes a set and says how to use it"));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) {
    return absl::NotFoundError(absl::StrCat("--", option, " '", path,
                                            "' cannot be read: name a PEM file, or make one with "
                                            "`midlane keys DIR`"));
  }
  if (text.find("-----BEGIN") == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("--", option, " '", path,
                                                   "' is no PEM file: name one that begins with "
                                                   "-----BEGIN"));
  }
  return text;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(const TlsFiles& files) {
  const absl::StatusOr<std::string> ca = ReadPem("tls-ca", files.ca);
  if (!ca.ok()) return ca.status();
  const absl::StatusOr<std::string> cert = ReadPem("tls-cert", files.cert);
  if (!cert.ok()) return cert.status();
  const absl::StatusOr<std::string> key = ReadPem("tls-key", files.key);
  if (!key.ok()) return key.status();
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = *ca;
  options.pem_key_cert_pairs.push_back({*key, *cert});
  return grpc::SslServerCredentials(options);
}

// After gRPC could not listen there, which it does not explain: asks the system the same.
std::string WhyNotListening(const Address& address) {
  if (address.is_unix()) return "the socket could not be made";
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = absl::StrCat(address.port);
  const int unknown = getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found);
  if (unknown != 0) return absl::StrCat("the host is not known (", gai_strerror(unknown), ")");
  const int probe = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;  // as gRPC sets it, so that a port at rest is no port in use
  setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool bound = bind(probe, found->ai_addr, found->ai_addrlen) == 0 && listen(probe, 1) == 0;
  const int error = bound ? 0 : errno;
  close(probe);
  freeaddrinfo(found);
  switch (error) {
    case 0:
      return "the certificate and the key do not belong together, or are not what they should be";
    case EADDRINUSE:
      return "the port is in use: choose another, or end what listens there";
    case EADDRNOTAVAIL:
      return "the host is none of this machine's addresses: give one of them, or 0.0.0.0";
    default:
      return strerror(error);
  }
}

absl::Status CheckOptions(const ServerOptions& options, const Address& address) {
  if (options.connections_max < 1 || options.message_bytes_max < 1024 ||
      options.registry.worlds_max < 1) {
    return absl::InvalidArgumentError(
        "limits too small: give at least 1 world, 1 connection and messages of 1024 bytes");
  }
  if (address.is_unix() && !options.tls.empty()) {
    return absl::InvalidArgumentError(
        "TLS on a Unix socket protects nothing: leave the --tls options out, or listen on "
        "HOST:PORT");
  }
  if (!address.is_unix() && !address.is_loopback() && options.tls.empty()) {
    return absl::PermissionDeniedError(absl::StrCat(
        "'", options.listen,
        "' is open to other machines, so it needs TLS with client certificates: give --tls-ca, "
        "--tls-cert and --tls-key (`midlane keys DIR` makes a set), or listen on 127.0.0.1 or a "
        "Unix socket"));
  }
  return absl::OkStatus();
}

class GrpcServer final : public Server {
 public:
  GrpcServer(const ServerOptions& options, WorldEnvFactory factory)
      : options_(options),
        registry_(std::make_unique<WorldRegistry>(options.registry, std::move(factory))),
        streams_(options.connections_max),
        environment_(std::make_unique<EnvironmentService>(registry_.get(), &streams_)),
        lanes_(std::make_unique<LanesService>(registry_.get(), &streams_)) {}

  ~GrpcServer() override { Shutdown(); }

  absl::Status Listen() {
    const absl::StatusOr<Address> parsed = ParseAddress(options_.listen);
    if (!parsed.ok()) return parsed.status();
    Address address = *parsed;
    const absl::Status checked = CheckOptions(options_, address);
    if (!checked.ok()) return checked;
    std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
    if (!options_.tls.empty()) {
      absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> tls = TlsCredentials(options_.tls);
      if (!tls.ok()) return tls.status();
      credentials = *std::move(tls);
    }
    if (address.is_unix()) {
      absl::StatusOr<std::unique_ptr<SocketFile>> file = SocketFile::Claim(address.path);
      if (!file.ok()) return file.status();
      file_ = *std::move(file);
    }
    QuietParsing();
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(address.Target(), credentials, &port);
    builder.RegisterService(environment_.get());
    builder.RegisterService(lanes_.get());
    builder.SetMaxReceiveMessageSize(options_.message_bytes_max);
    builder.SetMaxSendMessageSize(-1);
    // A second server on the port must fail, not share it silently.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8192);
    if (!address.is_unix()) {
      builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
      builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
      builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    }
    // Only reflection is synchronous.
    builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
    const mode_t umask_before = umask(0177);  // the socket is private from its first moment
    server_ = builder.BuildAndStart();
    umask(umask_before);
    if (server_ == nullptr || (!address.is_unix() && port == 0)) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on '", options_.listen, "': ", WhyNotListening(address)));
    }
    if (file_ != nullptr) {
      const absl::Status settled = file_->Settle();
      if (!settled.ok()) return settled;
    }
    address.port = port;
    address_ = address.is_unix() ? "unix://" + address.path : address.Target();
    SetServing(true);
    return absl::OkStatus();
  }

  std::string address() const override { return address_; }
  int connections() override { return streams_.connections(); }
  int worlds() override { return registry_->worlds(); }

  void Shutdown() override {
    {
      absl::MutexLock lock(&mu_);
      if (shut_down_) return;
      shut_down_ = true;
    }
    if (server_ != nullptr) {
      SetServing(false);
      registry_->Drain();
      streams_.Drain();
      const absl::Time deadline = absl::Now() + options_.drain;
      streams_.WaitUntilEmpty(deadline);
      server_->Shutdown(absl::ToChronoTime(deadline));
      streams_.WaitUntilEmpty(absl::InfiniteFuture());
      server_->Wait();
    }
    server_.reset();
    environment_.reset();
    lanes_.reset();
    registry_.reset();
    file_.reset();
  }

 private:
  void SetServing(bool serving) {
    grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
    health->SetServingStatus(serving);
    health->SetServingStatus(kServiceName, serving);
  }

  const ServerOptions options_;
  absl::Mutex mu_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
  std::string address_;
  std::unique_ptr<SocketFile> file_;
  std::unique_ptr<WorldRegistry> registry_;
  StreamTable streams_;
  std::unique_ptr<EnvironmentService> environment_;
  std::unique_ptr<LanesService> lanes_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options,
                                                      WorldEnvFactory factory) {
  auto server = std::make_unique<GrpcServer>(options, std::move(factory));
  const absl::Status status = server->Listen();
  if (!status.ok()) return status;
  return server;
}

}  // namespace midlane::rpc
