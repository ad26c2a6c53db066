#include "bridge/description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_replace.h"
#include "bridge/make_env.h"

namespace midlane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kGame[] = R"([game]
name = "toy"
executable = "toy"
command = ["/usr/games/toy", "--home", "${WORK}"]
package = "toy-data"
adapter = "adapter.lua"
fallback = "play"
start_timeout_seconds = 7
[environment]
SDL_VIDEODRIVER = "dummy"
[[file]]
path = "conf/a.xml"
template = "a.in"
[clock]
mode = "virtual"
hooks = ["SDL_Delay"]
step_us = 5
free_speed = 40
[render]
skip = ["SDL_RenderPresent", "SDL_RenderCopy"]
frame_call = "SDL_RenderPresent"
environment = { SDL_VIDEODRIVER = "x11" }
[input]
library = "SDL2"
start = ["Down", "Return"]
gap_polls = 3
[settings]
left = { default = "agent", description = "who", choices = ["agent", "bot"] }
strength = { default = "0", description = "how slow", minimum = 0, maximum = 25 }
gravity = { default = 1, description = "pull", minimum = 0.5 }
fast = { default = false, description = "speed" }
title = { default = "", description = "any" }
[opponents]
bots = ["bot"]
default_strength = "3"
)";

class Description : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "description-XXXXXX").string();
    folder_ = mkdtemp(path.data());
    Write("adapter.lua", "return {}");
    Write("a.in", "<left>${left}</left>\n<price>$5 $${x}</price>\n");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }

  absl::StatusOr<GameDescription> Parse(const std::string& text) {
    return ParseDescription(text, "game.toml", folder_);
  }

  // The sentence that refuses kGame with `from` replaced by `to`.
  std::string Refusal(const std::string& from, const std::string& to) {
    const std::string text = absl::StrReplaceAll(kGame, {{from, to}});
    EXPECT_NE(text, kGame) << from;
    const absl::Status status = Parse(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << from << " -> " << to;
    return std::string(status.message());
  }

  std::string folder_;
};

TEST_F(Description, IsRead) {
  absl::StatusOr<GameDescription> d = Parse(kGame);
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_EQ(d->name, "toy");
  EXPECT_EQ(d->adapter, folder_ + "/adapter.lua");
  EXPECT_TRUE(d->fallback_play);
  EXPECT_EQ(d->start_timeout, absl::Seconds(7));
  EXPECT_EQ(d->render_environment.at("SDL_VIDEODRIVER"), "x11");
  EXPECT_THAT(d->bots, ElementsAre("bot"));
  EXPECT_EQ(d->default_strength, "3");
  std::vector<std::string> names;
  for (const SettingSpec& setting : d->settings) names.push_back(setting.name);
  EXPECT_THAT(names,
              ElementsAre("fast", "frame_skip", "gravity", "left", "seed", "strength", "title"));
}

