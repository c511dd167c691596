"""The generators refuse a header that they would carry over wrongly, with a sentence that names the place.

usage: bent_headers.py SOURCE-ROOT SCRATCH-FOLDER
"""
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
ROOT, SCRATCH = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
sys.path.insert(0, str(ROOT / "bindings/generate"))
import facts  # noqa: E402
import header  # noqa: E402

BITNET_H = (ROOT / "include/bitnet.h").read_text(encoding="utf-8")

# What is added to bitnet.h: what is said of it.
ADDED = {
    "BITNET_API int64_t bitnet_new(void);": r"the type int64_t \(.*\) is none that",
    "BITNET_API void bitnet_new(uint8_t byte);": r"the type uint8_t \(",
    "BITNET_API void bitnet_new(const size_t *count);": r"the type const size_t \(",
    "BITNET_API _Bool bitnet_new(void);": r"the type _Bool \(",
    "BITNET_API void bitnet_new(const float four[4]);": r"const float\[4\] is an array that is no field",
    "BITNET_API void bitnet_new(float (*four)[4]);": r"float\[4\] is an array that is no field",
    "BITNET_API void bitnet_new(const char *form, ...);": r"bitnet_new takes any number of parameters",
    "typedef int32_t bitnet_token;": r"bitnet_token is another name for int32_t",
    "typedef bitnet_log_fn bitnet_new_fn;": r"bitnet_new_fn is another name for bitnet_log_fn",
    "typedef void bitnet_new_fn(void *user);": r"bitnet_new_fn is another name for void \(void \*\)",
    "typedef void (*bitnet_new_fn)(void *user, int64_t number);": r"the type int64_t \(",
    "typedef struct { uint32_t size; } bitnet_new;": r"bitnet_new is another name for",
    "typedef struct bitnet_new { uint32_t size; int32_t four : 4; } bitnet_new;": r"bitnet_new\.four is a bit-field",
    "typedef struct bitnet_new { uint32_t size; int64_t number; } bitnet_new;": r"the type int64_t \(",
    "typedef struct bitnet_new { uint32_t size; union { int32_t i; float f; }; } bitnet_new;":
        r"within bitnet_new, .* is a UNION_DECL",
    "typedef union bitnet_new { int32_t i; float f; } bitnet_new;": r"bitnet_new is a UNION_DECL",
    "static inline int bitnet_new(int status) { return status < 0; }": r"bitnet_new is static and no \.\.\._init",
    "BITNET_API extern const int32_t bitnet_new;": r"bitnet_new is a VAR_DECL",
    "#define BITNET_NEW 256": r"the macro BITNET_NEW is no version",
    "BITNET_API void bitnet_new(int32 number);": r"does not compile: .*int32",
}


def bent(text):
    path = SCRATCH / "include/bitnet.h"
    path.write_text(BITNET_H.replace("#include <stdint.h>", "#include <stddef.h>\n#include <stdint.h>")
                    .replace("/* ---- The machine ", f"{text}\n/* ---- The machine "), encoding="utf-8")
    return path


def said_of(path):
    try:
        header.read(str(path))
    except ValueError as error:
        return str(error)
    return "nothing"


def check_refused(failures):
    for text, wanted in ADDED.items():
        path = bent(text)
        said = said_of(path)
        if not re.match(rf"{re.escape(str(path))}(:\d+:)? .*{wanted}", said):
            failures.append(f"'{text}': the generator has to say '{wanted}' and says: {said}")


def check_main(failures):
    """What is refused reaches whoever runs it as one line."""
    bent("#define BITNET_NEW 256")
    shutil.copytree(ROOT / "bindings/generate", SCRATCH / "bindings/generate")
    done = subprocess.run([sys.executable, str(SCRATCH / "bindings/generate/main.py"), "--out", str(SCRATCH / "out"),
                           "facts"], capture_output=True, text=True, check=False)
    if done.returncode != 1 or not re.fullmatch(r"generate: .*bitnet\.h:\d+: the macro BITNET_NEW .*\n", done.stderr):
        failures.append(f"main.py with a refused header ends with {done.returncode} and says: {done.stderr}")


def check_class(failures):
    """A type that travels in none of the known ways has no class; it is no pointer."""
    path = bent("BITNET_API void bitnet_new(bitnet_logit_bias bias);")
    source, program = SCRATCH / "facts.c", SCRATCH / "facts"
    source.write_text(facts.emit(header.read(str(path)))["tests/bindings/facts.c"], encoding="utf-8")
    subprocess.run(["cc", "-std=gnu11", f"-I{path.parent}", str(source), "-o", str(program)], check=True)
    printed = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    if "function bitnet_new void a type without a class\n" not in printed:
        failures.append(f"a struct passed by value: {re.findall('.*bitnet_new.*', printed)}")


def main():
    failures = []
    (SCRATCH / "include").mkdir(parents=True)
    for check in check_refused, check_main, check_class:
        check(failures)
    for failure in failures:
        print("FAILED:", failure)
    print(f"{len(ADDED)} bent headers, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
