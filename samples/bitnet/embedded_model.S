/* The file MODEL_PATH as read-only data; 64 is the alignment the library likes best. */
#if defined(__APPLE__)
#  define SYMBOL(name) _##name
        .section __TEXT,__const
#else
#  define SYMBOL(name) name
        .section .rodata, "a"
#endif
        .globl SYMBOL(bitnet_embedded_model)
        .globl SYMBOL(bitnet_embedded_model_end)
        .p2align 6
SYMBOL(bitnet_embedded_model):
        .incbin MODEL_PATH
SYMBOL(bitnet_embedded_model_end):
        .byte 0

#if defined(__linux__) && defined(__ELF__)
        .section .note.GNU-stack, "", %progbits
#endif
