#!/usr/bin/python3
"""Compares the logits of the engine's program with the float64 forward pass.

    compare.py MODEL PROGRAM (--tokens 1,2,3 | --random N [--runs R] [--seed S]) [--greedy N]
               [--max-abs X] [--max-rel Y] [--kv f16|f64] [--isa NAME] [-t N]

PROGRAM is run as   PROGRAM logits -m MODEL --tokens ... -o FILE
and for --greedy    PROGRAM run -m MODEL --tokens ... -n N --temp 0 --ids
FILE is raw little-endian float32 [tokens][vocab]. PROGRAM may be several words, as
"qemu-aarch64 bitnet".
Errors are printed absolute and relative to the rms of the logits of their position. Exit 1 when out
of bounds.

Which bound is honest
---------------------
As long as both sides round every activation to the same int8 (and every key and value to the same
f16), what is left is float32 rounding: measured 1e-6 in the median, whatever the shape. But an
activation near a half turns over under the smallest difference. One turned code moves its row by
1/127 of the largest activation, and makes more codes of the following layers turn over, until the
difference has the size of the quantisation noise itself: 1e-2 to 1e-1, from then on in every later
position. So errors come in two kinds with little between, and a single bound would be blind to the
first or wrong about the second. Hence three rules:

 1. SMOOTH  A position whose error is at most 2e-5 is smooth; any other is turned.
 2. COUNT   Forward.risk is the expected number of turned roundings up to a position, for values off
            by the unit roundoff of float32: the sum of 2 error / step over all roundings, since a
            boundary is equally likely anywhere. A sequence has a turned position with probability
            at most 1 - exp(-risk of its last). With E the sum of these, at most E + 3 sqrt(E)
            sequences may be turned. A mistake turns all of them even when it is small: measured for
            eps 1e-6 instead of 1e-5, norms in bf16, the input of the head in f16, keys and values
            not rounded, scales off by 1e-4 (check_compare.py repeats some).
 3. CEILING A turned position may be off by no more than the same pass when *all* its roundings are
            drawn anew (a dither of +-1/2 of an int8 step, +-1/2 to 1 of an f16 ulp): the largest of
            all positions in two draws.

Rule 2 is sharp while E is well below the number of sequences: one layer, few tokens, many runs, as
in --random 4 --runs 30 for a width of 128 to 256, --random 2 --runs 30 for widths of real models.
Over the depth of a real model every sequence is expected to turn; rule 3 with the printed figures
is then all there is. --max-abs and --max-rel replace the rules by plain bounds on every position.

The argmax can only differ where the two candidates are closer than twice the error; each such place
is printed.
"""
import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile

import numpy as np

from forward import REALS, Forward, Model, Numerics, rms_of, token_list

SMOOTH = 2e-5
END_TEXTS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "</s>",
             "<|eom_id|>", "<EOT>", "_<EOT>", "<|end_of_text|>", "<eos>", "<turn|>", "[EOT]",
             "[EOS]", "<|return|>", "<|call|>")


class Program:
    def __init__(self, path, model_path, options):
        self.words, self.model_path, self.options = shlex.split(path), model_path, options

    def call(self, command, tokens, *more):
        ids = ",".join(map(str, tokens))
        line = [*self.words, command, "-m", self.model_path, "--tokens", ids, *more, *self.options]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(line)}\nended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def logits(self, tokens, vocab):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "logits")
            self.call("logits", tokens, "-o", path)
            values = np.fromfile(path, "<f4").astype(np.float64)
        if values.size != len(tokens) * vocab:
            sys.exit(f"the program wrote {values.size} logits, expected {len(tokens)} x {vocab}")
        return values.reshape(len(tokens), vocab)

    def greedy(self, tokens, n):
        out = self.call("run", tokens, "-n", str(n), "--temp", "0", "--ids")
        return [int(t) for t in re.findall(r"\d+", out)]


class Comparison:
    """Both sides' logits of one token sequence, [tokens][vocab]."""

    def __init__(self, model, program, tokens, kv):
        self.model, self.tokens = model, tokens
        self.numerics = dict(decide=np.float32, kv=kv)        # as an engine does: fewer turn over
        forward = Forward(model, Numerics(**self.numerics))
        self.want = forward(tokens)
        self.got = program.logits(tokens, model.plan.vocab)
        if not np.isfinite(self.got).all():
            sys.exit("the program wrote logits that are not finite")
        self.scale = rms_of(self.want)[:, 0]
        self.abs = np.abs(self.got - self.want).max(axis=1)   # of each position
        self.rel = self.abs / self.scale
        self.chance = 1 - np.exp(-forward.risk[-1])           # that any position is turned

    def drawn_anew(self):
        """Largest relative change of any position when all roundings are drawn anew."""
        worst = 0.0
        for seed in (1, 2):
            numerics = Numerics(**self.numerics, dither=np.random.default_rng(seed))
            logits = Forward(self.model, numerics)(self.tokens)
            worst = max(worst, (np.abs(logits - self.want).max(axis=1) / self.scale).max())
        return worst

    def print_argmax_differences(self):
        for at in np.flatnonzero(self.got.argmax(axis=1) != self.want.argmax(axis=1)):
            first, second = self.want[at].argmax(), self.got[at].argmax()
            margin = self.want[at, first] - self.want[at, second]
            print(f"argmax differs at position {at}: reference {first}, program {second}; "
                  f"reference margin {margin:.3g}, error there {self.abs[at]:.3g}")


