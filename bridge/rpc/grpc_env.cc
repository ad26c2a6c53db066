#include "bridge/rpc/grpc_env.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "bridge/cores.h"
#include "bridge/make_env.h"
#include "bridge/rpc/address.h"
#include "bridge/rpc/client_lanes.h"
#include "bridge/rpc/registry.h"
#include "bridge/rpc/remote_spec.h"

namespace midlane::rpc {
namespace {

constexpr char kTlsDir[] = "MIDLANE_TLS_DIR";
constexpr absl::Duration kWaitSlice = absl::Seconds(1);
// Between two looks whether ResetWorld has begun, while an agent is running.
constexpr absl::Duration kCutPoll = absl::Milliseconds(2);
// An action id that no environment has: a step with it is refused where the agent runs, and
// answered INTERRUPTED where its sequence was cut, so that it never moves the world.
constexpr uint64_t kNoAction = ~uint64_t{0};

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) {
    return absl::NotFoundError(absl::StrCat("'", path, "' cannot be read: let $", kTlsDir,
                                            " name a folder that `midlane keys` made"));
  }
  return text;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(bool tls) {
  if (!tls) return grpc::InsecureChannelCredentials();
  const char* folder = std::getenv(kTlsDir);
  if (folder == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "grpc+tls:// needs $", kTlsDir, ": the folder with ca.pem, client.pem and client.key"));
  }
  const absl::StatusOr<std::string> ca = ReadFile(absl::StrCat(folder, "/ca.pem"));
  if (!ca.ok()) return ca.status();
  const absl::StatusOr<std::string> cert = ReadFile(absl::StrCat(folder, "/client.pem"));
  if (!cert.ok()) return cert.status();
  const absl::StatusOr<std::string> key = ReadFile(absl::StrCat(folder, "/client.key"));
  if (!key.ok()) return key.status();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = *ca;
  options.pem_cert_chain = *cert;
  options.pem_private_key = *key;
  return grpc::SslCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const std::string& name, int generation) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(name, absl::MaxSplits("://", 1));
  const auto& [scheme, rest] = parts;
  if (scheme != "grpc" && scheme != "grpc+unix" && scheme != "grpc+tls") {
    return absl::InvalidArgumentError(absl::StrCat("'", name,
                                                   "' is no server's name: write grpc://HOST:PORT, "
                                                   "grpc+unix:///PATH or grpc+tls://HOST:PORT"));
  }
  if (scheme != "grpc+unix" && absl::StartsWith(rest, "unix:")) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name, "' is no server's name: of a Unix socket it is grpc+unix:///PATH"));
  }
  const absl::StatusOr<Address> address =
      ParseAddress(scheme == "grpc+unix" ? "unix://" + rest : rest);
  if (!address.ok()) return address.status();
  const auto credentials = Credentials(scheme == "grpc+tls");
  if (!credentials.ok()) return credentials.status();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  // Channels share a connection where their arguments are equal. One that failed waits before it
  // tries again; a fresh one does not.
  arguments.SetInt("midlane.generation", generation);
  return grpc::CreateCustomChannel(address->Target(), *credentials, arguments);
}

// The stream that this process's worlds share at the server of that name; where the caller keeps to
// a core, those of that core.
absl::StatusOr<std::shared_ptr<ClientLanes>> LanesTo(const std::string& name) {
  static absl::Mutex mu(absl::kConstInit);
  static auto* const streams = new std::map<std::string, std::weak_ptr<ClientLanes>>();
  static int generation = 0;
  const char* folder = std::getenv(kTlsDir);
  const std::vector<int> cores = AvailableCores();
  const std::optional<int> core = cores.size() == 1 ? std::optional(cores[0]) : std::nullopt;
  absl::MutexLock lock(&mu);
  std::weak_ptr<ClientLanes>& known =
      (*streams)[absl::StrCat(name, " ", core.value_or(-1), " ", folder ? folder : "")];
  if (std::shared_ptr<ClientLanes> lanes = known.lock(); lanes && !lanes->broken()) return lanes;
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = Connect(name, ++generation);
  if (!channel.ok()) return channel.status();
  auto lanes = std::make_shared<ClientLanes>(*std::move(channel), core);
  known = lanes;
  return lanes;
}

