#include "preload/render.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

extern "C" {
long fake_drawn(void);
long fake_scaled(void);
long SDL_RenderCopyExF(long, double, long, double, long, double, long, double, long, double, long,
                       double, long, double, long, double, double);
int SDL_RenderPresent(void*);
float SDL_RenderSetScale(float, float);
int SDL_FillRects(void);
}

namespace {

long Draw() { return SDL_RenderCopyExF(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17); }

constexpr long kSum = 1785;  // of the squares of 1..17

midlane_description Description(uint32_t render_every) {
  midlane_description description = {};
  strcpy(description.skip[0], "SDL_RenderCopyExF");
  strcpy(description.skip[1], "SDL_RenderPresent");
  strcpy(description.skip[2], "SDL_RenderSetScale");
  description.skips = 3;
  strcpy(description.frame_call, "SDL_RenderPresent");
  description.render_every = render_every;
  return description;
}

// The table is the process's: one test walks through its states in order.
TEST(Render, TrampolinesPassAnySignatureAndSkipByFrame) {
  char error[256];
  EXPECT_EQ(Draw(), kSum);
  EXPECT_EQ(Draw(), kSum) << "second call goes past the slow path";
  EXPECT_FLOAT_EQ(SDL_RenderSetScale(1.5f, 2.25f), 17.25f);
  EXPECT_EQ(SDL_RenderPresent(error), 7);
  EXPECT_EQ(SDL_FillRects(), 0) << "a call that no library defines answers 0";

  midlane_description every_third = Description(3);
  ASSERT_TRUE(midlane_render_configure(&every_third, error, sizeof(error))) << error;
  std::string drawn;
  for (int frame = 0; frame < 9; frame++) {
    long before = fake_drawn();
    Draw();
    EXPECT_FLOAT_EQ(SDL_RenderSetScale(1.5f, 2.25f), 17.25f);
    SDL_RenderPresent(error);
    drawn += fake_drawn() == before ? '-' : fake_drawn() == before + 2 ? 'D' : '?';
  }
  EXPECT_EQ(drawn, "D--D--D--");
  EXPECT_FLOAT_EQ(SDL_RenderSetScale(1.5f, 2.25f), 17.25f) << "state of later frames is kept";

  midlane_description never = Description(0);
  ASSERT_TRUE(midlane_render_configure(&never, error, sizeof(error))) << error;
  long before = fake_drawn();
  long scaled = fake_scaled();
  for (int frame = 0; frame < 9; frame++) {
    EXPECT_EQ(Draw(), 0);
    SDL_RenderSetScale(1.5f, 2.25f);
    EXPECT_EQ(SDL_RenderPresent(error), 0);
  }
  EXPECT_EQ(fake_drawn(), before);
  EXPECT_EQ(fake_scaled(), scaled);
  EXPECT_EQ(midlane_render_frames(), 9u) << "frames are counted where nothing is drawn";
}

TEST(Render, RefusesUnknownCalls) {
  char error[256] = "";
  midlane_description description = Description(0);
  strcpy(description.skip[1], "glFrobnicate");
  EXPECT_FALSE(midlane_render_configure(&description, error, sizeof(error)));
  EXPECT_NE(std::string(error).find("glFrobnicate"), std::string::npos) << error;
  description = Description(0);
  strcpy(description.frame_call, "SDL_Nothing");
  EXPECT_FALSE(midlane_render_configure(&description, error, sizeof(error)));
  EXPECT_NE(std::string(error).find("SDL_Nothing"), std::string::npos) << error;
}

}  // namespace
