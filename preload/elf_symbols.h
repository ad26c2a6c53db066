// elf_symbols: function symbols of the executable's file, exported or only in .symtab.
//
// Purpose: finds what the executable holds of Lua, and functions of its own that are skipped.
// Thread-safety: none; before the program's
//   threads. Errors: a file that is no well-formed ELF yields no symbols.
#ifndef MIDLANE_PRELOAD_ELF_SYMBOLS_H_
#define MIDLANE_PRELOAD_ELF_SYMBOLS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// `value` is the symbol's address in the file, before relocation, `size` the function's bytes.
typedef void (*midlane_symbol_visitor)(const char* name, uint64_t value, uint64_t size, void* data);

// Visits the defined function symbols of an ELF image of `bytes` bytes. False where it is none.
bool midlane_elf_visit(const unsigned char* image, size_t bytes, midlane_symbol_visitor visit,
                       void* data);

// Looks for `text` in the read-only parts of the image.
bool midlane_elf_mentions(const unsigned char* image, size_t bytes, const char* text);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // MIDLANE_PRELOAD_ELF_SYMBOLS_H_
