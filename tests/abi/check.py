"""Holds today's header and library against every baseline in tests/abi/ and against ABI_CHANGELOG.md.

usage: check.py header                         the header against the kept headers, versions and the changelog
       check.py library LIBRARY DEBUG-LIBRARY  the symbols of LIBRARY against the kept lists; types by abidiff, read from
                                               DEBUG-LIBRARY, which is the same with debug information
       check.py release DEBUG-LIBRARY          all of that, then keeps today's as a new baseline; see ABI_CHANGELOG.md
options: --root DIRECTORY   where include/, src/, tests/ and ABI_CHANGELOG.md are, if not above this script
Exit status 77: a tool is missing; the reason is printed.
"""
import argparse
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import stub
from changelog import Changelog
from compare import compare

# Only the public header's types, and nothing that depends on where or by which compiler the library was built.
# (With --header-file instead of --headers-dir libabigail 2.2 drops every type as private and then finds all equal.)
ABIDW = ["abidw", "--drop-private-types", "--exported-interfaces-only", "--no-corpus-path", "--no-comp-dir-path",
         "--no-show-locs", "--no-parameter-names", "--no-elf-needed"]
KEPT = ("bitnet.h", "bitnet.abi", "exports")


class Failures:
    """Sentences, printed as they come."""

    def __init__(self):
        self.sentences = []

    def add(self, sentence):
        if sentence not in self.sentences:
            self.sentences.append(sentence)
            print("FAILED:", sentence)


class Version:
    """A header with its list of exports: a baseline's or today's."""

    def __init__(self, header, exports):
        self.header, self.exports_path = header, exports
        self.types = header.parent / "bitnet.abi"  # a baseline's
        text = header.read_text(encoding="utf-8")
        self.number = tuple(number_of(text, f"VERSION_{part}") for part in ("MAJOR", "MINOR"))
        self.patch = number_of(text, "VERSION_PATCH")
        self.abi = number_of(text, "ABI_VERSION")
        self.text = text_of(self.number)
        self.functions = stub.functions(text)
        self.sized = stub.structs_with_size(text)
        self.exports = exports.read_text(encoding="utf-8").split()
        self.soname = f"libbitnet.so.{self.abi}"


def number_of(header, macro):
    return int(re.search(rf"^#define BITNET_{macro} (\d+)", header, re.M).group(1))


class Project:
    def __init__(self, root):
        self.root = root
        self.kept = root / "tests/abi"
        self.map = root / "src/api/exports.map"
        self.changelog_path = root / "ABI_CHANGELOG.md"
        self.layouts = root / "tests/api/structs_test.c"
        self.today = Version(root / "include/bitnet.h", self.kept / "exports")
        folders = [path for path in self.kept.iterdir() if re.fullmatch(r"\d+\.\d+", path.name)]
        self.baselines = sorted((Version(path / "bitnet.h", path / "exports") for path in folders),
                                key=lambda version: version.number)

    def changelog(self):
        return Changelog(self.changelog_path.read_text(encoding="utf-8"))

    def same_abi(self):
        return [baseline for baseline in self.baselines if baseline.abi == self.today.abi]


# ---- The header ---------------------------------------------------------------------------------------------------


def check_header(project, failures):
    from surface import Surface  # needs libclang, which the library's check can do without
    today = Surface(project.today.header)
    kept = [Surface(baseline.header) for baseline in project.baselines]
    changelog = project.changelog()
    check_baselines(project, changelog, failures)
    check_shape(today, changelog, failures)
    check_layouts_written(today, project.layouts.read_text(encoding="utf-8"), failures)
    check_changes(kept, today, changelog, failures)
    changelog.check(kept, today, failures)
    print(f"{len(today.functions)} calls, {len(today.structs)} structs, {len(today.enums)} enums, "
          f"{len(today.constants)} flags against {', '.join(baseline.text for baseline in project.baselines)}")


