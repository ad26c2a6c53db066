// Exported dlopen, dlmopen, dlsym and syscall: tail jumps, because the loader looks at the caller's
// return address, and syscall's caller may be about to share its stack. See loader.h.
#if defined(__x86_64__)
#include <sys/syscall.h>

#include "preload/slow_path_x86_64.h"

        .text
        SLOW_PATH midlane_loader_slow, midlane_loader_pick

        .macro  LOADER_SYMBOL name, index
        .globl  \name
        .type   \name, @function
\name:
        movl    $\index, %r11d
        jmp     midlane_loader_slow
        .size   \name, .-\name
        .endm

        LOADER_SYMBOL dlopen, 0
        LOADER_SYMBOL dlmopen, 1
        LOADER_SYMBOL dlsym, 2

        .globl  syscall
        .type   syscall, @function
syscall:
        cmpq    $SYS_getrandom, %rdi
        je      midlane_slow_syscall
        cmpq    $SYS_clock_gettime, %rdi
        je      midlane_slow_syscall
        jmp     *midlane_loader_syscall(%rip)
midlane_slow_syscall:
        movl    $3, %r11d
        jmp     midlane_loader_slow
        .size   syscall, .-syscall

// dlopen(file, flags) without RTLD_DEEPBIND, which goes past every preloaded library.
        .globl  midlane_loader_dlopen_shallow
        .hidden midlane_loader_dlopen_shallow
        .type   midlane_loader_dlopen_shallow, @function
midlane_loader_dlopen_shallow:
        andl    $~8, %esi
        jmp     *midlane_loader_dlopen(%rip)
        .size   midlane_loader_dlopen_shallow, .-midlane_loader_dlopen_shallow

        .section .data.rel.local, "aw"
        .globl  midlane_loader_syscall
        .hidden midlane_loader_syscall
        .type   midlane_loader_syscall, @object
        .balign 8
midlane_loader_syscall:
        .quad   midlane_slow_syscall
        .size   midlane_loader_syscall, .-midlane_loader_syscall
#endif

        .section .note.GNU-stack, "", %progbits
