// A game that speaks the channel by itself, without Lua and without the shim, for the tests of the
// host's side. It plays the probe environment's rules (bridge/probe_env.h, fewer settings), and
// misbehaves on request:
//   fault       what goes wrong: see `enum fault`
//   fault_at    at which timestep of the process
//   fault_once  1: not in a second process (a file in the working directory remembers)
// With `hours` its clock moves by so many with each exchange. It leaves its seed in a file `seed`.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bridge/channel.h"

enum {
  kFrame,
  kOwnAction,
  kOwnEffect,
  kOtherAction,
  kOtherEffect,
  kStepsLeft,
  kMask,
  kTensors,
  kChoices = 4,
};

struct side {
  int action;
  uint32_t effect;
  uint32_t step;
  bool idle;
};

static struct midlane_channel* channel;
static struct midlane_doorbell* doorbell;
static unsigned agents, length, length_right, skip, delay, match, fault_at, hours;
static bool masks;
static char fault[64];
static uint64_t frame;
static uint32_t timesteps, episode[2], settings_seen;
static struct side sides[2];

static long futex(void* word, int operation, uint32_t value, const struct timespec* timeout) {
  return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

// The value of a name in `left` bytes of "name=value" lines, or `fallback`.
static const char* value_in(const char* text, size_t left, const char* name, const char* fallback) {
  static char values[8][128];
  static int next;
  char* value = values[next++ % 8];
  while (left > 0) {
    const char* end = memchr(text, '\n', left);
    size_t line = end ? (size_t)(end - text) : left;
    size_t key = strlen(name);
    if (line > key && strncmp(text, name, key) == 0 && text[key] == '=') {
      snprintf(value, 128, "%.*s", (int)(line - key - 1), text + key + 1);
      return value;
    }
    if (!end) break;
    left -= line + 1;
    text += line + 1;
  }
  return fallback;
}

static const char* setting(const char* name, const char* fallback) {
  return value_in((const char*)channel + channel->settings_offset, channel->settings_bytes, name,
                  fallback);
}

static void leave_seed(void) {
  FILE* file = fopen("seed", "w");
  if (!file) return;
  fputs(value_in((const char*)channel + channel->description_offset, channel->description_bytes,
                 "seed", "none"),
        file);
  fclose(file);
}

static unsigned number(const char* name, unsigned fallback) {
  const char* text = setting(name, NULL);
  return text ? (unsigned)strtoul(text, NULL, 10) : fallback;
}

static void read_settings(void) {
  settings_seen = atomic_load(&channel->settings_seq);
  length = number("length", 16);
  length_right = number("length_right", 0);
  if (length_right == 0) length_right = length;
  skip = number("frame_skip", 4);
  delay = number("delay", 1);
  match = number("match", 1);
  hours = number("hours", 0);
  masks = strcmp(setting("masks", "false"), "true") == 0;
  sides[0].idle = strcmp(setting("left", "agent"), "idle") == 0;
  sides[1].idle = strcmp(setting("right", "agent"), "idle") == 0;
  snprintf(fault, sizeof(fault), "%s", setting("fault", "none"));
  fault_at = number("fault_at", 0);
  if (number("fault_once", 0) == 1) {
    if (access("was_here", F_OK) == 0) strcpy(fault, "none");
  }
}

static bool faulty(const char* name) { return strcmp(fault, name) == 0; }

static void fail(const char* sentence) {
  snprintf(channel->error, sizeof(channel->error), "%s", sentence);
  atomic_store(&channel->state, MIDLANE_STATE_FAILED);
  exit(3);
}

static void map_channel(void) {
  const char* text = getenv(MIDLANE_ENV_CHANNEL_FD);
  const char* bell = getenv(MIDLANE_ENV_DOORBELL_FD);
  struct stat file;
  if (!text || !bell || fstat(atoi(text), &file) != 0) {
    fprintf(stderr, "toy_game: no channel\n");
    exit(2);
  }
  channel = mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(text), 0);
  doorbell = mmap(NULL, sizeof(*doorbell), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(bell), 0);
  if (channel == MAP_FAILED || doorbell == MAP_FAILED) exit(2);
  if (channel->magic != MIDLANE_CHANNEL_MAGIC || channel->abi != MIDLANE_CHANNEL_ABI) exit(2);
}