// `status` with the server's name and what to look at.
absl::Status Unreached(const std::string& name, const absl::Status& status) {
  const char* hint = "";
  const bool tls = absl::StartsWith(name, "grpc+tls://");
  if (absl::IsUnavailable(status)) {
    hint = !tls ? " (is `midlane serve` running there? With TLS its name begins with grpc+tls://)"
           : absl::StrContains(status.message(), "certificate")
               ? " (are the keys in $MIDLANE_TLS_DIR of the server's authority?)"
               : " (is `midlane serve` with TLS running there?)";
  }
  if (absl::IsUnimplemented(status)) hint = " (is that a Midlane bridge, and of this version?)";
  return absl::Status(status.code(), absl::StrCat(name, ": ", status.message(), hint));
}

class GrpcEnv final : public Env {
 public:
  GrpcEnv(const EnvOptions& options, std::shared_ptr<Doorbell> doorbell,
          std::shared_ptr<ClientLanes> lanes)
      : options_(options), doorbell_(std::move(doorbell)), lanes_(std::move(lanes)) {}

  ~GrpcEnv() override { DestroyWorld(); }

  absl::Status Start() {
    const absl::Status status = CreateWorld();
    if (status.ok()) return status;
    return Unreached(options_.name, status);
  }

  const Spec& spec() const override { return remote_->spec(); }

  absl::Status Reset(const Settings& settings) override {
    if (!failure_.ok()) return failure_;
    if (phase_ == Phase::kAsked) {
      const absl::Status status = Wait(options_.timeout);
      if (!status.ok()) return status;
    }
    Settings wanted = options_.settings;
    for (const auto& [name, value] : settings) wanted[name] = value;
    bool running = false;
    for (const Agent& agent : agents_) running |= agent.running;
    if (running || wanted != settings_) {
      const absl::Status status = ResetWorld(wanted);
      if (!status.ok()) return status;
    }
    Ask();
    return absl::OkStatus();
  }

  absl::Status Step() override {
    if (!failure_.ok()) return failure_;
    if (phase_ != Phase::kReady) {
      return absl::FailedPreconditionError("Step before Reset or Ready: call Reset, then Wait");
    }
    bool goes_on = false;
    for (size_t i = 0; i < agents_.size(); ++i) {
      Agent& agent = agents_[i];
      if (agent.lane == nullptr) continue;
      const AgentView view = ViewSlot(slots_->slot(static_cast<int>(i)));
      goes_on |= !view.last();
      if (!view.wants_action()) continue;
      const absl::Status status = CheckActions(
          spec(), static_cast<int>(i), *slots_->slot(static_cast<int>(i)), view.observation);
      if (!status.ok()) return status;
      remote_->SetActions(view.actions, &agent.step);
    }
    if (!goes_on) {
      return absl::FailedPreconditionError("Step after the episode's end: call Reset first");
    }
    Ask();
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Ready() override {
    if (!failure_.ok()) return failure_;
    if (phase_ == Phase::kReady) return true;
    if (phase_ == Phase::kFresh) {
      return absl::FailedPreconditionError("nothing is coming: call Reset first");
    }
    lanes_->Flush();
    if (awaited_.load(std::memory_order_acquire) > 0) {
      if (absl::Now() < deadline_) return false;
      return Broken(absl::DeadlineExceededError(
          absl::StrCat("no answer within ", absl::FormatDuration(options_.timeout),
                       ": give it more time, or call Restart")));
    }
    for (size_t i = 0; i < agents_.size(); ++i) {
      Agent& agent = agents_[i];
      if (agent.lane == nullptr) continue;
      const auto response = agent.lane->TryReceive();
      if (!response.ok()) return Broken(response.status());
      absl::Status status = ErrorOf(**response);
      if (status.ok()) {
        status = remote_->ReadStep((*response)->step(), static_cast<int>(i), &*slots_);
      }
      if (!status.ok()) return Broken(status);
      agent.running = (*response)->step().state() == wire::RUNNING;
      frames_ = std::max(frames_, slots_->slot(static_cast<int>(i))->observed_frame);
    }
    ++timesteps_;
    phase_ = Phase::kReady;
    return true;
  }

  absl::Status Wait(absl::Duration timeout) override {
    const absl::Time deadline = absl::Now() + timeout;
    for (;;) {
      const uint32_t rings = doorbell_->rings();
      const absl::StatusOr<bool> ready = Ready();
      if (!ready.ok()) return ready.status();
      if (*ready) return absl::OkStatus();
      const absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) {
        return absl::DeadlineExceededError(absl::StrCat(options_.name, " has not answered within ",
                                                        absl::FormatDuration(timeout),
                                                        ": wait longer or call Restart"));
      }
      doorbell_->WaitFor(rings, 1, std::min(left, kWaitSlice), options_.spin);
    }
  }

