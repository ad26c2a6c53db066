#include "preload/shared.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { kSlots = 1024 };  // a power of two, twice the keys: open addressing stays short

struct item {
  char* key;  // NULL: never used. A cleared item keeps its key, so that probing goes past it.
  size_t key_bytes;
  enum midlane_shared_kind kind;
  double number;
  char* text;
  size_t bytes;
};

static struct item items[kSlots];
static int keys;
static atomic_flag busy = ATOMIC_FLAG_INIT;

static void lock(void) {
  while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire)) sched_yield();
}

static void unlock(void) { atomic_flag_clear_explicit(&busy, memory_order_release); }

static uint32_t hash_of(const char* key, size_t bytes) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < bytes; i++) hash = (hash ^ (unsigned char)key[i]) * 16777619u;
  return hash;
}

// The key's item, or the free one where it belongs.
static struct item* place_of(const char* key, size_t key_bytes) {
  uint32_t at = hash_of(key, key_bytes);
  for (;; at++) {
    struct item* item = &items[at % kSlots];
    if (!item->key) return item;
    if (item->key_bytes == key_bytes && memcmp(item->key, key, key_bytes) == 0) return item;
  }
}

enum midlane_shared_kind midlane_shared_get(const char* key, size_t key_bytes, double* number,
                                            char* text, size_t text_bytes, size_t* bytes) {
  lock();
  const struct item* item = place_of(key, key_bytes);
  enum midlane_shared_kind kind = item->key ? item->kind : MIDLANE_SHARED_NONE;
  if (kind == MIDLANE_SHARED_NUMBER) *number = item->number;
  if (kind == MIDLANE_SHARED_STRING) {
    *bytes = item->bytes < text_bytes ? item->bytes : text_bytes;
    memcpy(text, item->text, *bytes);
  }
  unlock();
  return kind;
}

// Under the lock: the item to write, made where there is none; NULL where the store is full.
static struct item* writable(const char* key, size_t key_bytes) {
  struct item* item = place_of(key, key_bytes);
  if (item->key) return item;
  if (keys == MIDLANE_SHARED_KEYS_MAX || key_bytes > MIDLANE_SHARED_BYTES_MAX) return NULL;
  item->key = malloc(key_bytes + 1);
  if (!item->key) return NULL;
  memcpy(item->key, key, key_bytes);
  item->key_bytes = key_bytes;
  keys++;
  return item;
}

bool midlane_shared_set_number(const char* key, size_t key_bytes, double number) {
  lock();
  struct item* item = writable(key, key_bytes);
  if (item) {
    item->kind = MIDLANE_SHARED_NUMBER;
    item->number = number;
  }
  unlock();
  return item != NULL;
}

bool midlane_shared_set_string(const char* key, size_t key_bytes, const char* text, size_t bytes) {
  if (bytes > MIDLANE_SHARED_BYTES_MAX) return false;
  char* copy = malloc(bytes + 1);
  if (!copy) return false;
  memcpy(copy, text, bytes);
  lock();
  struct item* item = writable(key, key_bytes);
  if (item) {
    char* old = item->text;
    item->kind = MIDLANE_SHARED_STRING;
    item->text = copy;
    item->bytes = bytes;
    copy = old;
  }
  unlock();
  free(copy);
  return item != NULL;
}

void midlane_shared_clear(const char* key, size_t key_bytes) {
  lock();
  struct item* item = place_of(key, key_bytes);
  if (item->key) item->kind = MIDLANE_SHARED_NONE;
  unlock();
}
