"""Runs the ONNX files that `resnet-cpu convert` writes in ONNX Runtime, beside PyTorch.

For each network: random weights by the rule of fill.py, saved by torch.save, converted by the program; logits of
ONNX Runtime against PyTorch's float64 ones, relative to their RMS, beside PyTorch's own float32 error. Sizes and
batches vary, since they are free in the file. Ends with an error if ONNX Runtime is off by more than 3 times
PyTorch's float32, or 1e-6.

    python check_onnx.py target/release/resnet-cpu

Needs torch, timm, onnx, onnxruntime.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import timm
import torch

import golden_families
from fill import fill, images
from models import build

CASES = [
    ("resnet18", {}, 224), ("resnet34", {}, 97), ("resnet50", {}, 224), ("resnet50", {"stride_in": "1x1"}, 161),
    ("resnet18", {"shortcut": "a"}, 130), ("plain18", {}, 97), ("plain18", {"downsample": "maxpool"}, 97),
    ("resnet18d", {}, 97), ("resnet50c", {}, 96), ("resnext50_32x4d", {}, 128), ("wide_resnet50_2", {}, 96),
    ("resnet101", {}, 128), ("resnet20", {}, 32), ("resnet20", {"shortcut": "b"}, 40), ("resnet56", {}, 33), ("plain20", {}, 32),
]


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


failed = False
for arch, options, side in CASES:
    if re.fullmatch(r"(plain|resnet)\d+", arch):
        model = fill(build(arch, **options), 7)
    else:
        model = golden_families.fill(timm.create_model(arch), 7)
    model.eval()
    with tempfile.TemporaryDirectory() as folder:
        weights, out = (str(pathlib.Path(folder) / name) for name in ("w.pth", "w.onnx"))
        torch.save(model.state_dict(), weights)
        flags = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        subprocess.run([sys.argv[1], "convert", weights, out, "--arch", arch, "-q", *flags], check=True, stdout=subprocess.DEVNULL)
        onnx.checker.check_model(out, full_check=True)
        session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        x = images(5, batch, side, side)
        with torch.no_grad():
            single = model(x).numpy()
            exact = model.double()(x.double()).numpy()
            model.float()
        found = session.run(["logits"], {"input": x.numpy()})[0]
        ours, torchs = rms(found - exact) / rms(exact), rms(single - exact) / rms(exact)
        good = ours <= max(3 * torchs, 1e-6)
        failed |= not good
        print(f"{arch} {options} {batch}x{side}: ONNX Runtime {ours:.1e}, PyTorch float32 {torchs:.1e}{'' if good else '  WRONG'}", flush=True)
sys.exit(failed)