static void declare(void) {
  static const char* const names[kTensors] = {
      "frame", "own_action", "own_effect", "other_action", "other_effect", "steps_left", "mask"};
  struct midlane_spec* spec = midlane_channel_spec(channel);
  strcpy(spec->environment, "toy");
  spec->agents = agents;
  strcpy(spec->agent[0].text, "left");
  if (agents == 2) strcpy(spec->agent[1].text, "right");
  spec->tensors = kTensors;
  spec->frame_skip = 4;
  spec->frames_per_second = 60;
  for (uint32_t t = 0; t < kTensors; t++) {
    struct midlane_tensor_spec* tensor = &spec->tensor[t];
    strcpy(tensor->name, names[t]);
    tensor->dtype = t == kMask ? MIDLANE_DTYPE_U8 : MIDLANE_DTYPE_I32;
    tensor->rank = 1;
    for (int d = 0; d < MIDLANE_RANK_MAX; d++) tensor->shape[d] = 1;
    if (t == kMask) tensor->shape[0] = kChoices;
    tensor->minimum = t == kMask ? 0.0f : -1.0f;
    tensor->maximum = t == kMask ? 1.0f : 2147483648.0f;
    tensor->offset = t * MIDLANE_ALIGN;
    tensor->masks_head = t == kMask;
  }
  spec->observation_bytes = kTensors * MIDLANE_ALIGN;
  spec->heads = 1;
  strcpy(spec->head[0].name, "action");
  spec->head[0].choices = kChoices;
  spec->terms = 2;
  strcpy(spec->term[0].text, "step");
  strcpy(spec->term[1].text, "echo");
  if (faulty("bad_spec")) spec->tensor[0].shape[0] = 0;
  if (faulty("bad_name")) strcpy(spec->environment, "somebody_else");
  if (faulty("other_spec") && access("was_here", F_OK) == 0) strcpy(spec->term[1].text, "other");
  atomic_store(&channel->state, MIDLANE_STATE_ATTACHED);
}

static void observe(uint32_t agent, uint32_t flags, float echo) {
  struct midlane_slot* slot = midlane_channel_slot(channel, agent);
  const struct side* own = &sides[agent];
  const struct side* other = agents == 2 ? &sides[1 - agent] : &(struct side){-1, 0, 0, false};
  slot->flags = MIDLANE_SLOT_ACTIVE | flags | (own->idle ? MIDLANE_SLOT_PASSIVE : 0u);
  slot->observed_frame = frame;
  slot->effect_frame = flags & MIDLANE_SLOT_FIRST ? 0 : own->effect;
  slot->episode = episode[agent];
  slot->reward[0] = flags & MIDLANE_SLOT_FIRST ? 0.0f : 1.0f;
  slot->reward[1] = echo;
  unsigned char* observation = midlane_slot_observation(slot);
  const int32_t values[] = {
      (int32_t)frame,         own->action,
      (int32_t)own->effect,   other->action,
      (int32_t)other->effect, (int32_t)((agent ? length_right : length) - own->step)};
  for (int t = 0; t < kMask; t++) memcpy(observation + t * MIDLANE_ALIGN, &values[t], 4);
  memset(observation + kMask * MIDLANE_ALIGN, 1, kChoices);
  if (masks) observation[kMask * MIDLANE_ALIGN + (frame / skip) % kChoices] = 0;
}

static void misbehave(void) {
  FILE* mark = fopen("was_here", "w");
  if (mark) fclose(mark);
  if (faulty("exit")) {
    fprintf(stderr, "toy_game: I have had enough\n");
    exit(5);
  }
  if (faulty("crash")) abort();
  if (faulty("hang")) pause();
  if (faulty("stubborn")) {  // hangs and takes no hint
    signal(SIGTERM, SIG_IGN);
    for (;;) pause();
  }
  if (faulty("spin")) {
    for (volatile unsigned i = 0;; i++) {  // wraps, which an int may not
    }
  }
  if (faulty("flood")) {
    for (int i = 0; i < 200000; i++) fprintf(stderr, "line %d of a flood of many lines\n", i);
    for (int i = 0; i < 100000; i++) fputc('x', stderr);  // a line without end
  }
  if (faulty("fail")) fail("adapter.lua:12: attempt to call a nil value\n\x01");
  if (faulty("orphan") && fork() == 0) {
    for (;;) pause();
  }
  if (faulty("nan_reward")) midlane_channel_slot(channel, 0)->reward[0] = NAN;
  if (faulty("no_agent")) midlane_channel_slot(channel, 0)->flags = 0;
  if (faulty("bad_flags")) midlane_channel_slot(channel, 0)->flags |= 1u << 20;
}

