#define _GNU_SOURCE
#include "preload/detour.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool midlane_code_overwrite(void* target, const uint8_t* bytes, size_t count) {
  const uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t first = (uintptr_t)target & ~(page_bytes - 1);
  uintptr_t last = ((uintptr_t)target + count - 1) & ~(page_bytes - 1);
  size_t span = last - first + page_bytes;
  if (mprotect((void*)first, span, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return false;
  memcpy(target, bytes, count);
  mprotect((void*)first, span, PROT_READ | PROT_EXEC);
  __builtin___clear_cache((char*)target, (char*)target + count);
  return true;
}

#if defined(__x86_64__)

enum {
  kJumpBytes = 5,      // jmp rel32
  kFarJumpBytes = 14,  // jmp *[rip]; address
  kPageBytes = 4096,
  kEntryBytes = 128,  // of one detour in the page: copied instructions, then the way to the hook
  kNearMaximum = 1 << 30,
};

// How an instruction is made up; what is not listed is unknown.
struct shape {
  bool known;
  bool modrm;
  uint8_t immediate_bytes;
  uint8_t relative_bytes;  // a branch
  bool ends;
};

static struct shape shape_of_two_byte(uint8_t opcode) {
  struct shape s = {false, true, 0, 0, false};
  if (opcode >= 0x80 && opcode <= 0x8F) {  // jcc rel32
    s = (struct shape){true, false, 0, 4, false};
  } else if ((opcode >= 0x40 && opcode <= 0x4F) || (opcode >= 0x90 && opcode <= 0x9F)) {
    s.known = true;  // cmovcc, setcc
  } else {
    switch (opcode) {
      case 0x10:
      case 0x11:
      case 0x1E:  // endbr64, nop
      case 0x1F:  // nop
      case 0x28:
      case 0x29:
      case 0x2A:
      case 0x2C:
      case 0x2E:
      case 0x2F:
      case 0x57:
      case 0x58:
      case 0x59:
      case 0x5C:
      case 0x5E:
      case 0x6E:
      case 0x6F:
      case 0x7E:
      case 0x7F:
      case 0xAF:
      case 0xB6:
      case 0xB7:
      case 0xBE:
      case 0xBF:
      case 0xD6:
      case 0xEF:
        s.known = true;
        break;
      default:
        break;
    }
  }
  return s;
}

static struct shape shape_of(uint8_t opcode, uint8_t next, bool wide, bool short_operand) {
  struct shape s = {true, false, 0, 0, false};
  uint8_t immediate = short_operand ? 2 : 4;
  if (opcode < 0x40 && (opcode & 7) < 4) {  // add or adc sbb and sub xor cmp
    s.modrm = true;
  } else if (opcode < 0x40 && (opcode & 7) == 4) {
    s.immediate_bytes = 1;
  } else if (opcode < 0x40 && (opcode & 7) == 5) {
    s.immediate_bytes = immediate;
  } else if (opcode >= 0x50 && opcode <= 0x5F) {  // push, pop
  } else if (opcode >= 0x70 && opcode <= 0x7F) {  // jcc rel8
    s.relative_bytes = 1;
  } else if (opcode >= 0x84 && opcode <= 0x8B) {  // test xchg mov
    s.modrm = true;
  } else if (opcode >= 0xB0 && opcode <= 0xB7) {
    s.immediate_bytes = 1;
  } else if (opcode >= 0xB8 && opcode <= 0xBF) {
    s.immediate_bytes = wide ? 8 : immediate;
  } else {
    switch (opcode) {
      case 0x63:  // movsxd
      case 0x8D:  // lea
      case 0xD1:
      case 0xD3:
        s.modrm = true;
        break;
      case 0x68:
        s.immediate_bytes = 4;
        break;
      case 0x6A:
        s.immediate_bytes = 1;
        break;
      case 0x69:
      case 0x81:
      case 0xC7:
        s.modrm = true;
        s.immediate_bytes = immediate;
        break;
      case 0x6B:
      case 0x80:
      case 0x83:
      case 0xC0:
      case 0xC1:
      case 0xC6:
        s.modrm = true;
        s.immediate_bytes = 1;
        break;
      case 0x90:
        break;
      case 0xE8:
        s.relative_bytes = 4;
        break;
      case 0xE9:
        s.relative_bytes = 4;
        s.ends = true;
        break;
      case 0xEB:
        s.relative_bytes = 1;
        s.ends = true;
        break;
      case 0xF6:  // test has an immediate, the others none
        s.modrm = true;
        s.immediate_bytes = (next & 0x38) <= 0x08 ? 1 : 0;
        break;
      case 0xF7:
        s.modrm = true;
        s.immediate_bytes = (next & 0x38) <= 0x08 ? immediate : 0;
        break;
      case 0xFF:  // inc, dec, push; not calls and jumps
        s.modrm = true;
        s.known = (next & 0x38) <= 0x08 || (next & 0x38) == 0x30;
        break;
      default:
        s.known = false;
        break;
    }
  }
  return s;
}

struct instruction {
  size_t length;
  size_t opcode_at;
  size_t relative_at;  // of a branch's or a rip-relative operand's displacement; 0: none
  uint8_t relative_bytes;
  bool branch;
  bool ends;
};

static bool decode(const uint8_t* code, struct instruction* out) {
  size_t at = 0;
  bool short_operand = false;
  bool wide = false;
  memset(out, 0, sizeof(*out));
  while (code[at] == 0x66 || code[at] == 0xF2 || code[at] == 0xF3) {
    short_operand = short_operand || code[at] == 0x66;
    if (++at > 3) return false;
  }
  if ((code[at] & 0xF0) == 0x40) wide = (code[at++] & 8) != 0;
  out->opcode_at = at;
  struct shape shape;
  if (code[at] == 0x0F) {
    shape = shape_of_two_byte(code[at + 1]);
    at += 2;
  } else {
    shape = shape_of(code[at], code[at + 1], wide, short_operand);
    at += 1;
  }
  if (!shape.known) return false;
  if (shape.modrm) {
    uint8_t mode = code[at] >> 6;
    uint8_t rm = code[at] & 7;
    at++;
    bool sib_without_base = false;
    if (mode != 3 && rm == 4) {
      sib_without_base = mode == 0 && (code[at] & 7) == 5;
      at++;
    }
    if (mode == 0 && rm == 5) {
      out->relative_at = at;
      out->relative_bytes = 4;
      at += 4;
    } else if (mode == 2 || sib_without_base) {
      at += 4;
    } else if (mode == 1) {
      at += 1;
    }
  }
  if (shape.relative_bytes) {
    out->relative_at = at;
    out->relative_bytes = shape.relative_bytes;
    out->branch = true;
  }
  out->ends = shape.ends;
  out->length = at + shape.immediate_bytes + shape.relative_bytes;
  return true;
}

static int64_t displacement_of(const uint8_t* code, const struct instruction* i) {
  if (i->relative_bytes == 1) return (int8_t)code[i->relative_at];
  int32_t value;
  memcpy(&value, code + i->relative_at, sizeof(value));
  return value;
}

static bool put_displacement(uint8_t* at, int64_t value) {
  if (value < INT32_MIN || value > INT32_MAX) return false;
  int32_t narrow = (int32_t)value;
  memcpy(at, &narrow, sizeof(narrow));
  return true;
}

// Writes one instruction for another place; its new length, or 0.
static size_t move(const uint8_t* code, const struct instruction* i, uint8_t* to,
                   uint64_t to_address) {
  if (i->relative_at == 0) {
    memcpy(to, code, i->length);
    return i->length;
  }
  int64_t target = (int64_t)(uintptr_t)code + (int64_t)i->length + displacement_of(code, i);
  size_t length = i->length;
  size_t relative_at = i->relative_at;
  memcpy(to, code, length);
  if (i->branch && i->relative_bytes == 1) {
    // The short forms become long ones.
    uint8_t opcode = code[i->opcode_at];
    if (i->opcode_at != 0) return 0;
    if (opcode == 0xEB) {
      to[0] = 0xE9;
      relative_at = 1;
    } else {
      to[0] = 0x0F;
      to[1] = (uint8_t)(opcode + 0x10);
      relative_at = 2;
    }
    length = relative_at + 4;
  }
  int64_t displacement = target - (int64_t)(to_address + length);
  return put_displacement(to + relative_at, displacement) ? length : 0;
}

size_t midlane_detour_copy(const uint8_t* from, uint8_t* to, uint64_t to_address, size_t wanted,
                           size_t* covered, bool* ends) {
  size_t written = 0;
  *covered = 0;
  *ends = false;
  while (*covered < wanted) {
    struct instruction instruction;
    if (*ends || !decode(from + *covered, &instruction)) return 0;
    if (written + instruction.length + 4 > MIDLANE_DETOUR_COPY_BYTES) return 0;
    if (instruction.branch && instruction.relative_bytes) {
      // A branch back into what is overwritten cannot be moved.
      int64_t target = (int64_t)*covered + (int64_t)instruction.length +
                       displacement_of(from + *covered, &instruction);
      if (target > 0 && target < (int64_t)wanted) return 0;
    }
    size_t length = move(from + *covered, &instruction, to + written, to_address + written);
    if (length == 0) return 0;
    written += length;
    *covered += instruction.length;
    *ends = instruction.ends;
  }
  return written;
}

static void put_far_jump(uint8_t* at, uint64_t target) {
  static const uint8_t jump[6] = {0xFF, 0x25, 0, 0, 0, 0};
  memcpy(at, jump, sizeof(jump));
  memcpy(at + sizeof(jump), &target, sizeof(target));
}

static uint8_t* page;
static size_t page_used;

// A place of kEntryBytes that a rel32 from `near` reaches.
static uint8_t* entry_near(uint64_t near) {
  uint64_t distance = (uint64_t)(uintptr_t)page > near ? (uint64_t)(uintptr_t)page - near
                                                       : near - (uint64_t)(uintptr_t)page;
  if (!page || page_used + kEntryBytes > kPageBytes || distance > kNearMaximum) {
    page = NULL;
    for (uint64_t step = 16 * kPageBytes; step < kNearMaximum && !page; step += 16 * kPageBytes) {
      const uint64_t hints[2] = {near - step, near + step};
      for (int i = 0; i < 2 && !page; i++) {
        void* wanted = (void*)(uintptr_t)(hints[i] & ~(uint64_t)(kPageBytes - 1));
        void* got = mmap(wanted, kPageBytes, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (got == wanted) {
          page = got;
        } else if (got != MAP_FAILED) {
          munmap(got, kPageBytes);
        }
      }
    }
    page_used = 0;
    if (!page) return NULL;
  }
  uint8_t* entry = page + page_used;
  page_used += kEntryBytes;
  return entry;
}

midlane_function midlane_detour(midlane_function target, midlane_function hook, const char* name,
                                char* error, size_t error_bytes) {
  uint8_t* code = (uint8_t*)(uintptr_t)target;
  uint8_t* entry = entry_near((uint64_t)(uintptr_t)code);
  if (!entry) {
    snprintf(error, error_bytes, "%s: no memory near it for a trampoline", name);
    return NULL;
  }
  size_t covered = 0;
  bool ends = false;
  size_t copied =
      midlane_detour_copy(code, entry, (uint64_t)(uintptr_t)entry, kJumpBytes, &covered, &ends);
  if (copied == 0) {
    snprintf(error, error_bytes, "%s begins with instructions that cannot be moved safely", name);
    return NULL;
  }
  if (!ends) {
    put_far_jump(entry + copied, (uint64_t)(uintptr_t)code + covered);
    copied += kFarJumpBytes;
  }
  uint8_t* to_hook = entry + kEntryBytes - 16;
  put_far_jump(to_hook, (uint64_t)(uintptr_t)hook);
  uint8_t jump[kJumpBytes] = {0xE9};
  if (!put_displacement(jump + 1, (int64_t)(to_hook - (code + kJumpBytes))) ||
      !midlane_code_overwrite(code, jump, sizeof(jump))) {
    snprintf(error, error_bytes, "%s cannot be overwritten: %s", name, strerror(errno));
    return NULL;
  }
  return (midlane_function)(uintptr_t)entry;
}

#else

size_t midlane_detour_copy(const uint8_t* from, uint8_t* to, uint64_t to_address, size_t wanted,
                           size_t* covered, bool* ends) {
  (void)from, (void)to, (void)to_address, (void)wanted;
  *covered = 0;
  *ends = false;
  return 0;
}

midlane_function midlane_detour(midlane_function target, midlane_function hook, const char* name,
                                char* error, size_t error_bytes) {
  (void)target, (void)hook;
  snprintf(error, error_bytes, "%s: the shim cannot overwrite functions on this processor", name);
  return NULL;
}

#endif
