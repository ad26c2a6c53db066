#include "preload/exchange.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <thread>

#include "host.h"
#include "preload/clock.h"

namespace midlane::testing {
namespace {

// The game's end and the host's end in one process, on two threads.
class ExchangeTest : public ::testing::Test {
 protected:
  void Open(HostOptions options = {}) {
    host_ = std::make_unique<TestHost>(options);
    midlane_exchange = {};
    char error[512] = "";
    ASSERT_TRUE(
        midlane_exchange_open(host_->channel_fd(), host_->doorbell_fd(), error, sizeof(error)))
        << error;
    midlane_spec spec = {};
    spec.agents = 2;
    spec.tensors = 2;
    spec.terms = 2;
    spec.metrics = 1;
    spec.heads = 1;
    spec.observation_bytes = 64;
    strcpy(spec.agent[0].text, "left");
    strcpy(spec.agent[1].text, "right");
    strcpy(spec.tensor[0].name, "ball");
    spec.tensor[0].dtype = MIDLANE_DTYPE_F32;
    spec.tensor[0].rank = 1;
    spec.tensor[0].shape[0] = 4;
    spec.tensor[0].minimum = -INFINITY;
    spec.tensor[0].maximum = INFINITY;
    strcpy(spec.tensor[1].name, "lives");
    spec.tensor[1].dtype = MIDLANE_DTYPE_I32;
    spec.tensor[1].rank = 1;
    spec.tensor[1].shape[0] = 2;
    spec.tensor[1].offset = 32;
    spec.tensor[1].minimum = 0;
    spec.tensor[1].maximum = 9;
    ASSERT_TRUE(midlane_exchange_declare(&spec, error, sizeof(error))) << error;
    EXPECT_EQ(host_->channel()->state.load(), uint32_t{MIDLANE_STATE_ATTACHED});
    EXPECT_EQ(memcmp(&host_->spec(), &spec, sizeof(spec)), 0);
  }

  float* ball(int agent) { return reinterpret_cast<float*>(midlane_exchange.observation[agent]); }

