"""Reads ABI_CHANGELOG.md and holds its lists against what each version's header has more than the one before."""
import re
from collections import namedtuple

from compare import compare

# `listed` are the names in its bullets; `experimental` those of the bullet that says so.
Section = namedtuple("Section", "number short text released abi listed experimental")
HEADING = re.compile(r"^## (?P<text>(\d+)\.(\d+)\.\d+)(?P<mark> \(unreleased\))? - ABI version (?P<abi>\d+)$", re.M)


class Changelog:
    def __init__(self, text):
        rules, *parts = re.split(r"^(?=## \d)", text, flags=re.M)
        self.sections = [_section(part) for part in parts]
        self.experimental = set().union(*(section.experimental for section in self.sections))
        fixed = re.search(r"^- Structs without `size` \((.*?)\)", rules, re.M | re.S)
        self.fixed = set(re.findall(r"`(\w+)`", fixed.group(1)))

    def check(self, kept, today, failures):
        """kept: the baselines' surfaces, oldest first."""
        if not self.sections or (self.sections[0].number, self.sections[0].abi) != (today.version, today.abi):
            failures.add("ABI_CHANGELOG.md begins with {}, bitnet.h says version {}.{}, ABI version {}".format(
                self.sections[0].text if self.sections else "no version", *today.version, today.abi))
        surfaces = {surface.version: surface for surface in [today, *kept]}
        numbers = sorted(surfaces)
        for before, number in zip([None, *numbers], numbers):
            section = next((section for section in self.sections if section.number == number), None)
            if section:
                _check_section(section, surfaces.get(before), surfaces[number], failures)


def _section(part):
    heading = HEADING.match(part)
    if not heading:
        raise SystemExit(f"ABI_CHANGELOG.md: '{part.splitlines()[0]}' is no '## X.Y.Z - ABI version N', nor that with "
                         "'(unreleased)' before the dash")
    major, minor = int(heading[2]), int(heading[3])
    bullets = re.findall(r"^- .*(?:\n  .*)*", part, re.M)
    names = [set(re.findall(r"`(\w+)`", bullet)) for bullet in bullets]
    experimental = [listed for bullet, listed in zip(bullets, names) if bullet.startswith("- **Experimental")]
    return Section((major, minor), f"{major}.{minor}", heading["text"], not heading["mark"], int(heading["abi"]),
                   set().union(*names), set().union(*experimental))


def _check_section(section, before, surface, failures):
    """Both ways: what is new or broken is listed; what is listed is new or broken, or the struct it is part of."""
    if before is None:
        owed, around = surface.names(), set()
    else:
        changes = list(compare(before, surface))
        owed = {change.name if change.breaks else change.effect for change in changes}
        owed = {name for name in owed if not name.startswith("reserved")}
        around = {change.name for change in changes}
        for name in around & before.structs.keys():
            around = around | {field.name for field in before.structs[name].fields}
    for name in sorted(owed - section.listed):
        failures.add(f"ABI_CHANGELOG.md does not list {name} under {section.text}, the version that "
                     f"{'first had' if before is None else 'added or changed'} it")
    for name in sorted(section.listed - owed - around):
        failures.add(f"ABI_CHANGELOG.md lists {name} under {section.text}, but that version neither added nor changed "
                     "it")
