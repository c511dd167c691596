"""The checks of this folder go red when the ABI breaks: each case below breaks a copy of the header, the version
script, the lists or a baseline on purpose, builds a library of that header without bodies, and must be told so in the
right words. Copies that nobody disturbed, or that grow as the rules allow, must stay green.

Each case begins with today's tree one release later, so that none depends on which version today's is.

usage: breaks_test.py [NAME...]    only the cases whose name contains one of these
"""
import contextlib
import functools
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from multiprocessing import Pool
from unittest import mock

import check
import stub
from library_rules import abidiff_missing
from project import Project, text_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
TODAY = Project(ROOT).today
MAJOR, ABI = TODAY.number[0], TODAY.abi
# The version a case begins with, those that it may make of it.
NOW, NEXT, AFTER = (text_of((MAJOR, TODAY.number[1] + step)) for step in (1, 2, 3))
HEADER, MAP, EXPORTS, LOG = "include/bitnet.h", "src/api/exports.map", "tests/abi/exports", "ABI_CHANGELOG.md"
LAYOUTS = "tests/api/structs_test.c"
CASES = {}


class Copy:
    """A copy of what the checks read, to be edited."""

    def __init__(self, root, source=ROOT):
        self.root, self.extra, self.soname = root, "", None
        self.compiler, self.checks_history, self.path = stub.COMPILER, False, os.environ["PATH"]
        for path in (HEADER, MAP, LOG, LAYOUTS):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, root / path)
        shutil.copytree(source / "tests/abi", root / "tests/abi", ignore=shutil.ignore_patterns("__pycache__"))

    def edit(self, path, old, new):
        """Replaces the one place that matches `old`."""
        text = (self.root / path).read_text(encoding="utf-8")
        text, count = re.subn(old, lambda match: match.expand(new), text, flags=re.M)
        if count != 1:
            raise ValueError(f"{path}: '{old}' is there {count} times: this test is out of date")
        (self.root / path).write_text(text, encoding="utf-8")
        self.checks_history |= bool(re.match(r"tests/abi/\d", path))

    def header(self, old, new):
        self.edit(HEADER, old, new)

    def today(self):
        return check.Project(self.root).today

    def surface(self):
        from surface import Surface  # needs libclang, for which main looks first
        return Surface(self.root / HEADER)

    def declare(self, text):
        self.header(r"^(/\* ---- The machine )", text.replace("\\", r"\\") + r"\n\1")

    def add_call(self, name, node=None):
        self.declare(f"BITNET_API uint32_t {name}(void);")
        self.export(name, node or f"BITNET_{self.today().text}")

    def add_field(self, struct, name, kind="uint64_t"):
        self.header(rf"^(}} {struct};)", rf"  {kind} {name};\n\1")
        self.header(rf"({struct.upper()}_INIT [^}}]*)}}", r"\1, 0}")
        self.write_layout(struct)

    def write_layout(self, struct):
        for field in self.surface().structs[struct].fields:
            self.edit(LAYOUTS, r"\Z", f"FIELD({struct}, {field.name}, {field.offset}, {field.size});\n")

    def remove_call(self, name):
        self.header(rf"^BITNET_API [^;(]*\b{name}\([^;]*;", "")
        self.edit(MAP, rf"^    {name};\n", "")
        self.edit(EXPORTS, rf"^{name}@.*\n", "")

    def export(self, name, node):
        nodes = re.findall(r"^(BITNET_\S+) \{", (self.root / MAP).read_text(encoding="utf-8"), re.M)
        if node in nodes:
            self.edit(MAP, rf"^({re.escape(node)} \{{\n  global:\n)", rf"\1    {name};\n")
        else:
            self.edit(MAP, r"\Z", f"{node} {{\n  global:\n    {name};\n}} {nodes[-1]};\n")
        self.edit(EXPORTS, r"\Z", f"{name}@@{node}\n")

    def number(self, macro, number):
        self.header(rf"(#define BITNET_{macro}) \d+", rf"\1 {number}")

    def begin_section(self, heading, text=""):
        newest = self.today()
        self.edit(LOG, rf"^## {re.escape(newest.text)}\.{newest.patch} ", f"## {heading}\n\n{text}\n\\g<0>")

    def next_minor(self, entry="", abi=ABI):
        """What whoever adds something does: the minor version goes up, the changelog tells what for."""
        major, minor = self.today().number
        self.begin_section(f"{major}.{minor + 1}.0 (unreleased) - ABI version {abi}", entry)
        self.number("VERSION_MINOR", minor + 1)
        self.number("VERSION_PATCH", 0)

    def next_abi(self, entry):
        """What whoever breaks something does: a new ABI version, the header's calls in its first node."""
        self.next_minor(entry, abi=ABI + 1)
        self.number("ABI_VERSION", ABI + 1)
        names = sorted(stub.functions((self.root / HEADER).read_text(encoding="utf-8")))
        (self.root / EXPORTS).write_text("".join(f"{name}@@BITNET_{ABI + 1}\n" for name in names))
        (self.root / MAP).write_text(stub.node_map(f"{name}@@BITNET_{ABI + 1}" for name in names))

    def other_abidiff(self, script):
        """Another libabigail's, whose report is what the script makes of this one's."""
        (self.root / "bin").mkdir()
        stand_in, installed = self.root / "bin/abidiff", shutil.which("abidiff")
        stand_in.write_text(f"""#!/bin/sh
[ "$1" != --version ] || {{ echo abidiff: 9.8.7; exit; }}
status=0
report=$({installed} "$@") || status=$?
{script}
exit $status
""")
        stand_in.chmod(0o755)
        self.path = f"{stand_in.parent}:{self.path}"

    def library(self):
        path, today = self.root / "libbitnet.so", self.today()
        stub.build(today.header, self.root / MAP, path, self.soname or today.soname, self.extra, self.compiler,
                   today.frozen.values())
        return path

    def release(self):
        with contextlib.redirect_stdout(io.StringIO()):
            check.release(check.Project(self.root), self.library())

    def check(self):
        """The sentences of all checks."""
        project, library, failures = check.Project(self.root), self.library(), check.Failures()
        with contextlib.redirect_stdout(io.StringIO()), mock.patch.dict(os.environ, PATH=self.path):
            check.check_header(project, failures)
            check.check_library(project, library, library, failures)
            if self.checks_history:
                check.check_kept_types(project, failures, self.compiler)
        return failures.sentences


