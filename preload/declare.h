// declare: reads the table of midlane.declare into a midlane_spec.
//
// Thread-safety: on the thread that owns L. Errors: false with one sentence naming the field.
#ifndef MIDLANE_PRELOAD_DECLARE_H_
#define MIDLANE_PRELOAD_DECLARE_H_

#include <stdbool.h>
#include <stddef.h>

#include "bridge/channel.h"
#include "preload/lua_api.h"

#ifdef __cplusplus
extern "C" {
#endif

// [-0, +0, m] the table stands at absolute index `table`.
bool midlane_declare_read(lua_State* L, int table, struct midlane_spec* spec, char* error,
                          size_t error_bytes);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_DECLARE_H_
