"""The checks of this folder go red when the ABI breaks: each case below breaks a copy of the header, the version
script, the lists or a baseline on purpose, builds a library of that header without bodies, and must be told so in the
right words. Copies that nobody disturbed, or that grow as the rules allow, must stay green.

usage: breaks_test.py [NAME...]    only the cases whose name contains one of these
"""
import contextlib
import io
import pathlib
import re
import shutil
import sys
import tempfile
from multiprocessing import Pool

import check
import stub
from library_rules import abidiff_missing

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER, MAP, EXPORTS, LOG = "include/bitnet.h", "src/api/exports.map", "tests/abi/exports", "ABI_CHANGELOG.md"
LAYOUTS = "tests/api/structs_test.c"
CASES = {}


class Copy:
    """A copy of what the checks read, to be edited."""

    def __init__(self, root):
        self.root, self.extra, self.soname, self.debug, self.rewrites_history = root, "", None, "-g", False
        for path in (HEADER, MAP, LOG, LAYOUTS):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, root / path)
        shutil.copytree(ROOT / "tests/abi", root / "tests/abi", ignore=shutil.ignore_patterns("__pycache__"))

    def edit(self, path, old, new):
        """Replaces the one place that matches `old`."""
        text = (self.root / path).read_text(encoding="utf-8")
        text, count = re.subn(old, lambda match: match.expand(new), text, flags=re.M)
        if count != 1:
            raise ValueError(f"{path}: '{old}' is there {count} times: this test is out of date")
        (self.root / path).write_text(text, encoding="utf-8")
        self.rewrites_history |= path.startswith("tests/abi/0.")

    def header(self, old, new):
        self.edit(HEADER, old, new)

    def add_call(self, name, node):
        self.header(r"^(/\* ---- The machine )", rf"BITNET_API uint32_t {name}(void);\n\1")
        self.export(name, node)

    def remove_call(self, name):
        self.header(rf"^BITNET_API [^;(]*\b{name}\([^;]*;", "")
        self.edit(MAP, rf"^    {name};\n", "")
        self.edit(EXPORTS, rf"^{name}@.*\n", "")

    def export(self, name, node):
        nodes = (self.root / MAP).read_text(encoding="utf-8")
        if f"{node} {{" in nodes:
            self.edit(MAP, rf"({re.escape(node)} \{{\n  global:\n)", rf"\1    {name};\n")
        else:
            self.edit(MAP, r"\Z", f"{node} {{\n  global:\n    {name};\n}} BITNET_0.2;\n")
        self.edit(EXPORTS, r"\Z", f"{name}@@{node}\n")

    def next_minor(self, entry="", abi=0):
        """What whoever adds something does: the minor version goes up, the changelog tells what for."""
        self.header(r"(#define BITNET_VERSION_MINOR) \d+", r"\1 3")
        self.edit(LOG, r"^## 0\.2\.0 ", f"## 0.3.0 (unreleased) - ABI version {abi}\n\n{entry}\n## 0.2.0 ")

    def next_abi(self, entry):
        """What whoever breaks something does: a new ABI version, the header's calls in its first node."""
        self.next_minor(entry, abi=1)
        self.header(r"(#define BITNET_ABI_VERSION) \d+", r"\1 1")
        names = sorted(stub.functions((self.root / HEADER).read_text(encoding="utf-8")))
        (self.root / EXPORTS).write_text("".join(f"{name}@@BITNET_1\n" for name in names))
        (self.root / MAP).write_text(stub.node_map(f"{name}@@BITNET_1" for name in names))

    def library(self):
        path, today = self.root / "libbitnet.so", check.Project(self.root).today
        stub.build(today.header, self.root / MAP, path, self.soname or today.soname, self.extra, self.debug,
                   today.frozen.values())
        return path

    def release(self):
        with contextlib.redirect_stdout(io.StringIO()):
            check.release(check.Project(self.root), self.library())

    def check(self):
        """The sentences of all checks."""
        project, library, failures = check.Project(self.root), self.library(), check.Failures()
        with contextlib.redirect_stdout(io.StringIO()):
            check.check_header(project, failures)
            check.check_library(project, library, library, failures)
            if self.rewrites_history:
                check.check_kept_types(project, failures)
        return failures.sentences


