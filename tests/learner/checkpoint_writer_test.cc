#include "learner/checkpoint_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "learner/files.h"
#include "learner/inspect.h"

namespace midlane {
namespace {

namespace fs = std::filesystem;

class CheckpointWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/checkpoint_writer_test";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }

  static LearnerState Version(uint64_t version) {
    LearnerState state;
    state.shape.inputs = 2;
    state.shape.heads = {3};
    state.environment = "null";
    state.weights.version = version;
    state.weights.mean = {0, 0};
    state.weights.inv_std = {1, 1};
    state.weights.parameters.assign(ParameterCount(state.shape), 0.5f);
    state.adam.m = state.adam.v = state.weights.parameters;
    state.observations = RunningMoments(2);
    state.league = League(LeagueOptions()).state();
    return state;
  }

  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }

  std::string folder_;
};

TEST_F(CheckpointWriterTest, WritesBesideItsCaller) {
  CheckpointWriter writer(folder_, 0);
  EXPECT_TRUE(writer.Poll().ok());
  writer.Begin(Version(7));
  EXPECT_TRUE(writer.busy());
  EXPECT_TRUE(writer.Wait().ok());
  EXPECT_FALSE(writer.busy());
  EXPECT_EQ(Files(), std::set<std::string>{"checkpoint.mdl"});
  const auto contents = LoadCheckpointWeights(folder_);
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_EQ(contents->weights.version, 7u);
}

TEST_F(CheckpointWriterTest, KeepsTheNewestCopiesAndWhatIsNoCopy) {
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/checkpoint-best.mdl", "mine").ok());
  CheckpointWriter writer(folder_, 2);
  for (const uint64_t version : {8, 9, 10, 11}) ASSERT_TRUE(writer.Write(Version(version)).ok());
  EXPECT_EQ(Files(), (std::set<std::string>{"checkpoint-10.mdl", "checkpoint-11.mdl",
                                            "checkpoint-best.mdl", "checkpoint.mdl"}));
  ASSERT_TRUE(writer.Write(Version(11)).ok()) << "a version may be written again";
}

TEST_F(CheckpointWriterTest, SaysWhereItCouldNotWrite) {
  CheckpointWriter writer(folder_ + "/none", 0);
  writer.Begin(Version(1));
  const absl::Status status = writer.Wait();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(folder_ + "/none"));
  EXPECT_TRUE(writer.Wait().ok()) << "an outcome is told once";
}

}  // namespace
}  // namespace midlane
