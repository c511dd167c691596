"""A small GGUF v2/v3 reader and the decoders of its tensor types, for tests.

Written from the format description, on purpose without a look at the engine's own reader: where
both agree, the description was understood twice. Trusts its input: not for hostile files.
"""
import math
import mmap
import struct

import numpy as np

# value type id -> struct code (8 = string and 9 = array are handled apart)
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
            12: "d"}

# tensor type id -> name, elements per block, bytes per block
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 6: ("Q5_0", 32, 22),
    8: ("Q8_0", 32, 34), 12: ("Q4_K", 256, 144), 14: ("Q6_K", 256, 210), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 36: ("I2_S", 128, 32),
}
TERNARY = ("TQ1_0", "TQ2_0", "I2_S")


class _Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def scalar(self, code):
        value, = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def string(self):
        n = self.scalar("Q")
        self.at += n
        return self.data[self.at - n:self.at].decode("utf-8", "replace")

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind != 9:
            return self.scalar(_SCALARS[kind])
        item, n = self.scalar("I"), self.scalar("Q")
        if item == 8:
            return [self.string() for _ in range(n)]
        array = np.frombuffer(self.data, np.dtype(_SCALARS[item]).newbyteorder("<"), n, self.at)
        self.at += array.nbytes
        return array


class Tensor:
    """One tensor: `shape` is [rows][cols], cols = ne[0], all other dimensions folded into rows."""

    def __init__(self, name, ne, type_id, data):
        if type_id not in TYPES:
            raise ValueError(f"{name}: tensor type {type_id} is not known to this reader")
        self.name, self.ne = name, ne
        self.type, self.block, self.block_bytes = TYPES[type_id]
        if ne[0] % self.block:
            raise ValueError(f"{name}: {self.type} needs rows of {self.block}s, ne[0] is {ne[0]}")
        self.shape = (math.prod(ne[1:]), ne[0])
        self.row_bytes = ne[0] // self.block * self.block_bytes
        nbytes = self.shape[0] * self.row_bytes
        # I2_S: all codes of the tensor, then one f32 scale, then 28 bytes nobody reads
        self.scale = float(data[nbytes:nbytes + 4].view("<f4")[0]) if self.type == "I2_S" else None
        self.data = data[:nbytes]
        if len(self.data) != nbytes:
            raise ValueError(f"{name}: the file ends inside the tensor")

    @property
    def is_ternary(self):
        return self.type in TERNARY

    def _blocks(self, first, last):
        return self.data[first * self.row_bytes:last * self.row_bytes].reshape(-1, self.block_bytes)

    def values(self, first=0, last=None):
        """Rows first..last as float64 [rows][cols]."""
        last = self.shape[0] if last is None else last
        out = _DECODE[self.type](self._blocks(first, last))
        if self.scale is not None:
            out = out * self.scale
        return out.reshape(last - first, self.shape[1])

    def vector(self):
        return self.values().reshape(-1)

    def trits(self, first=0, last=None):
        """Rows first..last of a ternary tensor: int8 [rows][cols]. Blocks of scale 0 are zero."""
        last = self.shape[0] if last is None else last
        blocks = self._blocks(first, last)
        out = _TRITS[self.type](blocks)
        if self.type != "I2_S":
            out[_f16(blocks, self.block_bytes - 2)[:, 0] == 0] = 0
        return out.reshape(last - first, self.shape[1])

    def ternary_scale(self):
        """The one scale of a ternary tensor. TQ types repeat it per block; it must be the same."""
        if self.type == "I2_S":
            return self.scale
        d = _f16(self._blocks(0, self.shape[0]), self.block_bytes - 2)
        d = np.unique(d[d != 0])
        if len(d) > 1:
            raise ValueError(f"{self.name}: blocks have {len(d)} different scales")
        return float(d[0]) if len(d) else 0.0