def case(name, *sentences, abidiff=False):
    """A break and what each has to be told as; none: it has to stay green. abidiff: it must see the break, too."""
    def add(disturb):
        CASES[name] = (disturb, list(sentences) + ([r"abidiff, 0\.\d against today's library: "] if abidiff else []))
    return add


# ---- Green ----


@case("nothing disturbed")
def _(_copy):
    pass


@case("a call, a flag, an enum member, a type and fields at the end in a new minor version")
def _(copy):
    copy.next_minor("- **All**: `bitnet_new_call`; flag `BITNET_WANT_MORE`; `BITNET_E_NEW`, `BITNET_HEAD_NEW`; type\n"
                    "  `bitnet_new`; field `more` of `bitnet_ctx_options`\n")
    copy.add_call("bitnet_new_call", "BITNET_0.3")
    copy.header(r"^  BITNET_WANT_LOGITS = ", "  BITNET_WANT_MORE = 1u << 9,\n  BITNET_WANT_LOGITS = ")
    copy.header(r"^  BITNET_STATUS_INT32 = ", "  BITNET_E_NEW = -13,\n  BITNET_STATUS_INT32 = ")
    copy.header(r"^  BITNET_HEAD_INT32 = ", "  BITNET_HEAD_NEW = 3,\n  BITNET_HEAD_INT32 = ")
    copy.header(r"^(/\* ---- The machine )", r"typedef struct bitnet_new bitnet_new;\n\1")
    copy.header(r"^(} bitnet_ctx_options;)", r"  uint64_t more;\n\1")
    copy.header(r"(BITNET_CTX_OPTIONS_INIT {.*)}", r"\1, 0}")
    copy.edit(LAYOUTS, r"\Z", "FIELD(bitnet_ctx_options, more, 40, 8);\n")


@case("a reserved field gets its meaning in a new minor version")
def _(copy):
    copy.next_minor("- **Models**: field `split` of `bitnet_model_options`\n")
    copy.header(r"^  int32_t reserved;        /\* 0 \*/", "  int32_t split;")
    copy.edit(LAYOUTS, r"(FIELD\(bitnet_model_options), reserved,", r"\1, split,")


@case("a break with a new ABI version, soname and changelog")
def _(copy):
    copy.remove_call("bitnet_ctx_sequence_match")
    copy.header(r"uint32_t batch; ", "uint64_t batch; ")
    for field, old, new in (("batch", "16, 4", "16, 8"), ("threads", "20, 4", "24, 4"), ("execute", "24, 8", "32, 8"),
                            ("execute_user", "32, 8", "40, 8")):
        copy.edit(LAYOUTS, rf"(FIELD\(bitnet_ctx_options, {field}), {old}", rf"\1, {new}")
    copy.next_abi("- **Gone**: `bitnet_ctx_sequence_match`; field `batch` of `bitnet_ctx_options` is wider\n")


@case("a patch version")
def _(copy):
    copy.header(r"(#define BITNET_VERSION_PATCH) \d+", r"\1 1")
    copy.edit(LOG, r"^## 0\.2\.0 ", "## 0.2.1 - ABI version 0\n\nNothing new.\n\n## 0.2.0 ")


@case("what is experimental changes in a new minor version")
def _(copy):
    copy.next_minor("- **Experimental**: `bitnet_machine_measure` takes no reasons\n")
    copy.header(r"bitnet_machine_measure\(bitnet_machine_limits \*limits, bitnet_error \*why\)",
                "bitnet_machine_measure(bitnet_machine_limits *limits)")


@case("a new minor version is released")
def _(copy):
    copy.next_minor("- `bitnet_new_call`\n")
    copy.add_call("bitnet_new_call", "BITNET_0.3")
    copy.release()
    copy.rewrites_history = True


@case("a call becomes an inline function and stays exported")
def _(copy):
    make_inline(copy)


def make_inline(copy):
    copy.header(r"^BITNET_API int32_t bitnet_isa_count\(void\);",
                "static inline int32_t bitnet_isa_count(void) {\n  return 0;\n}")


# ---- Calls ----


@case("call becomes an inline function and is no longer exported",
      r"0\.1 exported bitnet_isa_count@BITNET_0 and today's library does not", abidiff=True)
def _(copy):
    make_inline(copy)
    copy.edit(MAP, r"^    bitnet_isa_count;\n", "")
    copy.edit(EXPORTS, r"^bitnet_isa_count@.*\n", "")


