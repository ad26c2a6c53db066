// GrpcEnv against a server over a real Unix socket: the Env conformance suite, and what only a
// remote Env can meet.
#include "bridge/rpc/grpc_env.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "bridge/cores.h"
#include "bridge/rpc/keys.h"
#include "tests/bridge/env_conformance.h"
#include "tests/bridge/rpc/served_env.h"

namespace midlane {
namespace {

using testing::HasSubstr;

EnvCase Case(std::string name, std::string environment, Settings initial, Settings settings,
             Settings other, uint64_t frame_skip = 1) {
  EnvCase made;
  made.name = std::move(name);
  made.options.name = std::move(environment);
  made.options.settings = std::move(initial);
  made.settings = std::move(settings);
  made.other_settings = std::move(other);
  made.frame_skip = frame_skip;
  made.make = MakeServed;
  return made;
}

// As a client that keeps to one core makes it; the server may use them all.
EnvCase OnOneCore(EnvCase made) {
  made.make = [](const EnvOptions& options) -> absl::StatusOr<std::unique_ptr<Env>> {
    std::unique_ptr<rpc::Server> server = ServeAnew(options.name);
    if (server == nullptr) return absl::InternalError("no server");
    absl::StatusOr<std::unique_ptr<Env>> env = absl::InternalError("not made");
    std::thread client([&] {
      PinToCore(AvailableCores().back());
      env = MakeServedBy(std::move(server), options);
    });
    client.join();
    return env;
  };
  return made;
}

INSTANTIATE_TEST_SUITE_P(
    Grpc, EnvConformance,
    testing::Values(
        Case("Null", "null", {{"inputs", "5"}}, {{"length", "7"}}, {{"length", "3"}}),
        Case("Probe", "probe", {}, {{"length", "6"}, {"masks", "true"}}, {{"length", "4"}}, 4),
        Case("ProbeOfTwo", "probe", {{"agents", "2"}}, {{"length", "5"}, {"length_right", "3"}},
             {{"right", "idle"}}, 4),
        OnOneCore(Case("ProbeOfTwoOnOneCore", "probe", {{"agents", "2"}},
                       {{"length", "5"}, {"length_right", "3"}}, {{"right", "idle"}}, 4))),
    EnvCaseName);

TEST(GrpcEnv, SpecIsThatOfTheServersEnv) {
  for (const Settings& settings : {Settings{{"agents", "2"}}, Settings{}}) {
    std::unique_ptr<rpc::Server> server = Serve("probe");
    absl::StatusOr<std::unique_ptr<Env>> far = rpc::MakeGrpcEnv(To(*server, settings));
    absl::StatusOr<std::unique_ptr<Env>> near = Factory("probe")(settings, 1, nullptr);
    ASSERT_TRUE(far.ok()) << far.status();
    EXPECT_EQ((*far)->spec().Hash(), (*near)->spec().Hash());
  }
}

TEST(GrpcEnv, DescribesTheServersEnvironment) {
  std::unique_ptr<rpc::Server> server = Serve("probe");
  const absl::StatusOr<EnvironmentInfo> far = rpc::DescribeGrpcEnv(To(*server).name);
  ASSERT_TRUE(far.ok()) << far.status();
  const EnvironmentInfo near = *DescribeEnvironment("probe");
  EXPECT_EQ(far->name, "probe");
  ASSERT_EQ(far->settings.size(), near.settings.size());
  for (size_t i = 0; i < near.settings.size(); ++i) {
    EXPECT_EQ(far->settings[i].name, near.settings[i].name);
    EXPECT_EQ(far->settings[i].description, near.settings[i].description);
    EXPECT_EQ(far->settings[i].default_value, near.settings[i].default_value);
    EXPECT_EQ(far->settings[i].choices, near.settings[i].choices);
  }
  server.reset();
  const absl::Status gone = rpc::DescribeGrpcEnv("grpc+unix:///nowhere/x.sock").status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kUnavailable) << gone;
  EXPECT_THAT(std::string(gone.message()), testing::HasSubstr("midlane serve"));
}

TEST(GrpcEnv, SaysHowAServerIsNamed) {
  for (const char* name : {"unix:///tmp/x.sock", "127.0.0.1:5000", "", "http://x:1"}) {
    EnvOptions options;
    options.name = name;
    const absl::Status status = rpc::MakeGrpcEnv(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(status.message()), HasSubstr("write grpc://HOST:PORT, grpc+unix:///"));
  }
  EnvOptions options;
  options.name = "grpc://unix:///tmp/x.sock";
  EXPECT_THAT(std::string(rpc::MakeGrpcEnv(options).status().message()),
              HasSubstr("it is grpc+unix:///PATH"));
}

TEST(GrpcEnv, WorldsEndWithTheEnv) {
  std::unique_ptr<rpc::Server> server = Serve("null");
  {
    absl::StatusOr<std::unique_ptr<Env>> env = rpc::MakeGrpcEnv(To(*server));
    ASSERT_TRUE(env.ok()) << env.status();
    EXPECT_EQ(server->worlds(), 1);
  }
  EXPECT_EQ(server->worlds(), 0);
}

TEST(GrpcEnv, ErrorsNameTheAddressAndTheRemedy) {
  EnvOptions options;
  options.name = absl::StrCat("grpc+unix://", testing::TempDir(), "/nobody.sock");
  absl::Status status = rpc::MakeGrpcEnv(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nobody.sock"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("midlane serve"));
  options.name = "grpc://nowhere";
  EXPECT_EQ(rpc::MakeGrpcEnv(options).status().code(), absl::StatusCode::kInvalidArgument);
  std::unique_ptr<rpc::Server> server = Serve("null");
  status = rpc::MakeGrpcEnv(To(*server, {{"nonsense", "1"}})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nonsense"));
  std::unique_ptr<rpc::Server> probe = Serve("probe");
  status = rpc::MakeGrpcEnv(To(*probe, {{"left", "idle"}, {"agents", "1"}})).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("no agent to play"));
}

TEST(GrpcEnv, SurvivesItsServer) {
  rpc::ServerOptions options;
  options.drain = absl::ZeroDuration();
  options.listen = absl::StrCat("unix://", testing::TempDir(), "/again", getpid(), ".sock");
  std::unique_ptr<rpc::Server> server = Serve("null", options);
  absl::StatusOr<std::unique_ptr<Env>> env = rpc::MakeGrpcEnv(To(*server));
  ASSERT_TRUE(env.ok()) << env.status();
  ASSERT_TRUE((*env)->Reset({}).ok());
  ASSERT_TRUE((*env)->Wait(absl::Seconds(10)).ok());
  server.reset();
  (*env)->agent(0).actions[0] = 0;
  absl::Status status = (*env)->Step();
  if (status.ok()) status = (*env)->Wait(absl::Seconds(10));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ((*env)->Step().code(), status.code());  // until Restart
  EXPECT_FALSE((*env)->Restart().ok());
  server = Serve("null", options);
  ASSERT_TRUE((*env)->Restart().ok());
  ASSERT_TRUE((*env)->Reset({}).ok());
  EXPECT_TRUE((*env)->Wait(absl::Seconds(10)).ok());
}

class Tls : public testing::Test {
 protected:
  std::string Keys(const std::string& name, int days = 30) {
    rpc::KeyOptions options;
    options.folder = absl::StrCat(testing::TempDir(), "/keys-", name, getpid());
    options.days = days;
    const absl::Status status = rpc::MakeKeys(options);
    EXPECT_TRUE(status.ok()) << status;
    return options.folder;
  }
  static rpc::ServerOptions With(const std::string& keys) {
    rpc::ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.tls = {keys + "/ca.pem", keys + "/server.pem", keys + "/server.key"};
    return options;
  }
  static absl::StatusOr<std::unique_ptr<Env>> Reach(const rpc::Server& server,
                                                    const std::string& keys,
                                                    const char* scheme = "grpc+tls://") {
    setenv("MIDLANE_TLS_DIR", keys.c_str(), 1);
    EnvOptions options;
    options.name = scheme + server.address();
    return rpc::MakeGrpcEnv(options);
  }
};

TEST_F(Tls, OnlyTheRightCertificatesConnect) {
  const std::string keys = Keys("good"), foreign = Keys("foreign");
  std::unique_ptr<rpc::Server> server = Serve("null", With(keys));
  ASSERT_NE(server, nullptr);
  absl::StatusOr<std::unique_ptr<Env>> env = Reach(*server, keys);
  ASSERT_TRUE(env.ok()) << env.status();
  EXPECT_TRUE((*env)->Reset({}).ok());
  EXPECT_TRUE((*env)->Wait(absl::Seconds(10)).ok());
  EXPECT_EQ(Reach(*server, foreign).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Reach(*server, keys, "grpc://").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(Reach(*server, "/nonexistent").status().message()),
              HasSubstr("midlane keys"));
  // A client that trusts the server but has no certificate of the authority.
  const std::string mixed = Keys("mixed");
  ASSERT_EQ(std::system(absl::StrCat("cp ", keys, "/ca.pem ", mixed, "/ca.pem").c_str()), 0);
  EXPECT_EQ(Reach(*server, mixed).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE((*env)->Step().ok());  // the others are served on
  EXPECT_TRUE((*env)->Wait(absl::Seconds(10)).ok());
}

TEST_F(Tls, ExpiredCertificatesDoNot) {
  const std::string keys = Keys("expired", -3);
  std::unique_ptr<rpc::Server> server = Serve("null", With(keys));
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(Reach(*server, keys).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(Tls, KeysAreMadeOnceAndPrivate) {
  const std::string keys = Keys("once");
  struct stat info;
  ASSERT_EQ(stat((keys + "/server.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  rpc::KeyOptions again;
  again.folder = keys;
  EXPECT_EQ(rpc::MakeKeys(again).code(), absl::StatusCode::kAlreadyExists);
  again.folder += "-bad";
  again.hosts = {"a b"};
  EXPECT_EQ(rpc::MakeKeys(again).code(), absl::StatusCode::kInvalidArgument);
  again.hosts = {"localhost"};
  again.days = 0;
  EXPECT_EQ(rpc::MakeKeys(again).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace midlane