def case(name, *sentences, abidiff=False):
    """A break and what each has to be told as; none: it has to stay green. abidiff: it must see the break, too."""
    def add(disturb):
        CASES[name] = (disturb, list(sentences) + ([r"abidiff, \d+\.\d+ against today's library: "] if abidiff else []))
    return add


# ---- Green ----


@case("nothing disturbed")
def _(_copy):
    pass


@case("a call, a flag, enum members, types and a field at the end in a new minor version")
def _(copy):
    grow(copy, "more", 30)


def grow(copy, word, number):
    """Adds one of each thing that may be added; the number tells these from others."""
    upper, info = word.upper(), f"bitnet_{word}_info"
    copy.next_minor(f"- **All**: `bitnet_{word}_call`, `{info}_init`, `BITNET_{upper}_LIMIT`;\n"
                    f"  flag `BITNET_WANT_{upper}`; `BITNET_E_{upper}`, `BITNET_HEAD_{upper}`; types `bitnet_{word}`,\n"
                    f"  `{info}`; field `{word}` of `bitnet_ctx_options`\n")
    copy.header(r"^  BITNET_WANT_LOGITS = ", rf"  BITNET_WANT_{upper} = 1u << {number},\n\g<0>")
    copy.header(r"^  BITNET_STATUS_INT32 = ", rf"  BITNET_E_{upper} = -{number},\n\g<0>")
    copy.header(r"^  BITNET_HEAD_INT32 = ", rf"  BITNET_HEAD_{upper} = {number},\n\g<0>")
    copy.declare(f"typedef struct bitnet_{word} bitnet_{word};")
    copy.declare(f"""typedef struct {info} {{ uint32_t size; int32_t value; }} {info};
#define {info.upper()}_INIT {{sizeof({info}), 0}}
static inline void {info}_init({info} *info) {{
  const {info} initial = {info.upper()}_INIT;
  if (info) *info = initial;
}}""")
    copy.declare(f"BITNET_API void bitnet_{word}_call(const bitnet_{word} *{word}, {info} *info);")
    copy.export(f"bitnet_{word}_call", f"BITNET_{copy.today().text}")
    copy.write_layout(info)
    copy.declare(f"#define BITNET_{upper}_LIMIT {number}")
    copy.add_field("bitnet_ctx_options", word)