@case("call removed", r"bitnet_ctx_sequence_match is gone: programs built against 0\.1 and 0\.2 do not start if",
      r"0\.1 exported bitnet_ctx_sequence_match@BITNET_0 and today's library does not", abidiff=True)
def _(copy):
    copy.remove_call("bitnet_ctx_sequence_match")


@case("call no longer exported", r"bitnet\.h declares bitnet_sample, libbitnet\.so does not export it",
      r"tests/abi/exports has bitnet_sample@@BITNET_0, libbitnet\.so does not export it", abidiff=True)
def _(copy):
    copy.edit(MAP, r"^    bitnet_sample;\n", "")


@case("type of a parameter", r"parameter 2 of bitnet_token_is_end was int and is long", abidiff=True)
def _(copy):
    copy.header(r"bitnet_token_is_end\((.*) int32_t token\)", r"bitnet_token_is_end(\1 int64_t token)")


@case("type of a parameter behind a typedef",
      r"parameter 2 of bitnet_tokenize was const char \* and is const signed char \*",
      abidiff=True)
def _(copy):
    copy.header(r"^typedef struct bitnet_model bitnet_model;", r"\g<0>\ntypedef signed char bitnet_char;")
    copy.header(r"(bitnet_tokenize\(const bitnet_model \*model,) const char", r"\1 const bitnet_char")


@case("parameter more", r"bitnet_isa_name had 1 parameters and has 2", abidiff=True)
def _(copy):
    copy.header(r"bitnet_isa_name\(int32_t index\)", "bitnet_isa_name(int32_t index, uint32_t flags)")


@case("result", r"bitnet_model_tensor_count returned uint64_t and returns uint32_t", abidiff=True)
def _(copy):
    copy.header(r"uint64_t (bitnet_model_tensor_count)", r"uint32_t \1")


@case("const of a handle dropped",
      r"parameter 1 of bitnet_ctx_get_stats was const bitnet_ctx \* and is bitnet_ctx \*: .*may call it side by side")
def _(copy):
    copy.header(r"bitnet_ctx_get_stats\(const ", "bitnet_ctx_get_stats(")


@case("callback", r"bitnet_execute_fn was .* and is ", r"bitnet_source\.read_at was .* and is ", abidiff=True)
def _(copy):
    copy.header(r"(\(\*bitnet_execute_fn\)\(void \*user, void \(\*task\)\(void \*argument), int32_t", r"\1, int64_t")
    copy.header(r"(\(\*read_at\)\(void \*user), uint64_t offset", r"\1, uint32_t offset")


# ---- Structs ----


@case("fields reordered", r"bitnet_ctx_options\.batch moved from offset 16 to 20: .* use the wrong field",
      r"bitnet_ctx_options\.threads moved from offset 20 to 16", abidiff=True)
def _(copy):
    copy.header(r"^  uint32_t batch; .*\n(  int32_t threads; .*\n)", r"\1  uint32_t batch;\n")


@case("field widened", r"bitnet_ctx_options\.batch had 4 bytes and has 8",
      r"bitnet_ctx_options\.execute moved from offset 24 to 32", abidiff=True)
def _(copy):
    copy.header(r"uint32_t batch; ", "uint64_t batch; ")


@case("field of another type", r"bitnet_sampler_options\.top_k was int and is float", abidiff=True)
def _(copy):
    copy.header(r"^  int32_t top_k; ", "  float top_k; ")


@case("field inserted in the middle", r"bitnet_ctx_stats\.more is new at offset 8, inside the 88 bytes the struct had",
      abidiff=True)
def _(copy):
    copy.header(r"^  uint64_t batches; ", "  uint64_t more;\n  uint64_t batches; ")


@case("field removed", r"bitnet_estimate\.work_bytes is now called total_bytes|bitnet_estimate\.work_bytes is gone",
      r"bitnet_estimate had 48 bytes and has 40", abidiff=True)
def _(copy):
    copy.header(r"^  uint64_t work_bytes;   /\* everything else of it \*/\n", "")
    copy.header(r"(BITNET_ESTIMATE_INIT {sizeof\(bitnet_estimate\), 0,) 0,", r"\1")


