#include "preload/states.h"

#include <gtest/gtest.h>

namespace {

lua_State* Fake(intptr_t number) { return reinterpret_cast<lua_State*>(number * 64); }

TEST(States, NumbersThemInOrderAndReusesPlaces) {
  midlane_state_entry* one = midlane_state_open(Fake(1));
  midlane_state_entry* two = midlane_state_open(Fake(2));
  EXPECT_EQ(one->number, 1u);
  EXPECT_EQ(two->number, 2u);
  EXPECT_EQ(midlane_state_open(Fake(1)), one) << "entered once";
  EXPECT_EQ(midlane_states_opened(), 2u);
  midlane_state_close(Fake(1));
  midlane_state_close(Fake(99));
  midlane_state_entry* three = midlane_state_open(Fake(1));
  EXPECT_EQ(three->number, 3u) << "the same address is another state";
  EXPECT_FALSE(three->adapted);
  midlane_state_close(Fake(1));
  midlane_state_close(Fake(2));
}

TEST(States, LivesThroughManyMatches) {
  for (int match = 0; match < 1000; match++) {
    for (int i = 1; i <= 3; i++) ASSERT_NE(midlane_state_open(Fake(i)), nullptr);
    for (int i = 1; i <= 3; i++) midlane_state_close(Fake(i));
  }
  for (int i = 1; i <= MIDLANE_STATES_MAX; i++)
    ASSERT_NE(midlane_state_open(Fake(i)), nullptr) << i;
  EXPECT_EQ(midlane_state_open(Fake(5000)), nullptr) << "the registry is full";
  for (int i = 1; i <= MIDLANE_STATES_MAX; i++) midlane_state_close(Fake(i));
}

TEST(States, KeepsPendingChunksAndForgetsTheOldest) {
  midlane_state_entry* entry = midlane_state_open(Fake(7));
  const char functions[MIDLANE_CHUNKS_PENDING_MAX + 1] = {};
  EXPECT_EQ(midlane_chunks_pending, 0u);
  for (int i = 0; i < MIDLANE_CHUNKS_PENDING_MAX; i++) midlane_chunk_add(entry, &functions[i]);
  EXPECT_EQ(midlane_chunks_pending, unsigned{MIDLANE_CHUNKS_PENDING_MAX});
  EXPECT_NE(midlane_chunk_find(entry, &functions[0]), nullptr);
  midlane_chunk_add(entry, &functions[MIDLANE_CHUNKS_PENDING_MAX]);
  EXPECT_EQ(midlane_chunk_find(entry, &functions[0]), nullptr);
  EXPECT_NE(midlane_chunk_find(entry, &functions[1]), nullptr);
  EXPECT_EQ(midlane_chunks_pending, unsigned{MIDLANE_CHUNKS_PENDING_MAX});
  midlane_chunk* chunk = midlane_chunk_find(entry, &functions[1]);
  chunk->phase = MIDLANE_CHUNK_RUNNING;
  chunk->coroutine = entry;
  EXPECT_EQ(midlane_chunk_find(entry, &functions[1]), nullptr) << "it runs already";
  EXPECT_EQ(midlane_chunk_find_coroutine(entry, entry), chunk);
  midlane_state_close(Fake(7));
  EXPECT_EQ(midlane_chunks_pending, 0u) << "a closed state leaves nothing pending";
}

}  // namespace
