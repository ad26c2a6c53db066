// Blobby Volley over gRPC: the real game behind a server, reached by GrpcEnv.
#include <filesystem>

#include "tests/bridge/env_conformance.h"
#include "tests/bridge/rpc/served_env.h"
#include "tests/envs/play.h"
#include "tests/may_skip.h"

namespace midlane {
namespace {

const Settings kAgainstABot = {{"points_to_win", "2"}};
const Settings kSelfPlay = {{"left", "agent"}, {"right", "agent"}, {"points_to_win", "2"}};

bool Installed() { return std::filesystem::exists("/usr/games/blobby"); }

EnvCase BlobbyCase(const std::string& name, const Settings& settings, const Settings& other) {
  EnvCase c;
  c.name = name;
  c.options.name = "blobby";
  c.options.settings = settings;
  c.settings = settings;
  c.all_agents = kSelfPlay;
  c.other_settings = other;
  c.delay = 0;  // an action acts in the step from the frame observed
  c.frame_skip = 4;
  c.make = MakeServed;
  return c;
}

std::vector<EnvCase> Cases() {
  if (!Installed()) return {};
  return {BlobbyCase("AgainstABot", kAgainstABot, {{"episode", "match"}, {"points_to_win", "1"}}),
          BlobbyCase("SelfPlay", kSelfPlay, {{"right", "com_11"}})};
}

// Without the game there are no cases: apt install blobby.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EnvConformance);
INSTANTIATE_TEST_SUITE_P(BlobbyOverGrpc, EnvConformance, testing::ValuesIn(Cases()), EnvCaseName);

struct Played {
  int episodes = 0;
  uint64_t hash = 0;
};

// Many random steps, with fresh episodes as they end.
Played Play(const EnvOptions& options, const Settings& settings, int steps) {
  Played played;
  World world(options);
  if (!world.ok() || !world.Reset(settings)) return played;
  RandomChooser chooser(6, 3);
  RunHash hash;
  for (int i = 0; i < steps; ++i) {
    hash.Add(&world);
    const bool ok = world.Last() ? world.Reset(settings) : world.Step(chooser);
    if (!ok) return played;
    if (world.Last()) ++played.episodes;
  }
  played.hash = hash.Digest();
  return played;
}

class BlobbyOverGrpc : public testing::TestWithParam<Settings> {};

TEST_P(BlobbyOverGrpc, PlaysTheVeryGameThatALocalEnvPlays) {
  if (!Installed() && MaySkip()) GTEST_SKIP() << "the game is missing: apt-get install blobby";
  constexpr int kSteps = 3000;
  rpc::RegisterGrpcEnv();
  std::unique_ptr<rpc::Server> server = Serve("blobby");
  ASSERT_NE(server, nullptr);
  EnvOptions far = To(*server, GetParam()), near;
  near.name = "blobby";
  near.settings = GetParam();
  far.seed = near.seed = 5;
  const Played remote = Play(far, GetParam(), kSteps);
  EXPECT_GT(remote.episodes, 0);
  EXPECT_EQ(server->worlds(), 0);
  EXPECT_EQ(remote.hash, Play(near, GetParam(), kSteps).hash);
}

INSTANTIATE_TEST_SUITE_P(Sides, BlobbyOverGrpc, testing::Values(kAgainstABot, kSelfPlay),
                         [](const auto& info) {
                           return std::string(info.index == 0 ? "AgainstABot" : "SelfPlay");
                         });

}  // namespace
}  // namespace midlane
