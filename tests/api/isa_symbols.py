"""Nothing compiled for a newer processor reaches an older one.

A library for an instruction set must not define inline functions or templates that the linker may keep
for the whole program: it would end with an illegal instruction on older processors. And by disassembly,
no library has instructions of a processor newer than its own; all others have those of the oldest.

usage: isa_symbols.py [--tools PREFIX] ISA_LIBRARY... -- OTHER_LIBRARY...      static libraries; an ISA's
is called lib*_ISA.a. PREFIX is that of a cross compiler's nm and objdump, such as aarch64-linux-gnu-.
"""
import re
import subprocess
import sys

# Instruction sets, and what shows that code is newer (objdump's AT&T and Arm spelling).
SSE3_TO_SSE4 = r"""
  p(shufb|signb|signw|signd|abs[bwd]|alignr|mulhrsw|maddubsw|blendw|blendvb|ackusdw|cmpeqq|cmpgtq|muldq|mulld|test
  |minsb|minsd|minuw|minud|maxsb|maxsd|maxuw|maxud|hminposuw|hadd\w+|hsub\w+|extr[bdq]|insr[bdq]|mov[sz]x\w+|cmp[ei]str\w)
  |blend\w+|dpp[sd]|extractps|insertps|mpsadbw|round[sp][sd]|h(add|sub)p[sd]|addsubp[sd]|lddqu|movddup|movs[hl]dup
  |popcnt\w?|crc32\w?|lzcnt\w?|movbe\w?"""
AVX = r"v[a-z]\w+|andn\w?|bextr\w?|bls\w+|mulx\w?|pdep\w?|pext[lq]?|rorx\w?|sarx\w?|shlx\w?|shrx\w?|aes\w+|sha\d\w+"
AVX512 = r"[^\n]*(%zmm\d+|%[xy]mm(1[6-9]|2\d|3[01])|%k[0-7])"
VBMI_GFNI = r"vperm[it]2b|vpermb|vpmultishiftqb|v?gf2p8\w+"
VNNI = r"(\{vex\}\s+)?vpdp\w+"
ARM_81 = (r"cas[abhlp]*|swp[abhl]*|(ld|st)(add|clr|eor|set|[su]max|[su]min)[abhl]*|sqrdml[as]h|crc32\w+"
          r"|f\w+\s+v\d+\.[48]h, v\d+\.[48]h, v\d+\.[48]h")
ARM_DOT = r"[us]dot|sqrdml[as]h"
ARM_MATRIX = r"(us|u|s)mmla|usdot|sudot|bfdot|bfmmla|bfmlal\w"
# isa: (what it may not have, what it must have or the table above is out of date)
ISAS = {
    "baseline": ((SSE3_TO_SSE4, AVX, AVX512, VNNI), r"pmaddwd"),
    "avx2": ((AVX512, VNNI), r"vpmaddubsw"),
    "avxvnni": ((AVX512,), r"\{vex\}\s+vpdpbusd"),
    "avx512": ((VBMI_GFNI,), r"vpdpbusd[^\n]*%zmm\d+"),
    "avx512vbmi": ((), r"vpermi2b|vpermt2b|vpermb"),
    "neon": ((ARM_81, ARM_DOT, ARM_MATRIX), r"smlal2"),
    "dotprod": ((ARM_MATRIX,), r"sdot"),
    "i8mm": ((), r"smmla"),
}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


arguments = sys.argv[1:]
prefix = ""
if arguments[0] == "--tools":
    prefix, arguments = arguments[1], arguments[2:]
isa_libraries = arguments[:arguments.index("--")]
other_libraries = arguments[len(isa_libraries) + 1:]
failures = defined = scanned = 0


def fail(text):
    global failures
    failures += 1
    print(f"FAILED: {text}")


def isa_of(library):
    isa = re.fullmatch(r".*_(\w+?)\.a", library)[1]
    if isa not in ISAS:
        fail(f"{library}: isa_symbols.py does not know what '{isa}' may use")
        return None
    return isa


def check_symbols(library):
    global defined
    for line in output(prefix + "nm", "-C", "--defined-only", library).splitlines():
        parts = line.split(maxsplit=2)
        if len(parts) < 3:
            continue
        defined += 1
        # W and V: weak, u: unique; the linker keeps any one of such copies. Our own names are strong.
        if parts[1] in "WVwvu":
            fail(f"{library}: {parts[2]} may be shared with code for older processors")


def instructions(library):
    """One a line, behind a tab: mnemonic and operands."""
    global scanned
    code = output(prefix + "objdump", "-d", "--no-show-raw-insn", library)
    lines = re.findall(r"^ +[0-9a-f]+:(\t.*)$", code, re.MULTILINE)
    scanned += len(lines)
    return "\n".join(re.sub(r"\s*(<.*|//.*|#.*)", "", line) for line in lines) + "\n"


def check_instructions(library, isa):
    code = instructions(library)
    for pattern in ISAS[isa][0]:
        newer = re.search(rf"^\t({pattern})(?!\w)[^\n]*", code, re.MULTILINE | re.VERBOSE
                          if pattern is SSE3_TO_SSE4 else re.MULTILINE)
        if newer:
            fail(f"{library}: '{newer[0].strip()}' is newer than {isa}")
    return code


for library in isa_libraries:
    check_symbols(library)
    isa = isa_of(library)
    if isa and not re.search(rf"^\t({ISAS[isa][1]})\b", check_instructions(library, isa), re.MULTILINE):
        fail(f"{library}: lacks the instruction that {isa} is for")
oldest = next((isa for isa in map(isa_of, isa_libraries) if isa in ("baseline", "neon")), None)
if not oldest or not other_libraries:
    fail("no library of the oldest instruction set, or none of the rest")
else:
    for library in other_libraries:
        check_instructions(library, oldest)
print(f"{len(isa_libraries)} + {len(other_libraries)} libraries, {defined} symbols, {scanned} instructions, "
      f"{failures} failures")
sys.exit(1 if failures or not defined or not scanned else 0)
