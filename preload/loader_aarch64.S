// The same as loader_x86_64.S for aarch64.
#if defined(__aarch64__)
#include <sys/syscall.h>

#include "preload/slow_path_aarch64.h"

        .text
        SLOW_PATH midlane_loader_slow, midlane_loader_pick

        .macro  LOADER_SYMBOL name, index
        .globl  \name
        .type   \name, %function
\name:
        mov     w17, #\index
        b       midlane_loader_slow
        .size   \name, .-\name
        .endm

        LOADER_SYMBOL dlopen, 0
        LOADER_SYMBOL dlmopen, 1
        LOADER_SYMBOL dlsym, 2

        .globl  syscall
        .type   syscall, %function
syscall:
        cmp     x0, #SYS_getrandom
        b.eq    midlane_slow_syscall
        cmp     x0, #SYS_clock_gettime
        b.eq    midlane_slow_syscall
        adrp    x16, midlane_loader_syscall
        ldr     x16, [x16, #:lo12:midlane_loader_syscall]
        br      x16
midlane_slow_syscall:
        mov     w17, #3
        b       midlane_loader_slow
        .size   syscall, .-syscall

        .globl  midlane_loader_dlopen_shallow
        .hidden midlane_loader_dlopen_shallow
        .type   midlane_loader_dlopen_shallow, %function
midlane_loader_dlopen_shallow:
        and     w1, w1, #0xfffffff7
        adrp    x16, midlane_loader_dlopen
        ldr     x16, [x16, #:lo12:midlane_loader_dlopen]
        br      x16
        .size   midlane_loader_dlopen_shallow, .-midlane_loader_dlopen_shallow

        .section .data.rel.local, "aw"
        .globl  midlane_loader_syscall
        .hidden midlane_loader_syscall
        .type   midlane_loader_syscall, %object
        .balign 8
midlane_loader_syscall:
        .quad   midlane_slow_syscall
        .size   midlane_loader_syscall, .-midlane_loader_syscall
#endif

        .section .note.GNU-stack, "", %progbits
