#include "preload/detour.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace {

#if defined(__x86_64__)

struct Copy {
  std::vector<uint8_t> bytes;
  size_t covered = 0;
  bool ends = false;
};

// Copies from a buffer to an address 0x1000 bytes above it.
Copy CopyOf(const std::vector<uint8_t>& code, size_t wanted = 5) {
  static uint8_t from[256];
  memset(from, 0xCC, sizeof(from));
  memcpy(from, code.data(), code.size());
  uint8_t to[MIDLANE_DETOUR_COPY_BYTES];
  Copy copy;
  size_t bytes = midlane_detour_copy(from, to, reinterpret_cast<uintptr_t>(from) + 0x1000, wanted,
                                     &copy.covered, &copy.ends);
  copy.bytes.assign(to, to + bytes);
  return copy;
}

using Bytes = std::vector<uint8_t>;

TEST(DetourCopy, TakesWholeInstructions) {
  const Bytes prologues[] = {
      {0x41, 0x55, 0x4d, 0x89, 0xc5},                    // push r13; mov r13,r8
      {0x41, 0x54, 0x48, 0x63, 0xc6},                    // push r12; movsxd rax,esi
      {0x48, 0x8b, 0x47, 0x18, 0x55},                    // mov rax,[rdi+0x18]; push rbp
      {0xf3, 0x0f, 0x1e, 0xfa, 0x55},                    // endbr64; push rbp
      {0x48, 0x83, 0x7f, 0x50, 0x00},                    // cmp qword [rdi+0x50],0
      {0x0f, 0xb6, 0x47, 0x0a, 0x53},                    // movzx eax,[rdi+0xa]; push rbx
      {0x48, 0x81, 0xec, 0x88, 0x00, 0x00, 0x00},        // sub rsp,0x88
      {0x48, 0xc7, 0xc6, 0xf0, 0xff, 0xff, 0xff},        // mov rsi,-16
      {0x41, 0xbd, 0x0a, 0x00, 0x00, 0x00},              // mov r13d,10
      {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8},              // mov rax,imm64
      {0x66, 0xc7, 0x04, 0x24, 0x34, 0x12},              // mov word [rsp],0x1234
      {0x48, 0x8b, 0x84, 0xc8, 0x10, 0x00, 0x00, 0x00},  // mov rax,[rax+rcx*8+0x10]
      {0x8b, 0x04, 0x8d, 0x10, 0x00, 0x00, 0x00},        // mov eax,[rcx*4+0x10]
      {0x89, 0x54, 0x24, 0x0c, 0x90},                    // mov [rsp+0xc],edx; nop
      {0xf6, 0x47, 0x09, 0x04, 0x50},                    // test byte [rdi+9],4; push rax
      {0xf7, 0xc7, 0x01, 0x00, 0x00, 0x00},              // test edi,1
  };
  for (const Bytes& code : prologues) {
    Copy copy = CopyOf(code);
    EXPECT_EQ(copy.bytes, code) << ::testing::PrintToString(code);
    EXPECT_EQ(copy.covered, code.size());
    EXPECT_FALSE(copy.ends);
  }
}

TEST(DetourCopy, PutsRelativeAddressesRight) {
  // lea r12,[rip+0x100]: 0x1000 lower at the new place.
  EXPECT_EQ(CopyOf({0x4c, 0x8d, 0x25, 0x00, 0x01, 0x00, 0x00}).bytes,
            (Bytes{0x4c, 0x8d, 0x25, 0x00, 0xf1, 0xff, 0xff}));
  // xor r8d,r8d; jmp +0x20: ends.
  Copy jump = CopyOf({0x45, 0x31, 0xc0, 0xe9, 0x20, 0x00, 0x00, 0x00});
  EXPECT_EQ(jump.bytes, (Bytes{0x45, 0x31, 0xc0, 0xe9, 0x20, 0xf0, 0xff, 0xff}));
  EXPECT_TRUE(jump.ends);
  // test edi,edi; je +0x10; push rbx: the short jump becomes a long one.
  Copy branch = CopyOf({0x85, 0xff, 0x74, 0x10, 0x53});
  EXPECT_EQ(branch.bytes, (Bytes{0x85, 0xff, 0x0f, 0x84, 0x0c, 0xf0, 0xff, 0xff, 0x53}));
  EXPECT_EQ(branch.covered, 5u);
}

TEST(DetourCopy, RefusesWhatItDoesNotKnow) {
  const Bytes bad[] = {
      {0xc3, 0x90, 0x90, 0x90, 0x90},  // ret
      {0xcc, 0x90, 0x90, 0x90, 0x90},  // int3
      {0x31, 0xc0, 0xeb, 0x10, 0x90},  // xor eax,eax; jmp +16: the function ends too early
      {0xff, 0xd0, 0x90, 0x90, 0x90},  // call rax
      {0x90, 0x90, 0x75, 0xfd, 0x90},  // jne into what is overwritten
      {0xc5, 0xf8, 0x77, 0x90, 0x90},  // vzeroupper
      {0x67, 0x8b, 0x07, 0x90, 0x90},  // 32-bit addresses
      {0x0f, 0x0b, 0x90, 0x90, 0x90},  // ud2
  };
  for (const Bytes& code : bad) {
    EXPECT_TRUE(CopyOf(code).bytes.empty()) << ::testing::PrintToString(code);
  }
}

int counter = 7;

__attribute__((noinline)) int Victim(int a, int b) {
  counter += a;  // an address relative to the instruction
  return a * 10 + b + counter;
}

midlane_function original;

int Hook(int a, int b) { return 1000000 + reinterpret_cast<int (*)(int, int)>(original)(a, b); }

TEST(Detour, ReachesHookAndOriginal) {
  char error[256] = "";
  int (*volatile victim)(int, int) = Victim;
  EXPECT_EQ(victim(1, 2), 20);
  original =
      midlane_detour(reinterpret_cast<midlane_function>(Victim),
                     reinterpret_cast<midlane_function>(Hook), "Victim", error, sizeof(error));
  ASSERT_NE(original, nullptr) << error;
  EXPECT_EQ(victim(1, 2), 1000021);
  EXPECT_EQ(victim(2, 2), 1000033);
  EXPECT_EQ(counter, 11);
}

#endif

}  // namespace
