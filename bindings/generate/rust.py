"""The crate bitnet-sys: declarations by bindgen, and what bindgen does not give.

  src/raw.rs             by bindgen, formatted by rustfmt
  src/sized.rs           the ..._INIT macros as Default
  tests/facts/raw.rs     what the Rust compiler makes of raw.rs, for the comparison with tests/bindings/facts.c
"""
import os
import pathlib
import re
import shutil
import subprocess

from header import Unavailable

ROOT = pathlib.Path(__file__).resolve().parents[2]
CRATE = "bindings/rust/bitnet-sys/"

# Their output differs from version to version; raw.rs is theirs.
BINDGEN = "0.60.1"
RUSTFMT = "1.5.1"

HANDLES = "^bitnet_(model|ctx|sampler|generator)$"
OPTIONS = [
    "--allowlist-function", "bitnet_.*", "--allowlist-type", "bitnet_.*", "--allowlist-var", "BITNET_.*",
    "--blocklist-type", "__.*",
    # A newer library may return numbers that no Rust enum of today has.
    "--default-enum-style", "newtype", "--constified-enum", "_bindgen_ty_.*",
    # A handle is used where it lies, and only there.
    "--no-copy", HANDLES, "--no-debug", HANDLES,
    # The header is the manual, and its comments are no Markdown. The facts take the place of layout tests.
    "--no-doc-comments", "--no-layout-tests",
    "--disable-header-comment", "--rust-target", "1.47",
]

RAW = f"""\
// Written by bindings/generate/rust.py from include/bitnet.h with bindgen {BINDGEN} and rustfmt {RUSTFMT}; do not edit.
"""

SIZED = """\
// Written by bindings/generate/rust.py from include/bitnet.h; do not edit.
use super::*;

macro_rules! sized {
    ($($name:ident)*) => {$(
        /// The header's `..._INIT`: `size` is set, everything else is zero.
        impl Default for $name {
            fn default() -> Self {
                // SAFETY: zero is a valid value of each field: numbers, pointers and optional functions.
                let mut initial: Self = unsafe { std::mem::zeroed() };
                initial.size = std::mem::size_of::<Self>() as u32;
                initial
            }
        }
    )*};
}

sized! {
%s}
"""

FACTS = """\
// Written by bindings/generate/rust.py from include/bitnet.h; do not edit.
use super::Facts;
use bitnet_sys::*;

#[rustfmt::skip]
pub fn all(facts: &mut Facts) {
%s}
"""


def tool(name, version):
    """The path of this version of a tool, the first one in PATH."""
    others = []
    for folder in os.get_exec_path():
        path = shutil.which(name, path=folder)
        if path is None:
            continue
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"\d+\.\d+\.\d+", answer)
        if found and found.group() == version:
            return path
        others.append(found.group() if found else f"{path}, which tells no version")
    found = f"found {' and '.join(others)}" if others else "there is none"
    raise Unavailable(f"{name} {version} is needed, {found} (Debian 12 has it: bindgen, rustfmt)")


def raw():
    bindgen, rustfmt = tool("bindgen", BINDGEN), tool("rustfmt", RUSTFMT)
    style = str(ROOT / "bindings" / "rust" / "rustfmt.toml")
    command = [bindgen, str(ROOT / "include" / "bitnet.h"), *OPTIONS, "--rustfmt-configuration-file", style]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "RUSTFMT": rustfmt})
    if run.returncode != 0:
        raise ValueError(f"bindgen failed: {run.stderr}")
    # Flags have no name in C: the types bindgen numbers are just their integers.
    text = re.sub(r"pub type _bindgen_ty_\d+ = [^;]*;\n", "", run.stdout)
    return RAW + re.sub(r"\b_bindgen_ty_\d+\b", "u32", text)


def field(name):
    """As bindgen calls it."""
    return name + "_" if name == "type" else name


def facts(header):
    lines = []
    for struct in header.structs:
        lines.append(f'facts.structure::<{struct.name}>("{struct.name}");')
        lines += [f'field!(facts, {struct.name}, {field(f.name)}, "{f.name}");' for f in struct.fields]
    for enum in header.enums:
        scope, value = (enum.name + "::", ".0") if enum.name else ("", "")
        lines += [f'facts.constant("{m.name}", {scope}{m.name}{value} as i64);' for m in enum.members]
    lines += [f'facts.constant("{name}", {name} as i64);' for name in header.macros]
    for function in header.functions:
        blanks = ", ".join("_" * len(function.parameters))
        result = "" if function.result.kind == "void" else " -> _"
        lines.append(f'facts.function("{function.name}", {function.name} as unsafe extern "C" fn({blanks}){result});')
    for callback in header.callbacks:
        if "." in callback.name:
            struct, name = callback.name.split(".")
            lines.append(f'facts.callback_field("{callback.name}", |s: &{struct}| s.{field(name)});')
        else:
            lines.append(f'facts.callback::<{callback.name}>("{callback.name}");')
    return FACTS % "".join(f"    {line}\n" for line in lines)


def emit(header):
    sized = [struct.name for struct in header.structs if struct.fields[0].name == "size"]
    return {
        CRATE + "src/raw.rs": raw(),
        CRATE + "src/sized.rs": SIZED % "".join(f"    {name}\n" for name in sized),
        CRATE + "tests/facts/raw.rs": facts(header),
    }
