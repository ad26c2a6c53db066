// The request path of dm_env_rpc without a socket: any bytes as requests of two clients, against
// worlds of `probe` (two agents). Input: records of u8 client, u16 length, request.
// Every request must be answered, or wait for the other client and end when its own vanishes; and
// every world must end.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "bridge/make_env.h"
#include "bridge/rpc/session.h"
#include "bridge/rpc/step_codec.h"
#include "tests/bridge/rpc/requests.h"
#include "tests/fuzz/fuzz.h"

namespace {

using midlane::rpc::Session;
using midlane::rpc::WorldRegistry;
namespace wire = midlane::rpc::wire;

constexpr int kClients = 2;
constexpr int kRequestsMax = 64;

class Call final : public midlane::rpc::Completion {
 public:
  void Done() override { done_.Notify(); }
  bool done() const { return done_.HasBeenNotified(); }
  void Wait() { done_.WaitForNotification(); }
  wire::EnvironmentRequest request;
  wire::EnvironmentResponse response;

 private:
  absl::Notification done_;
};

std::string Record(int client, const wire::EnvironmentRequest& request) {
  const std::string bytes = request.SerializeAsString();
  std::string record(1, static_cast<char>(client));
  record.push_back(static_cast<char>(bytes.size() & 0xff));
  record.push_back(static_cast<char>(bytes.size() >> 8));
  return record + bytes;
}

}  // namespace

std::vector<std::string> midlane::FuzzSeeds() {
  using namespace midlane::rpc;
  const std::string world = "fuzz-1";
  std::string alone = Record(0, CreateWorld({{"length", "2"}})) + Record(0, JoinWorld(world));
  for (int i = 0; i < 4; ++i) alone += Record(0, Act(i % 4, {1, 2, 3, 7, 9}));
  alone += Record(0, rpc::Reset({{"length", "3"}})) + Record(0, Act(1)) + Record(0, LeaveWorld()) +
           Record(0, DestroyWorld(world));
  std::string both = Record(0, CreateWorld({{"agents", "2"}})) +
                     Record(0, JoinWorld(world, {{"agent", "right"}, {"weights.step", "2"}})) +
                     Record(1, JoinWorld(world));
  for (int i = 0; i < 4; ++i) both += Record(0, Act(1, {1})) + Record(1, Act(2, {1}));
  both += Record(1, rpc::ResetWorld(world, {{"right", "idle"}})) + Record(0, Act(0));
  return {alone, both};
}

namespace {

// What is read as a plain step must be one to protobuf too, with the same contents.
void CheckPlainStep(std::string_view bytes) {
  midlane::rpc::PlainStep plain;
  if (!midlane::rpc::ReadPlainStep(bytes, &plain)) return;
  wire::EnvironmentRequest request;
  bool same = request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) &&
              request.has_step() && request.step().actions().size() == plain.actions.size() &&
              std::equal(plain.requested.begin(), plain.requested.end(),
                         request.step().requested_observations().begin(),
                         request.step().requested_observations().end());
  for (const auto& action : plain.actions) {
    const auto found = request.step().actions().find(action.id);
    same = same && found != request.step().actions().end() && found->second.shape_size() == 0 &&
           found->second.int32s().array_size() == 1 &&
           found->second.int32s().array(0) == action.choice;
  }
  if (!same) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlane::rpc::QuietParsing();
  midlane::rpc::RegistryOptions options;
  options.environment = "fuzz";
  options.worlds_max = 4;
  WorldRegistry registry(options, [](const midlane::Settings& settings, uint64_t seed,
                                     const std::shared_ptr<midlane::Doorbell>& doorbell) {
    midlane::EnvOptions env;
    env.doorbell = doorbell;
    env.name = "probe";
    env.settings = settings;
    env.seed = seed;
    return midlane::MakeEnv(env);
  });
  std::unique_ptr<Session> sessions[kClients];
  std::unique_ptr<Call> calls[kClients];
  const auto end = [&](int client) {
    if (sessions[client] == nullptr) return;
    sessions[client]->Close();
    if (calls[client] != nullptr) calls[client]->Wait();
    sessions[client].reset();
  };
  for (int requests = 0; size >= 3 && requests < kRequestsMax; ++requests) {
    const int client = data[0] % kClients;
    const size_t length = std::min<size_t>(data[1] | data[2] << 8, size - 3);
    if (calls[client] != nullptr && !calls[client]->done()) {
      // It waits for the other client, or for the world's thread: it vanishes.
      absl::SleepFor(absl::Microseconds(200));
      if (!calls[client]->done()) end(client);
    }
    if (sessions[client] == nullptr) {
      sessions[client] =
          std::make_unique<Session>(&registry, client, absl::StrCat("client ", client));
    }
    CheckPlainStep({reinterpret_cast<const char*>(data + 3), length});
    calls[client] = std::make_unique<Call>();
    sessions[client]->HandleBytes({reinterpret_cast<const char*>(data + 3), length},
                                  &calls[client]->request, &calls[client]->response,
                                  calls[client].get());
    // Whoever creates a world may wait for its thread.
    if (calls[client]->request.has_create_world() || calls[client]->request.has_destroy_world()) {
      calls[client]->Wait();
    }
    data += 3 + length;
    size -= 3 + length;
  }
  for (int client = 0; client < kClients; ++client) end(client);
  return 0;
}
