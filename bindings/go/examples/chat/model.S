/* The small model as read-only data of this program. Its folder is in the assembler's search path by #cgo CPPFLAGS. */
#if defined(__APPLE__)
        .section __TEXT,__const
        .globl _nano_begin, _nano_end
        .p2align 6
_nano_begin:
        .incbin "bitnet-nano.gguf"
_nano_end:
        .byte 0
#else
        .section .rodata, "a"
        .globl nano_begin, nano_end
        .p2align 6
nano_begin:
        .incbin "bitnet-nano.gguf"
nano_end:
        .byte 0
        .section .note.GNU-stack, "", %progbits
#endif
