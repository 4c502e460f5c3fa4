"""Writes what all contestants of time_peers.py run: one network, one input, and the right answer.

    python cases.py FOLDER ARCH BATCH SIZE KIND..      KIND: safetensors, onnx, ncnn

The network has the values of fill.py's rule and 1000 (CIFAR: 10) classes. The right answer is PyTorch's
forward in float64. Files that are there already are kept; each is written beside and renamed.
"""

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


def network(arch):
    classes = 1000 if build(arch).large else 10
    return fill(build(arch, classes=classes), SEED).eval()


def write_input(path, batch, size):
    """float32, NCHW, without a header."""
    images(SEED, batch, size, size).contiguous().numpy().tofile(path)


def write_expected(path, arch, batch, size):
    """All logits, as a list of JSON."""
    with torch.inference_mode():
        y = network(arch).double()(images(SEED, batch, size, size).double())
    path.write_text(json.dumps(y.flatten().tolist()))


def write_safetensors(path, arch, batch, size):
    from safetensors.torch import save_file

    state = network(arch).state_dict()
    save_file({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)


def write_onnx(path, arch, batch, size):
    """With the batch in it."""
    x = torch.zeros(batch, 3, size, size)
    names = {"input_names": ["x"], "output_names": ["y"]}
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(network(arch), (x,), str(path), external_data=False, verbose=False, **names)


def write_ncnn(path, arch, batch, size):
    """A folder with layers and weights; ncnn has no batch, and no slice with steps: a pool does the same."""
    import pnnx

    PadShortcut.forward = lambda s, x: F.pad(F.max_pool2d(x, 1, s.stride), (0, 0, 0, 0, s.pad, s.pad))
    path.mkdir(exist_ok=True)
    torch.jit.trace(network(arch), torch.zeros(1, 3, size, size)).save(str(path / "net.pt"))
    command = [pnnx.EXEC_PATH, "net.pt", f"inputshape=[1,3,{size},{size}]", "fp16=0"]
    done = subprocess.run([*command, "ncnnparam=net.param", "ncnnbin=net.bin"], cwd=path, capture_output=True, text=True)
    # It may fail and exit with 0.
    if not (path / "net.bin").exists():
        sys.exit(f"pnnx wrote no {path}/net.bin:\n{(done.stdout + done.stderr)[-2000:]}")
    for file in path.iterdir():
        if file.name not in ("net.param", "net.bin"):
            file.unlink()


def main():
    folder, arch, batch, size, *kinds = sys.argv[1:]
    folder, batch, size = pathlib.Path(folder), int(batch), int(size)
    folder.mkdir(parents=True, exist_ok=True)

    def once(path, write, *arguments):
        if not path.exists():
            partial = path.with_name(f"partial-{path.name}")
            write(partial, *arguments)
            partial.rename(path)

    case = (arch, batch, size)
    once(folder / "input.f32", write_input, batch, size)
    once(folder / "expected.json", write_expected, *case)
    for kind in kinds:
        once(folder / f"model.{kind}", globals()[f"write_{kind}"], *case)


if __name__ == "__main__":
    main()