TEST_F(Description, TheShimGetsItsLines) {
  absl::StatusOr<GameDescription> d = Parse(kGame);
  ASSERT_TRUE(d.ok());
  ShimOptions options;
  options.seed = 18446744073709551615u;
  options.speed = 1.5;
  options.render_every = 8;
  const std::string text = ShimText(*d, options);
  EXPECT_THAT(text, StartsWith("executable=toy\nadapter=" + folder_ + "/adapter.lua\n"));
  for (const char* line :
       {"fallback=play\n", "clock=virtual\n", "clock_step_us=5\n", "clock_speed=1.5\n",
        "seed=18446744073709551615\n", "skip=SDL_RenderPresent\nskip=SDL_RenderCopy\n",
        "frame_call=SDL_RenderPresent\n", "render_every=8\n", "input=SDL2\n",
        "keys.start=Down,Return\n", "gap_polls=3\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(ShimText(*d, {}), HasSubstr("clock_speed=40\n"));
  options.seed = 1;
  EXPECT_NE(ShimText(*d, options), ShimText(*d, {.seed = 2, .speed = 1.5, .render_every = 8}));
}

TEST_F(Description, RefusalsNameFileLineKeyAndRemedy) {
  const struct {
    const char *from, *to, *sentence;
  } cases[] = {
      {"[game]", "[gane]", "game.toml:1: unknown key 'gane' in the description: known are game"},
      {"name = \"toy\"", "name = 3", "game.toml:2: 'name' must be a string: write it in quotes"},
      {"name = \"toy\"", "name = \"a b\"", "game.toml:2: 'name' cannot be 'a b'"},
      {"executable = \"toy\"", "executable = \"/usr/games/toy\"",
       "game.toml:3: 'executable' must be a file name without '/'"},
      {"executable = \"toy\"\n", "", "'executable' is missing: add executable = \"...\" here"},
      {"command = [", "command = [3, ", "game.toml:4: 'command' must be a string"},
      {"\"${WORK}\"", "\"${WROK}\"", "game.toml:4: 'command' line 1 asks for '${WROK}': known are"},
      {"package", "packge", "unknown key 'packge' in [game]: known are name"},
      {"adapter = \"adapter.lua\"", "adapter = \"none.lua\"",
       "game.toml:6: there is no readable file 'none.lua' in "},
      {"\"play\"", "\"sleep\"", "'fallback' cannot be 'sleep': give \"exit\" or \"play\""},
      {"seconds = 7", "seconds = 0", "'start_timeout_seconds' must be a whole number from 1"},
      {"seconds = 7", "seconds = 7.5", "'start_timeout_seconds' must be a whole number"},
      {"SDL_VIDEODRIVER = \"dummy\"", "LD_PRELOAD = \"x\"",
       "is set by Midlane itself: take it out"},
      {"path = \"conf", "path = \"../conf", "'path' cannot be '../conf/a.xml'"},
      {"path = \"conf", "path = \"/conf", "'path' cannot be '/conf/a.xml'"},
      {"template = \"a.in\"", "template = \"b.in\"", "there is no readable file 'b.in'"},
      {"mode = \"virtual\"", "mode = \"fast\"", "'mode' cannot be 'fast'"},
      {"\"SDL_Delay\"", "\"SDL_Dely\"", "the shim does not know the clock call 'SDL_Dely'"},
      {"step_us = 5", "step_us = -5", "'step_us' must be a whole number from 0"},
      {"skip = [", "skip = [\"\", ", "'' in 'skip' is no name of a call"},
      {"\"SDL2\"", "\"GLFW\"", "'library' cannot be 'GLFW'"},
      {"start = [", "start = [\"A,B\", ", "'A,B' in 'start' is no name of a key"},
      {"gap_polls", "gap_pols", "unknown key 'gap_pols' in [input]"},
      {"default = \"agent\"", "default = \"nobody\"",
       "the default does not suit: setting 'left' cannot be 'nobody': give one of agent, bot"},
      {"description = \"who\", ", "", "'description' is missing"},
      {"choices = [\"agent\", \"bot\"]", "choices = []",
       "'choices' must be a list of at least one"},
      {"choices", "choice", "unknown key 'choice' in setting 'left'"},
      {"maximum = 25", "maximum = -1", "'minimum' is larger than 'maximum'"},
      {"default = 1,", "default = \"x\",", "setting 'gravity' cannot be 'x': give a number"},
      {"fast = {", "\"fa=st\" = {", "'fa=st' is no name for a setting"},
      {"bots", "bot", "unknown key 'bot' in [opponents]: known are bots, default_strength"},
      {"[clock]", "[clock", "game.toml:14: no TOML"},
  };
  for (const auto& c : cases) {
    const std::string sentence = Refusal(c.from, c.to);
    EXPECT_THAT(sentence, HasSubstr(c.sentence));
    EXPECT_THAT(sentence, StartsWith("game.toml:"));
    EXPECT_EQ(sentence.find('\n'), std::string::npos) << sentence;
  }
}

TEST_F(Description, TemplatesAreCheckedBeforeTheyAreNeeded) {
  Write("a.in", "one\n<left>${lfet}</left>\n");
  EXPECT_THAT(std::string(Parse(kGame).status().message()),
              HasSubstr("a.in line 2 asks for '${lfet}': known are FOLDER, PORT, WORK, fast"));
  Write("a.in", "${left");
  EXPECT_THAT(std::string(Parse(kGame).status().message()), HasSubstr("without an end"));
}

TEST_F(Description, ExpandsSettings) {
  EXPECT_EQ(*Expand("a ${x}${y} $${x} $5 $", {{"x", "1"}, {"y", "${x}"}}, "t"),
            "a 1${x} ${x} $5 $");
}

TEST_F(Description, SettingsAreCheckedByKind) {
  const std::vector<SettingSpec> specs = Parse(kGame)->settings;
  const auto resolve = [&](const Settings& given) { return ResolveSettings(specs, given); };
  ASSERT_TRUE(resolve({}).ok());
  EXPECT_EQ(resolve({})->at("gravity"), "1");
  EXPECT_EQ(resolve({})->at("fast"), "false");
  EXPECT_EQ(SettingsText(*resolve({{"seed", "5"}})),
            "fast=false\ngravity=1\nleft=agent\nseed=5\nstrength=0\n");
  const struct {
    const char *name, *value, *sentence;
  } cases[] = {
      {"left", "nobody", "setting 'left' cannot be 'nobody': give one of agent, bot"},
      {"strength", "26", "'strength' cannot be '26': give a whole number (0 to 25)"},
      {"strength", "1.5", "'strength' cannot be '1.5': give a whole number"},
      {"gravity", "0.1", "'gravity' cannot be '0.1': give a number (at least 0.5)"},
      {"gravity", "nan", "'gravity' cannot be 'nan'"},
      {"fast", "yes", "'fast' cannot be 'yes': give true or false"},
      {"title", "two\nlines", "one line of text"},
      {"seed", "-1", "'seed' cannot be '-1'"},
      {"frame_skip", "0", "'frame_skip' cannot be '0'"},
      {"lfet", "agent", "there is no setting 'lfet': known are fast, frame_skip, gravity, left"},
  };
  for (const auto& c : cases) {
    const absl::Status status = resolve({{c.name, c.value}}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.sentence));
  }
  EXPECT_TRUE(
      resolve({{"gravity", "0.75"}, {"strength", "25"}, {"seed", "18446744073709551615"}}).ok());
}

TEST(ShippedDescriptions, AreValid) {
  int games = 0;
  for (const std::string& name : KnownEnvironments()) {
    if (name == "null" || name == "probe") continue;
    absl::StatusOr<EnvironmentInfo> info = DescribeEnvironment(name);
    EXPECT_TRUE(info.ok()) << info.status();
    ++games;
  }
  EXPECT_GE(games, 1);
}

}  // namespace
}  // namespace midlane
