#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Trains bitnet-nano from scratch with quantisation in the loop: ternary weights, 8-bit activations.

The forward pass computes what the exported model will compute (BitNet b1.58, arXiv:2402.17764, in the arrangement of
the 2B-4T model); the backward pass treats both roundings as if they were not there. The master weights stay in float.

    train.py --minutes 60 --out DIR     train for a given time; the learning rate falls to zero at its end
    train.py --steps 10000 --out DIR    the same by steps, which makes a run repeatable
    train.py ... --resume               go on from DIR/checkpoint.pt (with more minutes or steps than before)
"""

import argparse
import ctypes
import math
import multiprocessing
import os
import random
import time

# Set before the import: one thread per process (train.py runs a process per core, which is a third faster than threads
# on matrices this small), and OpenBLAS 0.3.21 does not know newer Intel CPUs and falls back to its slowest kernels.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
if os.path.exists("/proc/cpuinfo") and "avx512f" in open("/proc/cpuinfo", encoding="ascii").read():
    os.environ.setdefault("OPENBLAS_CORETYPE", "SKYLAKEX")

import torch
from torch.nn import functional as F

import bpe
import dialogues

CONFIG = dict(vocab=2048, width=256, layers=4, heads=4, kv_heads=2, head_dim=64, ffn=768, context=512,
              rope_base=10000.0, eps=1e-5)
TERNARY = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


# ---------------------------------------------------------------------------------------------------- quantisation

def ternarise(weight):
    """scale * {-1, 0, +1} with one scale for the whole matrix."""
    scale = weight.abs().mean().clamp(min=1e-5)
    return (weight / scale).round_().clamp_(-1, 1).mul_(scale)


class NormQuantise(torch.autograd.Function):
    """RMS norm with gain, then rounding to 8 bits per token; one function because memory traffic is what costs here."""

    @staticmethod
    def forward(ctx, x, gain, eps, quantise):
        inverse = torch.rsqrt((x * x).mean(-1, keepdim=True) + eps)
        normed = x * inverse
        ctx.save_for_backward(normed, inverse, gain)
        y = normed * gain
        if quantise:
            step = torch.maximum(y.amax(-1, keepdim=True), -y.amin(-1, keepdim=True)).clamp_(min=1e-5).div_(127)
            y.div_(step).round_().mul_(step)
        return y

    @staticmethod
    def backward(ctx, grad):
        normed, inverse, gain = ctx.saved_tensors
        product = grad * normed
        grad_gain = product.flatten(0, -2).sum(0)
        mean = (product @ gain).unsqueeze(-1) / gain.numel()
        return torch.addcmul(grad * gain, normed, mean, value=-1).mul_(inverse), grad_gain, None, None


class SquaredReluGate(torch.autograd.Function):
    """relu(gate)^2 * up."""

    @staticmethod
    def forward(ctx, gate, up):
        gate = gate.relu()
        ctx.save_for_backward(gate, up)
        return (gate * gate).mul_(up)

    @staticmethod
    def backward(ctx, grad):
        gate, up = ctx.saved_tensors
        grad = grad * gate
        return (grad * up).mul_(2), grad * gate


# ----------------------------------------------------------------------------------------------------------- model

class Model(torch.nn.Module):
    """Parameters by their GGUF names, and the forward pass."""

    def __init__(self, config):
        super().__init__()
        self.config = c = config
        width, q, kv = c["width"], c["heads"] * c["head_dim"], c["kv_heads"] * c["head_dim"]
        shapes = dict(attn_q=(q, width), attn_k=(kv, width), attn_v=(kv, width), attn_output=(width, q),
                      ffn_gate=(c["ffn"], width), ffn_up=(c["ffn"], width), ffn_down=(width, c["ffn"]))
        gains = dict(attn_norm=width, attn_sub_norm=q, ffn_norm=width, ffn_sub_norm=c["ffn"])
        self.weights = {"token_embd": torch.nn.Parameter(torch.randn(c["vocab"], width) * 0.05),
                        "output_norm": torch.nn.Parameter(torch.ones(width))}
        for layer in range(c["layers"]):
            for name, shape in shapes.items():
                self.weights[f"blk.{layer}.{name}"] = torch.nn.Parameter(torch.randn(shape) * shape[1] ** -0.5)
            for name, size in gains.items():
                self.weights[f"blk.{layer}.{name}"] = torch.nn.Parameter(torch.ones(size))
        for name, weight in self.weights.items():
            self.register_parameter(name.replace(".", "_"), weight)
        self.ternary = [name for name in self.weights if name.split(".")[-1] in TERNARY]

    def to_device(self, device):
        self.to(device)
        self.weights = {name: getattr(self, name.replace(".", "_")) for name in self.weights}
        return self

    def quantised(self, strength):
        """All weights, the ternary ones rounded (or on the way there: strength 0 is float, 1 is fully ternary).

        The rounded ones are new leaves; collect() carries their gradients to the masters.
        """
        weights = dict(self.weights)
        with torch.no_grad():
            for name in self.ternary:
                master = weights[name]
                weights[name] = torch.lerp(master, ternarise(master), strength).requires_grad_()
        return weights

    def collect(self, weights):
        for name in self.ternary:
            self.weights[name].grad = weights[name].grad

    def forward(self, weights, tokens, mask, wanted):
        """Logits at the `wanted` (flat) positions of tokens [rows, length]."""
        c = self.config
        rows, length = tokens.shape
        heads, kv, dim, eps = c["heads"], c["kv_heads"], c["head_dim"], c["eps"]
        group = heads // kv
        cos, sin = rope_table(length, dim, c["rope_base"], tokens.device)
        mask = mask[:, None, None].expand(rows, kv, group, length, length).reshape(rows * kv, group * length, length)

        def split_heads(x, n):
            return x.view(rows, length, n, dim).transpose(1, 2)

        x = F.embedding(tokens, weights["token_embd"]).view(rows * length, -1)
        for layer in range(c["layers"]):
            w = {name.split(".")[2]: value for name, value in weights.items() if name.startswith(f"blk.{layer}.")}
            h = NormQuantise.apply(x, w["attn_norm"], eps, True)
            q = rotate(split_heads(h @ w["attn_q"].T, heads), cos, sin).reshape(rows * kv, group * length, dim)
            k = rotate(split_heads(h @ w["attn_k"].T, kv), cos, sin).reshape(rows * kv, length, dim)
            v = split_heads(h @ w["attn_v"].T, kv).reshape(rows * kv, length, dim)
            scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=dim ** -0.5)
            o = torch.bmm(scores.softmax(-1), v).view(rows, heads, length, dim).transpose(1, 2)
            o = NormQuantise.apply(o.reshape(rows * length, heads * dim), w["attn_sub_norm"], eps, True)
            x = x + o @ w["attn_output"].T
            h = NormQuantise.apply(x, w["ffn_norm"], eps, True)
            u = SquaredReluGate.apply(h @ w["ffn_gate"].T, h @ w["ffn_up"].T)
            u = NormQuantise.apply(u, w["ffn_sub_norm"], eps, True)
            x = x + u @ w["ffn_down"].T
        x = NormQuantise.apply(x[wanted], weights["output_norm"], eps, False)
        return x @ weights["token_embd"].T


def rope_table(length, dim, base, device):
    angles = torch.arange(length, device=device)[:, None] * base ** (-torch.arange(0, dim, 2, device=device) / dim)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """Rotary position embedding, pairs (i, i + dim/2)."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


