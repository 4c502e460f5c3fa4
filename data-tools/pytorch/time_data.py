#!/usr/bin/env python3
"""Times the making of training inputs from photographs: ours, torchvision on PIL, torchvision v2 on tensors.

    pip install -r requirements.txt   # pillow, torch, torchvision
    python3 time_data.py FOLDER... --size 500x375 --rounds 9
    python3 time_data.py FOLDER... --size 640x480 --rounds 9 --features libjpeg-turbo

All make the paper's augmentation of the same JPEG files: shorter side uniform in [256, 480], random crop of 224,
flip half of the time, channel mean and std, PCA colour; one thread each, pinned to one core. Of the photographs
found in the folders those within a tenth of SIZE are taken, either way up; where fewer than 8 are, all larger ones are scaled to
SIZE by PIL and saved with quality 95, 4:4:4, as most of ImageNet's files are, and the output says so. Every round
runs each contestant once over all photographs, in an order that rotates. Printed: images a second (medians over the rounds), and medians
of the rounds' own ratios, from files, from shards of them and of their pixels, and from decoded images.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy
import torch
import torchvision
import torchvision.io
import torchvision.transforms.functional as on_pil
import torchvision.transforms.v2.functional as on_tensors
from PIL import Image, features

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KINDS = {".jpg", ".jpeg"}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
VALUES = torch.tensor([0.2175, 0.0188, 0.0045])
VECTORS = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
ENOUGH = 8


def colour(x):
    """Adds to each channel what the paper's PCA augmentation does, in units of the normalised image."""
    shift = VECTORS @ (VALUES * torch.randn(3) * 0.1)
    return x.add_((shift / torch.tensor(STD)).view(3, 1, 1))


def geometry(height, width):
    """The shorter side and the corner of the crop, and whether it is mirrored."""
    short = int(torch.randint(256, 481, ()))
    long = short * max(height, width) // min(height, width)
    height, width = (short, long) if height <= width else (long, short)
    top, left = int(torch.randint(height - 223, ())), int(torch.randint(width - 223, ()))
    return short, top, left, bool(torch.randint(2, ()))


def by_pil(image):
    short, top, left, flip = geometry(image.height, image.width)
    image = on_pil.crop(on_pil.resize(image, short), top, left, 224, 224)
    if flip:
        image = on_pil.hflip(image)
    return colour(on_pil.normalize(on_pil.to_tensor(image), MEAN, STD, inplace=True))


def by_v2(image):
    short, top, left, flip = geometry(*image.shape[-2:])
    image = on_tensors.crop(on_tensors.resize(image, [short], antialias=True), top, left, 224, 224)
    if flip:
        image = on_tensors.horizontal_flip(image)
    image = on_tensors.to_dtype(image, torch.float32, scale=True)
    return colour(on_tensors.normalize(image, MEAN, STD, inplace=True))


def open_by_pil(path):
    with open(path, "rb") as file:
        return Image.open(file).convert("RGB")


def open_by_v2(path):
    return torchvision.io.decode_jpeg(torchvision.io.read_file(str(path)), torchvision.io.ImageReadMode.RGB)


def choose(args, out):
    """Writes the photographs to two class folders in `out`; their paths, and what was done."""
    width, height = map(int, args.size.split("x"))
    found = sorted(path for folder in args.folders for path in folder.rglob("*") if path.suffix.lower() in KINDS)
    near, larger = [], []
    for path in found:
        with Image.open(path) as image:
            long, short = max(image.size), min(image.size)
            if image.mode == "RGB" and abs(long / width - 1) <= 0.1 and abs(short / height - 1) <= 0.1:
                near.append(path)
            elif image.mode == "RGB" and long >= width and short >= height:
                larger.append(path)
    scaled = len(near) < ENOUGH
    paths = []
    for i, path in enumerate((larger if scaled else near)[: args.most]):
        to = out / "ab"[i % 2] / f"{i:04}.jpg"
        to.parent.mkdir(exist_ok=True)
        if scaled:
            image = open_by_pil(path)
            size = (width, height) if image.width >= image.height else (height, width)
            image.resize(size, Image.BICUBIC).save(to, quality=95, subsampling=0)
        else:
            to.write_bytes(path.read_bytes())
        paths.append(to)
    if not paths:
        raise SystemExit(f"expected photographs of about {args.size}, found none")
    mean = sum(path.stat().st_size for path in paths) / len(paths)
    how = f"scaled to {args.size}, quality 95, 4:4:4" if scaled else f"of about {args.size}"
    print(f"{len(paths)} photographs {how}, {mean / 1000:.0f} kB each")
    return sorted(paths, key=lambda path: (path.parent.name, path.name))


class Ours:
    """The program of benches/photographs.rs, which waits for lines."""

    def __init__(self, folder, cargo_features):
        words = ["cargo", "bench", "--quiet", "--bench", "photographs"]
        words += ["--features", cargo_features] if cargo_features else []
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([*words, "--", folder], cwd=ROOT, stdin=pipe, stdout=pipe, text=True)

    def __call__(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["images"] / answer["seconds"]


def rate(function, items):
    start = time.perf_counter()
    for item in items:
        function(item)
    return len(items) / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=pathlib.Path, nargs="+")
    parser.add_argument("--size", default="500x375")
    parser.add_argument("--most", type=int, default=64, help="photographs taken")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--features", default="", help="of Cargo")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.manual_seed(1)
    print(f"Pillow {features.version('pil')}, libjpeg-turbo {features.version('libjpeg_turbo')}, ", end="")
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, numpy {numpy.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        paths = choose(args, pathlib.Path(folder))
        ours = Ours(folder, args.features)
        images, tensors = [open_by_pil(path) for path in paths], [open_by_v2(path) for path in paths]
        contestants = {
            "ours, files": lambda: ours("jpeg channel"),
            "ours, files, per-pixel mean": lambda: ours("jpeg pixel"),
            "PIL, files": lambda: rate(lambda path: by_pil(open_by_pil(path)), paths),
            "v2, files": lambda: rate(lambda path: by_v2(open_by_v2(path)), paths),
            "ours, JPEG shards": lambda: ours("shards channel"),
            "ours, raw shards": lambda: ours("raw channel"),
            "ours, decoded": lambda: ours("decoded channel"),
            "PIL, decoded": lambda: rate(by_pil, images),
            "v2, decoded": lambda: rate(by_v2, tensors),
        }
        names = list(contestants)
        rates = {name: [] for name in names}
        for round_ in range(args.rounds + 1):
            turn = round_ % len(names)
            for name in names[turn:] + names[:turn]:
                found = contestants[name]()
                if round_ > 0:  # The first one warms up.
                    rates[name].append(found)
        ours.process.stdin.close()
    for name, found in rates.items():
        print(f"{name:30} {statistics.median(found):8.1f} images/s")

    def ratio(a, b):
        print(f"{a} / {b}: {statistics.median(x / y for x, y in zip(rates[a], rates[b])):.2f}")

    for a, b in [
        ("ours, files", "PIL, files"),
        ("ours, files, per-pixel mean", "PIL, files"),
        ("ours, files", "v2, files"),
        ("ours, JPEG shards", "PIL, files"),
        ("ours, raw shards", "PIL, files"),
        ("ours, decoded", "v2, decoded"),
        ("ours, decoded", "PIL, files"),
    ]:
        ratio(a, b)


if __name__ == "__main__":
    main()
