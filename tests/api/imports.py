"""libbitnet.so takes nothing from the system that could take its host down. What it offers: tests/abi/check.py.

usage: imports.py LIBRARY
"""
import re
import subprocess
import sys

# What a library inside somebody else's program must not call (architecture.md, promise 1), and why.
FORBIDDEN = {
    "abort": "ends the host",
    "exit": "ends the host",
    "_exit": "ends the host",
    "_Exit": "ends the host",
    "quick_exit": "ends the host",
    "__assert_fail": "ends the host",
    "getenv": "reads the environment",
    "secure_getenv": "reads the environment",
    "environ": "reads the environment",
    "setenv": "changes the environment",
    "putenv": "changes the environment",
    "setlocale": "changes the locale",
    "uselocale": "changes the locale",
    "signal": "changes the host's signals",
    "sigaction": "changes the host's signals",
    "stdout": "prints",
    "stderr": "prints",
    "printf": "prints",
    "puts": "prints",
    "putchar": "prints",
    "perror": "prints",
    "__printf_chk": "prints",
    "_ZSt4cout": "prints",
    "_ZSt4cerr": "prints",
    "_Znwm": "operator new: memory that is not bitnet::allocate's",
    "_Znam": "operator new[]: memory that is not bitnet::allocate's",
    "_ZnwmSt11align_val_t": "operator new: memory that is not bitnet::allocate's",
    "sin": "libm: not the same bits everywhere",
    "sinf": "libm: not the same bits everywhere",
    "cosf": "libm: not the same bits everywhere",
    "expf": "libm: not the same bits everywhere",
    "exp": "libm: not the same bits everywhere",
    "logf": "libm: not the same bits everywhere",
    "powf": "libm: not the same bits everywhere",
}
# Libraries that a host may find in its process because of us.
ALLOWED_NEEDS = re.compile(
    r"(libstdc\+\+|libc\+\+|libm|libgcc_s|libc|libdl|libpthread|libutf8proc|libcjson|ld-linux[\w-]*)\.so"
)

failures = 0


def fail(sentence):
    global failures
    failures += 1
    print("FAILED:", sentence)


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def check_imports(library):
    symbols = [line.split()[-1].split("@")[0] for line in output("nm", "-D", "--undefined-only", library).splitlines()]
    for name in sorted(set(symbols) & set(FORBIDDEN)):
        fail(f"the library imports {name}: {FORBIDDEN[name]}")
    if len(symbols) < 10:
        fail(f"only {len(symbols)} imports were found in {library}: is this script out of date?")


def check_dynamic_section(library):
    dynamic = output("readelf", "-dW", library)
    for need in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
        if not ALLOWED_NEEDS.match(need):
            fail(f"the library needs {need}")
    if "TEXTREL" in dynamic:
        fail("the library has text relocations")
    if re.search(r"GNU_STACK.*RWE", output("readelf", "-lW", library)):
        fail("the library asks for an executable stack")


def main():
    library, = sys.argv[1:]
    check_imports(library)
    check_dynamic_section(library)
    print(f"{failures} failures")
    return 1 if failures else 0


sys.exit(main())