  std::unique_ptr<TestHost> host_;
};

TEST_F(ExchangeTest, PostsWhatWasMarkedAndNothingElse) {
  Open();
  ball(0)[2] = 0.5f;
  midlane_exchange.reward[0][1] = 3;
  midlane_exchange.metric[0][0] = 9;
  midlane_exchange.effect_frame[0] = 3;
  midlane_exchange_mark(0, 0);
  std::thread host([&] {
    ASSERT_TRUE(host_->WaitPost());
    EXPECT_EQ(host_->channel()->frames, 4u);
    EXPECT_EQ(host_->slot(0)->flags, uint32_t{MIDLANE_SLOT_ACTIVE});
    EXPECT_EQ(host_->slot(1)->flags, 0u);
    EXPECT_EQ(host_->slot(0)->observed_frame, 4u);
    EXPECT_EQ(host_->slot(0)->effect_frame, 3u);
    EXPECT_EQ(host_->slot(0)->reward[1], 3);
    EXPECT_EQ(host_->slot(0)->metric[0], 9);
    EXPECT_EQ(host_->f32(0, 0)[2], 0.5f);
    host_->slot(0)->action[0] = 5;
    host_->Answer();
    ASSERT_TRUE(host_->WaitPost());
    EXPECT_EQ(host_->slot(0)->flags, 0u) << "marked once, posted once";
    EXPECT_EQ(host_->slot(1)->flags, uint32_t{MIDLANE_SLOT_ACTIVE | MIDLANE_SLOT_FIRST});
    EXPECT_EQ(host_->slot(1)->episode, 1u);
    EXPECT_EQ(host_->slot(1)->reward[0], 0) << "the first timestep has no reward";
    host_->Answer(MIDLANE_COMMAND_RESET);
    ASSERT_TRUE(host_->WaitPost());
    EXPECT_EQ(host_->slot(0)->effect_frame, 0u) << "an effect is told once";
    EXPECT_EQ(host_->slot(0)->reward[1], 0) << "rewards are cleared with each post";
    EXPECT_EQ(host_->slot(1)->episode, 1u);
    host_->Answer(MIDLANE_COMMAND_CLOSE);
  });
  EXPECT_EQ(midlane_exchange_post(4), MIDLANE_OUTCOME_STEP);
  EXPECT_EQ(midlane_exchange.slot[0]->action[0], 5);
  midlane_exchange.reward[1][0] = 7;
  midlane_exchange_mark(1, MIDLANE_SLOT_FIRST);
  EXPECT_EQ(midlane_exchange_post(5), MIDLANE_OUTCOME_RESET);
  midlane_exchange_mark(0, 0);
  midlane_exchange_mark(1, MIDLANE_SLOT_TERMINATED);
  EXPECT_EQ(midlane_exchange_post(6), MIDLANE_OUTCOME_CLOSE);
  host.join();
}

TEST_F(ExchangeTest, ManyExchangesLoseNoWakeUp) {
  HostOptions options;
  options.wait_limit_ms = 20000;
  Open(options);
  constexpr int kExchanges = 20000;
  std::thread host([&] {
    for (int i = 0; i < kExchanges; i++) {
      ASSERT_TRUE(host_->WaitPost());
      ASSERT_EQ(host_->slot(0)->observed_frame, static_cast<uint64_t>(i));
      host_->slot(0)->action[0] = i * 3;
      host_->Answer();
    }
  });
  for (int i = 0; i < kExchanges; i++) {
    midlane_exchange_mark(0, 0);
    ASSERT_EQ(midlane_exchange_post(static_cast<uint64_t>(i)), MIDLANE_OUTCOME_STEP);
    ASSERT_EQ(midlane_exchange.slot[0]->action[0], i * 3);
  }
  host.join();
}

TEST_F(ExchangeTest, ClosesWhereTheHostWantsIt) {
  Open();
  host_->channel()->wants_close.store(1);
  EXPECT_EQ(midlane_exchange_post(1), MIDLANE_OUTCOME_CLOSE);
  EXPECT_EQ(host_->channel()->game_seq.load(), 0u) << "nothing was posted";
}

TEST_F(ExchangeTest, GivesUpOnASilentHost) {
  HostOptions options;
  options.wait_limit_ms = 300;
  Open(options);
  uint64_t before = midlane_real_now_ns();
  EXPECT_EQ(midlane_exchange_post(1), MIDLANE_OUTCOME_HOST_SILENT);
  EXPECT_GE(midlane_real_now_ns() - before, 300u * 1000000);
}

TEST_F(ExchangeTest, NoticesADeadHost) {
  // A host that is a zombie, as one whose parent does not reap it.
  pid_t host = fork();
  if (host == 0) {
    pause();
    _exit(0);
  }
  HostOptions options;
  options.host_pid = static_cast<uint32_t>(host);
  options.wait_limit_ms = 60000;
  Open(options);
  EXPECT_TRUE(midlane_exchange_host_alive());
  std::thread killer([&] {
    usleep(50 * 1000);
    kill(host, SIGKILL);
  });
  EXPECT_EQ(midlane_exchange_post(1), MIDLANE_OUTCOME_HOST_GONE);
  killer.join();
  EXPECT_FALSE(midlane_exchange_host_alive());
  waitpid(host, nullptr, 0);
  EXPECT_FALSE(midlane_exchange_host_alive());
}

TEST_F(ExchangeTest, NamesTheBadElement) {
  Open();
  char error[512] = "";
  midlane_exchange_mark(0, 0);
  EXPECT_TRUE(midlane_exchange_check(error, sizeof(error)));
  ball(1)[3] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(midlane_exchange_check(error, sizeof(error))) << "that agent posts nothing";
  ball(0)[1] = std::nanf("");
  EXPECT_FALSE(midlane_exchange_check(error, sizeof(error)));
  std::string text = error;
  for (const char* part : {"\"ball\"", "\"left\"", "NaN", "element 2"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  ball(0)[1] = std::numeric_limits<float>::max();
  EXPECT_TRUE(midlane_exchange_check(error, sizeof(error)));
}

TEST_F(ExchangeTest, HoldsObservationsToTheirBounds) {
  Open();
  char error[512] = "";
  midlane_exchange_mark(0, 0);
  const auto expect_bad = [&](const char* part) {
    EXPECT_FALSE(midlane_exchange_check(error, sizeof(error)));
    EXPECT_NE(std::string(error).find(part), std::string::npos) << error;
  };
  auto* lives = reinterpret_cast<int32_t*>(midlane_exchange.observation[0] + 32);
  lives[0] = 9;
  EXPECT_TRUE(midlane_exchange_check(error, sizeof(error))) << error;
  lives[1] = 10;
  expect_bad("\"lives\" of agent \"left\" is 10 at element 2, and its spec says 0 to 9");
  lives[1] = -1;
  expect_bad("is -1 at element 2");
  lives[1] = 0;
  midlane_tensor_spec& tensor = const_cast<midlane_spec*>(midlane_exchange.spec)->tensor[0];
  tensor.minimum = -2;
  tensor.maximum = 0.5;
  ball(0)[3] = 0.5;
  ball(0)[0] = -2;
  EXPECT_TRUE(midlane_exchange_check(error, sizeof(error))) << error;
  ball(0)[3] = 0.75;
  expect_bad("is 0.75 at element 4, and its spec says -2 to 0.5");
  ball(0)[3] = std::nanf("");
  expect_bad("NaN at element 4");
  ball(0)[3] = 0;
  ball(0)[0] = -std::numeric_limits<float>::infinity();
  expect_bad("infinite at element 1");
}

TEST(ExchangeOpen, RefusesForeignMemory) {
  char error[512];
  TestHost host({});
  auto refused = [&](const char* part) {
    midlane_exchange = {};
    error[0] = '\0';
    bool opened =
        midlane_exchange_open(host.channel_fd(), host.doorbell_fd(), error, sizeof(error));
    EXPECT_FALSE(opened);
    EXPECT_NE(std::string(error).find(part), std::string::npos) << error;
    EXPECT_EQ(midlane_exchange.channel, nullptr);
  };
  midlane_channel* channel = host.channel();
  channel->magic++;
  refused("magic");
  channel->magic--;
  channel->abi++;
  refused("ABI");
  channel->abi--;
  channel->description_bytes = 0xFFFFFFF0;
  refused("outside");
  channel->description_bytes = 0;
  channel->slots = 0x7FFFFFFF;
  refused("outside");
  channel->slots = 4;
  host.doorbell()->magic = 0;
  refused("doorbell");
  host.doorbell()->magic = MIDLANE_DOORBELL_MAGIC;
  EXPECT_TRUE(midlane_exchange_open(host.channel_fd(), host.doorbell_fd(), error, sizeof(error)));
  midlane_exchange = {};
  EXPECT_FALSE(midlane_exchange_open(9999, -1, error, sizeof(error)));
  EXPECT_NE(std::string(error).find("9999"), std::string::npos) << error;
}

TEST_F(ExchangeTest, RefusesASpecThatDoesNotFit) {
  HostOptions options;
  options.slots = 1;
  host_ = std::make_unique<TestHost>(options);
  midlane_exchange = {};
  char error[512] = "";
  ASSERT_TRUE(
      midlane_exchange_open(host_->channel_fd(), host_->doorbell_fd(), error, sizeof(error)));
  midlane_spec spec = {};
  spec.agents = 2;
  EXPECT_FALSE(midlane_exchange_declare(&spec, error, sizeof(error)));
  spec.agents = 1;
  spec.observation_bytes = 1 << 20;
  EXPECT_FALSE(midlane_exchange_declare(&spec, error, sizeof(error)));
  EXPECT_EQ(host_->channel()->state.load(), uint32_t{MIDLANE_STATE_EMPTY});
}

}  // namespace
}  // namespace midlane::testing
