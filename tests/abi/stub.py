"""A library with the calls of a header and nothing behind them: built in a moment, with debug information, so that a
header can be held against a baseline, and a program linked to a library that is no longer built.
"""
import pathlib
import re
import subprocess
import tempfile

COMPILER = ("c++", "-g")


def code(header):
    """The header's text without comments and preprocessor lines."""
    text = re.sub(r"/\*.*?\*/", " ", header, flags=re.S).replace("\\\n", " ")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def declarations(header):
    """(name, declaration) of every call, in the header's order."""
    for declaration in re.findall(r"\bBITNET_API\b\s*([^;]*);", code(header)):
        declaration = " ".join(declaration.split())
        yield check_form(declaration), declaration


def check_form(declaration):
    """The name of the call that it declares."""
    call = re.fullmatch(r"[\w\s*]+?\b(bitnet_\w+)\s*\((?!.*\b__).*\)", declaration)
    if not call:
        raise SystemExit(f"bitnet.h has 'BITNET_API {declaration};', which is not 'BITNET_API RESULT bitnet_NAME("
                         "PARAMETERS);': only calls are exported, and attributes belong into BITNET_API")
    return call[1]


def functions(header):
    return [name for name, _ in declarations(header)]


def inline_functions(header):
    return re.findall(r"\bstatic inline\b[^;{(]*?\b(\w+)\s*\(", code(header))


def structs(header):
    """Those whose fields the header shows."""
    return re.findall(r"typedef struct (\w+) \{", code(header))


def structs_with_size(header):
    return re.findall(r"typedef struct (\w+) \{\s*uint32_t size;", code(header))


def node_map(symbols):
    """A version script that gives each "name@@NODE" its node; a later node inherits from the one before."""
    nodes = {}
    for symbol in symbols:
        name, node = re.split("@+", symbol)
        nodes.setdefault(node, []).append(name)
    script, before = "", ""
    for node in sorted(nodes, key=lambda node: [int(number) for number in re.findall(r"\d+", node)]):
        hidden = "" if before else " local: *;"
        script += f"{node} {{ global: {' '.join(name + ';' for name in nodes[node])}{hidden} }}{before};\n"
        before = f" {node}"
    return script


def build(header_path, script_path, library, soname, extra="", compiler=COMPILER, frozen=()):
    """Compiles the calls of a header to `library`, exported as the version script says. `extra` is more C++; `frozen`
    are declarations that the header no longer has, compiled without it."""
    with open(header_path, encoding="utf-8") as file:
        header = file.read()
    calls = [f'extern "C" {declaration} {body_of(declaration)}' for _, declaration in declarations(header)]
    # clang describes a struct only where there is one.
    objects = [f"{name} one_{name} = {{}};" for name in structs(header)]
    sources = {"calls.cpp": ["#include <bitnet.h>", *calls, *objects, extra]}
    if frozen:
        names = sorted(set(re.findall(r"\bbitnet_\w+(?= \*)", " ".join(frozen))))
        offered = '__attribute__((visibility("default")))'
        sources["frozen.cpp"] = ["#include <stdint.h>", *(f"struct {name};" for name in names)] + [
            f'extern "C" {offered} {declaration} {body_of(declaration)}' for declaration in frozen]
    with tempfile.TemporaryDirectory() as scratch:
        paths = [pathlib.Path(scratch) / name for name in sources]
        for path, lines in zip(paths, sources.values()):
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        run_compiler(
            [*compiler, "-std=c++17", "-w", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{header_path.parent}",
             f"-Wl,--version-script={script_path}", f"-Wl,-soname,{soname}", *paths, "-o", str(library)],
            f"a library of {header_path}")


def run_compiler(command, what):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{what} does not compile:\n{done.stderr.strip()}")


def body_of(declaration):
    return "{}" if declaration.startswith("void bitnet_") else "{ return {}; }"
