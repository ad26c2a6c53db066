#include "preload/states.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

uint32_t midlane_chunks_pending;
static struct midlane_state_entry entries[MIDLANE_STATES_MAX];
static uint32_t opened;
static atomic_flag busy = ATOMIC_FLAG_INIT;

static void lock(void) {
  while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire)) sched_yield();
}

static void unlock(void) { atomic_flag_clear_explicit(&busy, memory_order_release); }

struct midlane_state_entry* midlane_state_open(lua_State* main) {
  struct midlane_state_entry* found = NULL;
  struct midlane_state_entry* free_entry = NULL;
  lock();
  for (int i = 0; i < MIDLANE_STATES_MAX && !found; i++) {
    if (entries[i].main == main) found = &entries[i];
    if (!entries[i].main && !free_entry) free_entry = &entries[i];
  }
  if (!found) {
    opened++;
    if (free_entry) {
      memset(free_entry, 0, sizeof(*free_entry));
      free_entry->main = main;
      free_entry->number = opened;
      found = free_entry;
    }
  }
  unlock();
  return found;
}

void midlane_state_close(lua_State* main) {
  lock();
  for (int i = 0; i < MIDLANE_STATES_MAX; i++) {
    if (entries[i].main != main) continue;
    for (int c = 0; c < MIDLANE_CHUNKS_PENDING_MAX; c++) midlane_chunk_free(&entries[i].chunk[c]);
    entries[i].main = NULL;
    break;
  }
  unlock();
}

uint32_t midlane_states_opened(void) { return __atomic_load_n(&opened, __ATOMIC_RELAXED); }

struct midlane_chunk* midlane_chunk_add(struct midlane_state_entry* entry, const void* function) {
  struct midlane_chunk* chunk = NULL;
  for (int i = 0; i < MIDLANE_CHUNKS_PENDING_MAX && !chunk; i++) {
    if (entry->chunk[i].phase == MIDLANE_CHUNK_FREE) chunk = &entry->chunk[i];
  }
  if (!chunk) {
    chunk = &entry->chunk[entry->next_chunk++ % MIDLANE_CHUNKS_PENDING_MAX];
    midlane_chunk_free(chunk);
  }
  chunk->phase = MIDLANE_CHUNK_LOADED;
  chunk->function = function;
  chunk->coroutine = NULL;
  chunk->name[0] = '\0';
  __atomic_add_fetch(&midlane_chunks_pending, 1, __ATOMIC_RELAXED);
  return chunk;
}

struct midlane_chunk* midlane_chunk_find(struct midlane_state_entry* entry, const void* function) {
  for (int i = 0; i < MIDLANE_CHUNKS_PENDING_MAX; i++) {
    struct midlane_chunk* chunk = &entry->chunk[i];
    if (chunk->phase == MIDLANE_CHUNK_LOADED && chunk->function == function) return chunk;
  }
  return NULL;
}

struct midlane_chunk* midlane_chunk_find_coroutine(struct midlane_state_entry* entry,
                                                   const void* coroutine) {
  for (int i = 0; i < MIDLANE_CHUNKS_PENDING_MAX; i++) {
    struct midlane_chunk* chunk = &entry->chunk[i];
    if (chunk->phase == MIDLANE_CHUNK_RUNNING && chunk->coroutine == coroutine) return chunk;
  }
  return NULL;
}

void midlane_chunk_free(struct midlane_chunk* chunk) {
  if (chunk->phase == MIDLANE_CHUNK_FREE) return;
  chunk->phase = MIDLANE_CHUNK_FREE;
  chunk->function = NULL;
  chunk->coroutine = NULL;
  __atomic_sub_fetch(&midlane_chunks_pending, 1, __ATOMIC_RELAXED);
}
