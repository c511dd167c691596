#!/usr/bin/python3
"""Holds the decoders of gguf.py and the int8 activations of forward.py against a file of vectors.

    check_formats.py VECTORS.json        exit 0 also when the file is absent (says so)
"""
import json
import os
import sys

import numpy as np

import gguf
from forward import quantise

TRIT_TEXT = {-1: "-", 0: "0", 1: "+"}


def tensor_of(vector):
    raw = np.frombuffer(bytes.fromhex(vector["hex"]), np.uint8)
    ne = vector.get("ne") or [vector["n"]]
    return gguf.Tensor(vector["type"], ne, vector["id"], raw)


def values_differ(vector):
    want = np.array(vector["values"])
    got = tensor_of(vector).vector()
    # The vectors were computed in float32: three roundings of terms up to the largest value.
    worst = np.abs(got - want).max()
    return worst > 3 * 2.0 ** -24 * np.abs(want).max() and f"values differ by {worst:.3g}"


def trits_differ(vector):
    tensor = tensor_of(vector)
    text = "".join(TRIT_TEXT[t] for t in tensor.trits().ravel().tolist())
    if text != vector["ternary"]:
        return "trits differ"
    return tensor.ternary_scale() != vector["scale"] and "scale differs"


def bitlinear_differs(vector):
    _, q, s = quantise(np.array([vector["x"]]), np.float32)
    if q[0].tolist() != vector["q"] or q.sum() != vector["sum_q"]:
        return "int8 activations differ"
    row = np.array(["-0+".index(c) - 1 for c in vector["ternary"]])
    y = (row @ q[0]) / float(s[0, 0]) * vector["w_scale"]
    return abs(y - vector["y"]) > 1e-6 * abs(vector["y"]) and f"y is {y}, expected {vector['y']}"


def check_of(vector):
    if vector["type"] == "BITLINEAR":
        return bitlinear_differs
    if vector.get("id") not in gguf.TYPES or vector.get("layout", "128") != "128":
        return None
    return values_differ if "values" in vector else trits_differ


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not os.path.exists(sys.argv[1]):
        print(f"skipped: no file {sys.argv[1]}")
        return
    with open(sys.argv[1], encoding="utf-8") as file:
        vectors = json.load(file)["vectors"]
    failed = 0
    for vector in vectors:
        name = " ".join(filter(None, (vector["type"], vector.get("layout"))))
        check = check_of(vector)
        fault = check and check(vector)
        print(f"{name:12} {fault or ('same' if check else 'skipped: not read by the reference')}")
        failed += bool(fault)
    if failed:
        sys.exit(f"{failed} of {len(vectors)} vectors differ")


if __name__ == "__main__":
    main()