def check_baselines(project, changelog, failures):
    """Each released version has a baseline that nobody touched since."""
    folders = {baseline.number: baseline for baseline in project.baselines}
    for section in changelog.sections:
        if not section.released:
            if section is not changelog.sections[0]:
                failures.add(f"ABI_CHANGELOG.md: {section.text} is marked as unreleased, but newer versions stand above it")
        elif section.number not in folders:
            failures.add(f"ABI_CHANGELOG.md has {section.text} as released, but tests/abi/{section.short} is not there: "
                         "run tests/abi/check.py release, or mark the heading (unreleased)")
    for number, baseline in folders.items():
        folder = baseline.header.parent.name
        if baseline.text != folder:
            failures.add(f"tests/abi/{folder}/bitnet.h is the header of {baseline.text}")
        if not any(section.number == number for section in changelog.sections):
            failures.add(f"tests/abi/{folder} is a baseline of a version that ABI_CHANGELOG.md does not have")
    check_sums(project, failures)


def sums(project):
    """The checksum of each file of the baselines, as sha256sum writes them."""
    names = sorted(f"{baseline.header.parent.name}/{name}" for baseline in project.baselines for name in KEPT)
    return "".join(f"{hashlib.sha256((project.kept / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


def check_sums(project, failures):
    noted = dict(reversed(line.split()) for line in (project.kept / "checksums").read_text().splitlines())
    found = dict(reversed(line.split()) for line in sums(project).splitlines())
    for name in sorted(noted.keys() | found.keys()):
        if noted.get(name) != found.get(name):
            failures.add(f"tests/abi/{name} is not the file that was kept when its version was released "
                         f"(sha256 {found.get(name)}, tests/abi/checksums has {noted.get(name)}): baselines stay as they are")


def check_shape(surface, changelog, failures):
    """What every public struct, enum and INIT macro has, so that it can grow."""
    for name, struct in surface.structs.items():
        if struct.size is None:
            continue
        sized = struct.fields[0][:2] == ("size", 0) and struct.fields[0].type == "uint32_t"
        if sized == (name in changelog.fixed):
            failures.add(f"{name} begins {'with' if sized else 'without'} `uint32_t size`, but the rules in "
                         f"ABI_CHANGELOG.md {'name' if sized else 'do not name'} it among the structs without")
        elif sized:
            check_init(name, surface, failures)
    for name, enum in surface.enums.items():
        if 0x7FFFFFFF not in enum.members.values():
            failures.add(f"{name} has no ..._INT32 = 0x7fffffff, which keeps it 32 bits wide")


def check_init(name, surface, failures):
    macro = f"{name.upper()}_INIT"
    begin = ["{", "sizeof", "(", name, ")"]
    tokens = surface.macros.get(macro)
    if tokens is None:
        failures.add(f"{name} has no {macro}")
    elif tokens[:5] != begin or set(tokens[5:]) - {",", "0", "{", "}"}:
        failures.add(f"{macro} is {' '.join(tokens)}, but must be {' '.join(begin)} and zeros: programs have the old one "
                     "compiled in, and zero is what the library takes for the default")
    if f"{name}_init" not in surface.functions:
        failures.add(f"{name} has no {name}_init")


def check_layouts_written(surface, layouts, failures):
    for name, struct in surface.structs.items():
        for field in struct.fields:
            line = f"FIELD({name}, {field.name}, {field.offset}, {field.size});"
            if line not in layouts:
                failures.add(f"tests/api/structs_test.c has no line {line}: the compiler would not notice if the field moves")


def check_changes(kept, new, changelog, failures):
    """Breaks need a new ABI version, additions a new minor version."""
    broken = {}
    for old in kept:
        check_numbers(old, new, failures)
        for change in compare(old, new):
            if change.breaks and new.abi == old.abi and change.name not in changelog.experimental:
                broken.setdefault(change, []).append(text_of(old.version))
            elif new.version == old.version:
                what = change.what if change.breaks else f"{change.what} is new"
                failures.add(f"{what} since {text_of(old.version)} was released, and bitnet.h still says that version: raise "
                             f"BITNET_VERSION_MINOR and begin '## {new.version[0]}.{new.version[1] + 1}.0 (unreleased) - "
                             f"ABI version {new.abi}' in ABI_CHANGELOG.md")
    for change, versions in broken.items():
        failures.add(f"{change.what}: programs built against {' and '.join(versions)} {change.effect}. Put it back, or "
                     f"raise BITNET_ABI_VERSION to {new.abi + 1} (rules: ABI_CHANGELOG.md)")


def check_numbers(old, new, failures):
    before, after = (f"version {text_of(side.version)}, ABI version {side.abi}" for side in (old, new))
    if new.abi < old.abi or new.version < old.version:
        failures.add(f"bitnet.h says {after}, after {before}: numbers only go up")
    elif new.abi > old.abi and not may_break(old.version, new.version):
        failures.add(f"bitnet.h says {after}, after {before}: a new ABI version needs a new "
                     f"{'major' if old.version[0] else 'minor'} version")


def text_of(version):
    return "{}.{}".format(*version)


def may_break(old, new):
    """From 1.0 on only a major version breaks, before that a minor one may, too."""
    return new[0] > old[0] or (old[0] == 0 and new > old)


# ---- The library --------------------------------------------------------------------------------------------------


def check_library(project, library, debug_library, failures):
    today = project.today
    exported = symbols(library)
    check_symbols(exported, today, library, failures)
    check_map(project, failures)
    check_nodes(project, failures)
    check_soname(library, today, failures)
    if library != debug_library and symbols(debug_library) != exported:
        failures.add(f"{debug_library} does not export what {library} does")
    print(f"{len(exported)} symbols, {soname_of(library)}")
    return check_types(project, debug_library, failures)


def output(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def symbols(library):
    """Exported symbols with their versions, as the dynamic linker sees them: name@@NODE, name@NODE if superseded."""
    lines = (line.split() for line in output("nm", "-D", "--defined-only", library).splitlines())
    return sorted(words[-1] for words in lines if words[-2] != "A")


def check_symbols(exported, today, library, failures):
    for symbol in sorted(set(today.exports) - set(exported)):
        failures.add(f"tests/abi/exports has {symbol}, {library.name} does not export it: programs that use it do not start")
    for symbol in sorted(set(exported) - set(today.exports)):
        failures.add(f"{library.name} exports {symbol}, which is not in tests/abi/exports: add it there if it is declared in "
                     "bitnet.h, else hide it")
    names = {symbol.split("@")[0] for symbol in exported}
    for name in sorted(set(today.functions) - names):
        failures.add(f"bitnet.h declares {name}, {library.name} does not export it: add it to src/api/exports.map")
    for name in sorted(names - set(today.functions)):
        rule = "" if name.startswith("bitnet_") else "; only bitnet_... may be, so that it cannot collide with its host's"
        failures.add(f"{library.name} exports {name}, which bitnet.h does not declare{rule}")


def nodes_of(script):
    """name@NODE of each name in a version script, wildcards included."""
    script = re.sub(r"/\*.*?\*/", " ", script, flags=re.S)
    for node, body in re.findall(r"(\w[\w.]*)\s*\{(.*?)\}", script, re.S):
        for name in re.sub(r"local:[^;]*;|global:", " ", body).replace(";", " ").split():
            yield f"{name}@{node}"


def check_map(project, failures):
    mapped = set(nodes_of(project.map.read_text(encoding="utf-8")))
    listed = {symbol.replace("@@", "@") for symbol in project.today.exports}
    for symbol in sorted(mapped - listed):
        failures.add(f"src/api/exports.map has {symbol}, tests/abi/exports does not: each call is named, no wildcards")
    for symbol in sorted(listed - mapped):
        failures.add(f"tests/abi/exports has {symbol}, src/api/exports.map does not name it")


def check_nodes(project, failures):
    """Symbols stay in the node they were released in; new ones are in the node of their version."""
    today, released = project.today, set()
    listed = {symbol.replace("@@", "@") for symbol in today.exports}
    for baseline in project.same_abi():
        for symbol in sorted(baseline.exports):
            symbol = symbol.replace("@@", "@")
            released.add(symbol)
            if symbol not in listed:
                failures.add(f"{baseline.text} exported {symbol} and today's library does not: the loader refuses programs "
                             f"built against {baseline.text}. Put it back, or raise BITNET_ABI_VERSION to {today.abi + 1}")
    node = f"BITNET_{today.text}" if project.same_abi() else f"BITNET_{today.abi}"
    for symbol in sorted(listed - released):
        name, found = symbol.split("@")
        if found != node:
            failures.add(f"{name} is new in {today.text} and has the symbol version {found}: name it in the node {node} of "
                         "src/api/exports.map, so that older libraries are refused with its name")


def soname_of(library):
    return re.search(r"\(SONAME\).*\[(.*)\]", output("readelf", "-dW", library)).group(1)


def check_soname(library, today, failures):
    if soname_of(library) != today.soname:
        failures.add(f"the soname is {soname_of(library)}, BITNET_ABI_VERSION {today.abi} asks for {today.soname}: programs of "
                     "another ABI version would load this library")


# ---- Types, by abidiff --------------------------------------------------------------------------------------------


def check_types(project, library, failures):
    """Returns why this cannot be done here, or None."""
    machine = re.search(r"Machine:\s*(.*)", output("readelf", "-hW", library)).group(1)
    if "X86-64" not in machine:
        return f"the baselines are of x86-64, this library is of {machine}"
    if not shutil.which("abidiff"):
        return "there is no abidiff (Debian: abigail-tools)"
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        now = scratch / "bitnet.abi"
        now.write_text(types(library, project.today.header))
        check_complete(now, project.today, library.name, failures)
        for baseline in project.same_abi():
            report = abidiff(baseline.types, now, project.changelog().experimental)
            for trouble in breaks(report, baseline.sized):
                failures.add(f"abidiff, {baseline.text} against today's library: {trouble}")
    print(f"types of {library.name} against {', '.join(baseline.text for baseline in project.same_abi())}")
    return None


def types(library, header):
    """The library's ABI as libabigail writes it down."""
    text = output(*ABIDW, "--headers-dir", header.parent, library)
    return re.sub(r"path='[^']*?([^'/]*)'", r"path='\1'", text)


def check_kept_types(project, failures):
    """The types kept of each version are those of the header kept beside them."""
    with tempfile.TemporaryDirectory() as scratch:
        script, library, again = (pathlib.Path(scratch) / name for name in ("exports.map", "libbitnet.so", "bitnet.abi"))
        for baseline in project.baselines:
            script.write_text(stub.node_map(baseline.exports))
            stub.build(baseline.header, script, library, baseline.soname)
            again.write_text(types(library, baseline.header))
            report = abidiff(baseline.types, again)
            if report:
                failures.add(f"tests/abi/{baseline.text}/bitnet.abi is not of the header beside it:\n{report}")
            check_complete(baseline.types, baseline, f"tests/abi/{baseline.text}/bitnet.abi", failures)


def check_complete(path, version, where, failures):
    """All calls and structs are there with their types: abidiff takes what is missing on one side for unchanged."""
    text = path.read_text()
    calls = set(re.findall(r"<function-decl name='(\w+)'", text))
    structs = set(re.findall(r"<class-decl name='(\w+)' size-in-bits='\d+' is-struct='yes'", text))
    missing = sorted((set(version.functions) - calls) | (set(version.sized) - structs))
    if missing:
        failures.add(f"{where} tells no types of {', '.join(missing[:3])} and {len(missing)} in all: abidiff would compare "
                     "nothing. A library has to be compiled with -g for this check")


def abidiff(old, new, ignored=()):
    """The report on all that differs; none on calls and types that are ignored."""
    with tempfile.NamedTemporaryFile("w", suffix=".suppr") as rules:
        rules.writelines(f"[suppress_function]\nname = {name}\n[suppress_type]\nname = {name}\n" for name in ignored)
        rules.flush()
        done = subprocess.run(["abidiff", "--leaf-changes-only", "--harmless", "--suppressions", rules.name, old, new],
                              capture_output=True, text=True)
    if done.returncode & 3:
        raise SystemExit(f"abidiff {old} {new}: {done.stdout}{done.stderr}")
    return done.stdout


def breaks(report, sized):
    """The parts of abidiff's report that are more than what may be added; what it does not know is a break."""
    lines = [line for line in report.splitlines() if line.strip()]
    starts = [place for place, line in enumerate(lines) if not line.startswith(" ")]
    for start, end in zip(starts, [*starts[1:], len(lines)]):
        head, *rest = lines[start:end]
        if not (re.match(SUMMARY, head) or additions_to_struct(head, rest, sized) or additions_to_enum(head, rest)):
            yield "\n  ".join([head, *rest])


SUMMARY = (r"Leaf changes summary:|Changed leaf types summary:|Removed/Changed/Added (functions|variables) summary:"
           r"|\d+ Added functions?:$")


def all_match(pattern, lines):
    return lines and all(re.match(pattern, line) for line in lines)


def additions_to_struct(head, rest, sized):
    """A struct with `size` grew at its end; at most a reserved field got a name besides."""
    name = re.match(r"'struct (\w+)' changed:$", head)
    if not name or name[1] not in sized:
        return False
    if "  there are data member changes:" in rest:
        place = rest.index("  there are data member changes:")
        if not all_match(r"    name of '\w+::reserved\w*' changed to '\w+::\w+'$", rest[place + 1:]):
            return False
        rest = rest[:place]
    if rest == ["  type size hasn't changed"]:
        return True
    size = re.match(r"  type size changed from (\d+) to (\d+) \(in bits\)$", rest[0])
    places = [re.match(r"    '.*', at offset (\d+) \(in bits\)$", line) for line in rest[2:]]
    return (size and int(size[2]) > int(size[1]) and all_match(r"  \d+ data member insertions?:$", rest[1:2])
            and all(place and int(place[1]) >= int(size[1]) for place in places))


def additions_to_enum(head, rest):
    return (re.match(r"'enum \w+' changed:$", head) and rest[0] == "  type size hasn't changed"
            and all_match(r"  \d+ enumerator insertions?:$", rest[1:2])
            and all_match(r"    '\w+::\w+' value '-?\d+'$", rest[2:]))


# ---- Releasing ----------------------------------------------------------------------------------------------------


def release(project, library):
    """Keeps today's header, exports and types as the baseline of its version and drops the mark (unreleased)."""
    today, text = project.today, project.changelog_path.read_text(encoding="utf-8")
    heading = f"## {today.text}.{today.patch}"
    if f"{heading} (unreleased) -" not in text:
        raise SystemExit(f"ABI_CHANGELOG.md has no '{heading} (unreleased)': there is nothing to release")
    folder = project.kept / today.text
    folder.mkdir()
    shutil.copyfile(today.header, folder / "bitnet.h")
    shutil.copyfile(today.exports_path, folder / "exports")
    (folder / "bitnet.abi").write_text(types(library, today.header))
    (project.kept / "checksums").write_text(sums(Project(project.root)))
    project.changelog_path.write_text(text.replace(f"{heading} (unreleased) -", f"{heading} -"), encoding="utf-8")
    print(f"{folder} is the baseline of {today.text}: commit it with ABI_CHANGELOG.md")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("header", "library", "release"))
    parser.add_argument("libraries", nargs="*", type=pathlib.Path)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    arguments = parser.parse_args()
    project, failures, missing = Project(arguments.root), Failures(), None
    if arguments.command != "library":
        missing = libclang_missing()
        if not missing:
            check_header(project, failures)
    if arguments.command != "header" and not missing:
        missing = check_library(project, arguments.libraries[0], arguments.libraries[-1], failures)
        if not missing:
            check_kept_types(project, failures)
    print(f"{len(failures.sentences)} failures")
    if missing:
        print("skipped:", missing)
    elif arguments.command == "release" and not failures.sentences:
        release(project, arguments.libraries[0])
    return 1 if failures.sentences else 77 if missing else 0


def libclang_missing():
    try:
        from clang import cindex
        cindex.Index.create()
    except Exception as error:  # the module is missing, or the library behind it
        return f"there is no libclang for {sys.executable} (Debian: python3-clang): {str(error).splitlines()[0]}"
    return None


if __name__ == "__main__":
    sys.exit(main())