# ------------------------------------------------------------------------------------------------------------ data

def dialogue_ids(tokenizer, messages, history_as_text):
    """Ids of a dialogue and, for each, whether it is to be learned (the assistant's words and the end of turn).

    An answer that was just generated follows the token of "Assistant: "'s last space; an answer that comes back as
    text carries the space in its first word. Models meet both, so both are trained.
    """
    ids, learned = [tokenizer.bos], [False]
    for number, message in enumerate(messages):
        role, content = message["role"].capitalize(), message["content"]
        if message["role"] != "assistant":
            part = tokenizer.encode(f"{role}: {content}")
            known = len(part) + 1
        elif history_as_text and number < len(messages) - 1:
            part, known = tokenizer.encode(f"{role}: {content}"), 2
        else:
            prompt = tokenizer.encode(f"{role}: ")
            part, known = prompt + tokenizer.encode(content), len(prompt)
        ids += part + [tokenizer.eot]
        learned += [i >= known for i in range(len(part) + 1)]
    return ids, learned


def batch(tokenizer, rng, rows, length, weights):
    """Rows packed with dialogues, targets (-1 where nothing is learned), and the mask that keeps dialogues apart.

    Rotary positions are relative, so a dialogue in the middle of a row is the same as one at its start.
    """
    tokens, targets, owners = [], [], []
    for _ in range(rows):
        ids, learned, owner = [], [], []
        while len(ids) <= length:
            turns = 30 if length > 256 and not ids else None  # long rows start with a long chat
            messages = dialogues.training_dialogue(rng, weights, turns)
            more, more_learned = dialogue_ids(tokenizer, messages, rng.random() < 0.5)
            owner += [len(ids)] * len(more)
            ids += more
            learned += more_learned
        tokens.append(ids[:length])
        targets.append([t if l else -1 for t, l in zip(ids[1:length + 1], learned[1:length + 1])])
        owners.append(owner[:length])
    owners = torch.tensor(owners)
    allowed = (owners[:, :, None] == owners[:, None, :]).tril_()
    mask = torch.zeros(allowed.shape).masked_fill_(~allowed, -math.inf)
    return torch.tensor(tokens), torch.tensor(targets), mask


