"""Today's header against the baselines' headers and ABI_CHANGELOG.md."""
import hashlib

from compare import compare
from project import KEPT, text_of


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
                failures.add(f"ABI_CHANGELOG.md has {section.text} as unreleased below a newer version")
        elif section.number not in folders:
            failures.add(f"ABI_CHANGELOG.md has {section.text} as released, tests/abi/{section.short} is not there: "
                         "mark the heading (unreleased); tests/abi/check.py release takes the mark off")
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
            failures.add(f"tests/abi/{name} is not the file that was kept when its version was released (sha256 "
                         f"{found.get(name)}, tests/abi/checksums has {noted.get(name)}): baselines stay as they are")


def check_shape(surface, changelog, failures):
    """What every public struct, enum and INIT macro has, so that it can grow and is the same everywhere."""
    for sentence in surface.unknown:
        failures.add(sentence)
    for name, struct in surface.structs.items():
        if struct.size is None:
            continue
        check_padding(name, struct, failures)
        sized = struct.fields[0][:2] == ("size", 0) and struct.fields[0].type == "uint32_t"
        if sized == (name in changelog.fixed):
            failures.add(f"{name} begins {'with' if sized else 'without'} `uint32_t size`, but the rules in "
                         f"ABI_CHANGELOG.md {'name' if sized else 'do not name'} it among the structs without")
        elif sized:
            check_init(name, surface, failures)
    for name, enum in surface.enums.items():
        if 0x7FFFFFFF not in enum.members.values():
            failures.add(f"{name} has no ..._INT32 = 0x7fffffff, which keeps it 32 bits wide")
        check_range(enum.members, -2**31, 2**31, failures)
        if name == "bitnet_status":
            check_status(enum.members, failures)
    for flags in surface.flags:
        check_range(flags, 1, 2**32, failures)
    for members in [*surface.flags, *(enum.members for enum in surface.enums.values())]:
        first = {}
        for name, number in members.items():
            if first.setdefault(number, name) != name:
                failures.add(f"{name} and {first[number]} are both {number}: nobody could tell them apart")


def check_padding(name, struct, failures):
    """In what a newer program's struct has more, the library demands zeros; C leaves padding undefined."""
    end = 0
    for place, offset, size in [*((f"in front of {field.name}", field.offset, field.size) for field in struct.fields),
                                ("at its end", struct.size, 0)]:
        if offset > end:
            failures.add(f"{name} has {offset - end} bytes of padding {place}: nobody sets them to zero. Make them a "
                         "field called reserved")
        end = offset + size


def check_status(members, failures):
    for name, number in members.items():
        if name.startswith("BITNET_E_") != (number < 0):
            failures.add(f"{name} is {number}: callers take a status below 0 for a failure, and failures are called "
                         "BITNET_E_...")


def check_range(members, first, end, failures):
    for name, number in members.items():
        if not first <= number < end:
            failures.add(f"{name} is {number}: numbers of its kind go from {first} to {end - 1}, which is what 32 bits "
                         "hold")


def check_init(name, surface, failures):
    macro = f"{name.upper()}_INIT"
    begin = ["{", "sizeof", "(", name, ")"]
    tokens = surface.macros.get(macro)
    if tokens is None:
        failures.add(f"{name} has no {macro}")
    elif tokens[:5] != begin or set(tokens[5:]) - {",", "0", "{", "}"}:
        failures.add(f"{macro} is {' '.join(tokens)}, but must be {' '.join(begin)} and zeros: programs have the old "
                     "one compiled in, and zero is what the library takes for the default")
    if f"{name}_init" not in surface.inits:
        failures.add(f"{name} has no {name}_init in the header, where alone its caller's size is known")
        return
    found, parameter = surface.inits[f"{name}_init"]
    wanted = f"{{ const {name} initial = {macro} ; if ( {parameter} ) * {parameter} = initial ; }}"
    if " ".join(found) != wanted:
        failures.add(f"{name}_init is {' '.join(found)}, but must be {wanted}: the same bytes as the macro")


def check_layouts_written(surface, layouts, failures):
    for name, struct in surface.structs.items():
        for field in struct.fields:
            line = f"FIELD({name}, {field.name}, {field.offset}, {field.size});"
            if line not in layouts:
                failures.add(f"tests/api/structs_test.c has no line {line}: compilers would not notice a move")


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
                heading = f"## {new.version[0]}.{new.version[1] + 1}.0 (unreleased) - ABI version {new.abi}"
                failures.add(f"{what} since {text_of(old.version)} was released, and bitnet.h still says that version: "
                             f"raise BITNET_VERSION_MINOR and begin '{heading}' in ABI_CHANGELOG.md")
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


def may_break(old, new):
    """From 1.0 on only a major version breaks, before that a minor one may, too."""
    return new[0] > old[0] or (old[0] == 0 and new > old)
