#!/usr/bin/env python3
"""Writes everything that is generated from include/bitnet.h. Needs python3-clang, and for Rust bindgen and rustfmt.

usage: main.py [--out FOLDER] [PART...]    PART: facts, rust, go, csharp; all without one
       FOLDER gets the files under their paths in the repository, which is the default for FOLDER.
       Exit status 77: a tool is missing or is another version; what needs it was not written.
"""
import argparse
import importlib
import pathlib
import sys

sys.dont_write_bytecode = True  # a test runs this in a source tree that it must not change
ROOT = pathlib.Path(__file__).resolve().parents[2]
# Each module has emit(header), which gives {path in the repository: text}.
PARTS = ["facts", "rust", "go", "csharp"]
UNAVAILABLE = 77


def write(files, folder):
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT)
    parser.add_argument("parts", nargs="*", metavar="PART")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    try:
        import header as reader
    except ImportError:
        print(f"generate: {sys.executable} has no module clang (Debian: python3-clang)", file=sys.stderr)
        return UNAVAILABLE
    try:
        return generate(reader, arguments.parts or PARTS, arguments.out)
    except ValueError as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1


def generate(reader, parts, folder):
    header = reader.read(str(ROOT / "include" / "bitnet.h"))
    status = 0
    for part in parts:
        try:
            write(importlib.import_module(part).emit(header), folder)
        except reader.Unavailable as reason:
            print(f"generate: {part}: {reason}", file=sys.stderr)
            status = UNAVAILABLE
    return status


if __name__ == "__main__":
    sys.exit(main())
