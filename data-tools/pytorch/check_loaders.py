"""Loads in torchvision and timm what `resnet-cpu convert --to torch-names` and `--to timm` write, strictly.

For each of the paper's ImageNet networks: random weights by the rule of fill.py, saved by torch.save and converted by
the program. torchvision's own network (`load_state_dict(strict=True)`) and timm's (`local-dir:`, which loads strictly,
too) must then have the same tensors to the bit and the logits of the original network, the latter within 1e-5 of
their RMS. timm must also prepare an image as the program does, with the configuration that it finds beside the
weights: the program's logits of a noisy PNG against timm's, transform and all, within 1e-4. Ends with an error if not.

    python check_loaders.py target/release/resnet-cpu

Needs torch, torchvision, timm, safetensors, pillow.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file

from fill import fill, images
from models import build

CASES = [
    ("resnet18", 1000, []),
    ("resnet34", 1000, ["--resize=235", "--interpolation=bicubic"]),
    ("resnet50", 1000, ["--crop=288", "--resize=288", "--interpolation=bicubic", "--crop-mode=squash"]),
    ("resnet50", 1000, ["--crop=160", "--resize=163", "--interpolation=nearest", "--mean=0.5,0.5,0.5", "--std=0.25,0.5,1"]),
    ("resnet101", 1000, ["--crop-mode=border", "--resize=224"]),
    ("resnet152", 1000, ["--resize=233", "--interpolation=lanczos"]),
]


def off(found, expected):
    """The largest difference, relative to the RMS."""
    found, expected = (np.asarray(x, np.float64) for x in (found, expected))
    return float(np.abs(found - expected).max() / np.sqrt(np.mean(expected**2)))


def run(*args):
    return subprocess.run([sys.argv[1], *map(str, args)], check=True, capture_output=True, text=True).stdout


failed = False
for arch, classes, flags in CASES:
    model = build(arch)
    fill(model, 7)
    model.eval()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        folder = pathlib.Path(folder)
        torch.save(model.state_dict(), folder / "w.pth")
        run("convert", folder / "w.pth", folder / "tv.safetensors", "--to", "torch-names", *flags)
        run("convert", folder / "w.pth", folder / "timm", "--to", "timm", *flags)
        theirs = torchvision.models.get_model(arch, num_classes=classes)
        theirs.load_state_dict(load_file(folder / "tv.safetensors"), strict=True)
        of_timm = timm.create_model(f"local-dir:{folder / 'timm'}", pretrained=True)
        x = images(5, 2, 224, 224)
        expected, worst = model(x), []
        for other in (theirs.eval(), of_timm.eval()):
            for name, tensor in model.state_dict().items():
                assert torch.equal(tensor, other.state_dict()[name]) or name.endswith("num_batches_tracked"), name
            worst.append(off(other(x), expected))

        noise = np.random.default_rng(3).integers(0, 256, (12, 9, 3), np.uint8)
        image = Image.fromarray(noise).resize((451, 337), Image.BICUBIC)
        image.save(folder / "image.png")
        config = timm.data.resolve_data_config({}, model=of_timm, use_test_size=True)
        transform = timm.data.create_transform(**config, is_training=False)
        logits = of_timm(transform(image)[None])[0]
        weights = folder / "timm" / "model.safetensors"
        found = json.loads(run("infer", "-q", "--json", "--top", classes, "-w", weights, folder / "image.png"))
        ours = {p["index"]: p["logit"] for p in found["predictions"]}
        prepared = off([ours[i] for i in range(classes)], logits)
        names = of_timm.pretrained_cfg["label_names"]
        good = max(worst) <= 1e-5 and prepared <= 1e-4 and names[0] == "tench" and len(names) == classes
        failed |= not good
        print(
            f"{arch} {' '.join(flags)}: strict; logits off by {worst[0]:.0e} in torchvision, {worst[1]:.0e} in timm, "
            f"{prepared:.0e} from the image on{'' if good else '  WRONG'}",
            flush=True,
        )
sys.exit(failed)
