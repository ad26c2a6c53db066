// real: the next definition of a hooked function, past this library.
//
// Purpose: hooks forward with MIDLANE_REAL. RTLD_NEXT finds what the program links; what came later
//   by dlopen(RTLD_LOCAL) is looked for in every loaded object (docs/design: RTLD_NEXT is NULL
//   there).
// Thread-safety: any thread; two threads may resolve the same name, with the same answer.
// Errors: NULL where no object defines the name.
#ifndef MIDLANE_PRELOAD_REAL_H_
#define MIDLANE_PRELOAD_REAL_H_

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*midlane_function)(void);

// The definition that a caller would reach without this library.
midlane_function midlane_real(const char* name);

// dlsym itself (this library hooks dlsym), called and as an address.
void* midlane_dlsym(void* handle, const char* name);
midlane_function midlane_dlsym_address(void);

// A loaded object other than this library and the vDSO; `path` is "" for the executable.
typedef bool (*midlane_object_visitor)(const char* path, void* handle, void* data);

// Visits loaded objects in load order until `visit` answers true. The handle is valid during the
// visit. The executable comes with handle NULL: its own symbols cannot be told from ours by dlsym.
void midlane_visit_objects(midlane_object_visitor visit, void* data);

// The function `name` that the object itself defines (not one of its dependencies), or NULL.
midlane_function midlane_own_symbol(void* handle, const char* name);

// The definition that the object around `return_address` or its dependencies hold, or NULL.
midlane_function midlane_reached_from(const void* return_address, const char* name);

// In a hook: a static pointer `real`, resolved on first use.
#define MIDLANE_REAL(name, type)                                                             \
  static __typeof__(type) real_##name;                                                       \
  if (__builtin_expect(real_##name == NULL, 0)) {                                            \
    __atomic_store_n(&real_##name, (__typeof__(type))midlane_real(#name), __ATOMIC_RELAXED); \
  }

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_REAL_H_
