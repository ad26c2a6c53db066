// Steps over a Unix socket against a bare gRPC bidirectional echo.
//
// Server and client are two processes. The client is the same for both servers: the callback API,
// raw bytes, one stream a client, the next request sent from the callback that brought the answer.
// The bridge serves `null` in its own process; the echo answers each request with as many bytes as
// the bridge does, on the callback API with raw bytes and nothing else in its server.
// rpc_step: one client, one step at a time. rpc_step_game: the same with a game in a process of its
// own behind the channel (tests/bridge/toy_game.c). rpc_step_16: sixteen clients with a world each,
// steps of all together; rpc_fairness: of those the slowest client against the mean. rpc_cpu:
// processor time of the server's process for one step, which tells more than the clock on a busy
// machine.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <numeric>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "bridge/env.h"
#include "bridge/rpc/server.h"
#include "dm_env_rpc/v1/dm_env_rpc.grpc.pb.h"
#include "tests/bench/bench.h"
#include "tests/bridge/toy_env.h"

namespace midlane::bench {
namespace {

namespace wire = dm_env_rpc::v1;

constexpr char kMethod[] = "/dm_env_rpc.v1.Environment/Process";
constexpr int kClients = 16;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "rpc_bench: %s\n", what.c_str());
  _exit(1);
}

grpc::ByteBuffer Bytes(const std::string& text) {
  grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Text(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  if (!buffer.DumpToSingleSlice(&slice).ok()) Fail("no bytes");
  return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

// Runs `body` in a child that ends with this process.
pid_t Fork(void (*body)(const std::string&), const std::string& path) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  body(path);
  _exit(0);
}

void Serve(const std::string& path, rpc::WorldEnvFactory factory) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // as `midlane serve` does
  rpc::ServerOptions options;
  options.listen = "unix://" + path;
  auto server = rpc::Server::Start(options, std::move(factory));
  if (!server.ok()) Fail(server.status().ToString());
  pause();
}

void ServeNull(const std::string& path) {
  Serve(path, [](const Settings& settings, uint64_t seed, const std::shared_ptr<Doorbell>&) {
    EnvOptions env;
    env.name = "null";
    env.settings = settings;
    env.seed = seed;
    return MakeEnv(env);
  });
}

const ToyFolder* toy;

void ServeGame(const std::string& path) {
  Serve(path, [](const Settings&, uint64_t seed, const std::shared_ptr<Doorbell>& doorbell) {
    EnvOptions env;
    env.doorbell = doorbell;
    env.name = "toy";
    env.settings = {{"agents", "1"}, {"length", "1000000000"}};
    env.seed = seed;
    return toy->Make(env);
  });
}

class EchoStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  EchoStream() { StartRead(&request_); }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    // The first request is the answer to all others.
    if (answer_.Length() == 0) answer_ = request_;
    outgoing_ = answer_;
    StartWrite(&outgoing_);
  }
  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer request_, answer_, outgoing_;
};

class EchoService final
    : public wire::Environment::WithRawCallbackMethod_Process<wire::Environment::Service> {
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Process(
      grpc::CallbackServerContext*) override {
    return new EchoStream;
  }
};

void ServeEcho(const std::string& path) {
  EchoService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) Fail("the echo cannot listen");
  pause();
}

class ClientStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit ClientStream(const std::string& path) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ =
        grpc::CreateCustomChannel("unix:" + path, grpc::InsecureChannelCredentials(), arguments);
    context_.set_wait_for_ready(true);
    grpc::GenericStub(channel_).PrepareBidiStreamingCall(&context_, kMethod, {}, this);
    AddHold();
    StartCall();
  }

  ~ClientStream() override {
    context_.TryCancel();
    RemoveHold();
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&done_));
  }

  // Sends `request` until `seconds` have passed. End tells how many were answered.
  void Begin(const grpc::ByteBuffer& request, double seconds) {
    request_ = request;
    until_ = Now() + seconds;
    count_ = 0;
    {
      absl::MutexLock lock(&mu_);
      running_ = true;
    }
    Next();
  }
  long End() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](bool* running) { return !*running; }, &running_));
    return count_;
  }

  std::string Ask(const std::string& request) {
    Begin(Bytes(request), 0);
    End();
    return Text(response_);
  }
  wire::EnvironmentResponse Ask(const wire::EnvironmentRequest& request) {
    wire::EnvironmentResponse response;
    if (!response.ParseFromString(Ask(request.SerializeAsString())) || response.has_error()) {
      Fail(response.ShortDebugString());
    }
    return response;
  }

 private:
  void Next() {
    outgoing_ = request_;
    StartRead(&response_);
    StartWrite(&outgoing_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) {
      absl::MutexLock lock(&mu_);
      if (running_) Fail("the stream ended");
      return;
    }
    // Its own write may be reported after the answer.
    if (steps_.fetch_add(1) == 1) Turn();
  }
  void OnWriteDone(bool) override {
    if (steps_.fetch_add(1) == 1) Turn();
  }
  void Turn() {
    steps_ = 0;
    ++count_;
    if (Now() < until_) return Next();
    absl::MutexLock lock(&mu_);
    running_ = false;
  }
  void OnDone(const grpc::Status&) override {
    absl::MutexLock lock(&mu_);
    done_ = true;
  }

  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_, outgoing_, response_;
  double until_ = 0;
  long count_ = 0;
  std::atomic<int> steps_{0};
  absl::Mutex mu_;
  bool running_ = false, done_ = false;
};

// A client in a world of its own, or of the echo; `request` is what it then repeats.
struct Client {
  std::unique_ptr<ClientStream> stream;
  grpc::ByteBuffer request;
};

