"""Writes tests/golden/families.json: logits of the networks that came after the paper's, in float64, small inputs.

The networks are timm's own (torchvision's have the same layers and names), filled by fill.py's rule; otherwise as
golden_inference.py, whose form the file has.

    python golden_families.py [--out FILE]

Needs numpy, torch, timm.
"""

import argparse
import pathlib
import re

import numpy as np
import timm
import torch

from fill import F, value
from golden_inference import CLASSES, GOLDEN, fp32_errors, net64, rms, significant, versions, write
from rng import Rng

# arch, channels of the images, (images, height, width)
CASES = [
    ("wide_resnet50_2", 3, (2, 65, 47)),
    ("resnet18", 1, (2, 65, 47)),
    ("resnet18", 4, (2, 64, 64)),
    ("resnet18d", 3, (2, 65, 47)),
    ("resnet18d", 1, (16, 33, 39)),
    ("resnet50d", 3, (2, 47, 65)),
    ("resnet50d", 3, (3, 96, 96)),
    ("resnet50c", 3, (2, 65, 47)),
    ("resnet50s", 4, (2, 64, 64)),
    ("resnet10t", 3, (2, 71, 64)),
    ("resnet14t", 3, (2, 64, 71)),
    ("resnet26t", 3, (2, 65, 65)),
    ("resnext50_32x4d", 3, (2, 65, 47)),
    ("resnext50_32x4d", 3, (16, 64, 64)),
    ("resnext50d_32x4d", 3, (3, 79, 65)),
    ("resnext101_32x8d", 3, (2, 48, 48)),
]


def fill(net, seed):
    """As fill.py's, of timm's blocks."""
    state = net.state_dict()
    last = {m[1] for name in state if (m := re.fullmatch(r"(layer\d+\.\d+\.bn[23])\.weight", name))}
    last = {name for name in last if name.endswith("3") or name[:-1] + "3" not in last}
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            tensor.copy_(torch.from_numpy(value(last, seed, name, tuple(tensor.shape))))
    return net


def images(seed, n, h, w, channels):
    """A float32 batch, NCHW, drawn in NHWC order."""
    u = Rng.named(seed, "input").uniform(n * h * w * channels).reshape(n, h, w, channels)
    return torch.from_numpy(np.ascontiguousarray((F(4) * u - F(2)).transpose(0, 3, 1, 2)))


def run(arch, channels, shape, seed):
    net = fill(timm.create_model(arch, num_classes=CLASSES, in_chans=channels), seed).eval()
    x = images(seed, *shape, channels)
    with torch.inference_mode():
        logits = net64(net)(x.double())
        errors = fp32_errors(net, x, logits)
    assert torch.isfinite(logits).all()
    state = net.state_dict()
    first = "conv1.weight" if "conv1.weight" in state else "conv1.0.weight"
    return {
        "name": f"{arch}, {channels} channels, {shape}",
        "arch": arch,
        "shortcut": "b",
        "downsample": "conv",
        "stride_in": "3x3",
        "channels": channels,
        "classes": CLASSES,
        "input": list(shape),
        "seed": seed,
        "parameters": sum(p.numel() for p in net.parameters()),
        "fill": {
            **{k: state[k].flatten()[:2].tolist() for k in (first, "bn1.running_var", "fc.bias")},
            "input": x.permute(0, 2, 3, 1).flatten()[:2].tolist(),
        },
        "logits": logits.tolist(),
        "fp32": errors,
        "torch_fp32_error": {k: max(e[k] for e in errors.values()) for k in ("max", "rms")},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=GOLDEN / "families.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cases = []
    for seed, case in enumerate(CASES, 101):
        result = run(*case, seed)
        logits = np.array(result["logits"])
        between = np.abs(logits[0] - logits[1]).max() / rms(torch.from_numpy(logits))
        error = significant(result["torch_fp32_error"]["rms"])
        print(f"{result['name']}: images differ by {between:.2g}, fp32 error rms {error}", flush=True)
        cases.append(result)
    head = {"about": "written by data-tools/pytorch/golden_families.py; values filled by fill.py's rule"}
    write(args.out, {**head, "versions": {**versions(), "timm": timm.__version__}}, cases)


if __name__ == "__main__":
    main()
