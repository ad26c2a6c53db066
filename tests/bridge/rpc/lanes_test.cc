// Many connections in one stream: lanes overlap, are answered together, end by themselves, count as
// connections, and a stream that breaks the rules ends with a reason.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "bridge/cores.h"
#include "bridge/rpc/core_hint.h"
#include "midlane/bridge/v1/lanes.grpc.pb.h"
#include "tests/bridge/rpc/server_fixture.h"

namespace midlane::rpc {
namespace {

using midlane::bridge::v1::LanesRequest;
using midlane::bridge::v1::LanesResponse;
using testing::HasSubstr;

// A stream of the generated, blocking stub.
class LanesClient {
 public:
  LanesClient(const std::string& target, const std::string& core_hint)
      : stub_(midlane::bridge::v1::Lanes::NewStub(
            grpc::CreateChannel(target, grpc::InsecureChannelCredentials()))) {
    if (!core_hint.empty()) context_.AddMetadata(kCoreHintKey, core_hint);
    stream_ = stub_->Process(&context_);
  }
  ~LanesClient() {
    context_.TryCancel();
    if (!finished_) stream_->Finish();
  }

  LanesClient& Add(uint64_t lane, const wire::EnvironmentRequest& request) {
    return AddBytes(lane, request.SerializeAsString());
  }
  LanesClient& AddBytes(uint64_t lane, const std::string& bytes) {
    auto* added = message_.add_requests();
    added->set_lane(lane);
    added->set_request(bytes);
    return *this;
  }
  LanesClient& Close(uint64_t lane) {
    auto* added = message_.add_requests();
    added->set_lane(lane);
    added->set_close(true);
    return *this;
  }
  // Sends what was added, in one message.
  void Write() {
    EXPECT_TRUE(stream_->Write(message_));
    message_.Clear();
  }
  // The next answers of `count` lanes, in however many messages.
  std::map<uint64_t, wire::EnvironmentResponse> Read(size_t count) {
    std::map<uint64_t, wire::EnvironmentResponse> answers;
    while (answers.size() < count) {
      LanesResponse response;
      if (!stream_->Read(&response)) {
        ADD_FAILURE() << "stream ended: " << Finish().error_message();
        break;
      }
      ++messages_;
      for (const auto& answer : response.responses()) {
        EXPECT_TRUE(answers[answer.lane()].ParseFromString(answer.response()));
      }
    }
    return answers;
  }
  wire::EnvironmentResponse Ask(uint64_t lane, const wire::EnvironmentRequest& request) {
    Add(lane, request).Write();
    return Read(1)[lane];
  }
  int messages() const { return messages_; }
  void Done() { stream_->WritesDone(); }
  bool Ended() {
    LanesResponse response;
    return !stream_->Read(&response);
  }
  grpc::Status Finish() {
    finished_ = true;
    return stream_->Finish();
  }

 private:
  std::unique_ptr<midlane::bridge::v1::Lanes::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<LanesRequest, LanesResponse>> stream_;
  LanesRequest message_;
  bool finished_ = false;
  int messages_ = 0;
};

// With and without a client that keeps to a core.
class LanesTest : public ServerFixture, public testing::WithParamInterface<bool> {
 protected:
  static std::string hint() { return GetParam() ? CoreHint(AvailableCores().back()) : ""; }

  // A world made in lane 1 that the agents of these lanes have joined; its name.
  static std::string WorldWith(LanesClient& client, const std::vector<uint64_t>& lanes) {
    const std::string world = client.Ask(1, CreateWorld()).create_world().world_name();
    for (const uint64_t lane : lanes) {
      EXPECT_TRUE(client.Ask(lane, JoinWorld(world)).has_join_world());
    }
    return world;
  }