def judge(comparisons, max_abs, max_rel):
    """Prints the figures; returns what is out of bounds, one sentence each."""
    faults = []
    worst_abs = max(comparisons, key=lambda c: c.abs.max())
    worst_rel = max(comparisons, key=lambda c: c.rel.max())
    rel = np.concatenate([c.rel for c in comparisons])
    for c in comparisons:
        c.print_argmax_differences()
    print(f"worst absolute error {worst_abs.abs.max():.3g} at position {worst_abs.abs.argmax()}")
    print(f"worst relative error {worst_rel.rel.max():.3g} at position {worst_rel.rel.argmax()}; "
          f"median {np.median(rel):.3g}; logits have rms {worst_rel.scale.mean():.3g}")
    if max_abs is not None and worst_abs.abs.max() > max_abs:
        faults.append(f"absolute error {worst_abs.abs.max():.3g} is above {max_abs:g}")
    if max_rel is not None and worst_rel.rel.max() > max_rel:
        faults.append(f"relative error {worst_rel.rel.max():.3g} is above {max_rel:g}")
    if max_abs is not None or max_rel is not None:
        return faults

    turned = [c for c in comparisons if (c.rel > SMOOTH).any()]
    expected = sum(c.chance for c in comparisons)
    allowed = expected + 3 * np.sqrt(expected)
    smooth = rel[rel <= SMOOTH]
    print(f"smooth positions {smooth.size} of {rel.size}, worst {smooth.max(initial=0):.3g}")
    print(f"turned sequences {len(turned)} of {len(comparisons)}, "
          f"expected at most {expected:.3g}, allowed {allowed:.3g}")
    if len(turned) > allowed:
        faults.append(f"{len(turned)} of {len(comparisons)} sequences have an error above "
                      f"{SMOOTH:g}, by chance at most {allowed:.3g} would")
    for c in turned:
        ceiling, worst = c.drawn_anew(), c.rel.max()
        print(f"turned at position {np.argmax(c.rel > SMOOTH)}: "
              f"worst {worst:.3g}, ceiling {ceiling:.3g}")
        if worst > ceiling:
            faults.append(f"relative error {worst:.3g} at position {c.rel.argmax()} is above "
                          f"{ceiling:.3g}, which drawing all roundings anew gives")
    return faults


def end_ids(kv):
    named = [kv.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    texts = kv.get("tokenizer.ggml.tokens", ())
    return set(named) | {i for i, text in enumerate(texts) if text in END_TEXTS}


def greedy_faults(comparison, prompt, ids, n, ends):
    """`comparison` covers prompt + ids. Every id must be the program's own argmax; whether that is
    the reference's is judged with the logits."""
    own = comparison.got[len(prompt) - 1:].argmax(axis=1)
    print("greedy", ",".join(map(str, ids)))
    for i, token in enumerate(ids):
        if token != own[i]:
            return [f"greedy token {i} is {token}, but the program's own logits say {own[i]}"]
    if len(ids) > n:
        return [f"{len(ids)} greedy tokens came, {n} were asked for"]
    if len(ids) < n and own[len(ids)] not in ends and not (ids and ids[-1] in ends):
        return [f"only {len(ids)} of {n} greedy tokens came, and no end token is near"]
    return []


def main():
    parser = argparse.ArgumentParser(description="engine against the float64 forward pass")
    parser.add_argument("model")
    parser.add_argument("program")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--tokens", type=token_list, metavar="1,2,3")
    what.add_argument("--random", type=int, metavar="N", help="sequences of N random tokens")
    parser.add_argument("--runs", type=int, default=1, metavar="R",
                        help="number of random sequences")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--greedy", type=int, default=0, metavar="N")
    parser.add_argument("--max-abs", type=float)
    parser.add_argument("--max-rel", type=float)
    parser.add_argument("--kv", choices=("f16", "f64"), default="f16",
                        help="what the program keeps keys and values in; f64: does not round them")
    parser.add_argument("--isa")
    parser.add_argument("-t", "--threads")
    args = parser.parse_args()

    model = Model(args.model)
    options = ["--isa", args.isa] if args.isa else []
    options += ["-t", args.threads] if args.threads else []
    program = Program(args.program, args.model, options)
    compare = lambda tokens: Comparison(model, program, tokens, REALS[args.kv])
    sequences = [args.tokens]
    if args.random:
        rng = np.random.default_rng(args.seed)
        sequences = rng.integers(0, model.plan.vocab, (args.runs, args.random)).tolist()

    comparisons = [compare(tokens) for tokens in sequences]
    faults = []
    if args.greedy:
        ids = program.greedy(sequences[0], args.greedy)
        comparisons.append(compare(sequences[0] + ids))
        ends = end_ids(model.file.kv)
        faults = greedy_faults(comparisons[-1], sequences[0], ids, args.greedy, ends)
    faults += judge(comparisons, args.max_abs, args.max_rel)
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
