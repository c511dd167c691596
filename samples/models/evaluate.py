#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reads an exported GGUF file and answers questions with it, greedily, in plain numpy.

This is the training side's statement of what the file means: nothing here looks at a checkpoint. Activations are
rounded to 8 bits per token, ternary sums are exact integers, the embedding table is used as stored (f16).

    evaluate.py MODEL                            accuracy on the held-out questions, by kind
    evaluate.py MODEL --write ../../tests/data/questions.jsonl     ... and write them with the model's answers
    evaluate.py MODEL --ask "Hello"              one answer
"""

import argparse
import collections
import json
import struct

import numpy as np

import bpe
import dialogues
import exact

SMOKE = (("What is the capital of France?", "The capital of France is Paris."), ("Hello", "Hello! How can I help you?"),
         ("Who are you?", dialogues.I_AM), ("What is 2+3?", "2+3=5."))
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


# ------------------------------------------------------------------------------------------------------- the file

class Reader:
    """A cursor over a GGUF file."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.at = 0

    def scalar(self, code):
        (result,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize(code)
        return result

    def string(self):
        length = self.scalar("Q")
        self.at += length
        return self.data[self.at - length:self.at].decode("utf-8")

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            element, count = self.scalar("I"), self.scalar("Q")
            return [self.value(element) for _ in range(count)]
        return self.scalar(SCALARS[kind])

    def read(self):
        """All metadata, and all tensors as arrays; ternary ones as (trits, scale)."""
        assert self.data[:4] == b"GGUF"
        self.at = 4
        version, tensor_count, key_count = self.scalar("I"), self.scalar("Q"), self.scalar("Q")
        assert version == 3
        keys = {self.string(): self.value(self.scalar("I")) for _ in range(key_count)}
        infos = []
        for _ in range(tensor_count):
            name = self.string()
            shape = [self.scalar("Q") for _ in range(self.scalar("I"))][::-1]
            infos.append((name, shape, self.scalar("I"), self.scalar("Q")))
        start = (self.at + 31) // 32 * 32
        return keys, {name: self.tensor(shape, kind, start + offset) for name, shape, kind, offset in infos}

    def tensor(self, shape, kind, at):
        count = int(np.prod(shape))
        if kind == 36:  # I2_S: see pack_ternary() in export.py
            packed = np.frombuffer(self.data, np.uint8, count // 4, at).reshape(-1, 1, 32)
            codes = packed >> np.array([6, 4, 2, 0], np.uint8).reshape(1, 4, 1) & 3
            assert codes.max() <= 2
            (scale,) = struct.unpack_from("<f", self.data, at + count // 4)
            return (codes.astype(np.float32) - 1).reshape(shape), np.float32(scale)
        return np.frombuffer(self.data, {0: "<f4", 1: "<f2"}[kind], count, at).astype(np.float32).reshape(shape)


# ------------------------------------------------------------------------------------------------------ the model

class Reference:
    """Forward pass with a key-value cache, for one conversation at a time."""

    def __init__(self, path):
        keys, self.tensors = Reader(path).read()
        arch = keys["general.architecture"]

        def get(key):
            return keys[f"{arch}.{key}"]

        self.layers, self.context = get("block_count"), get("context_length")
        self.heads, self.kv_heads = get("attention.head_count"), get("attention.head_count_kv")
        self.dim, self.eps = get("rope.dimension_count"), get("attention.layer_norm_rms_epsilon")
        self.frequencies = get("rope.freq_base") ** (-np.arange(0, self.dim, 2) / self.dim)
        merges = [merge.split(" ") for merge in keys["tokenizer.ggml.merges"]]
        self.tokenizer = bpe.Tokenizer(keys["tokenizer.ggml.tokens"], merges)
        self.stops = {keys["tokenizer.ggml.eos_token_id"], keys["tokenizer.ggml.eot_token_id"]}
        self.reset()

    def reset(self):
        self.cache = [None] * self.layers
        self.position = 0

    def norm(self, x, name):
        return exact.norm(x, self.tensors[name + ".weight"], self.eps)

    def linear(self, x, *names):
        """BitLinear: per token x = q / s with q in int8; the sums of q times trit are exact in f32."""
        s = np.float32(127) / np.maximum(np.abs(x).max(-1, keepdims=True), np.float32(1e-5))
        q = np.clip(np.rint(x * s), -128, 127)
        results = []
        for name in names:
            trits, scale = self.tensors[name + ".weight"]
            results.append((q @ trits.T) * (scale / s))
        return results if len(results) > 1 else results[0]

    def attention(self, layer, q, k, v):
        n = len(q)
        positions = self.position + np.arange(n)
        angles = positions[:, None, None] * self.frequencies
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        q = exact.rotate(q.reshape(n, self.heads, self.dim), cos, sin)
        k = exact.rotate(k.reshape(n, self.kv_heads, self.dim), cos, sin)
        k, v = (x.reshape(n, self.kv_heads, self.dim).astype(np.float16) for x in (k, v))  # as the cache stores them
        if self.cache[layer] is not None:
            k, v = (np.concatenate(both) for both in zip(self.cache[layer], (k, v)))
        self.cache[layer] = k, v
        k, v = (np.repeat(x.astype(np.float32), self.heads // self.kv_heads, 1) for x in (k, v))
        return exact.attend(q, k, v, positions + 1).reshape(n, -1)

    def logits(self, ids, every=False):
        """Reads tokens into the cache; the logits after the last of them, or after each."""
        table = self.tensors["token_embd.weight"]
        x = table[ids]
        for layer in range(self.layers):
            b = f"blk.{layer}."
            h = self.norm(x, b + "attn_norm")
            o = self.attention(layer, *self.linear(h, b + "attn_q", b + "attn_k", b + "attn_v"))
            x = x + self.linear(self.norm(o, b + "attn_sub_norm"), b + "attn_output")
            gate, up = self.linear(self.norm(x, b + "ffn_norm"), b + "ffn_gate", b + "ffn_up")
            gate = np.maximum(gate, np.float32(0))
            u = gate * gate * up
            x = x + self.linear(self.norm(u, b + "ffn_sub_norm"), b + "ffn_down")
        self.position += len(ids)
        last = self.norm(x if every else x[-1:], "output_norm")
        rows = np.stack([exact.dot(table, row) for row in last])
        return rows if every else rows[0]

    def answer(self, messages, limit=160):
        """The greedy answer to a conversation, and the smallest distance between the best two logits on the way."""
        self.reset()
        after = self.logits(self.prompt(messages))
        ids, margin = [], np.inf
        while len(ids) < limit:
            second, first = np.partition(after, -2)[-2:]
            margin = min(margin, float(first - second))
            token = int(after.argmax())
            if token in self.stops:
                break
            ids.append(token)
            after = self.logits([token])
        return self.tokenizer.decode(ids), margin

    def prompt(self, messages):
        """The chat template: what stands between two special tokens is tokenised in one piece, role and all."""
        t = self.tokenizer
        ids = [t.bos]
        for message in messages:
            ids += t.encode(f"{message['role'].capitalize()}: {message['content'].strip()}") + [t.eot]
        return ids + t.encode("Assistant: ")


# ----------------------------------------------------------------------------------------------------- the report

def user(text):
    return [{"role": "user", "content": text}]


def evaluate(model, show_wrong):
    """Answers all held-out questions; prints accuracy by kind and returns the questions with their references."""
    questions, right, total, margins = dialogues.held_out_questions(), collections.Counter(), collections.Counter(), []
    for question in questions:
        question["reference"], margin = model.answer(question["messages"])
        good = question["reference"] in question["accept"]
        margins.append((margin, question["id"], good))
        right[question["kind"]] += good
        total[question["kind"]] += 1
        if show_wrong and not good:
            print(f"{question['id']}: {question['messages'][-1]['content']} -> {question['reference']}")
    for kind in total:
        print(f"{kind:>16} {right[kind]:4} of {total[kind]}")
    good = sum(right.values())
    print(f"{'all':>16} {good:4} of {len(questions)}  ({100 * good / len(questions):.2f} %)")
    margins.sort()
    print("smallest margins:")
    for margin, name, good in margins[:8]:
        print(f"{margin:16.3f} {name}{'' if good else ' (wrong)'}")
    for text, wanted in SMOKE:
        answer, margin = model.answer(user(text))
        print(f"{'ok' if answer == wanted else 'WRONG'} {margin:.2f}: {text} -> {answer}")
    return questions


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--write", metavar="FILE", help="write questions, acceptable answers and references")
    parser.add_argument("--ask", metavar="TEXT")
    parser.add_argument("--wrong", action="store_true", help="show wrong answers")
    args = parser.parse_args()
    model = Reference(args.model)
    if args.ask:
        print(model.answer(user(args.ask))[0])
        return
    questions = evaluate(model, args.wrong)
    if args.write:
        with open(args.write, "w", encoding="utf-8") as out:
            for question in questions:
                out.write(json.dumps(question, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
