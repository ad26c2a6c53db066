#include "preload/announce.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "preload/fail.h"
#include "preload/lua_api.h"

static struct midlane_announcement own;
struct midlane_announcement* midlane_announcement = &own;
uint32_t midlane_hooks_reached;

static const char* const hook_names[MIDLANE_HOOK_COUNT] = {
#define MIDLANE_HOOK_NAME(name) #name,
    MIDLANE_HOOKS(MIDLANE_HOOK_NAME)
#undef MIDLANE_HOOK_NAME
};

void midlane_announce_begin(struct midlane_announcement* where, const char* executable) {
  if (where) midlane_announcement = where;
  snprintf(midlane_announcement->executable, sizeof(midlane_announcement->executable), "%s",
           executable);
}

void midlane_announce_lua(void) {
  struct midlane_announcement* a = midlane_announcement;
  if (midlane_lua.dialect == MIDLANE_LUA_NONE) return;
  snprintf(a->library, sizeof(a->library), "%s", midlane_lua.library);
  snprintf(a->linkage, sizeof(a->linkage), "%s",
           midlane_lua.linked_in ? "static"
           : midlane_lua.plugin  ? "plugin"
                                 : "shared");
  snprintf(a->dialect, sizeof(a->dialect), "%s", midlane_lua_dialect_name(midlane_lua.dialect));
}

void midlane_announce_report(void) {
  const struct midlane_announcement* a = midlane_announcement;
  char hooks[512] = "";
  for (int i = 0; i < MIDLANE_HOOK_COUNT; i++) {
    if (!(midlane_hooks_reached & (1u << i))) continue;
    size_t used = strlen(hooks);
    snprintf(hooks + used, sizeof(hooks) - used, " %s", hook_names[i]);
  }
  if (a->dialect[0] == '\0') {
    midlane_say("%s (pid %d): no Lua seen", a->executable, (int)getpid());
    return;
  }
  if (a->states == 0 && hooks[0] == '\0') {
    midlane_say("%s (pid %d): Lua %s, %s, %s; nothing opened yet", a->executable, (int)getpid(),
                a->dialect, a->linkage, a->library);
    return;
  }
  midlane_say("%s (pid %d): Lua %s, %s, %s; %u states, %u chunks; hooks reached:%s", a->executable,
              (int)getpid(), a->dialect, a->linkage, a->library, a->states, a->chunks,
              hooks[0] ? hooks : " none");
}
