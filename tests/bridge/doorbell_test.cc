#include "bridge/doorbell.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "bridge/futex.h"

namespace midlane {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

std::shared_ptr<Doorbell> Make() {
  absl::StatusOr<std::shared_ptr<Doorbell>> doorbell = Doorbell::Create();
  EXPECT_TRUE(doorbell.ok()) << doorbell.status();
  return *doorbell;
}

midlane_doorbell* Map(int fd) {
  void* memory = mmap(nullptr, sizeof(midlane_doorbell), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  EXPECT_NE(memory, MAP_FAILED);
  return static_cast<midlane_doorbell*>(memory);
}

TEST(Doorbell, NamesItsAbi) {
  const std::shared_ptr<Doorbell> doorbell = Make();
  midlane_doorbell* shared = Map(doorbell->fd());
  EXPECT_EQ(shared->magic, MIDLANE_DOORBELL_MAGIC);
  EXPECT_EQ(shared->abi, MIDLANE_CHANNEL_ABI);
  munmap(shared, sizeof(*shared));
}

TEST(Doorbell, PastRingsNeedNoWait) {
  const std::shared_ptr<Doorbell> doorbell = Make();
  const uint32_t seen = doorbell->rings();
  EXPECT_FALSE(doorbell->WaitFor(seen, 1, absl::ZeroDuration()));
  doorbell->Ring();
  doorbell->Ring();
  EXPECT_TRUE(doorbell->WaitFor(seen, 2, absl::ZeroDuration()));
  EXPECT_FALSE(doorbell->WaitFor(seen, 3, absl::Milliseconds(5)));
  EXPECT_TRUE(doorbell->WaitFor(seen, 0, absl::ZeroDuration()));
}

TEST(Doorbell, CountsThroughTheWrap) {
  const std::shared_ptr<Doorbell> doorbell = Make();
  midlane_doorbell* shared = Map(doorbell->fd());
  shared->rings.store(0xFFFFFFFEu);
  const uint32_t seen = doorbell->rings();
  std::thread ringer([&] {
    for (int i = 0; i < 4; ++i) doorbell->Ring();
  });
  EXPECT_TRUE(doorbell->WaitFor(seen, 4, kPatience));
  ringer.join();
  EXPECT_EQ(doorbell->rings(), 2u);
  munmap(shared, sizeof(*shared));
}

// A host that wants k rings sleeps through the first k - 1: none of them wakes it.
TEST(Doorbell, WakesOnceAtTheThreshold) {
  const std::shared_ptr<Doorbell> doorbell = Make();
  midlane_doorbell* shared = Map(doorbell->fd());
  const uint32_t seen = doorbell->rings();
  std::thread host([&] { EXPECT_TRUE(doorbell->WaitFor(seen, 3, kPatience)); });
  while (shared->asleep.load() == 0) std::this_thread::yield();
  doorbell->Ring();
  doorbell->Ring();
  EXPECT_EQ(shared->asleep.load(), 1u);
  doorbell->Ring();
  host.join();
  EXPECT_EQ(shared->asleep.load(), 0u);
  munmap(shared, sizeof(*shared));
}

// Every ring is answered before the next: a lost wake-up would stall until the patience ends.
TEST(Doorbell, LosesNoWakeUpBetweenThreads) {
  const std::shared_ptr<Doorbell> there = Make(), back = Make();
  constexpr uint32_t kRounds = 20000;
  std::thread echo([&] {
    for (uint32_t i = 0; i < kRounds; ++i) {
      ASSERT_TRUE(there->WaitFor(i, 1, kPatience));
      back->Ring();
    }
  });
  for (uint32_t i = 0; i < kRounds; ++i) {
    there->Ring();
    ASSERT_TRUE(back->WaitFor(i, 1, kPatience, /*spin=*/i % 2 ? 50 : 0));
  }
  echo.join();
}

TEST(Doorbell, CollectsManyRingers) {
  const std::shared_ptr<Doorbell> doorbell = Make();
  constexpr int kRingers = 4;
  constexpr uint32_t kRounds = 2000;
  std::atomic<uint32_t> round{0};
  std::vector<std::thread> ringers;
  for (int i = 0; i < kRingers; ++i) {
    ringers.emplace_back([&] {
      for (uint32_t mine = 1; mine <= kRounds; ++mine) {
        while (round.load() < mine) std::this_thread::yield();
        doorbell->Ring();
      }
    });
  }
  for (uint32_t r = 0; r < kRounds; ++r) {
    const uint32_t seen = doorbell->rings();
    round.store(r + 1);
    ASSERT_TRUE(doorbell->WaitFor(seen, kRingers, kPatience)) << "round " << r;
    ASSERT_EQ(doorbell->rings(), seen + kRingers);
  }
  for (std::thread& ringer : ringers) ringer.join();
}

// As games do it: other processes that only map the memory.
TEST(Doorbell, WorksBetweenProcesses) {
  const std::shared_ptr<Doorbell> doorbell = Make();
  constexpr int kChildren = 3;
  constexpr uint32_t kRings = 3000;
  std::vector<pid_t> children;
  for (int c = 0; c < kChildren; ++c) {
    const pid_t child = fork();
    if (child == 0) {
      for (uint32_t i = 0; i < kRings; ++i) doorbell->Ring();
      _exit(0);
    }
    children.push_back(child);
  }
  EXPECT_TRUE(doorbell->WaitFor(0, kChildren * kRings, kPatience));
  EXPECT_EQ(doorbell->rings(), kChildren * kRings);
  for (pid_t child : children) waitpid(child, nullptr, 0);
}

TEST(Doorbell, ADeadRingerLeavesItUsable) {
  const std::shared_ptr<Doorbell> doorbell = Make();
  const pid_t child = fork();
  if (child == 0) {
    for (;;) doorbell->Ring();
  }
  EXPECT_TRUE(doorbell->WaitFor(doorbell->rings(), 10, kPatience));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  const uint32_t seen = doorbell->rings();
  EXPECT_FALSE(doorbell->WaitFor(seen, 1, absl::Milliseconds(20)));
  doorbell->Ring();
  EXPECT_TRUE(doorbell->WaitFor(seen, 1, kPatience));
}

}  // namespace
}  // namespace midlane
