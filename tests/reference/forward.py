#!/usr/bin/python3
"""Forward pass of the ternary model families in float64, to hold the engine against.

    forward.py MODEL --tokens 1,2,3 [-o FILE] [--greedy N] [--kv f16|f64] [--rounding f64|f32]

FILE receives raw little-endian float64 [tokens][vocab]. Written to be read: one function is one box
of the block diagram, vectorised over tokens, no code shared with the engine. Families:
bitnet-b1.58, bitnet-25, bitnet, llama.
"""
import argparse
import sys
from collections import namedtuple

import numpy as np

from gguf import Gguf

CHUNK_ROWS = 4096            # rows of a matrix decoded at a time
CACHE_BYTES = 1 << 28        # decoded weights are kept when the model has fewer bytes than this
EXACT_F32_COLS = 1 << 17     # |trit * q| <= 128: with fewer columns a float32 sum is exact (2^24)


class Plan:
    """Hyper-parameters and family rules, from the metadata alone."""

    def __init__(self, file):
        kv, self.arch = file.kv, file.kv["general.architecture"]
        if self.arch not in ("bitnet-b1.58", "bitnet-25", "bitnet", "llama"):
            raise ValueError(f"architecture {self.arch!r} is not covered by this forward pass")

        def key(name, default=None):
            value = kv.get(f"{self.arch}.{name}", default)
            if value is None:
                raise ValueError(f"metadata has no {self.arch}.{name}")
            return value

        self.layers = key("block_count")
        self.width = key("embedding_length")
        self.ff = key("feed_forward_length")
        self.heads = key("attention.head_count")
        self.kv_heads = key("attention.head_count_kv", self.heads)
        self.head_dim = key("attention.key_length", self.width // self.heads)
        self.eps = key("attention.layer_norm_rms_epsilon")
        self.rope_base = key("rope.freq_base", 10000.0)
        self.rope_dims = key("rope.dimension_count", self.head_dim)
        linear = key("rope.scaling.type", "none") == "linear"
        self.rope_factor = key("rope.scaling.factor", 1.0) if linear else 1.0
        self.rope_pairs_adjacent = self.arch == "llama"       # NORM; the others are NEOX
        self.vocab = file.tensors["token_embd.weight"].shape[0]
        self.relu2 = self._relu2(kv)

    def _relu2(self, kv):
        named = kv.get(f"{self.arch}.hidden_activation")
        if named is not None:
            return named == "relu2"
        if self.arch == "bitnet-b1.58":                     # large and 3B also come under this name
            spm = kv.get("tokenizer.ggml.model") == "llama"
            return not (spm and len(kv.get("tokenizer.ggml.tokens", ())) == 32002)
        if self.arch == "bitnet":                           # and the 2B-4T also under this one
            return (self.vocab, self.layers, self.width, self.ff) == (128256, 30, 2560, 6912)
        return self.arch == "bitnet-25"


class Numerics:
    """Which arithmetic to run in.

    real      of every value; float32 makes this file an emulation of an engine
    decide    in which the activation scale and the rounding to int8 are computed
    kv        in which keys and values are stored
    dither    a random generator: every rounding to int8 or f16 is drawn anew, see compare.py
    """

    def __init__(self, real=np.float64, decide=np.float64, kv=np.float64, dither=None):
        self.real, self.decide, self.kv, self.dither = real, decide, kv, dither


# Relative error that Forward.risk assumes of the other side's values: the unit roundoff of float32.
# Measured with float32_engine.py, four to ten times fewer roundings turn over than follow from it.
OTHER_SIDE = 2.0 ** -24


# What a projection reads: x [tokens][cols], its int8 codes q, their scale s [tokens][1], and for
# each token the expected number of codes that turn over (see Forward.risk).
Activations = namedtuple("Activations", "x q s risk")


def quantise(x, decide=np.float64, dither=None):
    """Per-token int8 activations, formats 3.1 steps 1-3: (x * s before rounding, q, s)."""
    x = x.astype(decide)
    a = np.maximum(decide(1e-5), np.abs(x).max(axis=-1, keepdims=True))
    s = decide(127) / a
    xs = x * s
    noise = 0.0 if dither is None else dither.uniform(-0.5, 0.5, xs.shape)
    return xs, np.clip(np.rint(xs + noise), -128, 127), s


def rms_of(x):
    return np.sqrt(np.mean(x * x, axis=-1, keepdims=True))


def turning(error, step):
    """Per token, how many roundings to multiples of `step` are expected to turn over by errors up
    to `error`: a value lies within it of the nearest boundary with probability 2 error / step."""
    return np.minimum(1, 2 * error / step).reshape(len(error), -1).sum(axis=1)


class Model:
    """A file, its plan, and decoded weights."""

    def __init__(self, path):
        self.file = Gguf(path)
        self.plan = Plan(self.file)
        self.keep = sum(t.data.size for t in self.file.tensors.values()) < CACHE_BYTES
        self.kept = {}

    def has(self, name):
        return name in self.file.tensors

    def vector(self, name):
        return self.file.tensors[name].vector()

    def rows(self, name, ternary):
        """(first row, decoded rows) of a matrix: trits as float32, or values as float64."""
        if name in self.kept:
            return self.kept[name]
        tensor = self.file.tensors[name]
        decode = (lambda *r: tensor.trits(*r).astype(np.float32)) if ternary else tensor.values
        starts = range(0, tensor.shape[0], CHUNK_ROWS)
        parts = ((r, decode(r, min(r + CHUNK_ROWS, tensor.shape[0]))) for r in starts)
        if self.keep:
            parts = self.kept[name] = list(parts)
        return parts

    def times(self, name, x, ternary=False):
        """x [tokens][cols] times the transpose of matrix `name` -> [tokens][rows]."""
        out = np.empty((len(x), self.file.tensors[name].shape[0]), x.dtype)
        for first, rows in self.rows(name, ternary):
            out[:, first:first + len(rows)] = x @ rows.T.astype(x.dtype, copy=False)
        return out


class Forward:
    """One sequence: call it with its next tokens. Holds the KV cache.

    risk  [tokens so far]: how many of the roundings a position depends on are expected to turn over
          in an arithmetic whose values are off by OTHER_SIDE; an overestimate. Far below 1: its
          logits agree smoothly, or are wrong.
    """

    def __init__(self, model, numerics=None):
        self.model, self.plan = model, model.plan
        self.num = numerics or Numerics()
        p, real = self.plan, self.num.real
        self.past = [(np.empty((0, p.kv_heads, p.head_dim), real),) * 2 for _ in range(p.layers)]
        self.own_risk = np.empty(0)
        pair = np.arange(p.rope_dims // 2, dtype=np.float64)
        self.frequency = p.rope_base ** (-2.0 * pair / p.rope_dims) / p.rope_factor
        if model.has("rope_freqs.weight"):
            self.frequency /= model.vector("rope_freqs.weight")

    @property
    def risk(self):
        return np.cumsum(self.own_risk)                       # a position sees all before it

    def __call__(self, tokens):
        p, model = self.plan, self.model
        at = len(self.past[0][0]) + np.arange(len(tokens))
        self.now = np.zeros(len(tokens))                      # own_risk of the tokens of this call
        embed = model.file.tensors["token_embd.weight"]
        x = np.concatenate([embed.values(t, t + 1) for t in tokens]).astype(self.num.real)
        for n in range(p.layers):
            x = x + self.attention(n, x, at)
            x = x + self.feed_forward(n, x)
        self.own_risk = np.concatenate([self.own_risk, self.now])
        head = "output.weight" if model.has("output.weight") else "token_embd.weight"
        return model.times(head, self.norm("output_norm.weight", x))

    def attention(self, n, x, at):
        """x [tokens][width], positions at [tokens] -> [tokens][width]"""
        p = self.plan
        h = self.activations(self.norm(f"blk.{n}.attn_norm.weight", x))
        q = self.rope(self.project(n, "attn_q", h).reshape(len(x), p.heads, p.head_dim), at)
        k = self.rope(self.project(n, "attn_k", h).reshape(len(x), p.kv_heads, p.head_dim), at)
        v = self.project(n, "attn_v", h).reshape(len(x), p.kv_heads, p.head_dim)
        k, v = self.remember(n, k, v)
        group = p.heads // p.kv_heads
        k = np.repeat(k, group, axis=1).transpose(1, 2, 0)    # [heads][head_dim][past]
        v = np.repeat(v, group, axis=1).transpose(1, 0, 2)    # [heads][past][head_dim]
        score = q.transpose(1, 0, 2) @ k / self.num.real(np.sqrt(p.head_dim))
        score[:, np.arange(k.shape[2])[None, :] > at[:, None]] = -np.inf
        weight = np.exp(score - score.max(axis=-1, keepdims=True))
        weight /= weight.sum(axis=-1, keepdims=True)
        o = (weight @ v).transpose(1, 0, 2).reshape(len(x), p.heads * p.head_dim)
        o = self.norm(f"blk.{n}.attn_sub_norm.weight", o, optional=True)
        return self.project(n, "attn_output", self.activations(o))

    def feed_forward(self, n, x):
        h = self.activations(self.norm(f"blk.{n}.ffn_norm.weight", x))
        gate, up = self.project(n, "ffn_gate", h), self.project(n, "ffn_up", h)
        if self.plan.relu2:
            act = np.maximum(gate, 0) ** 2
        else:
            with np.errstate(over="ignore"):                  # silu; exp = inf gives the right 0
                act = gate / (1 + np.exp(-gate))
        u = self.norm(f"blk.{n}.ffn_sub_norm.weight", act * up, optional=True)
        return self.project(n, "ffn_down", self.activations(u))

    def norm(self, name, x, optional=False):
        if optional and not self.model.has(name):
            return x
        gamma = self.model.vector(name).astype(x.dtype)
        mean = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(mean + x.dtype.type(self.plan.eps)) * gamma

    def rope(self, x, at):
        """x [tokens][heads][head_dim], rotated pairwise by position * frequency."""
        angle = at[:, None, None] * self.frequency
        cos, sin = np.cos(angle).astype(x.dtype), np.sin(angle).astype(x.dtype)
        r = self.plan.rope_dims
        first, second = slice(0, r // 2), slice(r // 2, r)
        if self.plan.rope_pairs_adjacent:
            first, second = slice(0, r, 2), slice(1, r, 2)
        out = x.copy()
        out[..., first] = x[..., first] * cos - x[..., second] * sin
        out[..., second] = x[..., first] * sin + x[..., second] * cos
        return out

    def activations(self, x):
        xs, q, s = quantise(x, self.num.decide, self.num.dither)
        xs = np.abs(xs.astype(np.float64))
        risk = turning(OTHER_SIDE * (xs + rms_of(xs)), 1.0)   # x is a sum: small ones err more
        return Activations(x, q, s.astype(self.num.real), risk)

    def project(self, n, which, h):
        """BitLinear for a ternary matrix, formats 3.1 steps 4-6; else an ordinary product."""
        base = f"blk.{n}.{which}"
        tensor = self.model.file.tensors[base + ".weight"]
        if tensor.is_ternary:
            if tensor.shape[1] >= EXACT_F32_COLS:
                raise ValueError(f"{tensor.name}: too many columns for exact float32 sums")
            if which not in ("attn_k", "attn_v", "ffn_up"):   # these read the codes of q and gate
                self.now += h.risk
            acc = self.model.times(tensor.name, h.q.astype(np.float32), ternary=True)
            y = acc.astype(self.num.real) * (self.num.real(tensor.ternary_scale()) / h.s)
        else:
            y = self.model.times(tensor.name, h.x)
        if self.model.has(base + ".scale"):
            y = y * self.model.vector(base + ".scale").astype(y.dtype)
        if self.model.has(base + ".bias"):
            y = y + self.model.vector(base + ".bias").astype(y.dtype)
        return y

    def remember(self, n, k, v):
        """Appends k, v [tokens][kv_heads][head_dim] as stored; returns all of both so far."""
        num, old = self.num, self.past[n]
        if num.kv == np.float16:
            # Ternary: an integer times a scale. Dense: a sum, erring by several roundings. Rotation
            # gives small values larger errors, but turning one of these moves nothing that shows.
            dense = not self.model.file.tensors[f"blk.{n}.attn_v.weight"].is_ternary
            for a in (np.abs(k), np.abs(v)):
                ulp = np.spacing(a.astype(np.float16)).astype(np.float64)
                self.now += turning(OTHER_SIDE * (8 if dense else 1) * a, ulp)
        if num.kv == np.float16 and num.dither is not None:
            k, v = (a * (1 + num.dither.uniform(-1, 1, a.shape) * 2.0 ** -11) for a in (k, v))
        stored = (a.astype(num.kv).astype(num.real) for a in (k, v))
        self.past[n] = tuple(np.concatenate(pair) for pair in zip(old, stored))
        return self.past[n]


def greedy(forward, tokens, n):
    """n tokens after `tokens`, each the argmax (first of equals)."""
    ids = []
    while len(ids) < n:
        ids.append(int(forward(tokens)[-1].argmax()))
        tokens = ids[-1:]
    return ids


def token_list(text):
    return [int(t) for t in text.split(",")]


REALS = {"f16": np.float16, "f32": np.float32, "f64": np.float64}


def main():
    parser = argparse.ArgumentParser(description="float64 forward pass of a ternary model")
    parser.add_argument("model")
    parser.add_argument("--tokens", required=True, type=token_list, metavar="1,2,3")
    parser.add_argument("-o", "--output", help="logits, raw little-endian float64 [tokens][vocab]")
    parser.add_argument("--greedy", type=int, default=0, metavar="N", help="print N greedy tokens")
    parser.add_argument("--kv", choices=("f16", "f64"), default="f64")
    parser.add_argument("--rounding", choices=("f32", "f64"), default="f64",
                        help="in which the activations are scaled and rounded to int8")
    args = parser.parse_args()

    model = Model(args.model)
    bad = [t for t in args.tokens if not 0 <= t < model.plan.vocab]
    if bad:
        sys.exit(f"token {bad[0]} is outside the vocabulary of {model.plan.vocab}")
    numerics = Numerics(kv=REALS[args.kv], decide=REALS[args.rounding])
    logits = Forward(model, numerics)(args.tokens)
    if args.output:
        logits.astype("<f8").tofile(args.output)
    print("argmax", ",".join(str(t) for t in logits.argmax(axis=1)))
    print("rms   ", " ".join(f"{r:.4g}" for r in rms_of(logits)[:, 0]))
    if args.greedy:
        ids = greedy(Forward(model, numerics), args.tokens, args.greedy)
        print("greedy", ",".join(map(str, ids)))


if __name__ == "__main__":
    main()
