// The whole loop in one process: a learner and a worker on the null environment, over real ZeroMQ.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bridge/env.h"
#include "learner/files.h"
#include "learner/inspect.h"
#include "learner/learner.h"
#include "rollout/worker.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;

std::string FreshFolder(const std::string& name) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/loop_test_", getpid(), "_", name);
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

Spec NullSpec() {
  EnvOptions options;
  options.name = "null";
  return (*MakeEnv(options))->spec();
}

LearnerOptions Options(const std::string& run_dir) {
  LearnerOptions options;
  options.run_dir = run_dir;
  options.network.hidden = {32};
  options.ppo.batch_steps = 1024;
  options.ppo.minibatch_steps = 256;
  options.chunk_steps = 128;
  for (const std::string& term : NullSpec().terms) options.rewards[term] = {1, 1, 0};
  options.config_text = "name = \"loop\"\n";
  return options;
}

// A worker on a thread of its own, started once the learner's address is known.
class WorkerThread {
 public:
  WorkerThread(const LearnerOptions& learner, uint32_t games = 2) {
    thread_ = std::thread([=, this] {
      const std::string path = learner.run_dir + "/learner.address";
      while (!std::filesystem::exists(path) && !stop_.load()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      std::string address = ReadFile(path).value_or("");
      if (address.empty()) return;
      address.pop_back();
      WorkerOptions options;
      options.env.name = "null";
      options.learner = address;
      options.network = learner.network;
      options.games = games;
      options.chunk_steps = learner.chunk_steps;
      options.window = learner.ppo.window;
      auto worker = Worker::Create(options);
      ASSERT_TRUE(worker.ok()) << worker.status();
      {
        std::lock_guard<std::mutex> lock(mutex_);
        worker_ = *std::move(worker);
      }
      if (!stop_.load()) status_ = worker_->Run();
    });
  }
  ~WorkerThread() { EXPECT_EQ(Stop(), absl::OkStatus()); }
  absl::Status Stop() {
    if (thread_.joinable()) {
      stop_.store(true);
      {
        std::lock_guard<std::mutex> lock(mutex_);
        if (worker_ != nullptr) worker_->Stop();
      }
      thread_.join();
    }
    return status_;
  }

 private:
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::unique_ptr<Worker> worker_;
  absl::Status status_;
  std::thread thread_;
};

std::vector<std::string> Lines(const std::string& run_dir) {
  std::ifstream in(run_dir + "/metrics.jsonl");
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The number behind the first `"key":` of a line.
double Number(const std::string& line, const std::string& key) {
  const size_t at = line.find(absl::StrCat("\"", key, "\":"));
  EXPECT_NE(at, std::string::npos) << key << " in " << line;
  return at == std::string::npos ? 0 : std::strtod(line.c_str() + at + key.size() + 3, nullptr);
}

void ExpectBalanced(const std::string& line) {
  const size_t at = line.find("\"dropped\":{");
  ASSERT_NE(at, std::string::npos);
  double dropped = 0;
  std::string rest = line.substr(at + 11, line.find('}', at) - at - 11);
  std::stringstream parts(rest);
  for (std::string part; std::getline(parts, part, ',');) {
    dropped += std::atof(part.c_str() + part.find(':') + 1);
  }
  const std::string chunks = line.substr(line.find("\"chunks\":"));
  EXPECT_EQ(Number(chunks, "produced"),
            Number(chunks, "trained") + dropped + Number(chunks, "in_flight"))
      << chunks;
}

TEST(LoopTest, LearnsNullAndCountsEveryChunk) {
  LearnerOptions options = Options(FreshFolder("learns"));
  options.timesteps_max = 100000;
  options.ppo.learning_rate = {2e-3, 2e-3, 0};
  auto learner = Learner::Create(NullSpec(), options);
  ASSERT_TRUE(learner.ok()) << learner.status();
  WorkerThread worker(options);
  EXPECT_EQ((*learner)->Run(), absl::OkStatus());
  EXPECT_EQ(worker.Stop(), absl::OkStatus());

  const std::vector<std::string> lines = Lines(options.run_dir);
  ASSERT_GE(lines.size(), 3u);
  EXPECT_THAT(lines.front(), HasSubstr("\"event\":\"start\""));
  EXPECT_THAT(lines.back(), HasSubstr("\"reason\":\"timesteps_max\""));
  EXPECT_GT(Number(lines.back(), "reward_total"), 0.8) << "it should choose action 0";
  EXPECT_LT(Number(lines.back(), "behaviour_log_prob_error"), 1e-4);
  EXPECT_GE(Number(lines.back(), "timesteps"), 100000);
  for (const std::string& line : lines) {
    if (absl::StrContains(line, "\"chunks\"")) ExpectBalanced(line);
  }
  EXPECT_FALSE(std::filesystem::exists(options.run_dir + "/learner.address"));
}

TEST(LoopTest, GoesOnFromItsCheckpoint) {
  LearnerOptions options = Options(FreshFolder("resumes"));
  options.timesteps_max = 8000;
  {
    auto learner = Learner::Create(NullSpec(), options);
    ASSERT_TRUE(learner.ok()) << learner.status();
    WorkerThread worker(options);
    ASSERT_EQ((*learner)->Run(), absl::OkStatus());
  }
  const auto before = LoadCheckpointWeights(options.run_dir);
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(before->config_text, options.config_text);
  EXPECT_GE(before->timesteps, 8000u);

  options.timesteps_max = 16000;
  {
    auto learner = Learner::Create(NullSpec(), options);
    ASSERT_TRUE(learner.ok()) << learner.status();
    WorkerThread worker(options);
    ASSERT_EQ((*learner)->Run(), absl::OkStatus());
  }
  const auto after = LoadCheckpointWeights(options.run_dir);
  ASSERT_TRUE(after.ok());
  EXPECT_GT(after->iteration, before->iteration);
  EXPECT_GT(after->weights.version, before->weights.version);
  EXPECT_GT(after->seconds, before->seconds);
  std::string resumed;
  for (const std::string& line : Lines(options.run_dir)) {
    if (absl::StrContains(line, "\"resumed\":true")) resumed = line;
  }
  EXPECT_EQ(Number(resumed, "version"), static_cast<double>(before->weights.version));
  ExpectBalanced(Lines(options.run_dir).back());
}

// A learner that was killed had published versions that its checkpoint does not know.
TEST(LoopTest, NeverGivesAVersionNumberTwice) {
  LearnerOptions options = Options(FreshFolder("versions"));
  options.seconds_max = 1e-6;
  for (int i = 0; i < 2; ++i) {
    auto learner = Learner::Create(NullSpec(), options);
    ASSERT_TRUE(learner.ok()) << learner.status();
    ASSERT_EQ((*learner)->Run(), absl::OkStatus());
    EXPECT_EQ(LoadCheckpointWeights(options.run_dir)->weights.version, i == 0 ? 1u : 51u);
    ASSERT_EQ(WriteFileAtomically(options.run_dir + "/learner.version", "50\n"), absl::OkStatus());
  }
}

TEST(LoopTest, AFullDiskEndsInWordsAndLosesNothing) {
  LearnerOptions options = Options(FreshFolder("full"));
  if (mount("tmpfs", options.run_dir.c_str(), "tmpfs", 0, "size=512k") != 0) {
    GTEST_SKIP() << "cannot mount a small tmpfs here";
  }
  options.network.hidden = {256, 256};  // a checkpoint of 1.7 MB
  options.timesteps_max = 3000;
  options.checkpoint_seconds = 0;
  {
    auto learner = Learner::Create(NullSpec(), options);
    ASSERT_TRUE(learner.ok()) << learner.status();
    WorkerThread worker(options);
    const absl::Status status = (*learner)->Run();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("disk is full"));
  }
  EXPECT_FALSE(std::filesystem::exists(options.run_dir + "/checkpoint.mdl"));
  EXPECT_FALSE(std::filesystem::exists(options.run_dir + "/checkpoint.mdl.tmp"));
  bool warned = false;
  for (const std::string& line : Lines(options.run_dir)) {
    warned |= absl::StrContains(line, "training goes on with the old one");
  }
  EXPECT_TRUE(warned);
  EXPECT_EQ(umount(options.run_dir.c_str()), 0);
}

TEST(LoopTest, KeepsNumberedCheckpoints) {
  LearnerOptions options = Options(FreshFolder("copies"));
  options.timesteps_max = 20000;
  options.checkpoint_seconds = 0;
  options.checkpoints_keep = 2;
  {
    auto learner = Learner::Create(NullSpec(), options);
    ASSERT_TRUE(learner.ok()) << learner.status();
    WorkerThread worker(options);
    ASSERT_EQ((*learner)->Run(), absl::OkStatus());
  }
  int copies = 0;
  for (const auto& entry : std::filesystem::directory_iterator(options.run_dir)) {
    if (!absl::StartsWith(entry.path().filename().string(), "checkpoint-")) continue;
    ++copies;
    EXPECT_TRUE(LoadCheckpointWeights(entry.path().string()).ok());
  }
  EXPECT_EQ(copies, 2);
}

TEST(LoopTest, RefusesASecondLearnerOnOneRunFolder) {
  const LearnerOptions options = Options(FreshFolder("locked"));
  auto first = Learner::Create(NullSpec(), options);
  ASSERT_TRUE(first.ok()) << first.status();
  auto second = Learner::Create(NullSpec(), options);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(options.run_dir));
}

