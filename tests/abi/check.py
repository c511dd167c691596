"""Holds today's header and library against every baseline in tests/abi/ and against ABI_CHANGELOG.md.

usage: check.py header                    the header against the kept headers, versions and the changelog
       check.py library LIBRARY [DEBUG]   the symbols of LIBRARY against the kept lists; its types by abidiff, read
                                          from DEBUG, the same library with debug information
       check.py release DEBUG             all of that, then keeps today's as a new baseline; see ABI_CHANGELOG.md
Exit status 77: a tool is missing; the reason is printed.
"""
import argparse
import pathlib
import shutil
import sys

from header_rules import check_header, sums
from library_rules import check_kept_types, check_library, types
from project import Failures, Project


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
    arguments = parser.parse_args()
    if arguments.command != "header" and not arguments.libraries:
        parser.error("which library?")
    project, failures, missing = Project(pathlib.Path(__file__).resolve().parents[2]), Failures(), None
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
