"""Writes tests/golden/inference.json: logits of every kind of network, in float64, small inputs.

Weights and inputs are the float32 values of fill.py's rule, so the file holds no tensors. Beside the
logits stand PyTorch's own float32 errors (eager, oneDNN, one thread, two memory formats): what an
implementation in float32 may be off by.

    python golden_inference.py [--out FILE]
"""

import argparse
import copy
import json
import pathlib
import platform

import numpy as np
import torch

from fill import fill, images
from models import build

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent.parent / "tests" / "golden"

# name, arch, options, (images, height, width)
CASES = [
    ("plain18-conv", "plain18", {}, (2, 65, 47)),
    ("plain18-maxpool", "plain18", {"downsample": "maxpool"}, (2, 79, 64)),
    ("plain34-conv", "plain34", {}, (2, 64, 64)),
    ("plain34-maxpool", "plain34", {"downsample": "maxpool"}, (2, 64, 64)),
    ("resnet18-a", "resnet18", {"shortcut": "a"}, (2, 65, 47)),
    ("resnet18-b", "resnet18", {"shortcut": "b"}, (2, 65, 47)),
    ("resnet18-c", "resnet18", {"shortcut": "c"}, (2, 65, 47)),
    ("resnet18-b-96", "resnet18", {"shortcut": "b"}, (2, 96, 96)),
    ("resnet34-b", "resnet34", {"shortcut": "b"}, (2, 64, 64)),
    ("resnet50-b-v1.5", "resnet50", {"shortcut": "b"}, (2, 64, 64)),
    ("resnet50-b-v1.5-odd", "resnet50", {"shortcut": "b"}, (3, 65, 47)),
    ("resnet50-b-v1", "resnet50", {"shortcut": "b", "stride_in": "1x1"}, (2, 65, 47)),
    ("resnet50-c-v1.5", "resnet50", {"shortcut": "c"}, (2, 47, 65)),
    ("resnet101-b-v1.5", "resnet101", {"shortcut": "b"}, (2, 48, 48)),
    ("resnet20-a", "resnet20", {"shortcut": "a"}, (2, 32, 32)),
    ("resnet20-a-odd", "resnet20", {"shortcut": "a"}, (2, 33, 31)),
    ("resnet20-b", "resnet20", {"shortcut": "b"}, (2, 32, 32)),
    ("resnet20-c", "resnet20", {"shortcut": "c"}, (2, 32, 32)),
    ("resnet56-a", "resnet56", {"shortcut": "a"}, (2, 32, 32)),
    ("plain20", "plain20", {}, (2, 32, 32)),
]
CLASSES = 10


def versions():
    cpu = torch.backends.cpu.get_cpu_capability()
    return {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version(), "cpu": cpu}


def rms(x):
    return float(x.pow(2).mean().sqrt())


def significant(x, digits=3):
    return float(f"{x:.{digits}g}")


def fp32_errors(net, x, exact):
    """Largest and RMS error of each memory format, relative to the RMS of the exact logits."""
    out = {}
    for name, memory_format in FORMATS.items():
        y = net.to(memory_format=memory_format)(x.to(memory_format=memory_format)).double()
        error = y - exact
        out[name] = {
            "max": significant(float(error.abs().max()) / rms(exact)),
            "rms": significant(rms(error) / rms(exact)),
        }
    return out


def run(name, arch, options, shape, seed):
    options = {"downsample": "conv", "stride_in": "3x3", **options}
    net = fill(build(arch, classes=CLASSES, **options), seed).eval()
    x = images(seed, *shape)
    with torch.inference_mode():
        states = dict(net64(net).states(x.double()))
        logits = states["logits"]
        errors = fp32_errors(net, x, logits)
    assert torch.isfinite(logits).all()
    state = net.state_dict()
    return {
        "name": name,
        "arch": arch,
        "shortcut": options.get("shortcut", "none"),
        "downsample": options["downsample"],
        "stride_in": options["stride_in"],
        "classes": CLASSES,
        "input": [shape[0], shape[1], shape[2]],
        "seed": seed,
        "parameters": sum(p.numel() for p in net.parameters()),
        # Whoever fills otherwise finds out here: the first values, exactly.
        "fill": {
            **{k: state[k].flatten()[:2].tolist() for k in ("conv1.weight", "bn1.running_var", "fc.bias")},
            "input": x.permute(0, 2, 3, 1).flatten()[:2].tolist(),
        },
        "logits": logits.tolist(),
        "rms": {k: significant(rms(v), 12) for k, v in states.items()},
        "fp32": errors,
        "torch_fp32_error": {k: max(e[k] for e in errors.values()) for k in ("max", "rms")},
    }


def net64(net):
    """A float64 copy; `net` stays as it is."""
    return copy.deepcopy(net).double()


def pretty(value):
    """A case's value on one line; a table of tensors with one line for each."""
    if isinstance(value, dict) and len(value) > 10:
        return "{\n" + ",\n".join(f'        "{k}": {json.dumps(v)}' for k, v in value.items()) + "\n      }"
    return json.dumps(value)


def write(path, head, cases):
    """JSON with one line for each short value, so that a difference can be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["{"] + [f'  "{k}": {json.dumps(v)},' for k, v in head.items()] + ['  "cases": [']
    for i, case in enumerate(cases):
        body = ",\n".join(f'      "{k}": {pretty(v)}' for k, v in case.items())
        lines += ["    {", body, "    }" + ("," if i + 1 < len(cases) else "")]
    path.write_text("\n".join(lines + ["  ]", "}"]) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=GOLDEN / "inference.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cases = []
    for seed, case in enumerate(CASES, 1):
        result = run(*case, seed)
        logits = np.array(result["logits"])
        between = np.abs(logits[0] - logits[1]).max() / result["rms"]["logits"]
        e = result["torch_fp32_error"]
        print(
            f"{result['name']:20} logits rms {result['rms']['logits']:.3g}, images differ by {between:.2g}, "
            f"fp32 error max {e['max']:.2e} rms {e['rms']:.2e}"
        )
        cases.append(result)
    head = {"about": "written by data-tools/pytorch/golden_inference.py; values filled by fill.py's rule"}
    write(args.out, {**head, "versions": versions()}, cases)


if __name__ == "__main__":
    main()
