#include "deploy/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace midlane {
namespace {

using ::testing::HasSubstr;

Health Worst(const std::vector<Finding>& findings) {
  Health worst = Health::kGood;
  for (const Finding& finding : findings) {
    worst = std::max(worst, finding.health);
    EXPECT_EQ(finding.remedy.empty(), finding.health == Health::kGood) << finding.what;
  }
  return worst;
}

TEST(Doctor, JudgesTorch) {
  EXPECT_EQ(Worst(JudgeTorch("version=2.13.0\nblas=mkl\nthreads=2\ncuda=0\n", 2)), Health::kGood);
  const auto open = JudgeTorch("version=1.13\nblas=open\nthreads=2\ncuda=0\n", 2);
  EXPECT_EQ(Worst(open), Health::kNote);
  EXPECT_THAT(open[1].remedy, HasSubstr("OPENBLAS_NUM_THREADS"));
  EXPECT_EQ(Worst(JudgeTorch("version=2.13.0\nblas=mkl\nthreads=8\ncuda=0\n", 2)), Health::kNote);
}

TEST(Doctor, SaysWhatIsMissing) {
  EXPECT_EQ(Worst(CheckTorch("/nowhere/midlane-torch")), Health::kBad);
  EXPECT_EQ(Worst(CheckShim("/nowhere/shim.so")), Health::kBad);
  EXPECT_EQ(Worst(CheckDisk("/nowhere")), Health::kBad);
  EXPECT_EQ(Worst(CheckGames("/nowhere")), Health::kBad);
}

TEST(Doctor, AShimThatDoesNotLoadIsFound) {
  const std::string path = ::testing::TempDir() + "/midlane_doctor_test.so";
  std::ofstream(path) << "no library";
  const auto findings = CheckShim(path);
  EXPECT_EQ(Worst(findings), Health::kBad);
  EXPECT_THAT(findings[0].found, HasSubstr("does not load"));
  std::filesystem::remove(path);
}

TEST(Doctor, LooksAtTheKernelWithoutChangingIt) {
  EXPECT_FALSE(CheckKernel().empty());
  EXPECT_EQ(Worst(CheckKernel()), Worst(CheckKernel()));
  Worst(CheckCores());
}

}  // namespace
}  // namespace midlane