# -------------------------------------------------------------------------------------------------------- training

def keep_freed_memory():
    """glibc gives big blocks back to the system at once; getting them again costs more than our arithmetic on them."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 32 << 20)   # M_MMAP_THRESHOLD
        libc.mallopt(-1, 1 << 30)    # M_TRIM_THRESHOLD
    except OSError:
        pass


def parse_boost(text):
    """"add=3,spell=1.5" -> the kinds' shares with these multiplied."""
    weights = dict(dialogues.WEIGHTS)
    for part in filter(None, text.split(",")):
        kind, factor = part.split("=")
        weights[kind] *= float(factor)
    return weights


class Team:
    """Computes the gradient of a step in several processes; the caller is one of them.

    Parameters and gradients live in shared memory. A step is: barrier, everybody computes a share, barrier.
    """

    def __init__(self, model, compute, members):
        self.model, self.compute, self.members = model, compute, members
        if members == 1:
            return
        model.share_memory()
        count = sum(w.numel() for w in model.parameters())
        self.gradients = torch.zeros(members, count).share_memory_()
        self.order = torch.zeros(2, dtype=torch.float64).share_memory_()  # step, strength; a negative step ends it
        self.losses = torch.zeros(members).share_memory_()
        context = multiprocessing.get_context("fork")
        self.barrier = context.Barrier(members)
        for part in range(1, members):
            context.Process(target=self.serve, args=(part,), daemon=True).start()

    def serve(self, part):
        torch.set_flush_denormal(True)
        while True:
            self.barrier.wait()
            if self.order[0] < 0:
                return
            self.share(part)
            self.barrier.wait()

    def share(self, part):
        self.losses[part] = self.compute(int(self.order[0]), float(self.order[1]), part, self.members)
        torch.cat([w.grad.view(-1) for w in self.model.parameters()], out=self.gradients[part])

    def step(self, step, strength):
        """Leaves the mean gradient in the parameters and returns the mean loss."""
        if self.members == 1:
            return self.compute(step, strength, 0, 1)
        self.order[0], self.order[1] = step, strength
        self.barrier.wait()
        self.share(0)
        self.barrier.wait()
        mean, start = self.gradients.mean(0), 0
        for w in self.model.parameters():
            w.grad = mean[start:start + w.numel()].view_as(w)
            start += w.numel()
        return float(self.losses.mean())

    def close(self):
        if self.members > 1:
            self.order[0] = -1
            self.barrier.wait()


