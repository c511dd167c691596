"""Takes the examples out of a document, so that a test can use them as a reader would.

usage: examples.py FILE FOLDER    writes FOLDER/1.c, FOLDER/2.cmake, ... and prints these names, in order
FILE is Markdown, of which it takes the fenced blocks that name their language, or the header, of which it takes the
programs in its comments.
"""
import pathlib
import re
import sys


def blocks_of_markdown(text):
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.S | re.M):
        yield language, code


def programs_in_comments(text):
    """Programs begin with an #include, stand four blanks deeper than the comment, and end where that ends."""
    lines = iter(text.splitlines())
    for line in lines:
        if not line.startswith(" *     #include"):
            continue
        program = []
        while line.startswith(" *     "):
            program.append(line.removeprefix(" *     "))
            line = next(lines, "")
        yield "c", "\n".join(program) + "\n"


def main():
    document, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    text = document.read_text(encoding="utf-8")
    find = blocks_of_markdown if document.suffix == ".md" else programs_in_comments
    folder.mkdir(parents=True, exist_ok=True)
    for number, (language, code) in enumerate(find(text), 1):
        name = f"{number}.{language}"
        (folder / name).write_text(code, encoding="utf-8")
        print(name)


main()
