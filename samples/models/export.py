#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes a trained checkpoint as a GGUF file in the layout of the official BitNet b1.58 2B-4T model.

    export.py DIR bitnet-nano.gguf      DIR is the --out folder of train.py
"""

import os
import struct
import sys

import numpy as np
import torch

import bpe
from train import TERNARY

U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9     # GGUF value types
I32 = 5
TYPE_F32, TYPE_F16, TYPE_I2_S = 0, 1, 36          # GGUF tensor types
NORMAL, CONTROL = 1, 3                            # token types
ALIGNMENT = 32

# The text of the official chat format: "Role: content" closed by <|eot_id|>, then "Assistant: " with its space.
CHAT_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = message['role'] | capitalize + ': '+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}")


def string(text):
    data = text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def value(kind, item):
    if kind == STRING:
        return string(item)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], item)


def pair(key, kind, item, element=None):
    """One metadata entry; `element` is the type of an array's elements."""
    head = string(key) + struct.pack("<I", kind)
    if kind != ARRAY:
        return head + value(kind, item)
    return head + struct.pack("<IQ", element, len(item)) + b"".join(value(element, x) for x in item)


def pack_ternary(weight):
    """I2_S: in each run of 128 weights byte p holds weights p, p+32, p+64, p+96, first in the top bits; then the scale.

    The rounding repeats ternarise() of train.py in the same precision, so the file holds what was trained.
    """
    scale = weight.abs().mean().clamp(min=1e-5)
    codes = (weight / scale).round_().clamp_(-1, 1).add_(1).numpy().astype(np.uint8).reshape(-1, 4, 32)
    packed = codes[:, 0] << 6 | codes[:, 1] << 4 | codes[:, 2] << 2 | codes[:, 3]
    return packed.tobytes() + struct.pack("<f", float(scale)) + bytes(28)


def tensors(weights, layers):
    """(name, dimensions with the row length first, type, bytes) in the order of the official file."""
    def plain(name, kind):
        weight = weights[name].numpy().astype(np.float16 if kind == TYPE_F16 else np.float32)
        return name + ".weight", weight.shape[::-1], kind, weight.tobytes()

    yield plain("token_embd", TYPE_F16)
    for layer in range(layers):
        for name in ("attn_norm", "attn_sub_norm", "ffn_norm", "ffn_sub_norm"):
            yield plain(f"blk.{layer}.{name}", TYPE_F32)
        for name in TERNARY:
            weight = weights[f"blk.{layer}.{name}"]
            assert weight.shape[1] % 128 == 0, "rows must be whole I2_S blocks"
            yield f"blk.{layer}.{name}.weight", tuple(weight.shape[::-1]), TYPE_I2_S, pack_ternary(weight)
    yield plain("output_norm", TYPE_F32)


def metadata(config, tokenizer):
    arch = "bitnet-b1.58"
    special = tokenizer.specials
    return [
        pair("general.architecture", STRING, arch),
        pair("general.name", STRING, "bitnet-nano"),
        pair("general.license", STRING, "mit"),
        pair(f"{arch}.vocab_size", U32, len(tokenizer.tokens)),
        pair(f"{arch}.context_length", U32, config["context"]),
        pair(f"{arch}.embedding_length", U32, config["width"]),
        pair(f"{arch}.block_count", U32, config["layers"]),
        pair(f"{arch}.feed_forward_length", U32, config["ffn"]),
        pair(f"{arch}.rope.dimension_count", U32, config["head_dim"]),
        pair(f"{arch}.attention.head_count", U32, config["heads"]),
        pair(f"{arch}.attention.head_count_kv", U32, config["kv_heads"]),
        pair("tokenizer.ggml.add_bos_token", BOOL, True),
        pair(f"{arch}.attention.layer_norm_rms_epsilon", F32, config["eps"]),
        pair(f"{arch}.rope.freq_base", F32, config["rope_base"]),
        pair("general.file_type", U32, 40),
        pair("tokenizer.ggml.model", STRING, "gpt2"),
        pair("tokenizer.ggml.pre", STRING, "llama-bpe"),
        pair("tokenizer.ggml.tokens", ARRAY, tokenizer.tokens, STRING),
        pair("tokenizer.ggml.scores", ARRAY, [0.0] * len(tokenizer.tokens), F32),
        pair("tokenizer.ggml.token_type", ARRAY, [CONTROL if t in special else NORMAL for t in tokenizer.tokens], I32),
        pair("tokenizer.ggml.merges", ARRAY, [" ".join(m) for m in tokenizer.merges], STRING),
        pair("tokenizer.ggml.bos_token_id", U32, tokenizer.bos),
        pair("tokenizer.ggml.eos_token_id", U32, tokenizer.eos),
        pair("tokenizer.ggml.eot_token_id", U32, tokenizer.eot),
        pair("tokenizer.ggml.padding_token_id", U32, tokenizer.eos),
        pair("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
        pair("general.quantization_version", U32, 2),
    ]


def padding(size):
    return bytes(-size % ALIGNMENT)


def write(path, entries, parts):
    infos, data = [], b""
    for name, dimensions, kind, content in parts:
        rank = len(dimensions)
        infos.append(string(name) + struct.pack(f"<I{rank}QIQ", rank, *dimensions, kind, len(data)))
        data += content + padding(len(content))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(entries)) + b"".join(entries) + b"".join(infos)
    with open(path, "wb") as out:
        out.write(head + padding(len(head)) + data)


def main():
    folder, path = sys.argv[1:]
    checkpoint = torch.load(os.path.join(folder, "checkpoint.pt"), map_location="cpu")
    config = checkpoint["config"]
    # state_dict names use "_" for "."; layer names are the only ones with dots.
    weights = {}
    for name, weight in checkpoint["weights"].items():
        parts = name.split("_", 2)
        weights[".".join(parts) if parts[0] == "blk" else name] = weight
    tokenizer = bpe.Tokenizer.load(os.path.join(folder, "tokenizer.json"))
    write(path, metadata(config, tokenizer), list(tensors(weights, config["layers"])))
    print(f"{path}: {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