@case("field renamed", r"bitnet_ctx_options\.positions is now called places", abidiff=True)
def _(copy):
    copy.header(r"^  uint32_t positions;  /\*", "  uint32_t places;  /*")


@case("struct without size grows", r"bitnet_batch_entry had 16 bytes and has 24: .*lay out arrays of it",
      r"bitnet_batch_entry\.more is new in a struct without `size`", abidiff=True)
def _(copy):
    copy.next_minor("- field `more` of `bitnet_batch_entry`\n")
    copy.header(r"^(} bitnet_batch_entry;)", r"  uint64_t more;\n\1")


@case("handle shows its fields", r"bitnet_sampler was opaque and shows its fields")
def _(copy):
    copy.header(r"^typedef struct bitnet_sampler bitnet_sampler;",
                "typedef struct bitnet_sampler { int a; } bitnet_sampler;")


@case("new struct without size", r"bitnet_new begins without `uint32_t size`")
def _(copy):
    copy.next_minor("- type `bitnet_new`\n")
    copy.header(r"^(/\* ---- The machine )", r"typedef struct bitnet_new { int32_t a; } bitnet_new;\n\1")


@case("new field without its line in structs_test.c",
      r"structs_test\.c has no line FIELD\(bitnet_ctx_options, more, 40, 8\);")
def _(copy):
    copy.next_minor("- field `more` of `bitnet_ctx_options`\n")
    copy.header(r"^(} bitnet_ctx_options;)", r"  uint64_t more;\n\1")


# ---- Numbers and macros ----


@case("enum value changed", r"BITNET_DONE was 1 and is 2: .*still use the old number", abidiff=True)
def _(copy):
    copy.header(r"BITNET_DONE = 1,", "BITNET_DONE = 2,")


@case("enum value changed where no call has the enum", r"BITNET_END_LIMIT was 3 and is 5")
def _(copy):
    copy.header(r"BITNET_END_LIMIT = 3,", "BITNET_END_LIMIT = 5,")


@case("enum member removed", r"BITNET_E_DEVICE \(-11\) is gone", abidiff=True)
def _(copy):
    copy.header(r"^  BITNET_E_DEVICE = -11,\n", "")


@case("enum narrowed", r"bitnet_head was uint32_t underneath and is unsigned char|BITNET_HEAD_INT32 .* is gone",
      r"bitnet_head has no \.\.\._INT32")
def _(copy):
    copy.header(r"^  BITNET_HEAD_INT32 = 0x7fffffff\n", "")


@case("flag renumbered", r"BITNET_WANT_LOGITS was 1 and is 8")
def _(copy):
    copy.header(r"BITNET_WANT_LOGITS = 1u << 0", "BITNET_WANT_LOGITS = 1u << 3")


@case("flag removed", r"BITNET_GENERATE_SPECIAL \(2\) is gone")
def _(copy):
    copy.header(r",( .*\n)  BITNET_GENERATE_SPECIAL = 1u << 1 .*\n", r"\1")


@case("flag that takes another's bit",
      r"BITNET_WANT_SAMPLE and BITNET_WANT_MORE are both 4")
def _(copy):
    copy.next_minor("- flag `BITNET_WANT_MORE`\n")
    copy.header(r"^  BITNET_WANT_LOGITS = ", "  BITNET_WANT_MORE = 1u << 2,\n  BITNET_WANT_LOGITS = ")


@case("INIT macro sets a field", r"BITNET_CTX_OPTIONS_INIT is .* but must be .* zeros")
def _(copy):
    copy.header(r"(BITNET_CTX_OPTIONS_INIT {sizeof\(bitnet_ctx_options\), 0,) 0", r"\1 512")


@case("INIT macro removed", r"BITNET_ERROR_INIT is gone", r"bitnet_error has no BITNET_ERROR_INIT")
def _(copy):
    copy.header(r"^#define BITNET_ERROR_INIT .*\n", "")
    copy.header(r"initial = BITNET_ERROR_INIT;", "initial = {sizeof(bitnet_error), 0, {0}};")


# ---- Symbols ----


@case("symbol moved to another version",
      r"0\.1 exported bitnet_sample@BITNET_0 and today's library does not: the loader refuses")
def _(copy):
    copy.edit(MAP, r"^    bitnet_sample;\n", "")
    copy.edit(EXPORTS, r"^bitnet_sample@@BITNET_0\n", "")
    copy.export("bitnet_sample", "BITNET_0.2")


