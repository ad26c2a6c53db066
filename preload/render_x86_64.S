// Exported drawing symbols (render_names.h): tail jumps, so that arguments of any signature and the
// caller's stack reach the real function as they were. See render.h.
#if defined(__x86_64__)
        .text

// r11 = index. Keeps every register that can carry an argument.
        .type   midlane_render_slow, @function
midlane_render_slow:
        .cfi_startproc
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        pushq   %rax
        pushq   %rdi
        pushq   %rsi
        pushq   %rdx
        pushq   %rcx
        pushq   %r8
        pushq   %r9
        pushq   %r10
        subq    $128, %rsp
        movups  %xmm0, (%rsp)
        movups  %xmm1, 16(%rsp)
        movups  %xmm2, 32(%rsp)
        movups  %xmm3, 48(%rsp)
        movups  %xmm4, 64(%rsp)
        movups  %xmm5, 80(%rsp)
        movups  %xmm6, 96(%rsp)
        movups  %xmm7, 112(%rsp)
        movl    %r11d, %edi
        call    midlane_render_pick
        movq    %rax, %r11
        movups  (%rsp), %xmm0
        movups  16(%rsp), %xmm1
        movups  32(%rsp), %xmm2
        movups  48(%rsp), %xmm3
        movups  64(%rsp), %xmm4
        movups  80(%rsp), %xmm5
        movups  96(%rsp), %xmm6
        movups  112(%rsp), %xmm7
        addq    $128, %rsp
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rcx
        popq    %rdx
        popq    %rsi
        popq    %rdi
        popq    %rax
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        jmp     *%r11
        .cfi_endproc
        .size   midlane_render_slow, .-midlane_render_slow

        .set    midlane_index, 0

        .macro  RENDER_SYMBOL name
        .globl  \name
        .type   \name, @function
\name:
        jmp     *(midlane_render_target + 8 * midlane_index)(%rip)
        .size   \name, .-\name
midlane_slow_\name:
        movl    $midlane_index, %r11d
        jmp     midlane_render_slow
        .set    midlane_index, midlane_index + 1
        .endm

#define RENDER(name) RENDER_SYMBOL name
#include "preload/render_names.h"
#undef RENDER

        .macro  RENDER_TABLE name
        .globl  \name
        .hidden \name
        .type   \name, @object
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