def save(path, model, optimiser, state):
    torch.save({"config": model.config, "weights": model.state_dict(), "optimiser": optimiser.state_dict(),
                "state": state}, path + ".new")
    os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder for checkpoint.pt and tokenizer.json")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, help="instead of --minutes")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--tokens", type=int, default=2048, help="per step")
    parser.add_argument("--boost", default="", help='multiply the share of kinds, e.g. "add=2,spell=1.5"')
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="ignored if there is a GPU")
    parser.add_argument("--save-every", type=float, default=60, metavar="SECONDS")
    args = parser.parse_args()

    keep_freed_memory()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    os.makedirs(args.out, exist_ok=True)
    vocabulary, checkpoint = (os.path.join(args.out, name) for name in ("tokenizer.json", "checkpoint.pt"))
    if not os.path.exists(vocabulary):
        bpe.train_on_dialogues(CONFIG["vocab"]).save(vocabulary)
    tokenizer = bpe.Tokenizer.load(vocabulary)
    weights_of_kinds = parse_boost(args.boost)

    model = Model(dict(CONFIG, vocab=len(tokenizer.tokens))).to_device(device)
    matrices = [w for w in model.parameters() if w.dim() > 1]
    gains = [w for w in model.parameters() if w.dim() == 1]
    optimiser = torch.optim.AdamW([{"params": matrices}, {"params": gains, "weight_decay": 0.0}], lr=args.rate,
                                  betas=(0.9, 0.98))
    state = {"step": 0, "seconds": 0.0, "tokens": 0, "seed": args.seed}
    if args.resume:
        saved = torch.load(checkpoint, map_location=device)
        model.load_state_dict(saved["weights"])
        optimiser.load_state_dict(saved["optimiser"])
        state = saved["state"]

    def compute(step, strength, part, parts):
        """One process's share of a step; the data depends on nothing but the seed, the step and the share."""
        rng = random.Random(f"{args.seed} {step} {part}/{parts}")
        length = 512 if step % 8 == 7 else 256
        rows = max(1, args.tokens // parts // length)
        tokens, targets, mask = (t.to(device) for t in batch(tokenizer, rng, rows, length, weights_of_kinds))
        wanted = (targets.view(-1) >= 0).nonzero().view(-1)
        weights = model.quantised(strength)
        loss = F.cross_entropy(model(weights, tokens, mask, wanted), targets.view(-1)[wanted])
        model.zero_grad(set_to_none=True)
        loss.backward()
        model.collect(weights)
        return float(loss.detach())

    team = Team(model, compute, 1 if device == "cuda" else args.processes)
    print(f"{sum(w.numel() for w in model.parameters())} parameters, {len(tokenizer.tokens)} tokens", flush=True)

    first_step = state["step"]
    last_print = last_save = time.monotonic()
    losses, printed_tokens = [], state["tokens"]
    while True:
        started = time.monotonic()
        progress = state["step"] / args.steps if args.steps else state["seconds"] / (60 * args.minutes)
        if progress >= 1:
            break
        # Warm up over 60 steps, round the weights ever more over the first 8 %, decay only in the first half.
        rate = args.rate * min(1, (state["step"] - first_step + 1) / 60) * (0.5 + 0.5 * math.cos(math.pi * progress))
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.param_groups[0]["weight_decay"] = 0.05 if progress < 0.5 else 0.0
        losses.append(team.step(state["step"], min(1.0, progress / 0.08)))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

        now = time.monotonic()
        state["step"] += 1
        state["seconds"] += now - started
        state["tokens"] += args.tokens
        if now - last_print > 10:
            speed = (state["tokens"] - printed_tokens) / (now - last_print)
            left = (state["seconds"] / state["step"] * (args.steps - state["step"]) if args.steps
                    else 60 * args.minutes - state["seconds"])
            print(f"step {state['step']}  {100 * progress:.1f} %  loss {sum(losses) / len(losses):.4f}  "
                  f"rate {rate:.5f}  {speed:.0f} tokens/s  {state['tokens'] / 1e6:.2f} M tokens  "
                  f"{left / 60:.1f} min left", flush=True)
            losses, printed_tokens, last_print = [], state["tokens"], now
        if now - last_save > args.save_every:
            save(checkpoint, model, optimiser, state)
            last_save = now
    save(checkpoint, model, optimiser, state)
    team.close()
    print("done", flush=True)


if __name__ == "__main__":
    main()