@case("symbol that is not bitnet_*", r"exports helper, which bitnet\.h does not declare; only bitnet_")
def _(copy):
    copy.extra = 'extern "C" __attribute__((visibility("default"))) int helper() { return 1; }'
    copy.export("helper", "BITNET_0.2")


@case("symbol nobody listed", r"exports bitnet_helper@@BITNET_0, which is not in tests/abi/exports",
      r"exports\.map has bitnet_\*@BITNET_0, tests/abi/exports does not: each call is named, no wildcards")
def _(copy):
    copy.extra = 'extern "C" __attribute__((visibility("default"))) int bitnet_helper() { return 1; }'
    copy.edit(MAP, r"^    bitnet_version;", "    bitnet_*;\n    bitnet_version;")


@case("new call in an old symbol version",
      r"bitnet_new_call is new in 0\.3 and has the symbol version BITNET_0: .*BITNET_0\.3")
def _(copy):
    copy.next_minor("- `bitnet_new_call`\n")
    copy.add_call("bitnet_new_call", "BITNET_0")


@case("soname not raised", r"the soname is libbitnet\.so\.0, BITNET_ABI_VERSION 1 asks for libbitnet\.so\.1")
def _(copy):
    copy.remove_call("bitnet_ctx_sequence_match")
    copy.next_abi("- **Gone**: `bitnet_ctx_sequence_match`\n")
    copy.soname = "libbitnet.so.0"


# ---- Versions, changelog, baselines ----


@case("call added without a minor version",
      r"call bitnet_new_call is new since 0\.2 was released, .*raise BITNET_VERSION_MINOR")
def _(copy):
    copy.add_call("bitnet_new_call", "BITNET_0.2")


@case("call added to a version just released",
      r"call bitnet_late_call is new since 0\.3 was released, .*begin '## 0\.4\.0 \(unreleased")
def _(copy):
    copy.next_minor("- `bitnet_new_call`\n")
    copy.add_call("bitnet_new_call", "BITNET_0.3")
    copy.release()
    copy.add_call("bitnet_late_call", "BITNET_0.3")


@case("field, enum member and flag added without a minor version", r"field bitnet_ctx_options\.more is new since 0\.2",
      r"bitnet_head member BITNET_HEAD_NEW is new since 0\.2", r"flag BITNET_WANT_MORE is new since 0\.2")
def _(copy):
    copy.header(r"^(} bitnet_ctx_options;)", r"  uint64_t more;\n\1")
    copy.header(r"^  BITNET_HEAD_INT32 = ", "  BITNET_HEAD_NEW = 3,\n  BITNET_HEAD_INT32 = ")
    copy.header(r"^  BITNET_WANT_LOGITS = ", "  BITNET_WANT_MORE = 1u << 9,\n  BITNET_WANT_LOGITS = ")


@case("ABI version raised without the minor",
      r"bitnet\.h says version 0\.2, ABI version 1, after version 0\.2, ABI version 0: .* needs a new minor")
def _(copy):
    copy.header(r"(#define BITNET_ABI_VERSION) \d+", r"\1 1")


@case("ABI version raised within 1.x", r"version 1\.3, ABI version 1, after version 1\.2, .* needs a new major version")
def _(copy):
    for path in (HEADER, "tests/abi/0.2/bitnet.h"):
        copy.edit(path, r"(#define BITNET_VERSION_MAJOR) \d+", r"\1 1")
    (copy.root / "tests/abi/0.2").rename(copy.root / "tests/abi/1.2")
    copy.next_abi("")


@case("version goes back", r"bitnet\.h says version 0\.1, .*after version 0\.2, .*numbers only go up")
def _(copy):
    copy.header(r"(#define BITNET_VERSION_MINOR) \d+", r"\1 1")


@case("changelog lacks an addition", r"ABI_CHANGELOG\.md does not list bitnet_new_call under 0\.3\.0",
      r"ABI_CHANGELOG\.md does not list more under 0\.3\.0")
def _(copy):
    copy.next_minor()
    copy.add_call("bitnet_new_call", "BITNET_0.3")
    copy.header(r"^(} bitnet_ctx_options;)", r"  uint64_t more;\n\1")


