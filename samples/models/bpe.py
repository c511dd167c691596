#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Byte-level BPE as Llama 3 uses it: splitter, encoder, decoder, and a trainer for a small vocabulary.

The file format stores token texts in the GPT-2 byte alphabet (every byte is a printable character), so this module
works in that alphabet throughout and turns to bytes only at its edges.

    bpe.py FILE      train the vocabulary of bitnet-nano on generated dialogues and write it as JSON
"""

import json
import math
import random
import sys
import unicodedata
from collections import Counter
from functools import lru_cache

SPECIALS = (["<|begin_of_text|>", "<|end_of_text|>"] + [f"<|reserved_special_token_{i}|>" for i in range(4)]
            + ["<|start_header_id|>", "<|end_header_id|>", "<|reserved_special_token_4|>", "<|eot_id|>"]
            + [f"<|reserved_special_token_{i}|>" for i in range(5, 11)])

WHITESPACE = set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200B)}


def byte_alphabet():
    """The character that stands for each byte: itself if printable, else the next free one from U+0100."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    return {b: chr(b) for b in shown} | {b: chr(0x100 + i) for i, b in enumerate(hidden)}


BYTE_TO_CHAR = byte_alphabet()
CHAR_TO_BYTE = {c: b for b, c in BYTE_TO_CHAR.items()}


def is_letter(c):
    return unicodedata.category(c)[0] == "L"


def is_number(c):
    return unicodedata.category(c)[0] == "N"


def is_other(c):
    return not (c in WHITESPACE or is_letter(c) or is_number(c))


def run_end(text, i, accept):
    while i < len(text) and accept(text[i]):
        i += 1
    return i


def split(text):
    """Cuts a text into the words that BPE works on; the same cuts as the regular expression of Llama 3."""
    words, i = [], 0
    while i < len(text):
        end = word_end(text, i)
        words.append(text[i:end])
        i = end
    return words


def word_end(text, i):
    c, after = text[i], text[i + 1:i + 2]
    if c == "'":
        if text[i + 1:i + 3].lower() in ("re", "ve", "ll"):
            return i + 3
        if after and after.lower() in "stmd":
            return i + 2
    if c not in "\r\n" and not is_number(c) and (is_letter(c) or (after and is_letter(after))):
        return run_end(text, i + 1, is_letter)
    if is_number(c):
        return run_end(text[:i + 3], i, is_number)
    start = i + 1 if c == " " else i
    if start < len(text) and is_other(text[start]):
        return run_end(text, run_end(text, start, is_other), lambda x: x in "\r\n")
    end = run_end(text, i, lambda x: x in WHITESPACE)
    line_break = max(text.rfind("\n", i, end), text.rfind("\r", i, end))
    if line_break >= 0:
        return line_break + 1
    # A single space belongs to the word after it, so a longer run stops one short of the word.
    return end - 1 if end < len(text) and end - i > 1 else end


def to_chars(text):
    return "".join(BYTE_TO_CHAR[b] for b in text.encode("utf-8"))


class Tokenizer:
    """Token texts in id order, and the merges in rank order."""

    def __init__(self, tokens, merges):
        self.tokens = tokens
        self.merges = [tuple(m) for m in merges]
        self.ids = {text: i for i, text in enumerate(tokens)}
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.specials = set(SPECIALS) & set(tokens)
        self.bos, self.eos = self.ids["<|begin_of_text|>"], self.ids["<|end_of_text|>"]
        self.eot = self.ids["<|eot_id|>"]
        self.encode_word = lru_cache(maxsize=100_000)(self._encode_word)

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        return cls(data["tokens"], data["merges"])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"tokens": self.tokens, "merges": self.merges}, file, ensure_ascii=False, indent=0)

    def _encode_word(self, word):
        chars = to_chars(word)
        if chars in self.ids:  # "ignore_merges": a whole word that is a token is that token
            return [self.ids[chars]]
        return [self.ids[part] for part in merge_all(list(chars), self.ranks)]

    def encode(self, text):
        """Ids of a plain text; special tokens are not looked for."""
        return [i for word in split(text) for i in self.encode_word(word)]

    def decode(self, ids):
        """Text of ids; special tokens are left out."""
        chars = "".join(self.tokens[i] for i in ids if self.tokens[i] not in self.specials)
        return bytes(CHAR_TO_BYTE[c] for c in chars).decode("utf-8", "replace")


def merge_all(parts, ranks):
    """Applies the lowest-ranked merge, leftmost first, until none is left."""
    while len(parts) > 1:
        rank, i = min((ranks.get((a, b), math.inf), i) for i, (a, b) in enumerate(zip(parts, parts[1:])))
        if rank == math.inf:
            break
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
    return parts


def train(texts, size):
    """Learns merges until the vocabulary, specials included, has `size` tokens. Digits always stay single."""
    counts = Counter(word for text in texts for word in split(text))
    # Logarithmic weights: a rare name deserves one token as well; frequent words get theirs anyway.
    words = [(list(to_chars(word)), 1 + math.log2(n)) for word, n in sorted(counts.items()) if not is_number(word[0])]
    tokens, merges = list(BYTE_TO_CHAR.values()), []
    while len(tokens) + len(SPECIALS) < size:
        pairs = Counter()
        for parts, weight in words:
            for pair in zip(parts, parts[1:]):
                pairs[pair] += weight
        if not pairs:
            break
        pair = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(pair)
        if "".join(pair) not in tokens:
            tokens.append("".join(pair))
        for parts, _ in words:
            for i in range(len(parts) - 2, -1, -1):
                if (parts[i], parts[i + 1]) == pair:
                    parts[i:i + 2] = ["".join(pair)]
        words = [w for w in words if len(w[0]) > 1]
    return Tokenizer(tokens + SPECIALS, merges)


def train_on_dialogues(size):
    """The vocabulary of bitnet-nano; the same every time."""
    import dialogues  # here, because everything else in this module works without it
    rng = random.Random(0)
    texts = [f"{m['role'].capitalize()}: {m['content']}" for _ in range(30_000)
             for m in dialogues.training_dialogue(rng)]
    texts += [item.answer for items in dialogues.TRAINING.values() for item in items]
    return train(texts, size)


if __name__ == "__main__":
    train_on_dialogues(2048).save(sys.argv[1])
