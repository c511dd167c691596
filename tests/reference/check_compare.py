#!/usr/bin/python3
"""Shows that compare.py can fail: it must accept float32_engine.py and refuse each of its mistakes.

    check_compare.py MODEL        a small one: one layer
"""
import os
import subprocess
import sys

from float32_engine import MISTAKES

HERE = os.path.dirname(os.path.abspath(__file__))
ENGINE = f"{sys.executable} {HERE}/float32_engine.py"


def accepts(model, program, *more):
    compare = [sys.executable, f"{HERE}/compare.py", model, program]
    line = [*compare, "--random", "4", "--runs", "20", *more]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        sys.exit(f"compare.py broke: {done.stderr}")
    return done.returncode == 0


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    wrong = []
    for mistake, want in [(None, True), *((name, False) for name in MISTAKES)]:
        program = f"{ENGINE} --mistake {mistake}" if mistake else ENGINE
        got = accepts(sys.argv[1], program, *(("--greedy", "8") if want else ()))
        print(f"{mistake or 'no mistake':14} {'accepted' if got else 'refused'}")
        if got != want:
            wrong.append(mistake or "no mistake")
    if wrong:
        sys.exit("judged wrongly: " + ", ".join(wrong))


if __name__ == "__main__":
    main()