TEST(LoopTest, RefusesAPortInUse) {
  LearnerOptions options = Options(FreshFolder("port"));
  const std::string run = options.run_dir;
  options.listen = absl::StrCat("ipc://", run, "/socket");
  auto first = Learner::Create(NullSpec(), options);
  ASSERT_TRUE(first.ok()) << first.status();
  options.run_dir = FreshFolder("port2");
  auto second = Learner::Create(NullSpec(), options);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
}

TEST(LoopTest, RefusesACheckpointOfAnotherNetwork) {
  LearnerOptions options = Options(FreshFolder("network"));
  options.seconds_max = 1e-6;
  {
    auto learner = Learner::Create(NullSpec(), options);
    ASSERT_TRUE(learner.ok());
    ASSERT_EQ((*learner)->Run(), absl::OkStatus());
  }
  options.network.hidden = {48};
  auto learner = Learner::Create(NullSpec(), options);
  EXPECT_EQ(learner.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(learner.status().message()), HasSubstr("checkpoint.mdl"));
  EXPECT_THAT(std::string(learner.status().message()), HasSubstr("hidden [48]"));
}

TEST(LoopTest, TrainsAnLstmOnTorchAndChecksItsStates) {
  LearnerOptions options = Options(FreshFolder("lstm"));
  options.network.hidden = {16};
  options.network.lstm = 16;
  options.timesteps_max = 20000;
  options.ppo.epochs = 2;
  auto learner = Learner::Create(NullSpec(), options);
  ASSERT_TRUE(learner.ok()) << learner.status();
  WorkerThread worker(options);
  EXPECT_EQ((*learner)->Run(), absl::OkStatus());
  EXPECT_LT(Number(Lines(options.run_dir).back(), "behaviour_log_prob_error"), 1e-4);
}

TEST(LoopTest, TrainsWithWeightsRoundedToBf16) {
  LearnerOptions options = Options(FreshFolder("bf16"));
  options.wire_dtype = "bf16";
  options.timesteps_max = 20000;
  auto learner = Learner::Create(NullSpec(), options);
  ASSERT_TRUE(learner.ok()) << learner.status();
  WorkerThread worker(options);
  EXPECT_EQ((*learner)->Run(), absl::OkStatus());
}

}  // namespace
}  // namespace midlane
