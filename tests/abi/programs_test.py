"""Programs built against each kept header, and against each kept version of the library, run with today's library.

program.c is compiled as C and as C++ with every header there is, linked to today's library and, as programs of that
time were, to a library with the symbols of that version; all must run and print the same. A program that needs a newer
library than it finds must be refused by the loader before it runs.

usage: programs_test.py LIBRARY MODEL
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import stub
from project import Failures, Project

LANGUAGES = {"C": ["cc", "-std=c99"], "C++": ["c++", "-std=c++11", "-xc++"]}
HERE = pathlib.Path(__file__).resolve().parent


def stub_of(version, folder):
    """Where a library with the symbols of that version lies."""
    folder.mkdir()
    (folder / "exports.map").write_text(stub.node_map(version.exports))
    library = folder / version.soname
    stub.build(version.header, folder / "exports.map", library, version.soname, frozen=version.frozen.values())
    (folder / "libbitnet.so").symlink_to(library.name)
    return folder


def compile_program(version, language, libraries, program):
    stub.run_compiler([*LANGUAGES[language], "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                       f"-I{version.header.parent}",
                       str(HERE / "program.c"), "-xnone", f"-L{libraries}", "-lbitnet", "-o", str(program)],
                      f"a {language} program with the header of {version.text}")


def run(program, libraries, model):
    return subprocess.run([str(program), str(model)], env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
                          capture_output=True, text=True, check=False)


def calls_of(program):
    lines = subprocess.run(["nm", "-D", "--undefined-only", str(program)], check=True, capture_output=True, text=True)
    return set(re.findall(r"\b(bitnet_\w+)", lines.stdout))


def known_to(version, printed):
    """The lines that a program of that version prints."""
    def is_newer(line):
        since = re.match(r"(\d+)\.(\d+) ", line)
        return since and (int(since[1]), int(since[2])) > version.number
    return [line for line in printed.splitlines() if not is_newer(line)]


def first_difference(found, expected):
    for line, wanted in zip(found + ["(the end)"], expected + ["(the end)"]):
        if line != wanted:
            return f"prints '{line}', expected '{wanted}'"
    return "prints the same"


def check_run(what, done, version, newest_prints, failures):
    lines = done.stdout.splitlines()
    troubles = [line[len("FAILED: "):] for line in lines if line.startswith("FAILED: ")]
    for trouble in troubles:
        failures.add(f"{what}: {trouble}")
    if done.returncode not in (0, 1) or done.stderr:
        failures.add(f"{what}: ends with status {done.returncode}: {done.stderr.strip()}")
    lines = [line for line in lines if not line.startswith("FAILED: ")]
    if lines != known_to(version, newest_prints):
        failures.add(f"{what}: {first_difference(lines, known_to(version, newest_prints))}")


def main():
    library, model = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    project, failures, programs = Project(HERE.parents[1]), Failures(), 0
    versions = project.same_abi() + [project.today]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        newest = scratch / "newest"
        compile_program(project.today, "C", library.parent, newest)
        newest_prints = run(newest, library.parent, model).stdout
        if "reply " not in newest_prints:
            failures.add(f"a program built against today's header does not get to its reply:\n{newest_prints}")
        for place, version in enumerate(versions):
            name = "today" if version is project.today else version.text
            old = stub_of(version, scratch / name)
            for language in LANGUAGES:
                for linked, libraries in (("today's library", library.parent), (f"the library of {name}", old)):
                    program = scratch / "program"
                    compile_program(version, language, libraries, program)
                    what = f"{language} program with the header of {name}, linked to {linked}"
                    check_run(what, run(program, library.parent, model), version, newest_prints, failures)
                    programs += 1
            for missing in sorted(set(version.functions) - calls_of(program)):
                failures.add(f"program.c does not call {missing}, which the header of {name} declares")
            if place and set(version.functions) - set(versions[place - 1].functions):
                check_refused(program, version, versions[place - 1], scratch, failures)
    lines = len(newest_prints.splitlines())
    print(f"{programs} programs, {lines} lines of output each, {len(failures.sentences)} failures")
    return 1 if failures.sentences else 0


def check_refused(program, version, older, scratch, failures):
    """A program needs what the version before did not have: the loader says so by name."""
    done = run(program, scratch / older.text, "/dev/null")
    print(f"with the library of {older.text}: {done.stderr.strip()}")
    if done.returncode != 127 and done.returncode != 1 or f"BITNET_{version.text}" not in done.stderr or done.stdout:
        failures.add(f"a program that needs {version.text} and finds {older.text} is not refused by the loader with "
                     f"the name of what is missing: status {done.returncode}, '{done.stdout}{done.stderr}'")


if __name__ == "__main__":
    sys.exit(main())
