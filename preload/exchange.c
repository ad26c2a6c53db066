#define _GNU_SOURCE
#include "preload/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <linux/futex.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "preload/clock.h"
#include "preload/kernel.h"

struct midlane_exchange midlane_exchange;
static struct midlane_spec own_spec;
static unsigned long long host_start_time;
static bool host_is_parent;
static atomic_flag busy = ATOMIC_FLAG_INIT;

static long futex(void* word, int operation, uint32_t value, const struct timespec* timeout) {
  return midlane_syscall(SYS_futex, (long)word, operation, (long)value, (long)timeout, 0, 0);
}

static inline void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// State letter and start time of a process; false where there is no such process (or no /proc).
static bool process_stat(uint32_t pid, char* state, unsigned long long* start_time) {
  char path[64];
  char text[1024];
  snprintf(path, sizeof(path), "/proc/%u/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, sizeof(text) - 1);
  close(fd);
  if (length <= 0) return false;
  text[length] = '\0';
  const char* after_name = strrchr(text, ')');
  if (!after_name || after_name[1] == '\0') return false;
  *state = after_name[2];
  // Field 22 is the start time; the state is field 3.
  const char* at = after_name + 2;
  for (int field = 3; field < 22 && at; field++) at = strchr(at + 1, ' ');
  if (!at) return false;
  *start_time = strtoull(at, NULL, 10);
  return true;
}

bool midlane_exchange_host_alive(void) {
  uint32_t pid = midlane_exchange.channel->host_pid;
  if (host_is_parent && (uint32_t)getppid() != pid) return false;
  char state = 0;
  unsigned long long start_time = 0;
  if (process_stat(pid, &state, &start_time)) {
    return state != 'Z' && state != 'X' && (host_start_time == 0 || start_time == host_start_time);
  }
  return midlane_syscall(SYS_kill, pid, 0, 0, 0, 0, 0) != -ESRCH;
}

static bool mapped(void* address) { return address != MAP_FAILED; }

bool midlane_exchange_check_header(const struct midlane_channel* channel, uint64_t file_bytes,
                                   char* error, size_t error_bytes) {
  if (channel->magic != MIDLANE_CHANNEL_MAGIC) {
    snprintf(error, error_bytes, MIDLANE_ENV_CHANNEL_FD " is no Midlane channel (wrong magic)");
    return false;
  }
  if (channel->abi != MIDLANE_CHANNEL_ABI ||
      channel->header_bytes != sizeof(struct midlane_channel)) {
    snprintf(error, error_bytes,
             "the channel has ABI %u and this shim ABI %u: use the libmidlane_preload.so that "
             "came with the launcher",
             channel->abi, MIDLANE_CHANNEL_ABI);
    return false;
  }
  uint64_t total = channel->total_bytes;
  uint64_t slots_end =
      (uint64_t)channel->slots_offset + (uint64_t)channel->slots * channel->slot_capacity;
  if (total > file_bytes || slots_end > total || channel->slots > MIDLANE_AGENTS_MAX ||
      (uint64_t)channel->description_offset + channel->description_bytes > total ||
      (uint64_t)channel->settings_offset + channel->settings_capacity > total ||
      (uint64_t)channel->spec_offset + sizeof(struct midlane_spec) > total ||
      channel->slots_offset % MIDLANE_ALIGN != 0 || channel->slot_capacity % MIDLANE_ALIGN != 0 ||
      channel->spec_offset % MIDLANE_ALIGN != 0 ||
      channel->slot_capacity < midlane_slot_header_bytes()) {
    snprintf(error, error_bytes, "the channel's header names parts outside its %llu bytes",
             (unsigned long long)file_bytes);
    return false;
  }
  return true;
}

bool midlane_exchange_open(int channel_fd, int doorbell_fd, char* error, size_t error_bytes) {
  struct stat file;
  if (fstat(channel_fd, &file) != 0 || file.st_size < (off_t)sizeof(struct midlane_channel)) {
    snprintf(error, error_bytes,
             MIDLANE_ENV_CHANNEL_FD
             "=%d is not an open channel: a wrapper may have closed the "
             "descriptor",
             channel_fd);
    return false;
  }
  void* memory =
      mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, channel_fd, 0);
  if (!mapped(memory)) {
    snprintf(error, error_bytes, "the channel cannot be mapped: %s", strerror(errno));
    return false;
  }
  if (!midlane_exchange_check_header(memory, (uint64_t)file.st_size, error, error_bytes)) {
    munmap(memory, (size_t)file.st_size);
    return false;
  }
  if (doorbell_fd >= 0) {
    void* bell = mmap(NULL, sizeof(struct midlane_doorbell), PROT_READ | PROT_WRITE, MAP_SHARED,
                      doorbell_fd, 0);
    if (!mapped(bell) || ((struct midlane_doorbell*)bell)->magic != MIDLANE_DOORBELL_MAGIC) {
      if (mapped(bell)) munmap(bell, sizeof(struct midlane_doorbell));
      munmap(memory, (size_t)file.st_size);
      snprintf(error, error_bytes, MIDLANE_ENV_DOORBELL_FD "=%d is not an open doorbell",
               doorbell_fd);
      return false;
    }
    midlane_exchange.doorbell = bell;
  }
  midlane_exchange.channel = memory;
  char state = 0;
  host_is_parent = (uint32_t)getppid() == midlane_exchange.channel->host_pid;
  if (!process_stat(midlane_exchange.channel->host_pid, &state, &host_start_time)) {
    host_start_time = 0;
  }
  return true;
}

