// The same as render_x86_64.S for aarch64.
#if defined(__aarch64__)
        .text

// w17 = index. Keeps every register that can carry an argument.
        .type   midlane_render_slow, %function
midlane_render_slow:
        .cfi_startproc
        stp     x29, x30, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset 29, -16
        .cfi_offset 30, -8
        mov     x29, sp
        .cfi_def_cfa_register 29
        stp     x0, x1, [sp, #-16]!
        stp     x2, x3, [sp, #-16]!
        stp     x4, x5, [sp, #-16]!
        stp     x6, x7, [sp, #-16]!
        stp     x8, x9, [sp, #-16]!
        stp     q0, q1, [sp, #-32]!
        stp     q2, q3, [sp, #-32]!
        stp     q4, q5, [sp, #-32]!
        stp     q6, q7, [sp, #-32]!
        mov     w0, w17
        bl      midlane_render_pick
        mov     x16, x0
        ldp     q6, q7, [sp], #32
        ldp     q4, q5, [sp], #32
        ldp     q2, q3, [sp], #32
        ldp     q0, q1, [sp], #32
        ldp     x8, x9, [sp], #16
        ldp     x6, x7, [sp], #16
        ldp     x4, x5, [sp], #16
        ldp     x2, x3, [sp], #16
        ldp     x0, x1, [sp], #16
        ldp     x29, x30, [sp], #16
        .cfi_def_cfa 31, 0
        br      x16
        .cfi_endproc
        .size   midlane_render_slow, .-midlane_render_slow

        .set    midlane_index, 0

        .macro  RENDER_SYMBOL name
        .globl  \name
        .type   \name, %function
\name:
        adrp    x16, midlane_render_target + 8 * midlane_index
        ldr     x16, [x16, #:lo12:(midlane_render_target + 8 * midlane_index)]
        br      x16
        .size   \name, .-\name
midlane_slow_\name:
        mov     w17, #midlane_index
        b       midlane_render_slow
        .set    midlane_index, midlane_index + 1
        .endm

#define RENDER(name) RENDER_SYMBOL name
#include "preload/render_names.h"
#undef RENDER

        .macro  RENDER_TABLE name
        .globl  \name
        .hidden \name
        .type   \name, %object
        .balign 64
\name:
#define RENDER(name) .quad midlane_slow_##name
#include "preload/render_names.h"
#undef RENDER
        .size   \name, .-\name
        .endm

        .section .data.rel.local, "aw"
        RENDER_TABLE midlane_render_target
        RENDER_TABLE midlane_render_slow_path
#endif

        .section .note.GNU-stack, "", %progbits
