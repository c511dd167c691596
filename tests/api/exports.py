"""libbitnet.so offers what bitnet.h declares and nothing else, takes nothing from the system that could
take its host down; ABI_CHANGELOG.md lists every call, and structs_test.c checks every public struct.

usage: exports.py HEADER LIBRARY CHANGELOG STRUCTS-TEST
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


def declared_functions(header):
    code = re.sub(r"/\*.*?\*/", " ", header, flags=re.S)
    code = "\n".join(line for line in code.splitlines() if not line.lstrip().startswith("#"))
    return set(re.findall(r"\bBITNET_API\b[^;(]*?\b(\w+)\s*\(", code))


def dynamic_symbols(library, *which):
    """Names without their versions; the nodes of a version script are no symbols of use."""
    names = set()
    for line in output("nm", "-D", *which, library).splitlines():
        kind, name = line.split()[-2:]
        if kind != "A":
            names.add(name.split("@")[0])
    return names


def check_exports(declared, library):
    exported = dynamic_symbols(library, "--defined-only")
    for name in sorted(declared - exported):
        fail(f"{name} is declared in bitnet.h but not exported")
    for name in sorted(exported - declared):
        fail(f"{name} is exported but not declared in bitnet.h")


def check_imports(library):
    for name in sorted(dynamic_symbols(library, "--undefined-only") & set(FORBIDDEN)):
        fail(f"the library imports {name}: {FORBIDDEN[name]}")


def check_dynamic_section(header, library):
    dynamic = output("readelf", "-dW", library)
    abi = re.search(r"#define BITNET_ABI_VERSION (\d+)", header).group(1)
    soname = re.search(r"\(SONAME\).*\[(.*)\]", dynamic)
    if not soname or soname.group(1) != f"libbitnet.so.{abi}":
        found = soname.group(1) if soname else "none"
        fail(f"soname is {found}, BITNET_ABI_VERSION {abi} asks for libbitnet.so.{abi}")
    for need in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
        if not ALLOWED_NEEDS.match(need):
            fail(f"the library needs {need}")
    if "TEXTREL" in dynamic:
        fail("the library has text relocations")
    if re.search(r"GNU_STACK.*RWE", output("readelf", "-lW", library)):
        fail("the library asks for an executable stack")


def check_changelog(declared, header, changelog):
    listed = set(re.findall(r"`(bitnet_\w+)`", changelog))
    for name in sorted(declared - listed):
        fail(f"ABI_CHANGELOG.md does not list {name}")
    for name in sorted(listed):
        if not re.search(rf"\b{name}\b", header):
            fail(f"ABI_CHANGELOG.md lists {name}, which bitnet.h does not have")


def fields_of_structs(header):
    """(struct, field) pairs in the order of the header."""
    code = re.sub(r"/\*.*?\*/", " ", header, flags=re.S)
    for struct, body in re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", code, flags=re.S):
        for declaration in filter(None, map(str.strip, body.split(";"))):
            callback = re.search(r"\(\*(\w+)\)\(", declaration)
            plain = re.search(r"(\w+)(\[\d+\])?$", declaration)
            yield struct, (callback or plain).group(1)


def check_structs_test(header, structs_test):
    for macro in re.findall(r"#define (BITNET_\w+_INIT)\b", header):
        if not re.search(rf"\b{macro}\b", structs_test):
            fail(f"structs_test.c does not check {macro}")
    for struct, field in fields_of_structs(header):
        if not re.search(rf"FIELD\({struct}, {field}, ", structs_test):
            fail(f"structs_test.c does not check the place of {struct}.{field}")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def main():
    header_path, library, changelog_path, structs_test_path = sys.argv[1:5]
    header, changelog = read(header_path), read(changelog_path)
    declared = declared_functions(header)
    if len(declared) < 40:
        fail(f"only {len(declared)} functions were found in {header_path}: is this script out of date?")
    check_exports(declared, library)
    check_imports(library)
    check_dynamic_section(header, library)
    check_changelog(declared, header, changelog)
    check_structs_test(header, read(structs_test_path))
    print(f"{len(declared)} calls, {failures} failures")
    return 1 if failures else 0


sys.exit(main())
