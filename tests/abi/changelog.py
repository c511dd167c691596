"""Reads ABI_CHANGELOG.md and holds its lists against what each version's header has more than the one before."""
import re
from collections import namedtuple

from compare import compare

# `listed` are the names in its bullets; `experimental` those of the bullet that says so, with their INIT macros.
Section = namedtuple("Section", "number short text released abi listed experimental")
HEADING = re.compile(r"^## (?P<text>(\d+)\.(\d+)\.\d+)(?P<mark> \(unreleased\))? - ABI version (?P<abi>\d+)$", re.M)


class Changelog:
    def __init__(self, text):
        rules, *parts = re.split(r"^(?=## \d)", text, flags=re.M)
        self.sections = [_section(part) for part in parts]
        self.experimental = set().union(*(section.experimental for section in self.sections))
        fixed = re.search(r"^- Structs without `size` \((.*?)\)", rules, re.M | re.S)
        if not fixed:
            raise SystemExit("ABI_CHANGELOG.md has no rule '- Structs without `size` (...)' that names them")
        self.fixed = set(re.findall(r"`(\w+)`", fixed[1]))

    def check(self, kept, today, failures):
        """kept: the baselines' surfaces, oldest first."""
        newest = self.sections[0] if self.sections else None
        if not newest or (newest.text, newest.abi) != (today.text, today.abi):
            found = f"{newest.text}, ABI version {newest.abi}" if newest else "no version"
            failures.add(f"ABI_CHANGELOG.md begins with {found}; bitnet.h says {today.text}, ABI version {today.abi}")
        surfaces = {surface.version: surface for surface in [today, *kept]}
        numbers = sorted(surfaces)
        for before, number in zip([None, *numbers], numbers):
            sections = [section for section in self.sections if section.number == number]  # with patch versions
            for section in sections:
                if section.abi != surfaces[number].abi:
                    failures.add(f"ABI_CHANGELOG.md gives {section.text} the ABI version {section.abi}, its header has "
                                 f"{surfaces[number].abi}")
            if sections:
                listed = set().union(*(section.listed for section in sections))
                _check_listed(sections[-1].text, listed, surfaces.get(before), surfaces[number], failures)


def _section(part):
    heading = HEADING.match(part)
    if not heading:
        raise SystemExit(f"ABI_CHANGELOG.md: '{part.splitlines()[0]}' is no '## X.Y.Z - ABI version N', nor that with "
                         "'(unreleased)' before the dash")
    major, minor = int(heading[2]), int(heading[3])
    bullets = re.findall(r"^- .*(?:\n  .*)*", part, re.M)
    names = [set(re.findall(r"`(\w+)`", bullet)) for bullet in bullets]
    experimental = [listed for bullet, listed in zip(bullets, names) if bullet.startswith("- **Experimental")]
    experimental = set().union(*experimental)
    experimental |= {init_of(name) for name in experimental}
    return Section((major, minor), f"{major}.{minor}", heading["text"], not heading["mark"], int(heading["abi"]),
                   set().union(*names), experimental)


def init_of(struct):
    return f"{struct.upper()}_INIT"


def _check_listed(version, listed, before, surface, failures):
    """Both ways: what is new or broken is listed; what is listed is new or broken, or the struct it is part of."""
    if before is None:
        owed, around = surface.names(), set()
    else:
        changes = list(compare(before, surface))
        owed = {change.name if change.breaks else change.effect for change in changes}
        owed = {name for name in owed if not name.startswith("reserved")} - {init_of(name) for name in owed}
        around = {change.name for change in changes}
        for name in around & before.structs.keys():
            around = around | {field.name for field in before.structs[name].fields}
    for name in sorted(owed - listed):
        failures.add(f"ABI_CHANGELOG.md does not list {name} under {version}, the version that "
                     f"{'first had' if before is None else 'added or changed'} it")
    for name in sorted(listed - owed - around):
        failures.add(f"ABI_CHANGELOG.md lists {name} under {version}, but that version neither added nor changed "
                     "it")
