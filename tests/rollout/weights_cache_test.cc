#include "rollout/weights_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "rollout/hash.h"

namespace midlane {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(20);

std::string Blob(uint64_t version, size_t bytes = 300000) {
  std::string blob(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) blob[i] = static_cast<char>(i * 7 + version);
  return blob;
}

// What several processes of one test see.
struct Shared {
  std::atomic<int> downloads{0};
  std::atomic<int> begun{0};
};

class WeightsCacheTest : public ::testing::Test {
 protected:
  WeightsCacheTest() {
    char path[] = "/dev/shm/weights_cache_test.XXXXXX";
    root_ = mkdtemp(path);
    void* memory =
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared_ = new (memory) Shared;
  }
  ~WeightsCacheTest() override { std::filesystem::remove_all(root_); }

  // Gets `blob` in pieces of 64 KB; `pause` between them.
  absl::StatusOr<std::unique_ptr<Frame>> Get(WeightsCache* cache, uint64_t version,
                                             const std::string& blob,
                                             absl::Duration pause = absl::ZeroDuration()) {
    return cache->Get(version, blob.size(), Hash64(blob), kTimeout,
                      [&](const WeightsCache::Append& append) {
                        ++shared_->downloads;
                        for (size_t at = 0; at < blob.size(); at += 65536) {
                          auto status = append(std::string_view(blob).substr(at, 65536));
                          if (!status.ok()) return status;
                          ++shared_->begun;
                          absl::SleepFor(pause);
                        }
                        return absl::OkStatus();
                      });
  }

  std::vector<std::string> Files(const WeightsCache& cache) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(cache.folder())) {
      const std::string name = entry.path().filename();
      if (name != "users" && name != "lock") names.push_back(name);
    }
    return names;
  }

  // Runs `body` in a child; its exit code is what body answers.
  static pid_t Fork(const std::function<int()>& body) {
    const pid_t child = fork();
    if (child == 0) _exit(body());
    return child;
  }
  static int Join(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  std::string root_;
  Shared* shared_;
};