@case("a reserved field gets its meaning in a new minor version")
def _(copy):
    struct, reserved = next((name, field.name) for name, struct in copy.surface().structs.items()
                            for field in struct.fields if field.name.startswith("reserved"))
    copy.next_minor(f"- field `meaning` of `{struct}`\n")
    copy.header(rf"(^typedef struct {struct} \{{[^}}]*) {reserved};", r"\1 meaning;")
    copy.write_layout(struct)


@case("a break with a new ABI version, soname and changelog")
def _(copy):
    copy.remove_call("bitnet_ctx_sequence_match")
    copy.header(r"uint32_t batch; ", "uint64_t batch; ")
    copy.header(r"int32_t threads;( +/\* 1\.\.1024; 0: as many)", r"int64_t threads;\1")
    copy.write_layout("bitnet_ctx_options")
    copy.next_abi("- **Gone**: `bitnet_ctx_sequence_match`\n"
                  "- **Wider**: fields `batch`, `threads` of `bitnet_ctx_options`\n")


@case("a patch version")
def _(copy):
    copy.begin_section(f"{NOW}.1 - ABI version {ABI}", "Nothing new.\n")
    copy.number("VERSION_PATCH", 1)


@case("what is experimental changes in a new minor version")
def _(copy):
    copy.next_minor("- **Experimental**: `bitnet_machine_measure` takes no reasons\n")
    copy.header(r"bitnet_machine_measure\(bitnet_machine_limits \*limits, bitnet_error \*why\)",
                "bitnet_machine_measure(bitnet_machine_limits *limits)")


@case("a new minor version is released")
def _(copy):
    copy.next_minor("- `bitnet_new_call`\n")
    copy.add_call("bitnet_new_call")
    copy.release()
    copy.checks_history = True


@case("library and kept headers compiled by clang, where there is one")
def _(copy):
    copy.compiler, copy.checks_history = [shutil.which("clang++") or "c++", "-g"], True


@case("an abidiff that says in more words that all is equal")
def _(copy):
    copy.other_abidiff('[ $status -ne 0 ] || report="No changes."; echo "$report"')
    copy.checks_history = True


@case("an experimental call is gone in a new minor version, its struct stays")
def _(copy):
    copy.next_minor("- **Experimental**: `bitnet_machine_measure` is gone\n")
    copy.remove_call("bitnet_machine_measure")


@case("what is experimental is gone in a new minor version")
def _(copy):
    copy.next_minor("- **Experimental**: `bitnet_machine_measure`, `bitnet_machine_limits`,\n"
                    "  `bitnet_machine_limits_init` are gone\n")
    copy.remove_call("bitnet_machine_measure")
    copy.header(r"(?s)^typedef struct bitnet_machine_limits \{.*?\n\}\n", "")
    copy.edit(MAP, r"^    bitnet_machine_limits_init;\n", "")
    copy.edit(EXPORTS, r"^bitnet_machine_limits_init@.*\n", "")


@case("a call becomes an inline function and stays exported")
def _(copy):
    make_inline(copy)


def make_inline(copy):
    copy.header(r"^BITNET_API int32_t bitnet_isa_count\(void\);",
                "static inline int32_t bitnet_isa_count(void) {\n  return 0;\n}")


# ---- Calls ----


@case("header that does not compile", r"(?s)a library of .*/include/bitnet\.h does not compile:\n.*error: ")
def _(copy):
    copy.header(r"^BITNET_API int32_t bitnet_isa_count\(void\);", "BITNET_API int32 bitnet_isa_count(void);")


@case("kept header that does not compile", r"tests/abi/0\.1/bitnet\.h does not compile: .*error: ")
def _(copy):
    copy.edit("tests/abi/0.1/bitnet.h", r"^BITNET_API int32_t bitnet_isa_count\(void\);",
              "BITNET_API int32 bitnet_isa_count(void);")


@case("variable", r"'BITNET_API extern const int bitnet_answer;', which is not .*: only calls are exported")
def _(copy):
    copy.declare("BITNET_API extern const int bitnet_answer;")