bool midlane_exchange_declare(const struct midlane_spec* spec, char* error, size_t error_bytes) {
  struct midlane_channel* channel = midlane_exchange.channel;
  uint64_t slot_bytes = (uint64_t)midlane_slot_header_bytes() + spec->observation_bytes;
  if (spec->agents > channel->slots || slot_bytes > channel->slot_capacity) {
    snprintf(error, error_bytes,
             "the adapter declares %u agents of %llu bytes each, the channel has room for %u of %u",
             spec->agents, (unsigned long long)slot_bytes, channel->slots, channel->slot_capacity);
    return false;
  }
  own_spec = *spec;
  midlane_exchange.spec = &own_spec;
  // A game may fork: the process that declares first is the one that plays.
  bool taken = atomic_load(&channel->state) == MIDLANE_STATE_ATTACHED;
  midlane_exchange.detached = midlane_exchange.detached || taken;
  if (!midlane_exchange.detached) *midlane_channel_spec(channel) = own_spec;
  for (uint32_t agent = 0; agent < spec->agents; agent++) {
    midlane_exchange.slot[agent] = midlane_channel_slot(channel, agent);
    midlane_exchange.observation[agent] = midlane_slot_observation(midlane_exchange.slot[agent]);
  }
  if (midlane_exchange.detached) return true;
  atomic_store(&channel->game_pid, (uint32_t)getpid());
  midlane_exchange_state(MIDLANE_STATE_ATTACHED, NULL);
  return true;
}

void midlane_exchange_mark(uint32_t agent, uint32_t flags) {
  midlane_exchange.posted[agent] = flags | MIDLANE_SLOT_ACTIVE;
}

// Whether one is no finite number within the bounds; NaN compares false with everything.
static bool any_bad_f32(const float* values, uint32_t count, float low, float high) {
  if (low < -FLT_MAX) low = -FLT_MAX;
  if (high > FLT_MAX) high = FLT_MAX;
  bool bad = false;
  for (uint32_t i = 0; i < count; i++) bad |= !((values[i] >= low) & (values[i] <= high));
  return bad;
}

static double element_of(const struct midlane_tensor_spec* tensor, const void* values, uint32_t i) {
  switch (tensor->dtype) {
    case MIDLANE_DTYPE_F32:
      return ((const float*)values)[i];
    case MIDLANE_DTYPE_I32:
      return ((const int32_t*)values)[i];
    default:
      return ((const uint8_t*)values)[i];
  }
}

