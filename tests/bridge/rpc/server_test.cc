// The server over real sockets: where it may listen, limits, malformed messages, pipelining,
// vanished and stubborn clients, draining, health.
#include "bridge/rpc/server.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bridge/rpc/keys.h"
#include "dm_env_rpc/v1/dm_env_rpc.grpc.pb.h"
#include "tests/bridge/rpc/server_fixture.h"

namespace midlane::rpc {
namespace {

using testing::HasSubstr;

int Entries(const char* path) {
  int count = 0;
  DIR* folder = opendir(path);
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

int OpenDescriptors() { return Entries("/proc/self/fd"); }
int ThreadCount() { return Entries("/proc/self/task"); }

// Waits until `count` answers at most `limit`, for a few seconds; its last answer.
template <typename Count>
int Settle(const Count& count, int limit) {
  for (int i = 0; i < 250 && count() > limit; ++i) absl::SleepFor(absl::Milliseconds(20));
  return count();
}

// A stream of the generated, blocking stub.
class Client {
 public:
  explicit Client(const std::string& target) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ = grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
    stub_ = wire::Environment::NewStub(channel_);
    stream_ = stub_->Process(&context_);
  }
  ~Client() {
    context_.TryCancel();
    if (!finished_) stream_->Finish();
  }
  bool Write(const wire::EnvironmentRequest& request) { return stream_->Write(request); }
  bool Read(wire::EnvironmentResponse* response) { return stream_->Read(response); }
  wire::EnvironmentResponse Send(const wire::EnvironmentRequest& request) {
    wire::EnvironmentResponse response;
    if (!Write(request) || !Read(&response)) ADD_FAILURE() << "stream ended: " << Finish();
    return response;
  }
  void Done() { stream_->WritesDone(); }
  std::string Finish() {
    finished_ = true;
    const grpc::Status status = stream_->Finish();
    return absl::StrCat(status.error_code(), " ", status.error_message());
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<wire::Environment::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<wire::EnvironmentRequest, wire::EnvironmentResponse>>
      stream_;
  bool finished_ = false;
};

class ServerTest : public ServerFixture {
 protected:
  std::unique_ptr<Client> Connect() { return std::make_unique<Client>(target_); }

  static std::string Create(Client& client) {
    return client.Send(CreateWorld()).create_world().world_name();
  }
};

TEST_F(ServerTest, SocketIsPrivateAndOurs) {
  Serve();
  EXPECT_EQ(server_->address(), "unix://" + path_);
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ExpectRefused(options_, absl::StatusCode::kAlreadyExists, "live server");
  EXPECT_TRUE(Connect()->Send(CreateWorld()).has_create_world());  // still served
}

TEST_F(ServerTest, DeadSocketsAreReplacedAndOtherFilesNot) {
  const int dead = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path_.c_str());
  ASSERT_EQ(bind(dead, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(dead, 1), 0);
  ExpectRefused(options_, absl::StatusCode::kAlreadyExists, "live server");  // no lock, but alive
  close(dead);
  Serve();
  EXPECT_TRUE(Connect()->Send(CreateWorld()).has_create_world());
  ServerOptions other = options_;
  const std::string file = folder_ + "/file";
  close(open(file.c_str(), O_CREAT | O_WRONLY, 0600));
  other.listen = "unix://" + file;
  ExpectRefused(other, absl::StatusCode::kAlreadyExists, "no socket");
  EXPECT_EQ(access(file.c_str(), F_OK), 0);
  unlink(file.c_str());
  other.listen = "unix://" + folder_ + "/none/a.sock";
  ExpectRefused(other, absl::StatusCode::kFailedPrecondition, "folder");
}

TEST_F(ServerTest, AddressesAreChecked) {
  ServerOptions options;
  for (const char* wrong :
       {"", "5000", "host", "host:", "host:x", "host:70000", "::1:5000", "unix:", "unix://"}) {
    options.listen = wrong;
    EXPECT_EQ(TryServe(options).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
  options.listen = "unix:///" + std::string(120, 'x');
  ExpectRefused(options, absl::StatusCode::kInvalidArgument, "107");
  for (const char* open : {"0.0.0.0:0", "[::]:0", "example.org:0"}) {
    options.listen = open;
    ExpectRefused(options, absl::StatusCode::kPermissionDenied, "midlane keys");
  }
  options.listen = "0.0.0.0:0";
  options.tls.ca = "/nonexistent";
  ExpectRefused(options, absl::StatusCode::kNotFound, "/nonexistent");
  options.tls.ca = "/proc/version";
  ExpectRefused(options, absl::StatusCode::kInvalidArgument, "no PEM");
  options.listen = "unix://" + path_;
  ExpectRefused(options, absl::StatusCode::kInvalidArgument, "TLS on a Unix socket");
}

TEST_F(ServerTest, ASecondServerOnAPortIsRefused) {
  options_.listen = "127.0.0.1:0";
  Serve();
  ServerOptions second = options_;
  second.listen = server_->address();
  ExpectRefused(second, absl::StatusCode::kUnavailable, "in use");
  EXPECT_TRUE(Connect()->Send(CreateWorld()).has_create_world());
}

TEST_F(ServerTest, SaysWhyItCannotListen) {
  for (const char* name : {"/one", "/other"}) {
    KeyOptions keys;
    keys.folder = folder_ + name;
    ASSERT_TRUE(MakeKeys(keys).ok());
  }
  ServerOptions options;
  options.tls = {folder_ + "/one/ca.pem", folder_ + "/one/server.pem", folder_ + "/one/server.key"};
  options.listen = "203.0.113.7:5000";
  ExpectRefused(options, absl::StatusCode::kUnavailable, "none of this machine's addresses");
  options.listen = "host.invalid:5000";
  ExpectRefused(options, absl::StatusCode::kUnavailable, "host is not known");
  options.listen = "127.0.0.1:0";
  options.tls.key = folder_ + "/other/server.key";
  ExpectRefused(options, absl::StatusCode::kUnavailable, "do not belong together");
  for (const char* name : {"/one", "/other"}) std::filesystem::remove_all(folder_ + name);
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Serve();
  auto client = Connect();
  const std::string world = Create(*client);
  const auto specs = client->Send(JoinWorld(world)).join_world().specs();
  const uint64_t tick = IdOf(specs, "tick");
  constexpr int kRequests = 1000;
  std::thread writer([&] {
    for (int i = 0; i < kRequests; ++i) {
      ASSERT_TRUE(client->Write(i % 10 == 9 ? StepWith({4711}) : Act(1, {tick})));
    }
    client->Done();
  });
  int expected = 0;
  wire::EnvironmentResponse response;
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(client->Read(&response)) << i;
    if (i % 10 == 9) {
      EXPECT_TRUE(response.has_error());
      continue;
    }
    ASSERT_EQ(response.step().observations().at(tick).int32s().array(0), expected % 4);
    ++expected;
  }
  writer.join();
  EXPECT_FALSE(client->Read(&response));
  EXPECT_EQ(client->Finish(), "0 ");
}

TEST_F(ServerTest, GarbageIsAnsweredInTheStream) {
  Serve();
  auto channel = grpc::CreateChannel(target_, grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  auto stream = stub.PrepareCall(&context, "/dm_env_rpc.v1.Environment/Process", &queue);
  void* tag;
  bool ok = false;
  stream->StartCall(nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  for (const std::string& bytes : {std::string("\x1a\xff\xff\xff\x7f"), std::string(1000, '\xff'),
                                   CreateWorld().SerializeAsString()}) {
    grpc::Slice slice(bytes);
    stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
    grpc::ByteBuffer answer;
    stream->Read(&answer, nullptr);
    ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
    grpc::Slice whole;
    ASSERT_TRUE(answer.DumpToSingleSlice(&whole).ok());
    wire::EnvironmentResponse response;
    ASSERT_TRUE(response.ParseFromArray(whole.begin(), static_cast<int>(whole.size())));
    EXPECT_EQ(response.has_error(), bytes[0] != '\n') << response.ShortDebugString();
  }
  context.TryCancel();
  grpc::Status status;
  stream->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
}

TEST_F(ServerTest, LongMessagesEndTheirStreamOnly) {
  options_.message_bytes_max = 100000;
  Serve();
  auto good = Connect(), bad = Connect();
  Create(*good);
  wire::EnvironmentRequest request = CreateWorld({{"length", std::string(200000, '1')}});
  wire::EnvironmentResponse response;
  bad->Write(request);
  EXPECT_FALSE(bad->Read(&response));
  EXPECT_THAT(bad->Finish(), HasSubstr("larger than max"));
  EXPECT_TRUE(good->Send(CreateWorld()).has_create_world());
}

TEST_F(ServerTest, ConnectionsAreLimited) {
  options_.connections_max = 8;
  Serve();
  const int before = OpenDescriptors();
  {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 8; ++i) {
      clients.push_back(Connect());
      clients.back()->Send(LeaveWorld());
    }
    for (int i = 0; i < 20; ++i) {
      auto refused = Connect();
      wire::EnvironmentResponse response;
      refused->Write(LeaveWorld());
      EXPECT_FALSE(refused->Read(&response));
      EXPECT_THAT(refused->Finish(), HasSubstr("--connections"));
    }
    EXPECT_TRUE(clients[3]->Send(CreateWorld()).has_create_world());
  }
  EXPECT_EQ(Settle([this] { return server_->connections(); }, 0), 0);
  EXPECT_LE(Settle(OpenDescriptors, before + 8), before + 8);
}

// Five hundred connections at once. The second round must hold no more than the first left behind:
// what gRPC itself keeps.
TEST_F(ServerTest, ASurgeIsRefusedInWordsAndLeavesNothing) {
  static constexpr int kClients = 500, kAdmitted = 64, kSteps = 20;
  options_.connections_max = kAdmitted;
  Serve();
  const auto surge = [this] {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.push_back(Connect());
      clients.back()->Write(CreateWorld());
    }
    std::vector<std::pair<Client*, std::string>> admitted;  // with its world
    for (const auto& client : clients) {
      wire::EnvironmentResponse response;
      if (client->Read(&response)) {
        admitted.emplace_back(client.get(), response.create_world().world_name());
        continue;
      }
      EXPECT_EQ(client->Finish(),
                absl::StrCat(static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED),
                             " the server has its 64 connections: close one, or serve with a "
                             "larger --connections"));
    }
    EXPECT_EQ(admitted.size(), static_cast<size_t>(kAdmitted));
    EXPECT_EQ(server_->connections(), kAdmitted);
    for (const auto& [client, world] : admitted) {
      EXPECT_TRUE(client->Send(JoinWorld(world, {})).has_join_world());
    }
    for (int step = 0; step < kSteps; ++step) {
      for (const auto& [client, world] : admitted) client->Write(StepWith({}));
      for (const auto& [client, world] : admitted) {
        wire::EnvironmentResponse response;
        ASSERT_TRUE(client->Read(&response));
        EXPECT_TRUE(response.has_step()) << Message(response);
      }
    }
    for (const auto& [client, world] : admitted) {
      client->Send(LeaveWorld());
      EXPECT_TRUE(client->Send(DestroyWorld(world)).has_destroy_world());
    }
  };
  const auto settled = [this] {
    EXPECT_EQ(Settle([this] { return server_->connections(); }, 0), 0);
    EXPECT_EQ(server_->worlds(), 0);
  };
  const int idle = OpenDescriptors();
  ASSERT_NO_FATAL_FAILURE(surge());
  settled();
  const int descriptors = Settle(OpenDescriptors, idle + 8);
  const int threads = Settle(ThreadCount, 1);
  ASSERT_NO_FATAL_FAILURE(surge());
  settled();
  EXPECT_LE(Settle(OpenDescriptors, descriptors + 4), descriptors + 4);
  EXPECT_LE(descriptors, idle + 8);
  EXPECT_LE(Settle(ThreadCount, threads + 4), threads + 4);
  EXPECT_TRUE(Connect()->Send(CreateWorld()).has_create_world());
}

TEST_F(ServerTest, AVanishedProcessEndsTheOthersStep) {
  Serve(2);
  auto a = Connect();
  const std::string world = Create(*a);
  auto b = Connect();  // clients are numbered as their streams arrive
  a->Send(JoinWorld(world));
  b->Send(JoinWorld(world));
  a->Write(StepWith({}));
  b->Send(StepWith({}));
  wire::EnvironmentResponse response;
  ASSERT_TRUE(a->Read(&response));
  a->Write(Act(1));
  absl::SleepFor(absl::Milliseconds(50));
  const absl::Time begin = absl::Now();
  b.reset();
  ASSERT_TRUE(a->Read(&response));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_THAT(Message(response), HasSubstr("agent 'a1' (client 2 at unix:"));
  EXPECT_THAT(Message(response), HasSubstr("vanished"));
}

// It is stopped being read from; the others and the server's memory do not mind.
TEST_F(ServerTest, AClientThatStopsReadingIsHeldBack) {
  Serve();
  auto stubborn = Connect(), other = Connect();
  const std::string world = Create(*stubborn);
  const auto specs = stubborn->Send(JoinWorld(world)).join_world().specs();
  std::vector<uint64_t> all;
  for (const auto& [id, spec] : specs.observations()) all.push_back(id);
  std::thread writer([&] {
    for (int i = 0; i < 200000 && stubborn->Write(Act(0, all)); ++i) {
    }
  });
  const std::string theirs = Create(*other);
  other->Send(JoinWorld(theirs));
  int previous = -1, steps = control_.Count(&FakeControl::steps);
  for (int i = 0; i < 100 && steps != previous; ++i) {
    previous = steps;
    absl::SleepFor(absl::Milliseconds(200));
    EXPECT_TRUE(other->Send(Reset()).has_reset());
    steps = control_.Count(&FakeControl::steps);
  }
  EXPECT_EQ(steps, previous) << "steps are carried out for a client that does not read";
  EXPECT_LT(steps, 100000);
  server_->Shutdown();
  writer.join();
}

TEST_F(ServerTest, ShutdownDrains) {
  Serve(2);
  auto a = Connect(), idle = Connect();
  const std::string world = Create(*a);
  a->Send(JoinWorld(world));
  idle->Send(LeaveWorld());
  a->Write(StepWith({}));
  absl::SleepFor(absl::Milliseconds(50));
  const absl::Time begin = absl::Now();
  server_->Shutdown();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  wire::EnvironmentResponse response;
  ASSERT_TRUE(a->Read(&response));
  EXPECT_THAT(Message(response), HasSubstr("shutting down"));
  EXPECT_FALSE(a->Read(&response));
  EXPECT_THAT(a->Finish(), HasSubstr("14 the server is shutting down"));
  EXPECT_FALSE(idle->Read(&response));
  EXPECT_THAT(idle->Finish(), HasSubstr("14 the server is shutting down"));
  EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST_F(ServerTest, ComesAndGoesAHundredTimes) {
  Serve();
  const auto round = [this] {
    auto client = Connect();
    const std::string world = Create(*client);
    client->Send(JoinWorld(world));
    client->Send(StepWith({}));
    client->Send(LeaveWorld());
    client->Send(DestroyWorld(world));
  };
  round();
  const int before = OpenDescriptors();
  for (int i = 0; i < 100; ++i) round();
  EXPECT_EQ(server_->worlds(), 0);
  EXPECT_LE(Settle(OpenDescriptors, before + 4), before + 4);
}

}  // namespace
}  // namespace midlane::rpc
