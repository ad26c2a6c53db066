#include "deploy/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace midlane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<int> Cpus(int count) {
  std::vector<int> cpus;
  for (int cpu = 0; cpu < count; ++cpu) cpus.push_back(cpu);
  return cpus;
}

TEST(Machine, SmallNetworksPutAWorkerOnEveryCore) {
  Config config;
  const MachinePlan plan = PlanMachine(config, {4, 7});
  EXPECT_EQ(plan.workers, 2u);
  EXPECT_EQ(plan.learner_threads, 1u);
  EXPECT_THAT(plan.worker_cpus, ElementsAre(4, 7));
}

TEST(Machine, LargeNetworksGetEveryCore) {
  Config config;
  config.learner.network.lstm = 512;
  const MachinePlan plan = PlanMachine(config, Cpus(8));
  EXPECT_EQ(plan.learner_threads, 8u);
  EXPECT_EQ(plan.workers, 2u);
  EXPECT_THAT(plan.worker_cpus, IsEmpty()) << "libtorch's threads go wherever there is room";
}

TEST(Machine, LargeNetworksOnACudaDeviceLeaveTheCoresToWorkers) {
  Config config;
  config.learner.network.lstm = 512;
  config.learner.device = "cuda:0";
  const MachinePlan plan = PlanMachine(config, Cpus(8));
  EXPECT_EQ(plan.learner_threads, 1u);
  EXPECT_EQ(plan.workers, 8u);
  EXPECT_THAT(plan.worker_cpus, SizeIs(8));
}

TEST(Machine, WhatTheConfigurationSaysStands) {
  Config config;
  config.run.workers = 3;
  config.run.learner_threads = 2;
  config.run.pin = "off";
  const MachinePlan plan = PlanMachine(config, Cpus(2));
  EXPECT_EQ(plan.workers, 3u);
  EXPECT_EQ(plan.learner_threads, 2u);
  EXPECT_THAT(plan.worker_cpus, IsEmpty());
}

TEST(Machine, FewerWorkersThanCoresRoam) {
  Config config;
  config.run.workers = 1;
  EXPECT_THAT(PlanMachine(config, Cpus(4)).worker_cpus, IsEmpty());
}

TEST(Machine, OneCoreIsEnough) {
  const MachinePlan plan = PlanMachine(Config(), Cpus(1));
  EXPECT_EQ(plan.workers, 1u);
  EXPECT_EQ(plan.learner_threads, 1u);
}

}  // namespace
}  // namespace midlane
