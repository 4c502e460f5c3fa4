"""Writes tests/golden/training.json: losses, gradients and statistics of ten SGD steps, in float64.

Weights are fill.py's; step s trains on the input "input.<s>" and the labels "label.<s>". Training
mode (batch statistics; momentum 0.1, unbiased running variance), mean cross-entropy, SGD as torch
defines it: g += decay * w; v = g at the first step, then momentum * v + g; w -= lr * v.

    python golden_training.py [--out FILE] [--search N [--cases NAME ...]]

A tensor is summarised by numbers that can be checked against a whole tensor of another program:

    l2           its Euclidean norm
    samples      [flat index, value] (torch's layout: OIHW); the indices are drawn from the stream
                 "index.<tensor>" by below(elements)
    projections  dot products with random signs: element i draws x = next_u64() from the stream
                 "sign.<tensor>"; in projection j its sign is minus if bit 63 - j of x is set
    fp32         PyTorch's own ||t32 - t64|| / ||t64|| over the whole tensor, the larger of two formats

For random signs the expected square of a projection of an error is the square of its norm, so
sqrt(mean_j (ours_j - projections_j)^2) / l2 estimates the error that `fp32` bounds.

A gradient is discontinuous where a ReLU's input crosses zero: an input closer to zero than the error
of float32 may flip, and one flip outweighs all rounding (1e-3 of a gradient instead of 1e-6). Batch norm
over few pixels then amplifies it from step to step, most of all in plain nets. So the learning rates
are small and the seeds were chosen (--search, then runs with oneDNN switched off) such that none of four
different float32 runs of PyTorch flips in ten steps. `relu_safety` tells, for each step, the smallest
|input| of a ReLU over the largest float32 error in its layer (the least over layers and formats). The decay is larger
than the paper's so that its effect stands out of the rounding.
"""

import argparse
import json
import pathlib
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn import functional as F

from fill import fill, images, labels
from golden_inference import FORMATS, GOLDEN, net64, rms, significant, versions, write
from models import build
from rng import Rng

CLASSES, STEPS, MOMENTUM, DECAY = 10, 10, 0.9, 2**-7
GRADIENT = {"samples": 4, "projections": 12}
STATISTIC = {"samples": 2, "projections": 6}
ONE_EACH = (1, 1, 1, 1)

# name, arch, options, (images, height, width), learning rate, seed
CASES = [
    ("resnet18-b", "resnet18", {"shortcut": "b"}, (4, 33, 33), 2**-9, 25),
    ("resnet18-a", "resnet18", {"shortcut": "a"}, (4, 33, 33), 2**-9, 7),
    ("resnet18-c", "resnet18", {"shortcut": "c", "blocks": ONE_EACH}, (4, 33, 33), 2**-11, 17),
    ("plain18-conv", "plain18", {"blocks": ONE_EACH}, (4, 33, 33), 2**-13, 18),
    ("plain18-maxpool", "plain18", {"downsample": "maxpool", "blocks": ONE_EACH}, (4, 64, 64), 2**-13, 22),
    ("bottleneck-b-v1.5", "resnet50", {"shortcut": "b", "blocks": ONE_EACH}, (4, 33, 33), 2**-11, 2),
    ("bottleneck-b-v1", "resnet50", {"shortcut": "b", "stride_in": "1x1", "blocks": ONE_EACH}, (4, 33, 33), 2**-11, 1),
    ("resnet20-a", "resnet20", {"shortcut": "a"}, (4, 17, 15), 2**-5, 14),
]


@contextmanager
def relu_inputs():
    """Collects what every ReLU is given."""
    kept, relu = [], F.relu

    def recording(x):
        kept.append(x.detach())
        return relu(x)

    F.relu = recording
    try:
        yield kept
    finally:
        F.relu = relu


def train(net, seed, shape, lr, dtype, memory_format, steps=STEPS):
    """Trains `net` in place: losses, logits, gradients and statistics of step 0, ReLU inputs by step."""
    net = net.to(dtype=dtype, memory_format=memory_format).train()
    sgd = torch.optim.SGD(net.parameters(), lr=lr, momentum=MOMENTUM, weight_decay=DECAY)
    out = {"losses": [], "relu": []}
    for step in range(steps):
        x = images(seed, *shape, name=f"input.{step}").to(dtype=dtype, memory_format=memory_format)
        y = labels(seed, shape[0], CLASSES, f"label.{step}")
        with relu_inputs() as kept:
            logits = net(x)
        loss = F.cross_entropy(logits, y)
        sgd.zero_grad()
        loss.backward()
        if step == 0:
            out["logits"] = logits.detach().double()
            out["gradients"] = {k: p.grad.double().contiguous() for k, p in net.named_parameters()}
            buffers = {k: b.double().clone() for k, b in net.named_buffers() if "running" in k}
            out["statistics"] = buffers
        sgd.step()
        out["losses"].append(float(loss.detach().double()))
        out["relu"].append(kept)
    with torch.inference_mode():
        x = images(seed, *shape, name=f"input.{steps}").to(dtype=dtype, memory_format=memory_format)
        out["eval_logits"] = net.eval()(x).double()
    return out


def relu_safety(exact, single):
    layers = zip(exact, single)
    return min(float(a.abs().min() / (b.double() - a).abs().max()) for a, b in layers)


def relative(t, exact):
    return float((t - exact).norm() / exact.norm())


