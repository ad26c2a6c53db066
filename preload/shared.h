// shared: midlane.shared, a small store common to all Lua states of the process.
//
// Thread-safety: any thread. Ownership: keys and strings are copied.
// Limits: MIDLANE_SHARED_KEYS_MAX keys; keys and strings up to MIDLANE_SHARED_BYTES_MAX bytes.
#ifndef MIDLANE_PRELOAD_SHARED_H_
#define MIDLANE_PRELOAD_SHARED_H_

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MIDLANE_SHARED_KEYS_MAX = 512, MIDLANE_SHARED_BYTES_MAX = 4096 };

enum midlane_shared_kind { MIDLANE_SHARED_NONE, MIDLANE_SHARED_NUMBER, MIDLANE_SHARED_STRING };

// Reads a key. For a string at most `text_bytes` are copied into `text` and *bytes is its length.
enum midlane_shared_kind midlane_shared_get(const char* key, size_t key_bytes, double* number,
                                            char* text, size_t text_bytes, size_t* bytes);

// False where the store or the value is too large.
bool midlane_shared_set_number(const char* key, size_t key_bytes, double number);
bool midlane_shared_set_string(const char* key, size_t key_bytes, const char* text, size_t bytes);
void midlane_shared_clear(const char* key, size_t key_bytes);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_SHARED_H_