  // A world whose agent, in lane 1, has begun; its further steps wait for control_.
  void HoldWorld(LanesClient& client) {
    WorldWith(client, {1});
    EXPECT_TRUE(client.Ask(1, Act(0)).has_step());
    control_.Hold();
  }
};

TEST_P(LanesTest, AgentsOfOneWorldStepInOneMessage) {
  Serve(2);
  LanesClient client(target_, hint());
  WorldWith(client, {1, 2});
  const int before = client.messages();
  for (int i = 0; i < 3; ++i) {
    client.Add(1, Act(1)).Add(2, Act(2)).Write();
    auto answers = client.Read(2);
    EXPECT_EQ(answers[1].step().state(), wire::RUNNING) << answers[1].ShortDebugString();
    EXPECT_EQ(answers[2].step().state(), wire::RUNNING) << answers[2].ShortDebugString();
  }
  EXPECT_EQ(client.messages() - before, 3) << "both answers are ready at once: one message a step";
}

TEST_P(LanesTest, LanesWaitForNobodyElse) {
  Serve();
  LanesClient client(target_, hint());
  HoldWorld(client);
  client.Add(1, Act(0)).Write();
  EXPECT_EQ(Code(client.Ask(2, Act(0))), static_cast<int>(absl::StatusCode::kFailedPrecondition))
      << "lane 2 joined nothing, and is told so while lane 1 waits";
  control_.Release(1);
  EXPECT_TRUE(client.Read(1)[1].has_step());
  control_.Release(100);
}

TEST_P(LanesTest, WhatIsNoRequestIsAnsweredInItsLane) {
  Serve();
  LanesClient client(target_, hint());
  client.AddBytes(7, "\xff\xff\xff").Add(8, CreateWorld()).Write();
  auto answers = client.Read(2);
  EXPECT_EQ(Code(answers[7]), static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(answers[8].has_create_world());
}

TEST_P(LanesTest, ClosingALaneIsLeaving) {
  Serve(2);
  LanesClient client(target_, hint());
  const std::string world = WorldWith(client, {1, 2});
  client.Add(1, Act(0)).Add(2, Act(0)).Write();
  client.Read(2);
  client.Add(1, Act(0)).Write();  // waits for the other agent
  client.Close(2).Write();
  auto answers = client.Read(1);
  EXPECT_EQ(Code(answers[1]), static_cast<int>(absl::StatusCode::kAborted));
  // What waits in a lane that is closed is answered nowhere, and its seat is free.
  client.Add(1, Act(0)).Write();
  client.Read(1);
  client.Add(1, Act(0)).Write();
  client.Close(1).Add(3, JoinWorld(world)).Write();
  answers = client.Read(1);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(answers[3].has_join_world()) << answers[3].ShortDebugString();
}

TEST_P(LanesTest, LanesCountAsConnections) {
  options_.connections_max = 2;
  Serve();
  LanesClient client(target_, hint());
  ASSERT_TRUE(client.Ask(1, CreateWorld()).has_create_world());
  ASSERT_TRUE(client.Ask(2, CreateWorld()).has_create_world());
  EXPECT_EQ(server_->connections(), 2);
  const wire::EnvironmentResponse refused = client.Ask(3, CreateWorld());
  EXPECT_EQ(Code(refused), static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Message(refused), HasSubstr("--connections"));
  client.Close(1).Add(3, CreateWorld()).Write();
  EXPECT_TRUE(client.Read(1)[3].has_create_world());
  client.Done();
  EXPECT_TRUE(client.Ended());
  EXPECT_TRUE(client.Finish().ok());
  for (int i = 0; i < 250 && server_->connections() > 0; ++i) {
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_EQ(server_->connections(), 0);
}

TEST_P(LanesTest, ASecondRequestUnderWayEndsTheStream) {
  Serve();
  LanesClient client(target_, hint());
  HoldWorld(client);
  client.Add(1, Act(0)).Add(1, Act(0)).Write();
  while (!client.Ended()) {
  }
  const grpc::Status status = client.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("lane 1"));
  control_.Release(100);
}

TEST_P(LanesTest, AMessageThatIsNoneEndsTheStream) {
  Serve();
  grpc::GenericStub stub(grpc::CreateChannel(target_, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto stream = stub.PrepareCall(&context, "/midlane.bridge.v1.Lanes/Process", &queue);
  stream->StartCall(nullptr);
  ASSERT_TRUE(next());
  grpc::Slice slice(std::string("\x0a\xff"));
  stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  ASSERT_TRUE(next());
  grpc::Status status;
  stream->Finish(&status, nullptr);
  ASSERT_TRUE(next());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("LanesRequest"));
}

TEST_P(LanesTest, AVanishedClientLeavesEveryWorld) {
  Serve(2);
  auto client = std::make_unique<LanesClient>(target_, hint());
  const std::string world = WorldWith(*client, {1});
  LanesClient other(target_, hint());
  ASSERT_TRUE(other.Ask(1, JoinWorld(world)).has_join_world());
  client->Add(1, Act(0)).Write();
  other.Ask(1, Act(0));
  // An answer in lane 2 says that the step in lane 1 has reached the barrier.
  other.Add(1, Act(0)).Add(2, Act(0)).Write();
  other.Read(1);
  client.reset();
  EXPECT_EQ(Code(other.Read(1)[1]), static_cast<int>(absl::StatusCode::kAborted));
}

TEST_P(LanesTest, ShutdownAnswersAndEnds) {
  Serve();
  LanesClient client(target_, hint());
  HoldWorld(client);
  client.Add(1, Act(0)).Write();
  absl::SleepFor(absl::Milliseconds(50));
  server_->Shutdown();
  EXPECT_EQ(Code(client.Read(1)[1]), static_cast<int>(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(client.Ended());
  EXPECT_EQ(client.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

INSTANTIATE_TEST_SUITE_P(Client, LanesTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "OfOneCore" : "OfAnyCore"; });

using CoreHintTest = ServerFixture;

TEST_F(CoreHintTest, GamesKeepToTheCoreOfTheirClient) {
  const std::vector<int> all = AvailableCores();
  std::vector<int> cores;  // of the thread that starts a world's game
  auto server = Server::Start(
      options_, [&](const Settings&, uint64_t, const std::shared_ptr<Doorbell>& bell) {
        cores = AvailableCores();
        return std::make_unique<FakeEnv>(1, &control_, bell);
      });
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  target_ = ParseAddress(server_->address())->Target();
  const auto cores_under = [&](const std::string& hint) {
    LanesClient client(target_, hint);
    EXPECT_TRUE(client.Ask(1, CreateWorld()).has_create_world());
    return cores;
  };
  for (const int core : all) EXPECT_EQ(cores_under(CoreHint(core)), std::vector<int>{core});
  EXPECT_EQ(cores_under(""), all);
  EXPECT_EQ(cores_under("another-kernel/0"), all);
  EXPECT_EQ(cores_under(CoreHint(100000)), all) << "there is no such core";
  EXPECT_EQ(cores_under(CoreHint(-1)), all);
}

TEST_F(CoreHintTest, IsReadAsItIsWritten) {
  EXPECT_EQ(ReadCoreHint(CoreHint(5)), 5);
  EXPECT_EQ(ReadCoreHint(CoreHint(5) + "x"), std::nullopt);
  EXPECT_EQ(ReadCoreHint("5"), std::nullopt);
  EXPECT_EQ(ReadCoreHint(""), std::nullopt);
}

}  // namespace
}  // namespace midlane::rpc
