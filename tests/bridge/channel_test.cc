// ChannelHost against a game's end played by this test on a mapping of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <thread>

#include "bridge/channel_host.h"

namespace midlane {
namespace {

using testing::HasSubstr;

// The ABI, byte by byte: a change here is a change of MIDLANE_CHANNEL_ABI.
TEST(ChannelAbi, LayoutIsFixed) {
  EXPECT_EQ(MIDLANE_CHANNEL_ABI, 1u);
  EXPECT_EQ(sizeof(midlane_tensor_spec), 88u);
  EXPECT_EQ(sizeof(midlane_head_spec), 56u);
  EXPECT_EQ(sizeof(midlane_spec),
            48u + 5 * 4 + 4 + 4 + 4 + 16 * 48 + 32 * 88 + 16 * 56 + 2 * 32 * 48);
  EXPECT_EQ(sizeof(midlane_slot), 384u);
  EXPECT_EQ(offsetof(midlane_slot, action), 320u);
  EXPECT_EQ(offsetof(midlane_channel, game_seq), 128u);
  EXPECT_EQ(offsetof(midlane_channel, host_seq), 192u);
  EXPECT_EQ(offsetof(midlane_channel, announcement), 256u);
  EXPECT_EQ(sizeof(midlane_doorbell), 128u);
}

class Channel : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<ChannelHost>> host =
        ChannelHost::Create("executable=game\n", "left=agent\n", {});
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    void* header = mmap(nullptr, sizeof(midlane_channel), PROT_READ, MAP_SHARED, host_->fd(), 0);
    ASSERT_NE(header, MAP_FAILED);
    bytes_ = static_cast<midlane_channel*>(header)->total_bytes;
    munmap(header, sizeof(midlane_channel));
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, host_->fd(), 0);
    ASSERT_NE(memory, MAP_FAILED);
    game_ = static_cast<midlane_channel*>(memory);
  }
  void TearDown() override { munmap(game_, bytes_); }

  std::string Text(uint32_t offset, uint32_t bytes) {
    return std::string(reinterpret_cast<char*>(game_) + offset, bytes);
  }
  void Post() { game_->game_seq.fetch_add(1); }

  std::unique_ptr<ChannelHost> host_;
  midlane_channel* game_ = nullptr;
  uint64_t bytes_ = 0;
};