static bool is_bad(const struct midlane_tensor_spec* tensor, double value) {
  return !isfinite(value) || value < (double)tensor->minimum || value > (double)tensor->maximum;
}

static bool holds_bad(const struct midlane_tensor_spec* tensor, const void* values,
                      uint32_t count) {
  if (tensor->dtype == MIDLANE_DTYPE_F32) {
    return any_bad_f32(values, count, tensor->minimum, tensor->maximum);
  }
  if (isinf(tensor->minimum) && isinf(tensor->maximum)) return false;
  for (uint32_t i = 0; i < count; i++) {
    if (is_bad(tensor, element_of(tensor, values, i))) return true;
  }
  return false;
}

static uint32_t elements_of(const struct midlane_tensor_spec* tensor) {
  uint32_t elements = 1;
  for (uint32_t i = 0; i < tensor->rank; i++) elements *= tensor->shape[i];
  return elements;
}

bool midlane_exchange_check(char* error, size_t error_bytes) {
  const struct midlane_spec* spec = midlane_exchange.spec;
  for (uint32_t agent = 0; agent < spec->agents; agent++) {
    if (!midlane_exchange.posted[agent]) continue;
    for (uint32_t t = 0; t < spec->tensors; t++) {
      const struct midlane_tensor_spec* tensor = &spec->tensor[t];
      const void* values = midlane_exchange.observation[agent] + tensor->offset;
      uint32_t count = elements_of(tensor);
      if (!holds_bad(tensor, values, count)) continue;
      uint32_t bad = 0;
      while (bad + 1 < count && !is_bad(tensor, element_of(tensor, values, bad))) bad++;
      double value = element_of(tensor, values, bad);
      if (isfinite(value)) {
        snprintf(error, error_bytes,
                 "observation \"%s\" of agent \"%s\" is %g at element %u, and its spec says %g to "
                 "%g: declare wider bounds (min, max) or cut the value to them",
                 tensor->name, spec->agent[agent].text, value, bad + 1, (double)tensor->minimum,
                 (double)tensor->maximum);
      } else {
        snprintf(error, error_bytes,
                 "observation \"%s\" of agent \"%s\" is %s at element %u: the adapter must send "
                 "finite numbers",
                 tensor->name, spec->agent[agent].text, isnan(value) ? "NaN" : "infinite", bad + 1);
      }
      return false;
    }
  }
  return true;
}

static void write_slots(uint64_t frame) {
  const struct midlane_spec* spec = midlane_exchange.spec;
  for (uint32_t agent = 0; agent < spec->agents; agent++) {
    struct midlane_slot* slot = midlane_exchange.slot[agent];
    uint32_t flags = midlane_exchange.posted[agent];
    slot->flags = flags;
    if (!flags) continue;
    midlane_exchange.posted[agent] = 0;
    if (flags & MIDLANE_SLOT_FIRST) {
      midlane_exchange.episode[agent]++;
      memset(midlane_exchange.reward[agent], 0, sizeof(midlane_exchange.reward[agent]));
      midlane_exchange.effect_frame[agent] = 0;
    }
    slot->observed_frame = frame;
    slot->effect_frame = midlane_exchange.effect_frame[agent];
    slot->episode = midlane_exchange.episode[agent];
    for (uint32_t i = 0; i < spec->terms; i++) {
      slot->reward[i] = midlane_exchange.reward[agent][i];
      midlane_exchange.reward[agent][i] = 0;
    }
    for (uint32_t i = 0; i < spec->metrics; i++) {
      slot->metric[i] = midlane_exchange.metric[agent][i];
    }
    midlane_exchange.effect_frame[agent] = 0;
  }
}

void midlane_exchange_ring(void) {
  struct midlane_doorbell* bell = midlane_exchange.doorbell;
  if (!bell) {
    futex(&midlane_exchange.channel->game_seq, FUTEX_WAKE, INT32_MAX, NULL);
    return;
  }
  uint32_t rings = atomic_fetch_add(&bell->rings, 1) + 1;
  if (atomic_load(&bell->asleep) && (int32_t)(rings - atomic_load(&bell->wake_at)) >= 0) {
    futex(&bell->rings, FUTEX_WAKE, INT32_MAX, NULL);
  }
}

