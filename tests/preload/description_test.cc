#include "preload/description.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace {

struct Parsed {
  bool ok;
  midlane_description d;
  std::string error;
};

std::unique_ptr<Parsed> Parse(const std::string& text) {
  auto parsed = std::make_unique<Parsed>();
  char error[512] = "";
  parsed->ok =
      midlane_description_parse(text.data(), text.size(), &parsed->d, error, sizeof(error));
  parsed->error = error;
  return parsed;
}

TEST(Description, ReadsEveryKey) {
  auto p = Parse(
      "executable=blobby\nadapter=/a/b.lua\nfallback=play\nvanilla=1\nannounce=1\nclock=virtual\n"
      "clock_start_ns=5000000000\nclock_step_us=7\nclock_speed=2.5\nseed=18446744073709551615\n"
      "skip=SDL_RenderCopy\nskip=SDL_RenderPresent\nskip_function=_ZN4Game4drawEv\ndrop_function="
      "smoke\nframe_call=SDL_"
      "RenderPresent\nrender_every=3\n"
      "input=SDL2\nkeys.start=Down,Return\nkeys.again=Up\ngap_polls=4\n");
  ASSERT_TRUE(p->ok) << p->error;
  EXPECT_STREQ(p->d.executable, "blobby");
  EXPECT_STREQ(p->d.adapter, "/a/b.lua");
  EXPECT_TRUE(p->d.fallback_play);
  EXPECT_TRUE(p->d.vanilla);
  EXPECT_TRUE(p->d.announce);
  EXPECT_TRUE(p->d.clock_virtual);
  EXPECT_TRUE(p->d.clock_start_given);
  EXPECT_EQ(p->d.clock_start_ns, 5000000000u);
  EXPECT_EQ(p->d.clock_step_ns, 7000u);
  EXPECT_DOUBLE_EQ(p->d.clock_speed, 2.5);
  EXPECT_EQ(p->d.seed, 18446744073709551615u);
  EXPECT_EQ(p->d.skips, 2);
  EXPECT_STREQ(p->d.skip[1], "SDL_RenderPresent");
  EXPECT_STREQ(p->d.frame_call, "SDL_RenderPresent");
  ASSERT_EQ(p->d.skip_functions, 2);
  EXPECT_STREQ(p->d.skip_function[0].name, "_ZN4Game4drawEv");
  EXPECT_FALSE(p->d.skip_function[0].always);
  EXPECT_STREQ(p->d.skip_function[1].name, "smoke");
  EXPECT_TRUE(p->d.skip_function[1].always);
  EXPECT_EQ(p->d.render_every, 3u);
  EXPECT_TRUE(p->d.input_sdl2);
  EXPECT_STREQ(midlane_description_keys(&p->d, "start"), "Down,Return");
  EXPECT_STREQ(midlane_description_keys(&p->d, "again"), "Up");
  EXPECT_EQ(midlane_description_keys(&p->d, "other"), nullptr);
  EXPECT_EQ(p->d.gap_polls, 4u);
}

TEST(Description, HasDefaults) {
  auto p = Parse("");
  ASSERT_TRUE(p->ok);
  EXPECT_FALSE(p->d.fallback_play);
  EXPECT_FALSE(p->d.clock_virtual);
  EXPECT_FALSE(p->d.clock_start_given);
  EXPECT_EQ(p->d.gap_polls, 2u);
  EXPECT_TRUE(Parse("\n\ninput=\n")->ok) << "empty lines and an empty input are fine";
}

TEST(Description, RefusesByName) {
  const char* const bad[][2] = {
      {"colour=red\n", "colour"},
      {"seed=-1\n", "seed"},
      {"seed=18446744073709551616\n", "seed"},
      {"clock=fast\n", "clock"},
      {"clock_speed=nan\n", "clock_speed"},
      {"clock_speed=-1\n", "clock_speed"},
      {"render_every=4294967296\n", "render_every"},
      {"adapter=relative.lua\n", "adapter"},
      {"vanilla=yes\n", "vanilla"},
      {"nonsense\n", "nonsense"},
      {"fallback=\n", "fallback"},
      {"input=GLFW\n", "input"},
      {"gap_polls= 1\n", "gap_polls"},
  };
  for (const auto& pair : bad) {
    auto p = Parse(pair[0]);
    EXPECT_FALSE(p->ok) << pair[0];
    EXPECT_NE(p->error.find(pair[1]), std::string::npos) << p->error;
  }
}

TEST(Description, HoldsItsLimits) {
  std::string skips;
  for (int i = 0; i < MIDLANE_SKIP_MAX; i++) skips += "skip=a\n";
  EXPECT_TRUE(Parse(skips)->ok);
  EXPECT_FALSE(Parse(skips + "skip=a\n")->ok);
  EXPECT_FALSE(Parse("executable=" + std::string(256, 'x') + "\n")->ok);
  EXPECT_TRUE(Parse("executable=" + std::string(255, 'x') + "\n")->ok);
  EXPECT_FALSE(Parse("adapter=/" + std::string(1 << 16, 'x') + "\n")->ok);
  std::string sequences;
  for (int i = 0; i < MIDLANE_SEQUENCES_MAX; i++) {
    sequences += "keys.a" + std::to_string(i) + "=Up\n";
  }
  EXPECT_TRUE(Parse(sequences)->ok);
  EXPECT_FALSE(Parse(sequences + "keys.b=Up\n")->ok);
}

TEST(Description, StopsAtTheGivenLength) {
  std::string text = "seed=12\nseed=99\n";
  midlane_description d;
  char error[128];
  ASSERT_TRUE(midlane_description_parse(text.data(), 7, &d, error, sizeof(error)));
  EXPECT_EQ(d.seed, 12u);
}

}  // namespace
