// The channel: the shared memory through which one game process and its host exchange
// observations and actions. This header is the whole ABI; it is plain C11 (and C++20), needs
// nothing but the C library, and is the only header that preload/ shares with the host.
//
// Memory.  One memfd a game, created by the host and inherited by the game (MIDLANE_CHANNEL_FD),
//   laid out as
//       [midlane_channel][description text][settings text][midlane_spec][slot 0]...[slot n-1]
//   every part at a 64-byte boundary whose offset the header names. One further memfd a *worker*,
//   the doorbell (MIDLANE_DOORBELL_FD), which every game of that worker rings.
// Ownership.  Each field has exactly one writer, named beside it. The host creates and unmaps the
//   memory; the game may die at any instant and leaves at worst a half-written slot that was never
//   posted.
// Protocol.  The game writes its slots, then *posts*: stores game_seq + 1 (release), rings the
//   doorbell, and waits on host_seq (futex) until host_seq == game_seq. The host, woken by the
//   doorbell, sees game_seq > host_seq, reads the slots in place, writes the action part of each
//   slot and `command`, then *answers*: stores host_seq = game_seq (release) and wakes the futex.
//   At any time at most one side may write a slot, so no slot is ever read torn.
// Time.  Every post carries the frame at which it was observed, every next post the frame at which
//   the action took effect (slot.effect_frame), so an off-by-one delay can be asserted.
// Death.  The host watches the game by pidfd. The game waits in slices of MIDLANE_WAIT_SLICE_MS and
//   looks at host_pid between them. Neither side ever waits without a deadline.
// ABI rule.  MIDLANE_CHANNEL_ABI grows by one with *any* change of a struct or of a meaning here;
//   both sides refuse another number. There is no negotiation: shim and host ship together.
#ifndef MIDLANE_BRIDGE_CHANNEL_H_
#define MIDLANE_BRIDGE_CHANNEL_H_

#include <stdint.h>