static enum midlane_command exchange(void) {
  if (++timesteps >= fault_at && fault_at > 0) {
    misbehave();
    fault_at = 0;
  }
  channel->frames = frame;
  channel->virtual_ns += hours * 3600ull * 1000000000;
  uint32_t seq = atomic_load(&channel->game_seq) + (faulty("jump") ? 5 : 1);
  atomic_store(&channel->game_seq, seq);
  uint32_t rings = atomic_fetch_add(&doorbell->rings, 1) + 1;
  if (atomic_load(&doorbell->asleep) && (int32_t)(rings - atomic_load(&doorbell->wake_at)) >= 0) {
    futex(&doorbell->rings, FUTEX_WAKE, 1, NULL);
  }
  for (uint32_t i = 0; i < channel->spin && atomic_load(&channel->host_seq) != seq; i++) {
  }
  const struct timespec slice = {0, MIDLANE_WAIT_SLICE_MS * 1000000L};
  atomic_store(&channel->game_asleep, 1);
  for (uint32_t seen; (seen = atomic_load(&channel->host_seq)) != seq;) {
    futex(&channel->host_seq, FUTEX_WAIT, seen, &slice);
  }
  atomic_store(&channel->game_asleep, 0);
  if (atomic_load(&channel->wants_close)) return MIDLANE_COMMAND_CLOSE;
  return (enum midlane_command)atomic_load(&channel->command);
}

static void begin(uint32_t agent) {
  sides[agent].action = -1;
  sides[agent].effect = 0;
  sides[agent].step = 0;
  episode[agent]++;
}

// A match, until its end or the host's wish for another.
static enum midlane_command play(void) {
  uint32_t flags[2] = {MIDLANE_SLOT_FIRST, MIDLANE_SLOT_FIRST};
  uint32_t episodes_left = match;
  frame = 1;
  for (uint32_t i = 0; i < agents; i++) begin(i);
  for (uint32_t i = 0; i < agents; i++) observe(i, flags[i], 0);
  if (faulty("no_first") && episode[0] > 1) midlane_channel_slot(channel, 0)->flags &= ~4u;
  for (;;) {
    bool all_ended = true;
    for (uint32_t i = 0; i < agents; i++) {
      all_ended &= (flags[i] & (MIDLANE_SLOT_TERMINATED | MIDLANE_SLOT_TRUNCATED)) != 0;
    }
    enum midlane_command command = exchange();
    if (command == MIDLANE_COMMAND_CLOSE) return command;
    if (command == MIDLANE_COMMAND_RESET) {
      const bool same = !(flags[0] & MIDLANE_SLOT_MATCH_OVER) && all_ended;
      if (!same || atomic_load(&channel->settings_seq) != settings_seen) return command;
      frame += skip;
      for (uint32_t i = 0; i < agents; i++) {
        begin(i);
        flags[i] = MIDLANE_SLOT_FIRST;
      }
      for (uint32_t i = 0; i < agents; i++) observe(i, flags[i], 0);
      continue;
    }
    float echo[2] = {0, 0};
    const uint32_t effect = (uint32_t)frame + delay;
    frame += skip;
    bool match_over = false;
    for (uint32_t i = 0; i < agents; i++) {
      if (flags[i] & (MIDLANE_SLOT_TERMINATED | MIDLANE_SLOT_TRUNCATED)) {
        begin(i);
        flags[i] = MIDLANE_SLOT_FIRST;
        continue;
      }
      sides[i].action = sides[i].idle ? 0 : midlane_channel_slot(channel, i)->action[0];
      sides[i].effect = effect;
      echo[i] = (float)sides[i].action;
      flags[i] = ++sides[i].step >= (i ? length_right : length) ? MIDLANE_SLOT_TERMINATED : 0u;
      if (i == 0 && flags[i]) match_over = --episodes_left == 0;
    }
    for (uint32_t i = 0; match_over && i < agents; i++) {
      flags[i] &= ~(uint32_t)MIDLANE_SLOT_FIRST;
      flags[i] |= (flags[i] ? 0u : MIDLANE_SLOT_TRUNCATED) | MIDLANE_SLOT_MATCH_OVER;
    }
    for (uint32_t i = 0; i < agents; i++) observe(i, flags[i], echo[i]);
  }
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "--environment") == 0) {
    // What a test asks about its own launch.
    char cwd[4096];
    fprintf(stderr, "stack %p personality %x cwd %s home %s group %d\n", (void*)&argc,
            (unsigned)personality(0xffffffff), getcwd(cwd, sizeof(cwd)), getenv("HOME"),
            getpgrp() == getpid());
    return 0;
  }
  map_channel();
  read_settings();
  leave_seed();
  agents = number("agents", 2);
  atomic_store(&channel->game_pid, (uint32_t)getpid());
  if (faulty("silent")) pause();
  if (faulty("die_early")) {
    fprintf(stderr, "toy_game: cannot find my data\n");
    return 7;
  }
  if (faulty("wrong_abi")) {
    fail("the channel has ABI 1 and this shim ABI 99: use the shim that came with the launcher");
  }
  atomic_store(&channel->state, MIDLANE_STATE_ANNOUNCED);
  if (faulty("no_attach")) pause();
  declare();
  if (faulty("no_post")) pause();
  while (play() != MIDLANE_COMMAND_CLOSE) read_settings();
  atomic_store(&channel->state, MIDLANE_STATE_CLOSED);
  return 0;
}
