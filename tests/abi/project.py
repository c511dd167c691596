"""What the checks read: today's header and lists, the baselines, the changelog."""
import re

import stub
from changelog import Changelog

KEPT = ("bitnet.h", "bitnet.abi", "exports")  # of each released version, in a folder of its name


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
        self.inline = stub.inline_functions(text)
        self.frozen = {}  # of the inline ones, those that were calls in an older header: {name: declaration}
        self.structs = stub.structs(text)
        self.sized = stub.structs_with_size(text)
        self.exports = exports.read_text(encoding="utf-8").split()
        self.soname = f"libbitnet.so.{self.abi}"


def text_of(version):
    return "{}.{}".format(*version)


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
        for path in (path / name for path in folders for name in KEPT):
            if not path.is_file():
                raise SystemExit(f"tests/abi/{path.parent.name}/{path.name} is missing")
        self.baselines = sorted((Version(path / "bitnet.h", path / "exports") for path in folders),
                                key=lambda version: version.number)
        self._find_frozen()

    def _find_frozen(self):
        """A call stays exported when the header makes an inline function of it."""
        declared = {}
        for version in [*self.baselines, self.today]:
            if version.abi == self.today.abi:
                version.frozen = {name: call for name, call in declared.items() if name in version.inline}
                declared.update(stub.declarations(version.header.read_text(encoding="utf-8")))

    def changelog(self):
        return Changelog(self.changelog_path.read_text(encoding="utf-8"))

    def same_abi(self):
        return [baseline for baseline in self.baselines if baseline.abi == self.today.abi]