@case("call with a calling convention of its own", r"'BITNET_API __attribute__\(\(ms_abi\)\) int32_t bitnet_isa_count")
def _(copy):
    copy.header(r"^BITNET_API int32_t bitnet_isa_count", "BITNET_API __attribute__((ms_abi)) int32_t bitnet_isa_count")


@case("call becomes an inline function and is no longer exported",
      r"0\.1 exported bitnet_isa_count@BITNET_0 and today's library does not", abidiff=True)
def _(copy):
    make_inline(copy)
    copy.edit(MAP, r"^    bitnet_isa_count;\n", "")
    copy.edit(EXPORTS, r"^bitnet_isa_count@.*\n", "")


@case("call removed", r"bitnet_ctx_sequence_match is gone: programs built against 0\.1 and 0\.2 and .* do not start if",
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
      r"bitnet_estimate had \d+ bytes and has \d+", abidiff=True)
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
      r"structs_test\.c has no line FIELD\(bitnet_ctx_options, more, \d+, 8\);")
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
    copy.header(r"^  BITNET_GENERATE_SPECIAL = .*\n", "")


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


@case("init function that does more than its macro",
      r"bitnet_model_options_init is .* size = 0 .*, but must be \{ const bitnet_model_options initial = ")
def _(copy):
    copy.header(r"if \(options\) \*options = initial;(?=\n\}\n\n/\* Opens a model)",
                "if (options) { *options = initial; options->size = 0; }")


@case("flag that needs more than 32 bits",
      r"BITNET_WANT_ALL is 1099511627776: numbers of its kind go from 1 to 4294967295")
def _(copy):
    copy.next_minor("- flag `BITNET_WANT_ALL`\n")
    copy.header(r"^  BITNET_WANT_LOGITS = ", r"  BITNET_WANT_ALL = 1ull << 40,\n\g<0>")


@case("failure that is positive", r"BITNET_E_NEW is 7: callers take a status below 0 for a failure")
def _(copy):
    copy.next_minor("- `BITNET_E_NEW`\n")
    copy.header(r"^  BITNET_STATUS_INT32 = ", r"  BITNET_E_NEW = 7,\n\g<0>")


# ---- What cannot be compared, or is not the same everywhere ----


@case("another name for a number", r"bitnet_token is another name for int32_t")
def _(copy):
    copy.declare("typedef int32_t bitnet_token;")


@case("union", r"bitnet\.h:\d+: bitnet_value is a union decl")
def _(copy):
    copy.declare("typedef union bitnet_value { int32_t i; float f; } bitnet_value;")


@case("union in a struct", r"within bitnet_new, .* is a union decl")
def _(copy):
    copy.declare("typedef struct bitnet_new { uint32_t size; union { int32_t i; float f; }; } bitnet_new;")


@case("bit-field", r"bitnet_ctx_options\.sequences is a bit-field")
def _(copy):
    copy.header(r"^  uint32_t sequences; ", "  uint32_t sequences : 32; ")


@case("number that has another size elsewhere",
      r"bitnet_model_tensor_count has the type unsigned long: unsigned is not the")
def _(copy):
    copy.header(r"uint64_t (bitnet_model_tensor_count)", r"unsigned long \1")


@case("size_t", r"bitnet_sample has the type size_t: size_t is not the same everywhere")
def _(copy):
    copy.header(r"^#include <stdint.h>", r"\g<0>\n#include <stddef.h>")
    copy.header(r"(bitnet_sample\(.*) uint64_t count", r"\1 size_t count")


@case("any number of parameters", r"bitnet_isa_name takes any number of parameters")
def _(copy):
    copy.header(r"bitnet_isa_name\(int32_t index\)", "bitnet_isa_name(int32_t index, ...)")


@case("new field that leaves padding", r"bitnet_ctx_options has 4 bytes of padding at its end")
def _(copy):
    copy.next_minor("- field `more` of `bitnet_ctx_options`\n")
    copy.add_field("bitnet_ctx_options", "more", "uint32_t")


@case("new field behind padding", r"bitnet_new has 4 bytes of padding in front of more")
def _(copy):
    copy.declare("typedef struct bitnet_new { uint32_t size; uint64_t more; } bitnet_new;")


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
      rf"bitnet_new_call is new in {NEXT} and has the symbol version BITNET_0: .*BITNET_{NEXT}")
