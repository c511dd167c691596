#!/usr/bin/python3
"""The forward pass in float32 behind the command line of the engine's program.

    float32_engine.py logits -m MODEL --tokens 1,2,3 -o FILE
    float32_engine.py run -m MODEL --tokens 1,2,3 -n N --temp 0 --ids

What an engine that does everything right looks like to compare.py: its bounds were measured so.
--mistake NAME before the command makes it one that does not.
"""
import argparse

import numpy as np

from forward import Forward, Model, Numerics, greedy, token_list


def change(name, value_of):
    """A mistake: one entry of the plan replaced."""
    return lambda plan: setattr(plan, name, value_of(getattr(plan, name)))


MISTAKES = {
    "rope-pairs": change("rope_pairs_adjacent", lambda adjacent: not adjacent),
    "rope-base": change("rope_base", lambda base: base * 1.01),
    "activation": change("relu2", lambda relu2: not relu2),
    "eps": change("eps", lambda eps: eps / 10),
    "kv-unrounded": lambda plan: None,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mistake", choices=MISTAKES)
    parser.add_argument("command", choices=("logits", "run"))
    parser.add_argument("-m", required=True)
    parser.add_argument("--tokens", required=True, type=token_list)
    parser.add_argument("-o")
    parser.add_argument("-n", type=int, default=0)
    parser.add_argument("--temp", type=float)
    parser.add_argument("--ids", action="store_true")
    args = parser.parse_args()
    model = Model(args.m)
    if args.mistake:
        MISTAKES[args.mistake](model.plan)
    kv = np.float32 if args.mistake == "kv-unrounded" else np.float16
    forward = Forward(model, Numerics(np.float32, np.float32, kv))
    if args.command == "logits":
        forward(args.tokens).astype("<f4").tofile(args.o)
    else:
        print(*greedy(forward, args.tokens, args.n))


if __name__ == "__main__":
    main()
