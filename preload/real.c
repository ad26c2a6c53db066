#define _GNU_SOURCE
#include "preload/real.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

typedef void* (*dlsym_function)(void*, const char*);

midlane_function midlane_dlsym_address(void) {
  static midlane_function real;
  static const char* const versions[] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17"};
  for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]) && !real; i++) {
    real = (midlane_function)dlvsym(RTLD_NEXT, "dlsym", versions[i]);
  }
  return real;
}

void* midlane_dlsym(void* handle, const char* name) {
  dlsym_function real = (dlsym_function)midlane_dlsym_address();
  return real ? real(handle, name) : NULL;
}

static const void* own_base(void) {
  static const void* base;
  Dl_info info;
  if (!base && dladdr((const void*)&midlane_real, &info)) base = info.dli_fbase;
  return base;
}

struct visit {
  midlane_object_visitor visitor;
  void* data;
  int index;
  bool done;
};

enum { kObjectsMax = 1024 };

struct object_list {
  const char* path[kObjectsMax];
  uintptr_t base[kObjectsMax];
  int count;
};

static int collect_object(struct dl_phdr_info* info, size_t size, void* data) {
  struct object_list* list = data;
  (void)size;
  if (list->count == kObjectsMax) return 1;
  list->path[list->count] = info->dlpi_name ? info->dlpi_name : "";
  list->base[list->count] = info->dlpi_addr;
  list->count++;
  return 0;
}

void midlane_visit_objects(midlane_object_visitor visit, void* data) {
  // Collected first: no dlopen under the loader's lock that dl_iterate_phdr holds.
  struct object_list list = {.count = 0};
  dl_iterate_phdr(collect_object, &list);
  for (int i = 0; i < list.count; i++) {
    if (i == 0) {
      if (visit("", NULL, data)) return;
      continue;
    }
    if ((const void*)list.base[i] == own_base() || list.path[i][0] != '/') continue;
    void* handle = dlopen(list.path[i], RTLD_NOLOAD | RTLD_LAZY);
    if (!handle) continue;
    bool done = visit(list.path[i], handle, data);
    dlclose(handle);
    if (done) return;
  }
}

midlane_function midlane_own_symbol(void* handle, const char* name) {
  if (!handle) return NULL;
  void* address = midlane_dlsym(handle, name);
  Dl_info info;
  struct link_map* map = NULL;
  struct link_map* owner = NULL;
  if (!address || !dladdr1(address, &info, (void**)&owner, RTLD_DL_LINKMAP)) return NULL;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map != owner) return NULL;
  return (midlane_function)address;
}

struct search {
  const char* name;
  midlane_function found;
};

static bool find_symbol(const char* path, void* handle, void* data) {
  (void)path;
  struct search* search = data;
  search->found = midlane_own_symbol(handle, search->name);
  return search->found != NULL;
}

midlane_function midlane_real(const char* name) {
  midlane_function next = (midlane_function)midlane_dlsym(RTLD_NEXT, name);
  if (next) return next;
  struct search search = {name, NULL};
  midlane_visit_objects(find_symbol, &search);
  return search.found;
}

// Among what the executable names as needed: first what each holds itself, then with its own
// dependencies, as the loader's breadth-first order has it. (dlsym on the executable itself would
// answer the shim's hooks.)
static midlane_function reached_from_executable(const struct link_map* map, const char* name) {
  const char* strings = NULL;
  for (const ElfW(Dyn)* entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
    if (entry->d_tag == DT_STRTAB) strings = (const char*)entry->d_un.d_ptr;
  }
  for (int deep = 0; deep < 2; deep++) {
    for (const ElfW(Dyn)* entry = map->l_ld; strings && entry->d_tag != DT_NULL; entry++) {
      if (entry->d_tag != DT_NEEDED) continue;
      void* handle = dlopen(strings + entry->d_un.d_val, RTLD_NOLOAD | RTLD_LAZY);
      if (!handle) continue;
      midlane_function found =
          deep ? (midlane_function)midlane_dlsym(handle, name) : midlane_own_symbol(handle, name);
      dlclose(handle);
      if (found) return found;
    }
  }
  return NULL;
}

midlane_function midlane_reached_from(const void* return_address, const char* name) {
  Dl_info info;
  struct link_map* map = NULL;
  if (!dladdr1(return_address, &info, (void**)&map, RTLD_DL_LINKMAP) || !map) return NULL;
  if (map->l_name[0] == '\0') return reached_from_executable(map, name);
  void* handle = dlopen(map->l_name, RTLD_NOLOAD | RTLD_LAZY);
  if (!handle) return NULL;
  midlane_function found = (midlane_function)midlane_dlsym(handle, name);
  dlclose(handle);
  return found;
}
