// The shim's entry and exit, apart from the core so that tests can link the core.
#include "preload/attach.h"

__attribute__((constructor)) static void on_load(void) { midlane_attach(); }

__attribute__((destructor)) static void on_unload(void) { midlane_leave(); }
