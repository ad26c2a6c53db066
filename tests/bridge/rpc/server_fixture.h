// A server of fake worlds on a Unix socket of its own.
#ifndef MIDLANE_TESTS_BRIDGE_RPC_SERVER_FIXTURE_H_
#define MIDLANE_TESTS_BRIDGE_RPC_SERVER_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bridge/rpc/address.h"
#include "bridge/rpc/server.h"
#include "tests/bridge/rpc/fake_env.h"
#include "tests/bridge/rpc/requests.h"

namespace midlane::rpc {

class ServerFixture : public testing::Test {
 protected:
  ServerFixture() {
    folder_ = absl::StrCat(testing::TempDir(), "srv", getpid());
    mkdir(folder_.c_str(), 0700);
    path_ = folder_ + "/a.sock";
    options_.listen = "unix://" + path_;
    options_.drain = absl::Milliseconds(500);
  }
  ~ServerFixture() override {
    server_.reset();
    EXPECT_EQ(control_.made, control_.gone);
    EXPECT_NE(access(path_.c_str(), F_OK), 0) << "the socket is left";
    EXPECT_NE(access((path_ + ".lock").c_str(), F_OK), 0);
    rmdir(folder_.c_str());
  }

  absl::StatusOr<std::unique_ptr<Server>> TryServe(const ServerOptions& options, int agents = 1) {
    return Server::Start(options, [this, agents](const Settings&, uint64_t,
                                                 const std::shared_ptr<Doorbell>& doorbell) {
      return std::make_unique<FakeEnv>(agents, &control_, doorbell);
    });
  }

  void Serve(int agents = 1) {
    auto server = TryServe(options_, agents);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    target_ = ParseAddress(server_->address())->Target();
  }

  void ExpectRefused(const ServerOptions& options, absl::StatusCode code, const std::string& part) {
    const absl::Status status = TryServe(options).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(part));
  }

  FakeControl control_;
  std::string folder_, path_, target_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_TESTS_BRIDGE_RPC_SERVER_FIXTURE_H_
