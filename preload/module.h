// module: the `midlane` module that an adapter receives (docs/adapter_api.md).
//
// Thread-safety: on the thread that owns L; two threads may be in different states at once, but
//   only one exchanges at a time. Errors are Lua errors in the adapter, with its file and line.
#ifndef MIDLANE_PRELOAD_MODULE_H_
#define MIDLANE_PRELOAD_MODULE_H_

#include <stdint.h>

#include "preload/lua_api.h"

#ifdef __cplusplus
extern "C" {
#endif

// The world's seed, as the description gives it.
void midlane_module_seed(uint64_t seed);

// [-0, +1, m] pushes the module for state number `state`; the adapter's environment stands at
// absolute index `environment`.
void midlane_module_push(lua_State* L, uint32_t state, int environment);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_MODULE_H_
