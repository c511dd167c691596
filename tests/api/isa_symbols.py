"""A file compiled for a newer processor must not define inline functions or templates that the linker may
keep for the whole program: it would end with an illegal instruction on older ones.

usage: isa_symbols.py LIBRARY...     static libraries, one an instruction set
"""
import subprocess
import sys

failures = defined = 0
for library in sys.argv[1:]:
    listing = subprocess.run(["nm", "-C", "--defined-only", library], check=True, capture_output=True,
                             text=True).stdout
    for line in listing.splitlines():
        parts = line.split(maxsplit=2)
        if len(parts) < 3:
            continue
        defined += 1
        # W and V: weak, u: unique; the linker keeps any one of such copies. Our own names are strong.
        if parts[1] in "WVwvu":
            failures += 1
            print(f"FAILED: {library}: {parts[2]} may be shared with code for older processors")
print(f"{len(sys.argv) - 1} libraries, {defined} symbols, {failures} failures")
sys.exit(1 if failures or not defined else 0)
