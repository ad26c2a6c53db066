// states: the registry of the process's lua_States.
//
// Purpose: gives each state a number and a place for what the shim keeps of it. A state's own
//   registry holds a pointer to its entry, so that every coroutine of it finds the same entry; an
//   entry is keyed by the state's main thread, or by the first thread seen of it.
// Thread-safety: open and close from any thread. An entry belongs to the thread that owns its
//   state. Entries never move; a closed one is reused.
// Limits: kStatesMax at a time; further states get no adapter (NULL).
#ifndef MIDLANE_PRELOAD_STATES_H_
#define MIDLANE_PRELOAD_STATES_H_

#include <stdbool.h>
#include <stdint.h>

#include "preload/lua_api.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  MIDLANE_STATES_MAX = 256,
  MIDLANE_CHUNKS_PENDING_MAX = 8,
  MIDLANE_CHUNK_NAME_BYTES = 256,
};

enum midlane_chunk_phase { MIDLANE_CHUNK_FREE, MIDLANE_CHUNK_LOADED, MIDLANE_CHUNK_RUNNING };

// A chunk that the game loaded and that has not finished its first run.
struct midlane_chunk {
  enum midlane_chunk_phase phase;
  const void* function;   // lua_topointer of its function
  const void* coroutine;  // the thread that runs it, where it may yield; else NULL
  char name[MIDLANE_CHUNK_NAME_BYTES];
};

struct midlane_state_entry {
  lua_State* main;  // NULL: free
  uint32_t number;  // from 1 in order of creation
  bool adapted;     // the adapter was loaded (or failed): not again
  bool callbacks;   // it returned a table of callbacks
  uint32_t next_chunk;
  struct midlane_chunk chunk[MIDLANE_CHUNKS_PENDING_MAX];
};

// Chunks that wait for the end of their first run, in all states; 0: hooks need not look.
extern uint32_t midlane_chunks_pending;

// Enters a state (idempotent). NULL where the registry is full.
struct midlane_state_entry* midlane_state_open(lua_State* main);

// Forgets a state and its pending chunks. Unknown states are ignored.
void midlane_state_close(lua_State* main);

// States opened so far.
uint32_t midlane_states_opened(void);

// Takes a free place for a chunk, the oldest where there is none.
struct midlane_chunk* midlane_chunk_add(struct midlane_state_entry* entry, const void* function);

// The chunk with that function in that phase, or NULL.
struct midlane_chunk* midlane_chunk_find(struct midlane_state_entry* entry, const void* function);
struct midlane_chunk* midlane_chunk_find_coroutine(struct midlane_state_entry* entry,
                                                   const void* coroutine);

void midlane_chunk_free(struct midlane_chunk* chunk);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_STATES_H_
