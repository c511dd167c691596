"""Holds the #include lines of src/ to the permitted arrows (src/README.md). A rule nobody checks erodes.

usage: layering.py SOURCE-ROOT
"""
import os
import re
import sys

# A folder may include itself and what matches here; bitnet.h is everybody's. "compute/*.h" means the
# headers right in compute/, not those of its backends.
ARROWS = {
    "base": [],
    "file": ["base/*"],
    "model": ["file/*", "compute/*.h", "base/*"],
    "tokens": ["file/*", "base/*"],
    "compute": ["base/*"],
    "compute/select.cpp": ["compute/cpu/*", "base/*"],  # fills the table of verbs
    "compute/reference": ["compute/*.h", "base/*"],
    # reference/math.h defines the scalar functions of the numeric contract, for every backend.
    "compute/cuda": ["compute/*.h", "base/*"],
    "compute/cpu": ["compute/*.h", "compute/reference/math.h", "base/*"],
    "forward": ["model/*", "compute/*.h", "base/*"],
    "sample": ["base/*"],
    "session": ["forward/*", "sample/*", "tokens/*", "model/*", "file/*", "compute/ops.h",
                "compute/plugin.h", "compute/self_check.h", "base/*"],
    "api": ["session/*", "forward/*", "sample/*", "tokens/*", "model/*", "file/*", "compute/ops.h",
            "base/*"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def home_of(path):
    """The entry of ARROWS for path (relative to src/): its own, else its folder's; None if there is none."""
    while path and path not in ARROWS:
        path = os.path.dirname(path)
    return path or None


def matches(target, pattern):
    if pattern.endswith("/*"):
        return target.startswith(pattern[:-1])
    if pattern.endswith("/*.h"):
        return os.path.dirname(target) == os.path.dirname(pattern)
    return target == pattern


def verdict(source, target):
    """None if the file source may include target, else the reason why not."""
    if target == "bitnet.h":
        return None
    home = home_of(source)
    if home is None:
        return "lies in no folder that src/README.md knows"
    own = home_of(os.path.join(os.path.dirname(source), "any.h"))
    if home_of(target) == own or any(matches(target, pattern) for pattern in ARROWS[home]):
        return None
    return f"{home} may include only: itself, {', '.join(ARROWS[home]) or 'nothing'}"


def includes(path):
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            found = INCLUDE.match(line)
            if found:
                yield number, found.group(1) == '"', found.group(2)


def check_own_rules():
    """The checker can fail: these must be refused, these must not."""
    assert verdict("base/memory.cpp", "file/gguf.h")
    assert verdict("tokens/bpe.cpp", "model/model.h")
    assert verdict("forward/context.cpp", "compute/cpu/select.h")
    assert verdict("session/generator.cpp", "api/handles.h")
    assert verdict("compute/cpu/x86/avx2.cpp", "compute/reference/reference.h")
    assert verdict("compute/pairwise_sum.h", "compute/cpu/x86/tables.h")
    assert verdict("compute/cuda/model.cu", "forward/device_model.h")
    assert not verdict("compute/cuda/model.cu", "compute/device.h")
    assert not verdict("compute/select.cpp", "compute/ops.h")
    assert not verdict("model/model.cpp", "compute/ops.h")
    assert not verdict("compute/cpu/x86/avx2.cpp", "compute/cpu/x86/lanes_avx2.h")
    assert not verdict("api/model.cpp", "bitnet.h")


def main():
    check_own_rules()
    src = os.path.join(sys.argv[1], "src")
    files = lines = failures = 0
    for folder, _, names in os.walk(src):
        for name in sorted(names):
            if not name.endswith((".h", ".cpp", ".c", ".cu", ".inc", ".S")):
                continue
            path = os.path.join(folder, name)
            source = os.path.relpath(path, src)
            files += 1
            for number, quoted, target in includes(path):
                lines += 1
                if quoted and not os.path.exists(os.path.join(src, target)) and target != "bitnet.h":
                    reason = "is no path from src/ (write the whole one)"
                elif quoted or os.path.exists(os.path.join(src, target)):
                    reason = verdict(source, target)
                else:
                    reason = None  # the system's
                if reason:
                    failures += 1
                    print(f"FAILED: src/{source}:{number} includes {target}: {reason}")
    print(f"{files} files, {lines} includes, {failures} failures")
    return 1 if failures or not lines else 0


sys.exit(main())