TEST_F(WeightsCacheTest, DownloadsOnceAndMapsAfterwards) {
  auto cache = WeightsCache::Open("run", root_);
  ASSERT_FALSE(cache->folder().empty());
  struct stat info;
  ASSERT_EQ(stat(cache->folder().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  const std::string blob = Blob(1);
  for (int i = 0; i < 3; ++i) {
    auto frame = Get(cache.get(), 1, blob);
    ASSERT_TRUE(frame.ok()) << frame.status();
    EXPECT_EQ((*frame)->bytes(), blob);
  }
  EXPECT_EQ(shared_->downloads, 1);
}

TEST_F(WeightsCacheTest, EightProcessesDownloadOnce) {
  const std::string blob = Blob(5);
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    children.push_back(Fork([&] {
      auto cache = WeightsCache::Open("run", root_);
      auto frame = Get(cache.get(), 5, blob, absl::Milliseconds(10));
      if (!frame.ok() || (*frame)->bytes() != blob) return 1;
      // Keeps the folder alive until all are through.
      absl::SleepFor(absl::Milliseconds(300));
      return 0;
    }));
  }
  for (pid_t child : children) EXPECT_EQ(Join(child), 0);
  EXPECT_EQ(shared_->downloads, 1);
  EXPECT_TRUE(std::filesystem::is_empty(root_)) << "the last worker removes the folder";
}

TEST_F(WeightsCacheTest, AKilledDownloaderIsReplaced) {
  const std::string blob = Blob(6);
  auto cache = WeightsCache::Open("run", root_);
  const pid_t child = Fork([&] {
    auto own = WeightsCache::Open("run", root_);
    return Get(own.get(), 6, blob, absl::Seconds(30)).ok() ? 0 : 1;
  });
  while (shared_->begun == 0) absl::SleepFor(absl::Milliseconds(1));
  kill(child, SIGKILL);
  EXPECT_EQ(Join(child), -SIGKILL);
  auto frame = Get(cache.get(), 6, blob);
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ((*frame)->bytes(), blob);
  EXPECT_EQ(shared_->downloads, 2);
  EXPECT_EQ(Files(*cache).size(), 1u) << "the half-written file is gone";
}

TEST_F(WeightsCacheTest, AWrongHashIsNeverSeenByAnybody) {
  auto cache = WeightsCache::Open("run", root_);
  const std::string blob = Blob(1);
  const auto wrong = [&](const WeightsCache::Append& append) { return append(Blob(2)); };
  auto frame = cache->Get(1, blob.size(), Hash64(blob), kTimeout, wrong);
  EXPECT_EQ(frame.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(Files(*cache).empty());
  EXPECT_TRUE(Get(cache.get(), 1, blob).ok());
}

TEST_F(WeightsCacheTest, TooManyAndTooFewBytesAreDataLoss) {
  auto cache = WeightsCache::Open("run", root_);
  const std::string blob = Blob(1);
  for (const std::string& sent : {blob + "x", blob.substr(1), std::string()}) {
    auto frame = cache->Get(1, blob.size(), Hash64(blob), kTimeout,
                            [&](const WeightsCache::Append& append) { return append(sent); });
    EXPECT_EQ(frame.status().code(), absl::StatusCode::kDataLoss) << sent.size();
  }
}

TEST_F(WeightsCacheTest, ADownloadsErrorIsPassedOnAndLeavesNothing) {
  auto cache = WeightsCache::Open("run", root_);
  auto frame = cache->Get(1, 10, 0, kTimeout, [](const WeightsCache::Append& append) {
    EXPECT_TRUE(append("12345").ok());
    return absl::UnavailableError("gone");
  });
  EXPECT_EQ(frame.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Files(*cache).empty());
}

TEST_F(WeightsCacheTest, SupersededVersionsAreUnlinkedAndStayMapped) {
  auto cache = WeightsCache::Open("run", root_);
  const std::string first = Blob(1);
  auto held = Get(cache.get(), 1, first);
  ASSERT_TRUE(held.ok());
  for (uint64_t version = 2; version <= 20; ++version) {
    ASSERT_TRUE(Get(cache.get(), version, Blob(version)).ok());
  }
  EXPECT_EQ(Files(*cache).size(), kCacheVersionsMax);
  EXPECT_EQ((*held)->bytes(), first);
  const int before = shared_->downloads;
  EXPECT_TRUE(Get(cache.get(), 20, Blob(20)).ok());
  EXPECT_EQ(shared_->downloads, before) << "the newest is kept";
}

TEST_F(WeightsCacheTest, FoldersOfKilledRunsAreSweptAndLiveOnesKept) {
  auto live = WeightsCache::Open("live", root_);
  ASSERT_TRUE(Get(live.get(), 1, Blob(1)).ok());
  const pid_t child = Fork([&] {
    auto dead = WeightsCache::Open("dead", root_);
    if (!Get(dead.get(), 1, Blob(1)).ok()) return 1;
    raise(SIGKILL);
    return 0;
  });
  EXPECT_EQ(Join(child), -SIGKILL);
  auto newcomer = WeightsCache::Open("new", root_);
  std::vector<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(root_)) {
    folders.push_back(entry.path());
  }
  EXPECT_THAT(folders, ::testing::UnorderedElementsAre(live->folder(), newcomer->folder()));
  EXPECT_EQ(Files(*live).size(), 1u);
}

TEST_F(WeightsCacheTest, AFolderThatIsNotPrivateIsNotUsed) {
  std::string folder;
  { folder = WeightsCache::Open("run", root_)->folder(); }
  std::filesystem::create_directory(folder);
  std::filesystem::permissions(folder, std::filesystem::perms::all);
  auto cache = WeightsCache::Open("run", root_);
  EXPECT_TRUE(cache->folder().empty());
  const std::string blob = Blob(3);
  auto frame = Get(cache.get(), 3, blob);
  ASSERT_TRUE(frame.ok()) << "private memory serves instead: " << frame.status();
  EXPECT_EQ((*frame)->bytes(), blob);
}

TEST_F(WeightsCacheTest, WithoutTheRootPrivateMemoryServes) {
  auto cache = WeightsCache::Open("run", root_ + "/absent");
  const std::string blob = Blob(3);
  auto frame = Get(cache.get(), 3, blob);
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ((*frame)->bytes(), blob);
}

}  // namespace
}  // namespace midlane