def _(copy):
    copy.next_minor("- `bitnet_new_call`\n")
    copy.add_call("bitnet_new_call", "BITNET_0")


@case("soname not raised",
      rf"the soname is libbitnet\.so\.{ABI}, BITNET_ABI_VERSION {ABI + 1} asks for libbitnet\.so\.{ABI + 1}")
def _(copy):
    copy.remove_call("bitnet_ctx_sequence_match")
    copy.next_abi("- **Gone**: `bitnet_ctx_sequence_match`\n")
    copy.soname = f"libbitnet.so.{ABI}"


# ---- Versions, changelog, baselines ----


@case("call added without a minor version",
      rf"call bitnet_new_call is new since {NOW} was released, .*raise BITNET_VERSION_MINOR")
def _(copy):
    copy.add_call("bitnet_new_call")


@case("call added to a version just released",
      rf"call bitnet_late_call is new since {NEXT} was released, .*begin '## {AFTER}\.0 \(unreleased")
def _(copy):
    copy.next_minor("- `bitnet_new_call`\n")
    copy.add_call("bitnet_new_call")
    copy.release()
    copy.add_call("bitnet_late_call")


@case("macro added without a minor version", rf"macro BITNET_DEFAULT_BATCH is new since {NOW} was released")
def _(copy):
    copy.declare("#define BITNET_DEFAULT_BATCH 256")


@case("field, enum member and flag added without a minor version",
      rf"field bitnet_ctx_options\.more is new since {NOW}",
      rf"bitnet_head member BITNET_HEAD_NEW is new since {NOW}", rf"flag BITNET_WANT_MORE is new since {NOW}")
def _(copy):
    copy.header(r"^(} bitnet_ctx_options;)", r"  uint64_t more;\n\1")
    copy.header(r"^  BITNET_HEAD_INT32 = ", "  BITNET_HEAD_NEW = 30,\n  BITNET_HEAD_INT32 = ")
    copy.header(r"^  BITNET_WANT_LOGITS = ", "  BITNET_WANT_MORE = 1u << 30,\n  BITNET_WANT_LOGITS = ")


@case("ABI version raised without the minor",
      rf"bitnet\.h says version {NOW}, ABI version {ABI + 1}, after version {NOW}, ABI version {ABI}: .* needs a new")
def _(copy):
    copy.number("ABI_VERSION", ABI + 1)


@case("ABI version raised within 1.x",
      r"version 1\.\d+, ABI version \d+, after version 1\..* needs a new major version")
def _(copy):
    for path in (HEADER, f"tests/abi/{NOW}/bitnet.h"):
        copy.edit(path, r"(#define BITNET_VERSION_MAJOR) \d+", r"\1 1")
    one = f"1.{copy.today().number[1]}"
    copy.edit(LOG, rf"^## {re.escape(NOW)}\.", f"## {one}.")
    (copy.root / "tests/abi" / NOW).rename(copy.root / "tests/abi" / one)
    copy.next_abi("")


@case("version goes back", rf"bitnet\.h says version {MAJOR}\.0, .*after version {NOW}, .*numbers only go up")
def _(copy):
    copy.number("VERSION_MINOR", 0)


@case("changelog lacks an addition", rf"ABI_CHANGELOG\.md does not list bitnet_new_call under {NEXT}\.0",
      rf"ABI_CHANGELOG\.md does not list more under {NEXT}\.0")
def _(copy):
    copy.next_minor()
    copy.add_call("bitnet_new_call")
    copy.header(r"^(} bitnet_ctx_options;)", r"  uint64_t more;\n\1")


@case("changelog lacks a break", rf"ABI_CHANGELOG\.md does not list bitnet_ctx_sequence_match under {NEXT}\.0")
def _(copy):
    copy.remove_call("bitnet_ctx_sequence_match")
    copy.next_abi("")


@case("changelog lists what is not there",
      r"lists bitnet_never under 0\.2\.0, but that version neither added nor changed it")
def _(copy):
    copy.edit(LOG, r"^- \*\*Sampling\*\*: `bitnet_ctx_sample`", r"\g<0>, `bitnet_never`")


@case("changelog lacks the version", rf"ABI_CHANGELOG\.md begins with {NOW}\.0, .*; bitnet\.h says {NEXT}\.0")
def _(copy):
    copy.number("VERSION_MINOR", NEXT.split(".")[1])