TEST_F(Channel, PartsAreAlignedAndInside) {
  EXPECT_EQ(game_->magic, MIDLANE_CHANNEL_MAGIC);
  EXPECT_EQ(game_->header_bytes, sizeof(midlane_channel));
  EXPECT_EQ(game_->host_pid, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(Text(game_->description_offset, game_->description_bytes), "executable=game\n");
  EXPECT_EQ(Text(game_->settings_offset, game_->settings_bytes), "left=agent\n");
  for (uint32_t offset : {game_->description_offset, game_->settings_offset, game_->spec_offset,
                          game_->slots_offset, game_->slot_capacity}) {
    EXPECT_EQ(offset % MIDLANE_ALIGN, 0u);
  }
  EXPECT_EQ(game_->slots_offset + uint64_t{game_->slots} * game_->slot_capacity, bytes_);
  EXPECT_GE(game_->slot_capacity, midlane_slot_header_bytes() + MIDLANE_OBSERVATION_BYTES_MAX);
}

TEST_F(Channel, PostsAndAnswersAlternate) {
  EXPECT_FALSE(host_->posted());
  midlane_channel_slot(game_, 3)->observed_frame = 42;
  Post();
  ASSERT_TRUE(host_->posted());
  EXPECT_TRUE(host_->in_step());
  EXPECT_EQ(host_->slot(3)->observed_frame, 42u);
  host_->slot(3)->action[0] = 5;
  host_->Answer(MIDLANE_COMMAND_STEP);
  EXPECT_FALSE(host_->posted());
  EXPECT_EQ(game_->host_seq.load(), game_->game_seq.load());
  EXPECT_EQ(midlane_channel_slot(game_, 3)->action[0], 5);
}

TEST_F(Channel, SkippedPostsAreNoticed) {
  Post();
  Post();
  EXPECT_TRUE(host_->posted());
  EXPECT_FALSE(host_->in_step());
}

TEST_F(Channel, SettingsChangeBeforeTheAnswer) {
  const uint32_t seq = game_->settings_seq.load();
  Post();
  ASSERT_TRUE(host_->SetSettings("left=reduced\nseed=7\n").ok());
  EXPECT_EQ(Text(game_->settings_offset, game_->settings_bytes), "left=reduced\nseed=7\n");
  EXPECT_EQ(game_->settings_seq.load(), seq + 1);
  EXPECT_EQ(host_->SetSettings(std::string(MIDLANE_TEXT_BYTES_MAX + 1, 'x')).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(Channel, ASleepingGameIsWoken) {
  Post();
  std::thread game([&] {
    const uint32_t seq = game_->game_seq.load();
    game_->game_asleep.store(1);
    while (game_->host_seq.load() != seq) {
      FutexWaitUntil(&game_->host_seq, seq - 1, MonotonicNs() + 30'000'000'000);
    }
    game_->game_asleep.store(0);
  });
  while (game_->game_asleep.load() == 0) std::this_thread::yield();
  host_->Answer(MIDLANE_COMMAND_STEP);
  game.join();
}

TEST_F(Channel, ClosingAnswersWhoWaits) {
  Post();
  host_->RequestClose();
  EXPECT_EQ(game_->wants_close.load(), 1u);
  EXPECT_EQ(game_->command.load(), static_cast<uint32_t>(MIDLANE_COMMAND_CLOSE));
  EXPECT_EQ(game_->host_seq.load(), 1u);
}

// Whatever a game writes over the header, the host looks where it laid things out itself.
TEST_F(Channel, AScribbledHeaderMisleadsNobody) {
  const unsigned char* slot = reinterpret_cast<unsigned char*>(host_->slot(1));
  std::memset(static_cast<void*>(game_), 0xFF, offsetof(midlane_channel, game_seq));
  EXPECT_EQ(reinterpret_cast<unsigned char*>(host_->slot(1)), slot);
  EXPECT_FALSE(host_->ReadSpec().ok());
  std::memset(game_->error, 'x', sizeof(game_->error));
  EXPECT_EQ(host_->Error().size(), sizeof(game_->error));
  std::memset(static_cast<void*>(&game_->announcement), 'y', sizeof(game_->announcement));
  EXPECT_EQ(host_->ReadAnnouncement().dialect, std::string(16, 'y'));
}

TEST(ChannelHost, ASpecMustFitTheSlots) {
  ChannelOptions options;
  options.slots = 1;
  options.observation_bytes = 128;
  absl::StatusOr<std::unique_ptr<ChannelHost>> host = ChannelHost::Create("", "", options);
  ASSERT_TRUE(host.ok());
  Spec spec;
  spec.environment = "large";
  spec.agents = {"a", "b"};
  TensorSpec tensor;
  tensor.name = "t";
  tensor.shape = {4};
  spec.tensors = {tensor};
  spec.heads = {{"h", 2, -1}};
  spec.frames_per_second = 1;
  const midlane_spec raw = *MakeRawSpec(spec);
  void* memory = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, (*host)->fd(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  *midlane_channel_spec(static_cast<midlane_channel*>(memory)) = raw;
  const absl::Status status = (*host)->ReadSpec().status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("2 agents"));
  munmap(memory, 1 << 20);
}

TEST(ChannelHost, TextsHaveALimit) {
  const std::string large(MIDLANE_TEXT_BYTES_MAX + 1, 'x');
  EXPECT_EQ(ChannelHost::Create(large, "", {}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace midlane