  AgentView agent(int index) override { return ViewSlot(slots_->slot(index)); }

  absl::Status Restart() override {
    ++restarts_;
    frames_before_ += std::exchange(frames_, 0);
    DestroyWorld();
    failure_ = absl::OkStatus();
    absl::StatusOr<std::shared_ptr<ClientLanes>> lanes = LanesTo(options_.name);
    if (!lanes.ok()) return Broken(lanes.status());
    lanes_ = *std::move(lanes);
    const absl::Status status = Start();
    if (!status.ok()) failure_ = status;
    return status;
  }

  EnvStats stats() const override {
    EnvStats stats;
    stats.frames = frames_before_ + frames_;
    stats.timesteps = timesteps_;
    stats.game_seconds = static_cast<double>(stats.frames) / spec().frames_per_second;
    stats.restarts = restarts_;
    return stats;
  }

 private:
  // kFresh: nothing asked since the world was made or reset. kAsked: answers are outstanding.
  enum class Phase { kFresh, kAsked, kReady };

  struct Agent {
    std::unique_ptr<ClientLane> lane;  // null: not ours
    wire::EnvironmentRequest step;
    bool running = false;  // its sequence, by the last answer
  };

  absl::Time Deadline() const { return absl::Now() + options_.timeout; }

  absl::Status Broken(const absl::Status& status) {
    failure_ = absl::Status(status.code(), absl::StrCat(options_.name, ": ", status.message()));
    return failure_;
  }

  absl::Status CreateWorld() {
    control_ = std::make_unique<ClientLane>(lanes_, [] {});
    wire::EnvironmentRequest request;
    for (const auto& [name, value] : options_.settings) {
      (*request.mutable_create_world()->mutable_settings())[name] = TextTensor(value);
    }
    (*request.mutable_create_world()->mutable_settings())[kWorldSeed] =
        TextTensor(absl::StrCat(options_.seed));
    const auto response = control_->Ask(request, Deadline());
    if (!response.ok()) return response.status();
    world_ = (*response)->create_world().world_name();
    settings_ = options_.settings;
    phase_ = Phase::kFresh;
    return JoinAgents();
  }

  absl::StatusOr<midlane::bridge::v1::DescribeWorldResponse> Describe() {
    midlane::bridge::v1::DescribeWorldRequest describe;
    describe.set_world_name(world_);
    wire::EnvironmentRequest request;
    request.mutable_extension()->PackFrom(describe);
    const auto response = control_->Ask(request, Deadline());
    if (!response.ok()) return response.status();
    midlane::bridge::v1::DescribeWorldResponse description;
    if (!(*response)->extension().UnpackTo(&description)) {
      return absl::InvalidArgumentError("the server does not describe its worlds: it is no bridge");
    }
    return description;
  }

