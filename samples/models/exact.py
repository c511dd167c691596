# SPDX-License-Identifier: MIT
"""The float arithmetic of libbitnet's numeric contract (src/compute/ops.h) in numpy, to the last bit.

A trained model's answers should not depend on who adds up in which order. Most do not, but where two logits are close, one
rounding of one activation is enough to tip them. So the reference computes in the order the contract states, and then its
answers, and even its logits, have to be the library's. Written from the contract's text; vectorised over everything but
the order.
"""

import numpy as np

F = np.float32
PAGE = 64  # positions of the cache that are attended to in one go


def fused(a, b, c):
    """a*b + c rounded once. The product is exact in double; the sum is rounded to odd, so that rounding again is safe."""
    product, c = np.multiply(a, b, dtype=np.float64), np.asarray(c, np.float64)
    total = product + c
    back = total - product
    lost = (product - (total - back)) + (c - back)
    bits = np.ascontiguousarray(total).view(np.int64)
    bits -= (lost != 0) & ((lost < 0) != (total < 0))  # rounded away from zero: one step back
    bits |= lost != 0
    return bits.view(np.float64).astype(F)


def tree(items, join):
    """Joins a list by the pairwise tree whose shape depends on the index only; a missing right half is the identity."""
    while len(items) > 1:
        items = [join(*items[i:i + 2]) if i + 1 < len(items) else items[i] for i in range(0, len(items), 2)]
    return items[0]


def continued(x, shape):
    """x broadcast to a shape, its last axis continued with zeros to a multiple of 16."""
    x = np.broadcast_to(x, shape)
    return np.concatenate((x, np.zeros(shape[:-1] + (-shape[-1] % 16,), F)), -1)


def dot(a, b):
    """Sum of products over the last axis: blocks of 256, in a block 16 lanes folded 8-4-2-1, blocks joined by the tree."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = continued(a, shape), continued(b, shape)
    blocks = []
    for start in range(0, a.shape[-1], 256):
        lanes = np.zeros(shape[:-1] + (16,), F)
        for at in range(start, min(start + 256, a.shape[-1]), 16):
            lanes = fused(a[..., at:at + 16], b[..., at:at + 16], lanes)
        for half in (8, 4, 2, 1):
            lanes = lanes[..., :half] + lanes[..., half:]
        blocks.append(lanes[..., 0])
    return tree(blocks, np.add)


def exp(x):
    """2^n e^r with a polynomial for e^r; +0 below -86.5 (x is never positive here)."""
    shifted = fused(x, F(float.fromhex("0x1.715476p+0")), F(12582912))
    n = shifted - F(12582912)
    r = fused(n, F(float.fromhex("-0x1.62e4p-1")), x)
    r = fused(n, F(float.fromhex("-0x1.7f7d1cp-20")), r)
    c = np.full(x.shape, float.fromhex("0x1.6d10fcp-10"), F)
    for coefficient in ("0x1.120b62p-7", "0x1.55551ap-5", "0x1.5554dep-3", "0x1.0p-1"):
        c = fused(c, r, F(float.fromhex(coefficient)))
    e = fused(c, r * r, r) + F(1)
    return np.where(x < F(-86.5), F(0), np.ldexp(e, n.astype(np.int32)).astype(F))


def norm(x, gain, eps):
    r = F(1) / np.sqrt(dot(x, x) / F(x.shape[-1]) + F(eps))
    return x * r[..., None] * gain


def rotate(x, cos, sin):
    """[tokens][heads][dim], the pairs being (i, i + dim/2)."""
    a, b = np.split(x, 2, -1)
    return np.concatenate((fused(a, cos, -(b * sin)), fused(b, cos, a * sin)), -1)


def attend(q, k, v, lengths):
    """softmax(q k / sqrt(dim)) v: q [tokens][heads][dim]; k, v [positions][heads][dim]; token t sees the first lengths[t].

    A page gives a maximum, a sum and a value; pages are joined by the tree. Tokens that do not see a page are left out.
    """
    result = np.empty_like(q)
    for pages in sorted({-(-int(n) // PAGE) for n in lengths}):
        chosen = np.flatnonzero(-(-lengths // PAGE) == pages)
        parts = [attend_page(q[chosen], k[at:at + PAGE], v[at:at + PAGE], lengths[chosen] - at)
                 for at in range(0, pages * PAGE, PAGE)]
        _, total, value = tree(parts, join_pages)
        result[chosen] = value / total[..., None]
    return result


def attend_page(q, k, v, lengths):
    seen = np.arange(len(k)) < lengths[:, None, None]  # [tokens][1][positions]
    scale = F(1) / np.sqrt(F(q.shape[-1]))
    scores = dot(q[:, :, None], k.transpose(1, 0, 2)[None]) * scale
    maximum = np.where(seen, scores, F(-np.inf)).max(-1)
    p = np.where(seen, exp(np.where(seen, scores - maximum[..., None], F(0))), F(0))
    value = np.zeros_like(q)
    for j in range(len(k)):
        value = np.where(seen[..., j, None], fused(p[..., j, None], v[j], value), value)
    return maximum, dot(p, np.ones(1, F)), value


def join_pages(a, b):
    maximum = np.maximum(a[0], b[0])
    x, y = exp(a[0] - maximum), exp(b[0] - maximum)
    return maximum, fused(a[1], x, b[1] * y), fused(a[2], x[..., None], b[2] * y[..., None])
