"""Writes what all contestants of time_peers.py run: one network, one input, and the right answer.

    python cases.py FOLDER ARCH BATCH SIZE KIND.. [--weights F]      KIND: safetensors, onnx, ncnn

The network has the weights of a file, or the values of fill.py's rule and 1000 (CIFAR: 10) classes. The right
answer is PyTorch's forward in float64. Files that are there already are kept; each is written beside and
renamed.
"""

import argparse
import contextlib
import io
import json
import pathlib
import subprocess
import sys

import torch
from torch.nn import functional as F

from fill import fill, images
from models import PadShortcut, build

SEED = 1


def trained(arch, file):
    """The weights of a safetensors file, or one that `torch.save` wrote."""
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(file)
    else:
        state = torch.load(file, map_location="cpu", weights_only=True)
    # A training script's file has more in it, names from its parallel wrapper, and a name of its own.
    state = {k.removeprefix("module."): v for k, v in state.get("state_dict", state).items()}
    state = {("fc" + k.removeprefix("linear") if k.startswith("linear.") else k): v for k, v in state.items()}
    if "fc.bias" not in state:
        sys.exit(f"{file}: no weights of a ResNet: there is no fc.bias in it")
    net = build(arch, classes=len(state["fc.bias"]))
    try:
        names = net.load_state_dict(state, strict=False)
    except RuntimeError as error:
        sys.exit(f"{file}: no {arch}: {error}")
    missing = [name for name in names.missing_keys if not name.endswith("num_batches_tracked")]
    if missing or names.unexpected_keys:
        sys.exit(f"{file}: no {arch}: without {missing}, with {names.unexpected_keys}")
    return net.eval()


def network(arch, weights=None):
    if weights:
        return trained(arch, weights)
    classes = 1000 if build(arch).large else 10
    return fill(build(arch, classes=classes), SEED).eval()


def write_input(path, case):
    """float32, NCHW, without a header."""
    images(SEED, case.batch, case.size, case.size).contiguous().numpy().tofile(path)


def write_expected(path, case):
    """All logits, as a list of JSON."""
    with torch.inference_mode():
        x = images(SEED, case.batch, case.size, case.size).double()
        y = network(case.arch, case.weights).double()(x)
    path.write_text(json.dumps(y.flatten().tolist()))


def write_safetensors(path, case):
    from safetensors.torch import save_file

    state = network(case.arch, case.weights).state_dict()
    save_file({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)


def write_onnx(path, case):
    """With the batch in it."""
    x = torch.zeros(case.batch, 3, case.size, case.size)
    names = {"input_names": ["x"], "output_names": ["y"]}
    with contextlib.redirect_stdout(io.StringIO()):
        net = network(case.arch, case.weights)
        torch.onnx.export(net, (x,), str(path), external_data=False, verbose=False, **names)


def write_ncnn(path, case):
    """A folder with layers and weights; ncnn has no batch, and no slice with steps: a pool does the same."""
    import pnnx

    PadShortcut.forward = lambda s, x: F.pad(F.max_pool2d(x, 1, s.stride), (0, 0, 0, 0, s.pad, s.pad))
    path.mkdir(exist_ok=True)
    net, size = network(case.arch, case.weights), case.size
    torch.jit.trace(net, torch.zeros(1, 3, size, size)).save(str(path / "net.pt"))
    command = [pnnx.EXEC_PATH, "net.pt", f"inputshape=[1,3,{size},{size}]", "fp16=0"]
    done = subprocess.run([*command, "ncnnparam=net.param", "ncnnbin=net.bin"], cwd=path, capture_output=True, text=True)
    # It may fail and exit with 0.
    if not (path / "net.bin").exists():
        sys.exit(f"pnnx wrote no {path}/net.bin:\n{(done.stdout + done.stderr)[-2000:]}")
    for file in path.iterdir():
        if file.name not in ("net.param", "net.bin"):
            file.unlink()


def once(path, write, case):
    """Writes a file, or a folder, beside its place and then moves it there; not if it is there."""
    if not path.exists():
        partial = path.with_name(f"partial-{path.name}")
        write(partial, case)
        partial.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("arch")
    parser.add_argument("batch", type=int)
    parser.add_argument("size", type=int)
    parser.add_argument("kinds", nargs="+")
    parser.add_argument("--weights", type=pathlib.Path)
    case = parser.parse_args()
    case.folder.mkdir(parents=True, exist_ok=True)
    once(case.folder / "input.f32", write_input, case)
    once(case.folder / "expected.json", write_expected, case)
    for kind in case.kinds:
        once(case.folder / f"model.{kind}", globals()[f"write_{kind}"], case)


if __name__ == "__main__":
    main()