  // Joins the agents that the world leaves to us, and leaves the others.
  absl::Status JoinAgents() {
    const auto description = Describe();
    if (!description.ok()) return description.status();
    const size_t count = static_cast<size_t>(description->agents_size());
    agents_.resize(count);
    bool any = false;
    for (size_t i = 0; i < count; ++i) {
      Agent& agent = agents_[i];
      const auto& described = description->agents(static_cast<int>(i));
      if (!described.joinable()) {
        agent.lane.reset();
        agent.running = false;
        if (slots_) slots_->slot(static_cast<int>(i))->flags = 0;
        continue;
      }
      any = true;
      if (agent.lane != nullptr) continue;
      const absl::Status status = JoinAgent(*description, described.name(), &agent);
      if (!status.ok()) return status;
    }
    if (any) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "the settings leave no agent to play: set one of the agents to 'agent'");
  }

  absl::Status JoinAgent(const midlane::bridge::v1::DescribeWorldResponse& description,
                         const std::string& name, Agent* agent) {
    agent->lane = std::make_unique<ClientLane>(lanes_, [this] {
      if (awaited_.fetch_sub(1, std::memory_order_acq_rel) == 1) doorbell_->Ring();
    });
    wire::EnvironmentRequest join;
    join.mutable_join_world()->set_world_name(world_);
    (*join.mutable_join_world()->mutable_settings())["agent"] = TextTensor(name);
    const auto response = agent->lane->Ask(join, Deadline());
    if (!response.ok()) return response.status();
    absl::StatusOr<RemoteSpec> remote =
        RemoteSpec::Make((*response)->join_world().specs(), description);
    if (!remote.ok()) return remote.status();
    if (remote_ && remote_->spec().Hash() != remote->spec().Hash()) {
      return absl::FailedPreconditionError(
          "the environment's spec changed since this program connected: start again");
    }
    if (!remote_) {
      remote_ = *std::move(remote);
      slots_.emplace(remote_->spec());
    }
    agent->step = remote_->StepRequest();
    agent->running = false;
    return absl::OkStatus();
  }

  void DestroyWorld() {
    agents_.clear();
    if (control_ != nullptr && !world_.empty() && !control_->waiting()) {
      wire::EnvironmentRequest request;
      request.mutable_destroy_world()->set_world_name(world_);
      control_->Ask(request, Deadline()).IgnoreError();
    }
    control_.reset();
    world_.clear();
  }

  // Has every agent's running sequence end, which ResetWorld waits for.
  absl::Status EndSequences() {
    wire::EnvironmentRequest poke;
    (*poke.mutable_step()->mutable_actions())[kNoAction].mutable_int32s();
    for (Agent& agent : agents_) {
      if (agent.lane == nullptr || !agent.running) continue;
      const auto response = agent.lane->Ask(poke, Deadline());
      if (absl::IsInvalidArgument(response.status())) continue;  // not cut yet
      if (!response.ok()) return response.status();
      agent.running = false;
    }
    return absl::OkStatus();
  }

  absl::Status ResetWorld(const Settings& wanted) {
    wire::EnvironmentRequest request;
    request.mutable_reset_world()->set_world_name(world_);
    for (const auto& [name, value] : wanted) {
      (*request.mutable_reset_world()->mutable_settings())[name] = TextTensor(value);
    }
    const absl::Time deadline = Deadline();
    control_->Send(request);
    absl::StatusOr<const wire::EnvironmentResponse*> response =
        control_->Receive(absl::Now() + kCutPoll);
    while (absl::IsDeadlineExceeded(response.status())) {
      if (absl::Now() > deadline) {
        return Broken(absl::DeadlineExceededError("ResetWorld was not answered in time"));
      }
      if (absl::Status status = EndSequences(); !status.ok()) return Broken(status);
      response = control_->Receive(absl::Now() + kCutPoll);
    }
    if (!response.ok()) return Broken(response.status());
    const absl::Status status = ErrorOf(**response);
    if (absl::IsInvalidArgument(status)) return status;
    if (!status.ok()) return Broken(status);
    for (Agent& agent : agents_) agent.running = false;
    settings_ = wanted;
    const absl::Status joined = JoinAgents();
    return joined.ok() ? joined : Broken(joined);
  }

  // Sends every agent's step.
  void Ask() {
    int count = 0;
    for (const Agent& agent : agents_) count += agent.lane != nullptr;
    awaited_.store(count, std::memory_order_release);
    deadline_ = Deadline();
    phase_ = Phase::kAsked;
    for (Agent& agent : agents_) {
      if (agent.lane != nullptr) agent.lane->Send(agent.step);
    }
  }

  const EnvOptions options_;
  const std::shared_ptr<Doorbell> doorbell_;
  std::shared_ptr<ClientLanes> lanes_;
  std::unique_ptr<ClientLane> control_;
  std::string world_;
  Settings settings_;  // of the world now
  std::optional<RemoteSpec> remote_;
  std::optional<SlotBuffer> slots_;
  std::atomic<int> awaited_{0};  // answers that have not come; the last one rings
  std::vector<Agent> agents_;
  Phase phase_ = Phase::kFresh;
  absl::Status failure_;
  absl::Time deadline_;
  uint64_t frames_ = 0, timesteps_ = 0, restarts_ = 0;
  uint64_t frames_before_ = 0;  // of worlds before the last restart
};

}  // namespace

