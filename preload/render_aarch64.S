// The same as render_x86_64.S for aarch64.
#if defined(__aarch64__)
#include "preload/slow_path_aarch64.h"

        .text

        SLOW_PATH midlane_render_slow, midlane_render_pick

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

#define RENDER(name, kind) RENDER_SYMBOL name
#include "preload/render_names.h"
#undef RENDER

        .macro  RENDER_TABLE name
        .globl  \name
        .hidden \name
        .type   \name, %object
        .balign 64
\name:
#define RENDER(name, kind) .quad midlane_slow_##name
#include "preload/render_names.h"
#undef RENDER
        .size   \name, .-\name
        .endm

        .section .data.rel.local, "aw"
        RENDER_TABLE midlane_render_target
        RENDER_TABLE midlane_render_slow_path
#endif

        .section .note.GNU-stack, "", %progbits
