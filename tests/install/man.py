"""The manual page says of every command what its --help says: the same options with the same values, nothing more and
nothing less; and its examples work.

usage: man.py PAGE PROGRAM    in a folder with what the examples read; the examples find `bitnet` on the PATH
"""
import re
import subprocess
import sys

failures = 0


def fail(sentence):
    global failures
    failures += 1
    print("FAILED:", sentence)


def help_of(program, *command):
    return subprocess.run([program, *command, "--help"], check=True, capture_output=True, text=True).stdout


def commands_of(text):
    return re.findall(r"^  (\w+) ", text.split("commands:\n")[1].split("\n\n")[0], flags=re.M)


def options_of_help(text):
    """{"--seed": "s"}; a flag's value is empty, and an option of two names has both."""
    options = {}
    section = text.split("options:\n")[1].split("\n\n")[0]
    for names, value in re.findall(r"^  (-[\w-]+(?:, -[\w-]+)?)(?: ([A-Z]+))?(?=  |$)", section, flags=re.M):
        for name in names.split(", "):
            options[name] = value.lower()
    return options


def options_of_items(lines):
    options = {}
    for line in lines:
        item = re.match(r"\.It ((?:Fl \S+(?: , )?)+)(?: ?Ar (\S+))?$", line)
        if item:
            for name in re.findall(r"Fl (\S+)", item.group(1)):
                options["-" + name] = item.group(2) or ""
    return options


def sections_of(page):
    """{title: lines} of the .Ss and .Sh sections."""
    parts = re.split(r"^\.S[sh] (.*)\n", page, flags=re.M)
    return {title: body.splitlines() for title, body in zip(parts[1::2], parts[2::2])}


def options_of_page(sections, command):
    titles = [title for title in sections if re.match(rf"bitnet {command}\b", title)]
    if len(titles) != 1:
        fail(f"bitnet(1) has {len(titles)} sections for bitnet {command}, expected one")
        return {}
    lines = sections[titles[0]]
    options = options_of_items(lines)
    for group in re.findall(r"^\.Sx (\w+ options)", "\n".join(lines), flags=re.M):
        options |= options_of_items(sections[group])
    return options


def compare(command, said, written):
    for name in sorted(said.keys() | written.keys()):
        if name not in written:
            fail(f"bitnet {command} {name}: --help has it, bitnet(1) does not")
        elif name not in said:
            fail(f"bitnet {command} {name}: bitnet(1) has it, --help does not")
        elif said[name] != written[name]:
            fail(f"bitnet {command} {name}: value '{said[name]}' in --help, '{written[name]}' in bitnet(1)")


def run_examples(lines):
    blocks = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", "\n".join(lines) + "\n", flags=re.S | re.M)
    for example in blocks:
        if example.startswith("bitnet bench"):
            continue  # takes seconds; tests/samples/bench_test.sh has shorter ones
        # Under its own shell; a conversation finds the end of its input.
        run = subprocess.run(["sh", "-c", example], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if run.returncode != 0 or run.stderr:
            fail(f"{example.strip()}: exit status {run.returncode}, {run.stderr.strip()}")
    return len(blocks)


def main():
    page_path, program = sys.argv[1:3]
    with open(page_path, encoding="utf-8") as file:
        sections = sections_of(file.read())
    commands = commands_of(help_of(program))
    count = 0
    for command in commands:
        said = options_of_help(help_of(program, command))
        compare(command, said, options_of_page(sections, command))
        count += len(said)
    for title in sections:
        if title.startswith("bitnet ") and title.split()[1] not in commands:
            fail(f"bitnet(1) has a section '{title}', but bitnet --help has no such command")
    examples = run_examples(sections["EXAMPLES"])
    print(f"{len(commands)} commands, {count} options, {examples} examples, {failures} failures")
    if len(commands) < 7 or count < 100 or examples < 5:
        fail("that is fewer than there were: is this script out of date?")
    return 1 if failures else 0


sys.exit(main())