class Gguf:
    """`kv` metadata by key, `tensors` by name."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        at = _Cursor(data)
        if data[:4] != b"GGUF":
            raise ValueError(f"{path}: not a GGUF file")
        at.at = 4
        self.version = at.scalar("I")
        if self.version not in (2, 3):
            raise ValueError(f"{path}: GGUF version {self.version}, expected 2 or 3")
        n_tensors, n_kv = at.scalar("Q"), at.scalar("Q")
        self.kv = {}
        for _ in range(n_kv):
            key = at.string()
            self.kv[key] = at.value(at.scalar("I"))
        infos = []
        for _ in range(n_tensors):
            name = at.string()
            ne = [at.scalar("Q") for _ in range(at.scalar("I"))]
            infos.append((name, ne, at.scalar("I"), at.scalar("Q")))
        align = self.kv.get("general.alignment", 32)
        start = -(-at.at // align) * align
        raw = np.frombuffer(data, np.uint8)
        self.tensors = {name: Tensor(name, ne, kind, raw[start + offset:])
                        for name, ne, kind, offset in infos}


# ---- decoders: raw blocks uint8 [n][block bytes] -> float64 [n][block elements] -----------------

def _f16(blocks, at):
    """The f16 at byte `at` of every block, [n][1]."""
    return np.ascontiguousarray(blocks[:, at:at + 2]).view("<f2").astype(np.float64)


def _nibbles(bytes_):
    """Low nibbles of all bytes, then high nibbles: [n][2 * bytes]."""
    return np.concatenate([bytes_ & 15, bytes_ >> 4], axis=1)


def _plain(dtype):
    return lambda blocks: np.ascontiguousarray(blocks).view(dtype).astype(np.float64)


def _bf16(blocks):
    high = np.ascontiguousarray(blocks).view("<u2").astype("<u4")
    return (high << 16).view("<f4").astype(np.float64)


def _q8_0(blocks):
    return _f16(blocks, 0) * np.ascontiguousarray(blocks[:, 2:]).view(np.int8)


def _q4_0(blocks):
    return _f16(blocks, 0) * (_nibbles(blocks[:, 2:]).astype(np.int64) - 8)


def _q5_0(blocks):
    high = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little")   # bit j belongs to element j
    return _f16(blocks, 0) * ((_nibbles(blocks[:, 6:]) | high << 4).astype(np.int64) - 16)


def _q4_k(blocks):
    d, dmin, s = _f16(blocks, 0), _f16(blocks, 2), blocks[:, 4:16]
    scale = np.concatenate([s[:, :4] & 63, s[:, 8:] & 15 | s[:, :4] >> 6 << 4], axis=1)    # [n][8]
    offset = np.concatenate([s[:, 4:8] & 63, s[:, 8:] >> 4 | s[:, 4:8] >> 6 << 4], axis=1)
    q = blocks[:, 16:].reshape(-1, 4, 1, 32)
    q = np.concatenate([q & 15, q >> 4], axis=2).reshape(-1, 8, 32)
    y = (d * scale)[:, :, None] * q - (dmin * offset)[:, :, None]
    return y.reshape(len(blocks), 256)


def _q6_k(blocks):
    n = len(blocks)
    ql = blocks[:, :128].reshape(n, 2, 1, 2, 32)              # half, -, k & 1, l
    low = np.concatenate([ql & 15, ql >> 4], axis=2)          # half, k >> 1, k & 1, l
    qh = blocks[:, 128:192].reshape(n, 2, 1, 32)
    high = qh >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3
    q = (low.reshape(n, 2, 4, 32) | high << 4).astype(np.int64) - 32
    scale = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float64)
    y = _f16(blocks, 208)[:, :, None] * scale[:, :, None] * q.reshape(n, 16, 16)
    return y.reshape(n, 256)


def _i2_s_trits(blocks):
    shifts = np.array([6, 4, 2, 0], np.uint8)[:, None]        # first quarter of 128 in the top bits
    return ((blocks[:, None, :] >> shifts & 3).astype(np.int8) - 1).reshape(len(blocks), 128)


def _tq2_0_trits(blocks):
    q = blocks[:, :64].reshape(-1, 2, 1, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]        # lowest bits first, unlike I2_S
    return ((q >> shifts & 3).astype(np.int8) - 1).reshape(len(blocks), 256)


def _tq1_0_trits(blocks):
    def digits(bytes_, count):                                # [n][digit][byte], flattened
        powers = 3 ** np.arange(count, dtype=np.uint16)[:, None]
        fraction = bytes_.astype(np.uint16)[:, None, :] * powers & 255
        return (fraction * 3 >> 8).reshape(len(bytes_), -1)
    code = [digits(blocks[:, :32], 5), digits(blocks[:, 32:48], 5), digits(blocks[:, 48:52], 4)]
    return np.concatenate(code, axis=1).astype(np.int8) - 1


_TRITS = {"I2_S": _i2_s_trits, "TQ2_0": _tq2_0_trits, "TQ1_0": _tq1_0_trits}
_DECODE = {
    "F32": _plain("<f4"), "F16": _plain("<f2"), "BF16": _bf16,
    "Q8_0": _q8_0, "Q4_0": _q4_0, "Q5_0": _q5_0, "Q4_K": _q4_k, "Q6_K": _q6_k,
    "I2_S": lambda b: _i2_s_trits(b).astype(np.float64),
    "TQ2_0": lambda b: _f16(b, 64) * _tq2_0_trits(b),
    "TQ1_0": lambda b: _f16(b, 52) * _tq1_0_trits(b),
}