absl::StatusOr<std::unique_ptr<Env>> MakeGrpcEnv(const EnvOptions& options) {
  std::shared_ptr<Doorbell> doorbell = options.doorbell;
  if (doorbell == nullptr) {
    absl::StatusOr<std::shared_ptr<Doorbell>> made = Doorbell::Create();
    if (!made.ok()) return made.status();
    doorbell = *std::move(made);
  }
  absl::StatusOr<std::shared_ptr<ClientLanes>> lanes = LanesTo(options.name);
  if (!lanes.ok()) return lanes.status();
  auto env = std::make_unique<GrpcEnv>(options, std::move(doorbell), *std::move(lanes));
  const absl::Status status = env->Start();
  if (!status.ok()) return status;
  return env;
}

absl::StatusOr<EnvironmentInfo> DescribeGrpcEnv(const std::string& name) {
  absl::StatusOr<std::shared_ptr<ClientLanes>> lanes = LanesTo(name);
  if (!lanes.ok()) return lanes.status();
  ClientLane lane(*std::move(lanes), [] {});
  wire::EnvironmentRequest request;
  request.mutable_extension()->PackFrom(midlane::bridge::v1::DescribeEnvironmentRequest());
  const auto response = lane.Ask(request, absl::Now() + EnvOptions().timeout);
  if (!response.ok()) return Unreached(name, response.status());
  midlane::bridge::v1::DescribeEnvironmentResponse description;
  if (!(*response)->extension().UnpackTo(&description)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " does not describe its environment: it is no bridge"));
  }
  EnvironmentInfo info;
  info.name = description.environment();
  for (const auto& described : description.settings()) {
    SettingSpec& setting = info.settings.emplace_back();
    setting.name = described.name();
    setting.description = described.description();
    setting.default_value = described.default_value();
    setting.choices.assign(described.choices().begin(), described.choices().end());
  }
  info.bots.assign(description.bots().begin(), description.bots().end());
  info.default_strength = description.default_strength();
  return info;
}

void RegisterGrpcEnv() {
  for (const char* scheme : {"grpc", "grpc+unix", "grpc+tls"})
    RegisterEnvScheme(scheme, MakeGrpcEnv, DescribeGrpcEnv);
}

}  // namespace midlane::rpc
