#!/usr/bin/python3
"""The numeric contract, implemented a second time in numpy from its text (samples/models/exact.py), gives the library's
logits to the last bit on the trained model: over one page and several, in one batch.

    bits_test.py MODEL PROGRAM
"""
import os
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "samples", "models"))
import evaluate  # noqa: E402


def main():
    model, program = sys.argv[1:]
    reference = evaluate.Reference(model)
    vocabulary = len(reference.tensors["token_embd.weight"])
    failed = False
    for seed, length in ((1, 1), (2, 64), (3, 200)):
        ids = [int(i) for i in np.random.default_rng(seed).integers(0, vocabulary, length)]
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "logits")
            subprocess.run([program, "logits", "-m", model, "--tokens", ",".join(map(str, ids)), "-o", out], check=True)
            got = np.fromfile(out, "<f4").reshape(length, vocabulary)
        reference.reset()
        want = reference.logits(ids, every=True)
        equal = (got.view(np.int32) == want.view(np.int32)).all(1)
        print(f"{length} tokens: {equal.sum()} of {length} positions have equal bits")
        if not equal.all():
            at = int(np.flatnonzero(~equal)[0])
            print(f"  position {at} differs by up to {np.abs(got[at] - want[at]).max():.3g}")
            failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
