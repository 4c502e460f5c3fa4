"""Do our checkpoints load in PyTorch, and give the same logits there?

    python load_checkpoint.py [RUN [IMAGE...]]

RUN is the folder of a run. Without one, three steps of `train --arch resnet18` on drawn images make
it. `last.safetensors` and `best.safetensors` each go into torchvision's network of the name in the
metadata (models.py's for the CIFAR family) with `load_state_dict(strict=True)`; the images are
prepared as the metadata says, by torchvision. Our logits may be at most three times as far from
PyTorch's in float64 as PyTorch's own in float32 are. Exits 1 if they are not.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torchvision import transforms

from models import build
from runs import BINARY, metadata, ours, weights

FACTOR = 3


def draw(folder, images=12):
    """Class folders of coloured noise with a gradient, of several sizes."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("across", "down", "none")):
        (folder / name).mkdir(parents=True)
        for i in range(images):
            h, w = rng.integers(230, 400, 2)
            slope = [np.linspace(0, 1, w)[None, :], np.linspace(0, 1, h)[:, None], np.full((1, 1), 0.5)][label]
            pixels = 128 * slope[..., None] * rng.random(3) + 127 * rng.random((h, w, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


def network(stated, tensors):
    """The network that the metadata names, with these weights; float32."""
    arch, classes = stated["resnet_cpu.arch"], len(tensors["fc.bias"])
    options = {key: stated.get(f"resnet_cpu.{key}") for key in ("shortcut", "downsample", "stride_in")}
    standard = options["shortcut"] == "b" and options["stride_in"] in (None, "3x3")
    if hasattr(torchvision.models, arch) and standard:
        net, source = getattr(torchvision.models, arch)(num_classes=classes), "torchvision"
    else:
        net, source = build(arch, classes=classes, **{k: v for k, v in options.items() if v}), "models.py"
    net.load_state_dict(tensors, strict=True)
    return net.eval(), f"{arch} of {source}"


def preprocessed(stated, pixel_mean, image):
    """An image as the metadata says, `[1, 3, crop, crop]`."""
    mean, std = ([float(x) for x in stated[f"resnet_cpu.{key}"].split(",")] for key in ("mean", "std"))
    resize, crop = int(stated["resnet_cpu.resize"]), int(stated["resnet_cpu.crop"])
    steps = [transforms.Resize(resize), transforms.CenterCrop(crop), transforms.ToTensor()]
    x = transforms.Compose([*steps, transforms.Normalize(mean, std)])(Image.open(image).convert("RGB"))
    return (x if pixel_mean is None else x - pixel_mean.permute(2, 0, 1))[None]


def check(binary, file, images):
    """Whether our logits of `images` are PyTorch's."""
    stated, tensors = metadata(file), weights(file)
    net, name = network(stated, tensors)
    pixel_mean = load_file(file).get("resnet_cpu.pixel_mean")
    x = torch.cat([preprocessed(stated, pixel_mean, image) for image in images])
    with torch.inference_mode():
        single, exact = net(x).double(), net.double()(x.double())
    answers = ours(binary, "infer", "--weights", file, "--json", "--top", exact.shape[1], *images).splitlines()
    mine = torch.empty_like(exact)
    for row, answer in zip(mine, map(json.loads, answers), strict=True):
        for prediction in answer["predictions"]:
            row[prediction["index"]] = prediction["logit"]
    theirs, off = ((logits - exact).abs().max().item() for logits in (single, mine))
    between = (mine - single).abs().max().item()
    print(f"{file}: {name}, {len(images)} images, logits up to {exact.abs().max():.3g}")
    print(f"    largest difference to PyTorch float32 {between:.1e}; to float64: ours {off:.1e}, PyTorch float32 {theirs:.1e}")
    return off <= FACTOR * theirs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path, nargs="?")
    parser.add_argument("images", type=pathlib.Path, nargs="*")
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        data = draw(folder / "data")
        if args.run is None:
            args.run = folder / "run"
            flags = ["--arch", "resnet18", "--iterations", 3, "--batch", 8, "--out", args.run]
            ours(args.binary, "train", data, *flags)
        images = args.images or sorted(data.glob("*/*.png"))[::4]
        files = [args.run / f"{name}.safetensors" for name in ("last", "best")]
        fine = [check(args.binary, file, images) for file in files]
    sys.exit(not all(fine))


if __name__ == "__main__":
    main()