wire::EnvironmentRequest Step(const wire::ActionObservationSpecs& specs) {
  wire::EnvironmentRequest request;
  wire::StepRequest* step = request.mutable_step();
  for (const auto& [id, spec] : specs.observations()) step->add_requested_observations(id);
  for (const auto& [id, spec] : specs.actions()) {
    (*step->mutable_actions())[id].mutable_int32s()->add_array(0);
  }
  return request;
}

Client BridgeClient(const std::string& path, std::string* request, std::string* answer) {
  Client client{std::make_unique<ClientStream>(path), {}};
  wire::EnvironmentRequest create;
  create.mutable_create_world();
  const std::string world = client.stream->Ask(create).create_world().world_name();
  wire::EnvironmentRequest join;
  join.mutable_join_world()->set_world_name(world);
  const wire::EnvironmentRequest step = Step(client.stream->Ask(join).join_world().specs());
  *request = step.SerializeAsString();
  *answer = client.stream->Ask(*request);
  client.request = Bytes(*request);
  return client;
}

Client EchoClient(const std::string& path, const std::string& request, const std::string& answer) {
  Client client{std::make_unique<ClientStream>(path), Bytes(request)};
  client.stream->Ask(answer);
  return client;
}

std::vector<double> RunAll(std::vector<Client>& clients, double seconds) {
  for (Client& client : clients) client.stream->Begin(client.request, seconds);
  std::vector<double> rates;
  for (Client& client : clients) rates.push_back(client.stream->End() / seconds);
  return rates;
}

// Processor time of a process so far, seconds.
double CpuSeconds(pid_t process) {
  std::ifstream file(absl::StrCat("/proc/", process, "/stat"));
  std::string line, word;
  std::getline(file, line);
  std::istringstream rest(line.substr(line.rfind(')') + 2));
  for (int field = 0; field < 11; ++field) rest >> word;
  double user = 0, system = 0;
  rest >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double Sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

int Main() {
  char folder[] = "/tmp/midlane-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) Fail("no folder in /tmp");
  const std::string bridge = absl::StrCat(folder, "/bridge.sock");
  const std::string echo = absl::StrCat(folder, "/echo.sock");
  const std::string game = absl::StrCat(folder, "/game.sock");
  const ToyFolder toy_folder;
  toy = &toy_folder;
  const pid_t children[] = {Fork(ServeNull, bridge), Fork(ServeEcho, echo), Fork(ServeGame, game)};
  const int repeats = Repeats(7);
  const double seconds = Seconds(0.5);
  Row step{"rpc_step", "us", "bare gRPC echo", {}, {}, 1.3, Bound::kAtMost};
  Row behind{"rpc_step_game", "us", "bare gRPC echo and futex", {}, {}, 1.3, Bound::kAtMost};
  Row cpu{"rpc_cpu", "us", "the echo's", {}, {}, 0, Bound::kInformation};
  Row sixteen{"rpc_step_16", "steps/s", "sixteen bare echoes", {}, {}, 0.9, Bound::kAtLeast};
  Row fairness{"rpc_fairness_16", "steps/s", "mean client", {}, {}, 0.7, Bound::kAtLeast};
  {
    std::string request, answer;
    std::vector<Client> bridge_clients, echo_clients;
    for (int i = 0; i < kClients; ++i) {
      bridge_clients.push_back(BridgeClient(bridge, &request, &answer));
      echo_clients.push_back(EchoClient(echo, request, answer));
    }
    std::printf("# request %zu bytes, answer %zu bytes\n", request.size(), answer.size());
    std::vector<Client> one_bridge, one_echo;
    one_bridge.push_back(std::move(bridge_clients.back()));
    one_echo.push_back(std::move(echo_clients.back()));
    RunAll(one_bridge, 0.1);
    RunAll(one_echo, 0.1);
    std::vector<Client> one_game, game_echo;
    one_game.push_back(BridgeClient(game, &request, &answer));
    game_echo.push_back(EchoClient(echo, request, answer));
    for (int repeat = 0; repeat < repeats; ++repeat) {
      behind.measured.push_back(1e6 / Sum(RunAll(one_game, seconds)));
      behind.primitive.push_back(1e6 / Sum(RunAll(game_echo, seconds)) +
                                 1e6 * FutexPingPong(20000, -1, -1));
    }
    double bridge_steps = 0, echo_steps = 0;
    const double bridge_begin = CpuSeconds(children[0]), echo_begin = CpuSeconds(children[1]);
    for (int repeat = 0; repeat < repeats; ++repeat) {
      step.measured.push_back(1e6 / Sum(RunAll(one_bridge, seconds)));
      step.primitive.push_back(1e6 / Sum(RunAll(one_echo, seconds)));
      bridge_steps += seconds * 1e6 / step.measured.back();
      echo_steps += seconds * 1e6 / step.primitive.back();
    }
    cpu.measured = {1e6 * (CpuSeconds(children[0]) - bridge_begin) / bridge_steps};
    cpu.primitive = {1e6 * (CpuSeconds(children[1]) - echo_begin) / echo_steps};
    bridge_clients.back() = std::move(one_bridge.back());
    echo_clients.back() = std::move(one_echo.back());
    for (int repeat = 0; repeat < repeats; ++repeat) {
      const std::vector<double> rates = RunAll(bridge_clients, seconds);
      sixteen.measured.push_back(Sum(rates));
      sixteen.primitive.push_back(Sum(RunAll(echo_clients, seconds)));
      fairness.measured.push_back(*std::min_element(rates.begin(), rates.end()));
      fairness.primitive.push_back(Sum(rates) / kClients);
    }
  }
  for (const Row& row : {step, behind, cpu, sixteen, fairness}) Print(row);
  for (const pid_t child : children) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace midlane::bench

int main() { return midlane::bench::Main(); }