def signs(seed, name, size, count):
    bits = Rng.named(seed, f"sign.{name}").next_u64(size)
    for j in range(count):
        yield 1.0 - 2.0 * ((bits >> np.uint64(63 - j)) & np.uint64(1)).astype(np.float64)


def summary(seed, name, exact, singles, samples, projections):
    flat = exact.reshape(-1).numpy()
    assert np.isfinite(flat).all() and np.linalg.norm(flat) > 0, name
    indices = Rng.named(seed, f"index.{name}").below(samples, flat.size)
    return {
        "l2": significant(float(np.linalg.norm(flat)), 10),
        "samples": [[i, significant(float(flat[i]), 10)] for i in indices],
        "projections": [significant(float(flat @ s), 10) for s in signs(seed, name, flat.size, projections)],
        "fp32": significant(max(relative(t, exact) for t in singles)),
    }


def runs(arch, options, shape, lr, seed, steps=STEPS):
    """The float64 run, and one float32 run in each memory format."""
    net = fill(build(arch, classes=CLASSES, **options), seed)
    exact = train(net64(net), seed, shape, lr, torch.float64, torch.contiguous_format, steps)
    single = {}
    for name, memory_format in FORMATS.items():
        net = fill(build(arch, classes=CLASSES, **options), seed)
        single[name] = train(net, seed, shape, lr, torch.float32, memory_format, steps)
    safety = [min(relu_safety(exact["relu"][s], r["relu"][s]) for r in single.values()) for s in range(steps)]
    return net, exact, single, safety


def case(name, arch, options, shape, lr, seed):
    options = {"downsample": "conv", "stride_in": "3x3", **options}
    net, exact, single, safety = runs(arch, options, shape, lr, seed)
    assert np.isfinite(exact["losses"]).all()

    def logit_error(key):
        largest = max(float((r[key] - exact[key]).abs().max()) for r in single.values())
        return significant(largest / rms(exact[key]))

    def tensors(key, counts):
        singles = {k: [r[key][k] for r in single.values()] for k in exact[key]}
        return {k: summary(seed, k, t, singles[k], **counts) for k, t in exact[key].items()}

    loss_errors = {k: np.abs(np.subtract(r["losses"], exact["losses"])) for k, r in single.items()}
    return {
        "name": name,
        "arch": arch,
        "shortcut": options.get("shortcut", "none"),
        "downsample": options["downsample"],
        "stride_in": options["stride_in"],
        "blocks": list(net.blocks),
        "classes": CLASSES,
        "input": list(shape),
        "seed": seed,
        "parameters": sum(p.numel() for p in net.parameters()),
        "lr": lr,
        "momentum": MOMENTUM,
        "weight_decay": DECAY,
        "labels": [labels(seed, shape[0], CLASSES, f"label.{s}").tolist() for s in range(STEPS)],
        "losses": exact["losses"],
        "losses_fp32": {k: [significant(float(v)) for v in e] for k, e in loss_errors.items()},
        # Of all steps: at a single one it may be near zero by chance (float32's own step at 2 is 2.4e-7).
        "torch_fp32_loss_error": significant(float(np.max(list(loss_errors.values())))),
        "relu_safety": [significant(v) for v in safety],
        "logits": exact["logits"].tolist(),
        "torch_fp32_logits_error": logit_error("logits"),
        "eval_logits": exact["eval_logits"].tolist(),
        "torch_fp32_eval_logits_error": logit_error("eval_logits"),
        "gradients": tensors("gradients", GRADIENT),
        "statistics": tensors("statistics", STATISTIC),
    }


def search(count, only):
    """For each case, the seeds of 1..count that are safest at step 0, and then over all steps."""
    for name, arch, options, shape, lr, _ in CASES:
        if only and name not in only:
            continue
        first = {s: runs(arch, options, shape, lr, s, steps=1)[3][0] for s in range(1, count + 1)}
        best = []
        for seed in sorted(first, key=first.get, reverse=True)[: max(1, count // 5)]:
            _, exact, single, safety = runs(arch, options, shape, lr, seed)
            error = max(np.abs(np.subtract(r["losses"], exact["losses"])).max() for r in single.values())
            best.append((significant(min(safety), 2), significant(safety[0], 2), significant(error, 2), seed))
        best.sort(reverse=True)
        print(name, "(least safety, at step 0, largest error of a loss, seed):", best[:6], flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=GOLDEN / "training.json")
    parser.add_argument("--search", type=int, metavar="N", help="look for good seeds among 1..N instead")
    parser.add_argument("--cases", nargs="*", help="search for these only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.search:
        return search(args.search, args.cases)
    cases = []
    for c in CASES:
        r = case(*c)
        worst = max(g["fp32"] for g in r["gradients"].values())
        middle = float(np.median([g["fp32"] for g in r["gradients"].values()]))
        print(f"{r['name']:16} losses {' '.join(f'{v:.3f}' for v in r['losses'])}")
        print(f"    fp32: losses {r['torch_fp32_loss_error']}, eval logits {r['torch_fp32_eval_logits_error']}")
        print(f"    fp32: gradients median {middle:.1e}, largest {worst:.1e}; ReLU safety {r['relu_safety']}", flush=True)
        cases.append(r)
    head = {"about": "written by data-tools/pytorch/golden_training.py; values filled by fill.py's rule"}
    write(args.out, {**head, "versions": versions()}, cases)


if __name__ == "__main__":
    main()
