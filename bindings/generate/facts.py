"""tests/bindings/facts.c: what the C compiler makes of bitnet.h, for the languages' tests to compare with theirs."""

INTRODUCTION = """\
/* Written by bindings/generate/main.py from include/bitnet.h; do not edit.
 *
 * Prints what this C compiler makes of the header, one fact a line; each language's tests compare it with theirs.
 *   version VERSION
 *   struct NAME SIZE ALIGN
 *   field STRUCT NAME OFFSET SIZE
 *   constant NAME VALUE
 *   function NAME RESULT PARAMETER...    as classes: void i32 u32 u64 f32 f64 ptr
 *   callback NAME RESULT PARAMETER...
 * It does not compile when a signature below is not the header's, or a pointer is none. */
#include <bitnet.h>
#include <stddef.h>
#include <stdio.h>

/* How a value of a type travels: enumerations as the 32-bit integers they are, all pointers alike. */
#define CLASS(type) \\
  _Generic(*(__typeof__(type) *)0, int32_t: "i32", uint32_t: "u32", uint64_t: "u64", float: "f32", double: "f64", \\
           default: "a type without a class")
#define PTR_CLASS(type) ((void)(__typeof__(*(type)0) *)0, "ptr")
#define ENUM_CLASS(type) (sizeof(type) == 4 ? "i32" : "an enumeration that is not 32 bits wide")

#define STRUCT(name) printf("struct %s %zu %zu\\n", #name, sizeof(name), _Alignof(name))
#define FIELD(type, name) \\
  printf("field %s %s %zu %zu\\n", #type, #name, offsetof(type, name), sizeof(((type *)0)->name))
#define CONSTANT(name) printf("constant %s %lld\\n", #name, (long long)(name))
#define SAME(found, wanted) \\
  _Static_assert(__builtin_types_compatible_p(__typeof__(found), wanted), #found " has another signature")
"""


def class_of(type_):
    if type_.kind == "void":
        return '"void"'
    macro = {"enum": "ENUM_CLASS", "ptr": "PTR_CLASS", "callback": "PTR_CLASS"}.get(type_.kind, "CLASS")
    return f"{macro}({type_.c})"


def signature(word, function, subject):
    parameters = ", ".join(p.type.c for p in function.parameters) or "void"
    classes = [class_of(t) for t in [function.result] + [p.type for p in function.parameters]]
    form = " ".join(["%s"] * len(classes))
    return (f"  SAME({subject}, {function.result.c} (*)({parameters}));\n"
            f'  printf("{word} {function.name} {form}\\n",\n         ' + ", ".join(classes) + ");\n")


def subject_of(callback):
    """An expression of the callback's pointer type."""
    if "." in callback.name:
        struct, field = callback.name.split(".")
        return f"(({struct} *)0)->{field}"
    return f"({callback.name})0"


def emit(header):
    out = [INTRODUCTION, "\nint main(void) {\n"]
    out.append('  printf("version %d.%d.%d\\n", BITNET_VERSION_MAJOR, BITNET_VERSION_MINOR, BITNET_VERSION_PATCH);\n')
    for struct in header.structs:
        out.append(f"  STRUCT({struct.name});\n")
        out += [f"  FIELD({struct.name}, {field.name});\n" for field in struct.fields]
    out += [f"  CONSTANT({constant.name});\n" for constant in header.constants()]
    out += [signature("function", function, f"&{function.name}") for function in header.functions]
    out += [signature("callback", callback, subject_of(callback)) for callback in header.callbacks]
    out.append("  return 0;\n}\n")
    return {"tests/bindings/facts.c": "".join(out)}