@case("heading that does not say whether it is released", rf"'## {NEXT}\.0 - soon' is no '## X\.Y\.Z - ABI version N'")
def _(copy):
    copy.begin_section(f"{NEXT}.0 - soon")


@case("changelog with another ABI version", r"gives 0\.1\.0 the ABI version 7, its header has 0")
def _(copy):
    copy.edit(LOG, r"^## 0\.1\.0 - ABI version 0", "## 0.1.0 - ABI version 7")


@case("released without a baseline",
      rf"has {NEXT}\.0 as released, tests/abi/{NEXT} is not there: mark the heading \(unreleased\)")
def _(copy):
    copy.next_minor()
    copy.edit(LOG, rf"^(## {NEXT}\.0) \(unreleased\)", r"\1")


@case("baseline edited", r"tests/abi/0\.1/bitnet\.h is not the file that was kept",
      r"tests/abi/0\.1/bitnet\.abi is not of the header beside it")
def _(copy):
    copy.edit("tests/abi/0.1/bitnet.h", r"uint32_t batch; ", "uint64_t batch; ")


@case("types of a baseline edited", r"tests/abi/0\.2/bitnet\.abi is not the file that was kept",
      r"tests/abi/0\.2/bitnet\.abi is not of the header beside it")
def _(copy):
    copy.edit("tests/abi/0.2/bitnet.abi", r"name='BITNET_E_IO' value='-4'", "name='BITNET_E_IO' value='-44'")


@case("types missing from a baseline",
      r"0\.1/bitnet\.abi tells no types of bitnet_logit_bias, bitnet_sample and 2 in all")
def _(copy):
    kept = "tests/abi/0.1/bitnet.abi"
    copy.edit(kept, r"^    <function-decl name='bitnet_sample'(.*\n)*?    </function-decl>\n", "")
    copy.edit(kept, r"^    (<class-decl name='bitnet_logit_bias') size-in-bits='\d+'(.*)>\n(.*\n)*?    </class-decl>\n",
              r"    \1\2 is-declaration-only='yes'/>\n")


@case("library without debug information", r"libbitnet\.so tells no types of .* in all: abidiff would compare nothing",
      r"a library of tests/abi/0\.1/bitnet\.h tells no types of .* in all")
def _(copy):
    copy.compiler, copy.checks_history = ["c++", "-g0"], True


@case("additions told by an abidiff in other words",
      r"(?s)abidiff, 0\.1 against .*bitnet_ctx_options. differs.*\(told by abidiff 9\.8, .*libabigail 2\.2")
def _(copy):
    copy.other_abidiff('echo "$report" | sed "s/ changed:/ differs:/"')


@case("types of a baseline told by an abidiff that takes them for others",
      r"bitnet\.abi is not of the header beside it \(told by abidiff 9\.8, .*libabigail 2\.2")
def _(copy):
    copy.other_abidiff('status=4; echo "something changed"')
    copy.checks_history = True


@case("baseline removed",
      r"ABI_CHANGELOG\.md has 0\.1\.0 as released, tests/abi/0\.1 is not there", r"None, tests/abi/checksums")
def _(copy):
    shutil.rmtree(copy.root / "tests/abi/0.1")


def one_release_later(root):
    """A copy of today's tree that has grown and was released."""
    copy = Copy(root)
    if not check.Project(root).changelog().sections[0].released:
        copy.release()
    grow(copy, "grown", 29)
    copy.release()


def try_case(start, name):
    """What is wrong with how the checks took a case, in sentences."""
    disturb, expected = CASES[name]
    with tempfile.TemporaryDirectory() as scratch:
        copy = Copy(pathlib.Path(scratch), start)
        try:
            disturb(copy)
            sentences = copy.check()
        except (ValueError, SystemExit, subprocess.CalledProcessError) as error:
            # A worker that exits would leave its pool waiting.
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
    with tempfile.TemporaryDirectory() as start, Pool(2) as pool:
        one_release_later(pathlib.Path(start))
        for name, troubles in pool.imap(functools.partial(try_case, pathlib.Path(start)), names):
            print("FAILED:" if troubles else "green:" if not CASES[name][1] else "red:  ", name)
            for trouble in troubles:
                print("  " + trouble)
            failures += bool(troubles)
    print(f"{len(names)} cases, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