#ifdef __cplusplus
#include <atomic>
typedef std::atomic<uint32_t> midlane_atomic_u32;
extern "C" {
#else
#include <stdatomic.h>
typedef _Atomic uint32_t midlane_atomic_u32;
#endif

#define MIDLANE_CHANNEL_MAGIC 0x314C4E4843444D4DULL   // "MMDCHNL1", little endian
#define MIDLANE_DOORBELL_MAGIC 0x314C4C4542444D4DULL  // "MMDBELL1"
#define MIDLANE_CHANNEL_ABI 1u

#define MIDLANE_ENV_CHANNEL_FD "MIDLANE_CHANNEL_FD"
#define MIDLANE_ENV_DOORBELL_FD "MIDLANE_DOORBELL_FD"

#define MIDLANE_NAME_BYTES 48  // every name, with its terminating NUL
#define MIDLANE_AGENTS_MAX 16
#define MIDLANE_TENSORS_MAX 32  // observation tensors of one agent
#define MIDLANE_RANK_MAX 4
#define MIDLANE_HEADS_MAX 16  // action heads of one agent
#define MIDLANE_TERMS_MAX 32  // reward terms
#define MIDLANE_METRICS_MAX 32
#define MIDLANE_CHOICES_MAX 65536  // choices of one discrete head
#define MIDLANE_OBSERVATION_BYTES_MAX (16u << 20)
#define MIDLANE_TEXT_BYTES_MAX (256u << 10)  // description or settings text
#define MIDLANE_ERROR_BYTES 1024
#define MIDLANE_WAIT_SLICE_MS 200
#define MIDLANE_ALIGN 64u

// channel.state. Written by the game, except EMPTY (host, before the game starts).
enum midlane_state {
  MIDLANE_STATE_EMPTY = 0,
  MIDLANE_STATE_ANNOUNCED = 1,  // the shim is in the right process: `announcement` is complete
  MIDLANE_STATE_ATTACHED = 2,   // the adapter declared its spec: `spec` is complete
  MIDLANE_STATE_CLOSED = 3,     // the game ended in an orderly way
  MIDLANE_STATE_FAILED = 4,     // `error` says why, in one sentence with file and line where known
};

// channel.command. Written by the host with each answer.
enum midlane_command {
  MIDLANE_COMMAND_STEP = 0,   // actions are in the slots
  MIDLANE_COMMAND_RESET = 1,  // begin a new episode under `settings` (whose settings_seq has grown
                              // where they changed); the actions are not meant
  MIDLANE_COMMAND_CLOSE = 2,  // leave the game in peace: detach, or exit where the description says
};

enum midlane_dtype {
  MIDLANE_DTYPE_INVALID = 0,
  MIDLANE_DTYPE_F32 = 1,
  MIDLANE_DTYPE_I32 = 2,
  MIDLANE_DTYPE_U8 = 3,
};

// Flags of one slot in one post. Written by the game.
enum midlane_slot_flag {
  MIDLANE_SLOT_ACTIVE = 1u << 0,      // this agent is in the world and posted this observation
  MIDLANE_SLOT_PASSIVE = 1u << 1,     // observed only: its action is ignored (a scripted bot acts)
  MIDLANE_SLOT_FIRST = 1u << 2,       // first timestep of an episode; rewards are 0
  MIDLANE_SLOT_TERMINATED = 1u << 3,  // the episode ended by the rules of the game
  MIDLANE_SLOT_TRUNCATED = 1u << 4,   // the episode was cut (a limit, a reset): the state has value
  MIDLANE_SLOT_MATCH_OVER = 1u << 5,  // with either of the two above: the world starts afresh, so
                                      // opponents and other settings may change now
};

// One observation tensor of an agent.
struct midlane_tensor_spec {
  char name[MIDLANE_NAME_BYTES];
  uint32_t dtype;                    // midlane_dtype
  uint32_t rank;                     // 0..MIDLANE_RANK_MAX
  uint32_t shape[MIDLANE_RANK_MAX];  // each >= 1; entries past rank are 1
  float minimum, maximum;            // bounds (inclusive); -inf and +inf where there are none
  uint32_t offset;                   // in the slot's observation bytes; a multiple of 64
  uint32_t masks_head;               // 0: an observation; h + 1: u8 mask of action head h
};

// One action head: a choice among `choices`, sent as int32 in [0, choices).
struct midlane_head_spec {
  char name[MIDLANE_NAME_BYTES];
  uint32_t choices;  // 2..MIDLANE_CHOICES_MAX
  uint32_t reserved;
};

struct midlane_name {
  char text[MIDLANE_NAME_BYTES];
};

// What an adapter declared. All agents of a world share one spec. Written by the game before
// MIDLANE_STATE_ATTACHED, constant from then on.
struct midlane_spec {
  char environment[MIDLANE_NAME_BYTES];
  uint32_t agents, tensors, heads, terms, metrics;
  uint32_t frame_skip;         // default frames a timestep, >= 1
  float frames_per_second;     // of game time, > 0
  uint32_t observation_bytes;  // of one slot: end of the last tensor, a multiple of 64
  struct midlane_name agent[MIDLANE_AGENTS_MAX];
  struct midlane_tensor_spec tensor[MIDLANE_TENSORS_MAX];
  struct midlane_head_spec head[MIDLANE_HEADS_MAX];
  struct midlane_name term[MIDLANE_TERMS_MAX];      // reward terms
  struct midlane_name metric[MIDLANE_METRICS_MAX];  // per-agent figures for evaluation, never
                                                    // observed by a policy (points, frames, ...)
};

// One agent's part of an exchange. `observation` follows the struct at the next 64-byte boundary.
struct midlane_slot {
  // Written by the game with each post.
  uint64_t observed_frame;  // the game frame whose state the observation shows
  uint64_t effect_frame;    // the first frame that the previous action acted on; 0: none did
  uint32_t flags;           // midlane_slot_flag
  uint32_t episode;         // counts the agent's episodes in this process, from 1
  float reward[MIDLANE_TERMS_MAX];    // each term's sum since the previous post
  float metric[MIDLANE_METRICS_MAX];  // current value; meaningful at the end of an episode
  // Written by the host with each answer.
  __attribute__((aligned(64))) int32_t action[MIDLANE_HEADS_MAX];
};

// What the shim found, for people and for `midlane preload`. Written by the game.
struct midlane_announcement {
  char dialect[16];   // "5.1", "5.2", "5.3", "5.4", "luajit", "" where no Lua was seen (yet)
  char linkage[16];   // "shared", "plugin", "static", ""
  char library[256];  // file that holds Lua
  char executable[256];
  midlane_atomic_u32 states;  // Lua states opened so far
  midlane_atomic_u32 chunks;  // chunks loaded so far
  midlane_atomic_u32 calls;   // protected calls seen so far (only while unattached)
};

struct midlane_channel {
  // Constant after creation; written by the host.
  uint64_t magic;
  uint32_t abi;
  uint32_t header_bytes;                           // sizeof(struct midlane_channel)
  uint64_t total_bytes;                            // of the mapping
  uint32_t description_offset, description_bytes;  // "key=value\n" lines for the shim
  uint32_t settings_offset, settings_capacity;     // "key=value\n" lines for the adapter
  uint32_t spec_offset;
  uint32_t slots_offset;   // of slot 0
  uint32_t slot_capacity;  // bytes from one slot to the next; the adapter's spec must fit
  uint32_t slots;          // how many; the adapter's agents must fit
  uint32_t host_pid;
  uint32_t wait_limit_ms;  // a game that waits longer for its host takes the fallback
  uint32_t spin;           // polls of host_seq before the futex; 0 where cores are short

  // Written by the game.
  __attribute__((aligned(64))) midlane_atomic_u32 game_seq;  // posts so far; 0: nothing posted
  midlane_atomic_u32 state;
  midlane_atomic_u32 game_pid;
  midlane_atomic_u32 game_asleep;  // 1 while it waits in the kernel: an answer must wake it
  uint64_t frames;                 // game frames so far, at the last post
  uint64_t virtual_ns;             // virtual clock at the last post

  // Written by the host.
  __attribute__((aligned(64))) midlane_atomic_u32 host_seq;  // answered posts
  midlane_atomic_u32 command;                                // midlane_command of the last answer
  midlane_atomic_u32 settings_seq;  // grows with each change of the settings text
  uint32_t settings_bytes;          // length of the settings text now
  midlane_atomic_u32 wants_close;   // set at any time: the game closes at its next exchange

  __attribute__((aligned(64))) struct midlane_announcement announcement;
  char error[MIDLANE_ERROR_BYTES];  // written by the game before MIDLANE_STATE_FAILED
};

// One a worker. A game adds 1 to `rings` with each post and wakes the futex on `rings` only where
// the host sleeps and `rings` has reached `wake_at` (wrapping compare), so a host that wants k
// games at once is woken once. Written by many games and one host.
struct midlane_doorbell {
  uint64_t magic;
  uint32_t abi;
  uint32_t reserved;
  __attribute__((aligned(64))) midlane_atomic_u32 rings;
  midlane_atomic_u32 asleep;   // host: 1 while it waits in the kernel
  midlane_atomic_u32 wake_at;  // host: value of `rings` worth a wake-up
};

static inline uint32_t midlane_align(uint32_t bytes) {
  return (bytes + (MIDLANE_ALIGN - 1)) & ~(MIDLANE_ALIGN - 1);
}

static inline uint32_t midlane_dtype_bytes(uint32_t dtype) {
  return dtype == MIDLANE_DTYPE_U8 ? 1u : 4u;
}

// Where a slot's observation bytes begin, from the slot's own start.
static inline uint32_t midlane_slot_header_bytes(void) {
  return midlane_align((uint32_t)sizeof(struct midlane_slot));
}

static inline struct midlane_slot* midlane_channel_slot(struct midlane_channel* channel,
                                                        uint32_t agent) {
  return (struct midlane_slot*)((char*)channel + channel->slots_offset +
                                (uint64_t)agent * channel->slot_capacity);
}

static inline struct midlane_spec* midlane_channel_spec(struct midlane_channel* channel) {
  return (struct midlane_spec*)((char*)channel + channel->spec_offset);
}

static inline unsigned char* midlane_slot_observation(struct midlane_slot* slot) {
  return (unsigned char*)slot + midlane_slot_header_bytes();
}

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_BRIDGE_CHANNEL_H_