// Sleeps until host_seq reaches `seq`; `deadline_ns` in real time, 0: none.
static enum midlane_outcome wait_answer(uint32_t seq) {
  struct midlane_channel* channel = midlane_exchange.channel;
  for (uint32_t i = 0; i < channel->spin; i++) {
    if (atomic_load_explicit(&channel->host_seq, memory_order_acquire) == seq) {
      return MIDLANE_OUTCOME_STEP;
    }
    pause_briefly();
  }
  const struct timespec slice = {MIDLANE_WAIT_SLICE_MS / 1000,
                                 (MIDLANE_WAIT_SLICE_MS % 1000) * 1000000L};
  uint64_t deadline_ns = 0;
  enum midlane_outcome outcome = MIDLANE_OUTCOME_STEP;
  atomic_store(&channel->game_asleep, 1);
  for (;;) {
    uint32_t answered = atomic_load(&channel->host_seq);
    if (answered == seq) break;
    long result = futex(&channel->host_seq, FUTEX_WAIT, answered, &slice);
    if (result != -ETIMEDOUT) continue;
    if (atomic_load(&channel->host_seq) == seq) break;
    uint64_t now = midlane_real_now_ns();
    if (deadline_ns == 0) {
      deadline_ns = now + ((uint64_t)channel->wait_limit_ms - MIDLANE_WAIT_SLICE_MS) * 1000000ULL;
      if (channel->wait_limit_ms < MIDLANE_WAIT_SLICE_MS) deadline_ns = now;
    }
    if (!midlane_exchange_host_alive()) {
      outcome = MIDLANE_OUTCOME_HOST_GONE;
      break;
    }
    if (channel->wait_limit_ms != 0 && now >= deadline_ns) {
      outcome = MIDLANE_OUTCOME_HOST_SILENT;
      break;
    }
  }
  atomic_store(&channel->game_asleep, 0);
  return outcome;
}

static enum midlane_outcome answered(struct midlane_channel* channel) {
  if (atomic_load_explicit(&channel->wants_close, memory_order_relaxed)) {
    return MIDLANE_OUTCOME_CLOSE;
  }
  switch (atomic_load_explicit(&channel->command, memory_order_relaxed)) {
    case MIDLANE_COMMAND_STEP:
      return MIDLANE_OUTCOME_STEP;
    case MIDLANE_COMMAND_RESET:
      return MIDLANE_OUTCOME_RESET;
    default:
      return MIDLANE_OUTCOME_CLOSE;
  }
}

enum midlane_outcome midlane_exchange_post(uint64_t frame) {
  struct midlane_channel* channel = midlane_exchange.channel;
  if (atomic_load_explicit(&channel->wants_close, memory_order_relaxed)) {
    return MIDLANE_OUTCOME_CLOSE;
  }
  while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire)) pause_briefly();
  write_slots(frame);
  channel->frames = frame;
  channel->virtual_ns = midlane_clock_peek();
  uint32_t seq = atomic_load_explicit(&channel->game_seq, memory_order_relaxed) + 1;
  atomic_store(&channel->game_seq, seq);
  midlane_exchange_ring();
  midlane_clock_hold(true);
  enum midlane_outcome outcome = wait_answer(seq);
  midlane_clock_hold(false);
  atomic_flag_clear_explicit(&busy, memory_order_release);
  return outcome == MIDLANE_OUTCOME_STEP ? answered(channel) : outcome;
}

void midlane_exchange_state(enum midlane_state state, const char* message) {
  struct midlane_channel* channel = midlane_exchange.channel;
  if (message) snprintf(channel->error, sizeof(channel->error), "%s", message);
  atomic_store(&channel->state, (uint32_t)state);
  futex(&channel->state, FUTEX_WAKE, INT32_MAX, NULL);
}
