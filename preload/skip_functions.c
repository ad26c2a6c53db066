#include "preload/skip_functions.h"

#include <stdio.h>
#include <string.h>

#include "preload/detour.h"
#include "preload/elf_symbols.h"
#include "preload/executable.h"

// Returns 0, also through an indirect call.
#if defined(__x86_64__)
static const uint8_t return_zero[] = {0xF3, 0x0F, 0x1E, 0xFA, 0x31, 0xC0, 0xC3};
#elif defined(__aarch64__)
static const uint8_t return_zero[] = {0x5F, 0x24, 0x03, 0xD5, 0x00, 0x00,
                                      0x80, 0xD2, 0xC0, 0x03, 0x5F, 0xD6};
#else
#error "midlane_preload knows x86-64 and ARM64 only"
#endif

struct search {
  const struct midlane_description* description;
  uint64_t bias;
  bool done[MIDLANE_SKIP_FUNCTIONS_MAX];
};

static bool wanted(const struct midlane_description* description, int i) {
  return description->render_every == 0 || description->skip_function[i].always;
}

static void skip_if_named(const char* name, uint64_t value, uint64_t size, void* data) {
  struct search* search = data;
  if (value == 0 || size < sizeof(return_zero)) return;
  for (int i = 0; i < search->description->skip_functions; i++) {
    if (search->done[i] || !wanted(search->description, i)) continue;
    if (strcmp(search->description->skip_function[i].name, name) != 0) continue;
    search->done[i] = midlane_code_overwrite((void*)(uintptr_t)(value + search->bias), return_zero,
                                             sizeof(return_zero));
  }
}

void midlane_skip_functions(const struct midlane_description* description, char* missing,
                            size_t missing_bytes) {
  struct search search = {.description = description};
  struct midlane_executable executable;
  missing[0] = '\0';
  if (description->skip_functions == 0) return;
  if (midlane_executable_map(&executable)) {
    search.bias = executable.bias;
    midlane_elf_visit(executable.image, executable.bytes, skip_if_named, &search);
    midlane_executable_unmap(&executable);
  }
  for (int i = 0; i < description->skip_functions; i++) {
    if (search.done[i] || !wanted(description, i)) continue;
    size_t used = strlen(missing);
    snprintf(missing + used, missing_bytes - used, "%s%s", used ? ", " : "",
             description->skip_function[i].name);
  }
}
