// executable: the file that the program was started from, mapped to look for symbols.
//
// Ownership: a map is the caller's until midlane_executable_unmap. Thread-safety: a value.
#ifndef MIDLANE_PRELOAD_EXECUTABLE_H_
#define MIDLANE_PRELOAD_EXECUTABLE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct midlane_executable {
  char path[4096];
  const unsigned char* image;
  size_t bytes;
  uint64_t bias;  // from an address in the file to the one in this process
};

// False where the file cannot be read.
bool midlane_executable_map(struct midlane_executable* executable);

void midlane_executable_unmap(struct midlane_executable* executable);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_EXECUTABLE_H_
