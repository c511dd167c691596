"""Today's library against the baselines: its symbols, and by abidiff its types."""
import pathlib
import re
import shutil
import subprocess
import tempfile

import stub

# Only the public header's types, and nothing that depends on where or by which compiler the library was built.
# (With --header-file instead of --headers-dir libabigail 2.2 drops every type as private and then finds all equal.)
ABIDW = ["abidw", "--drop-private-types", "--exported-interfaces-only", "--no-corpus-path", "--no-comp-dir-path",
         "--no-show-locs", "--no-parameter-names", "--no-elf-needed"]

# Made the baselines' bitnet.abi, and its abidiff has the words that `breaks` knows.
LIBABIGAIL = "2.2"


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
        failures.add(f"tests/abi/exports has {symbol}, {library.name} does not export it: programs that use it do not "
                     "start")
    for symbol in sorted(set(exported) - set(today.exports)):
        failures.add(f"{library.name} exports {symbol}, which is not in tests/abi/exports: add it there if bitnet.h "
                     "declares it, else hide it")
    names = {symbol.split("@")[0] for symbol in exported}
    for name in sorted(set(today.functions) - names):
        failures.add(f"bitnet.h declares {name}, {library.name} does not export it: add it to src/api/exports.map")
    for name in sorted(names - set(today.functions) - set(today.frozen)):
        rule = "" if name.startswith("bitnet_") else "; only bitnet_... may be, so that nothing collides in its host"
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
            if symbol not in listed and symbol.split("@")[0] not in project.changelog().experimental:
                failures.add(f"{baseline.text} exported {symbol} and today's library does not: the loader refuses "
                             f"programs built against it. Put it back, or raise BITNET_ABI_VERSION to {today.abi + 1}")
    node = f"BITNET_{today.text}" if project.same_abi() else f"BITNET_{today.abi}"
    for symbol in sorted(listed - released):
        name, found = symbol.split("@")
        if found != node:
            failures.add(f"{name} is new in {today.text} and has the symbol version {found}: name it in the node "
                         f"{node} of src/api/exports.map, so that the loader refuses libraries that lack it")


def soname_of(library):
    return re.search(r"\(SONAME\).*\[(.*)\]", output("readelf", "-dW", library)).group(1)


def check_soname(library, today, failures):
    if soname_of(library) != today.soname:
        failures.add(f"the soname is {soname_of(library)}, BITNET_ABI_VERSION {today.abi} asks for {today.soname}: "
                     "programs of another ABI version would load this library")


# ---- Types, by abidiff --------------------------------------------------------------------------------------------


def check_types(project, library, failures):
    """Returns why this cannot be done here, or None."""
    machine = re.search(r"Machine:\s*(.*)", output("readelf", "-hW", library)).group(1)
    if "X86-64" not in machine:
        return f"the baselines are of x86-64, this library is of {machine}"
    if abidiff_missing():
        return abidiff_missing()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        now = scratch / "bitnet.abi"
        now.write_text(types(library, project.today.header))
        experimental = project.changelog().experimental
        check_complete(now, project.today, library.name, experimental, failures)
        for baseline in project.same_abi():
            report = abidiff(baseline.types, now, experimental)
            for trouble in breaks(report, baseline.sized):
                failures.add(f"abidiff, {baseline.text} against today's library: {trouble}{told_by()}")
    print(f"types of {library.name} against {', '.join(baseline.text for baseline in project.same_abi())}")
    return None


def told_by():
    """What to add to a failure that another libabigail may only have other words for."""
    found = re.search(r"\d+\.\d+", output("abidiff", "--version"))[0]
    if found == LIBABIGAIL:
        return ""
    return (f" (told by abidiff {found}, while the baselines and the words that are looked for are of libabigail "
            f"{LIBABIGAIL}: does that find it, too?)")


def abidiff_missing():
    return None if shutil.which("abidiff") else "there is no abidiff (Debian: abigail-tools)"


def types(library, header):
    """The library's ABI as libabigail writes it down."""
    text = output(*ABIDW, "--headers-dir", header.parent, library)
    return re.sub(r"path='[^']*?([^'/]*)'", r"path='\1'", text)


def check_kept_types(project, failures, compiler=stub.COMPILER):
    """The types kept of each version are those of the header kept beside them."""
    experimental = project.changelog().experimental
    with tempfile.TemporaryDirectory() as scratch:
        script, library, again = (pathlib.Path(scratch) / name for name in ("exports.map", "bitnet.so", "bitnet.abi"))
        for baseline in project.baselines:
            script.write_text(stub.node_map(baseline.exports))
            stub.build(baseline.header, script, library, baseline.soname, compiler=compiler,
                       frozen=baseline.frozen.values())
            again.write_text(types(library, baseline.header))
            report = abidiff(baseline.types, again)
            where = f"tests/abi/{baseline.text}/bitnet.abi"
            if report:
                failures.add(f"{where} is not of the header beside it{told_by()}:\n{report}")
            check_complete(baseline.types, baseline, where, experimental, failures)
            check_complete(again, baseline, f"a library of tests/abi/{baseline.text}/bitnet.h", experimental,
                           failures)


def check_complete(path, version, where, experimental, failures):
    """All calls and structs are there with their types: abidiff takes what is missing on one side for unchanged."""
    text = path.read_text()
    calls = set(re.findall(r"<function-decl name='(\w+)'", text))
    structs = set(re.findall(r"<class-decl name='(\w+)' size-in-bits='\d+' is-struct='yes'", text))
    missing = sorted({*version.functions, *version.structs} - calls - structs - experimental)
    if missing:
        failures.add(f"{where} tells no types of {', '.join(missing[:3])} and {len(missing)} in all: abidiff would "
                     "compare nothing. A library has to be compiled with -g for this check, by clang with "
                     "-fstandalone-debug, too")


def abidiff(old, new, ignored=()):
    """The report on all that differs; none on calls and types that are ignored, none if all is equal, which the exit
    status says in every version."""
    with tempfile.NamedTemporaryFile("w", suffix=".suppr") as rules:
        rules.writelines(f"[suppress_function]\nname = {name}\n[suppress_type]\nname = {name}\n" for name in ignored)
        rules.flush()
        done = subprocess.run(["abidiff", "--leaf-changes-only", "--harmless", "--suppressions", rules.name, old, new],
                              capture_output=True, text=True)
    if done.returncode & 3:
        raise SystemExit(f"abidiff {old} {new}{told_by()}: {done.stdout}{done.stderr}")
    return done.stdout if done.returncode else ""


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