@case("changelog lacks a break", r"ABI_CHANGELOG\.md does not list bitnet_ctx_sequence_match under 0\.3\.0")
def _(copy):
    copy.remove_call("bitnet_ctx_sequence_match")
    copy.next_abi("")


@case("changelog lists what is not there",
      r"lists bitnet_never under 0\.2\.0, but that version neither added nor changed it")
def _(copy):
    copy.edit(LOG, r"^- \*\*Sampling\*\*: `bitnet_ctx_sample`", r"\g<0>, `bitnet_never`")


@case("changelog lacks the version", r"ABI_CHANGELOG\.md begins with 0\.2\.0, .*; bitnet\.h says 0\.3\.0")
def _(copy):
    copy.header(r"(#define BITNET_VERSION_MINOR) \d+", r"\1 3")


@case("heading that does not say whether it is released", r"'## 0\.3\.0 - soon' is no '## X\.Y\.Z - ABI version N'")
def _(copy):
    copy.edit(LOG, r"^## 0\.2\.0 ", "## 0.3.0 - soon\n\n## 0.2.0 ")


@case("changelog with another ABI version", r"gives 0\.1\.0 the ABI version 7, its header has 0")
def _(copy):
    copy.edit(LOG, r"^## 0\.1\.0 - ABI version 0", "## 0.1.0 - ABI version 7")


@case("released without a baseline",
      r"has 0\.3\.0 as released, tests/abi/0\.3 is not there: mark the heading \(unreleased\)")
def _(copy):
    copy.next_minor()
    copy.edit(LOG, r"^(## 0\.3\.0) \(unreleased\)", r"\1")


@case("baseline edited", r"tests/abi/0\.1/bitnet\.h is not the file that was kept",
      r"tests/abi/0\.1/bitnet\.abi is not of the header beside it")
def _(copy):
    copy.edit("tests/abi/0.1/bitnet.h", r"uint32_t batch; ", "uint64_t batch; ")


@case("types of a baseline edited", r"tests/abi/0\.2/bitnet\.abi is not the file that was kept",
      r"tests/abi/0\.2/bitnet\.abi is not of the header beside it")
def _(copy):
    copy.edit("tests/abi/0.2/bitnet.abi", r"name='BITNET_E_IO' value='-4'", "name='BITNET_E_IO' value='-44'")


@case("types missing from a baseline", r"tests/abi/0\.1/bitnet\.abi tells no types of bitnet_sample and 1 in all")
def _(copy):
    copy.edit("tests/abi/0.1/bitnet.abi", r"^    <function-decl name='bitnet_sample'(.*\n)*?    </function-decl>\n", "")


@case("library without debug information", r"libbitnet\.so tells no types of .* in all: abidiff would compare nothing")
def _(copy):
    copy.debug = "-g0"


@case("baseline removed",
      r"ABI_CHANGELOG\.md has 0\.1\.0 as released, tests/abi/0\.1 is not there", r"None, tests/abi/checksums")
def _(copy):
    shutil.rmtree(copy.root / "tests/abi/0.1")


def try_case(name):
    """What is wrong with how the checks took a case, in sentences."""
    disturb, expected = CASES[name]
    with tempfile.TemporaryDirectory() as scratch:
        copy = Copy(pathlib.Path(scratch))
        try:
            disturb(copy)
            sentences = copy.check()
        except (ValueError, SystemExit) as error:  # a worker that exits would leave its pool waiting
            sentences = [str(error)]
    told = "".join(f"\n    {sentence}" for sentence in sentences) or " nothing"
    if not expected:
        return name, [f"has to stay green, but the checks say:{told}"] if sentences else []
    return name, [f"nobody says '{wanted}', but the checks say:{told}"
                  for wanted in expected if not any(re.search(wanted, sentence) for sentence in sentences)]


def main():
    missing = check.libclang_missing() or abidiff_missing()
    if missing:
        print("skipped:", missing)
        return 77
    names = [name for name in CASES if not sys.argv[1:] or any(part in name for part in sys.argv[1:])]
    failures = 0
    with Pool(2) as pool:
        for name, troubles in pool.imap(try_case, names):
            print("FAILED:" if troubles else "green:" if not CASES[name][1] else "red:  ", name)
            for trouble in troubles:
                print("  " + trouble)
            failures += bool(troubles)
    print(f"{len(names)} cases, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
