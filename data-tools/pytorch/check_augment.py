"""What torchvision and Pillow make of the random draws of `src/data/inputs/augment.rs`.

Run as `python check_augment.py`, with torchvision and pillow==12.1.1 (a few minutes). It writes
`tests/data/augment.json`, which Rust tests compare with, and prints what is in it:

- `pixels`: inputs of whole pipelines, as checksums of their float32 bits. The draws are those of our own
  streams (`rng.py`), handed to torchvision's own `RandomResizedCrop`, `ColorJitter` and `RandomErasing`
  in place of PyTorch's; images are changed by Pillow. `cargo test --test data_augment` wants the same bits.
- `all_colours`: checksums of Pillow's changes of hue and saturation over all 2^24 colours.
- `random_resized_crop`, `random_erasing`: histograms of torchvision's draws with PyTorch's random numbers.
  Tests of `data::inputs::augment` compare ours with them by chi-square.
"""

import contextlib
import json
import math
import pathlib
import zlib

import numpy as np
import PIL
import torch
import torchvision
import torchvision.transforms as T
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms import InterpolationMode

from rng import Rng

assert PIL.__version__ == "12.1.1", f"expected pillow 12.1.1, found {PIL.__version__}"
GOLDEN = pathlib.Path(__file__).parents[2] / "tests" / "data" / "augment.json"
AUGMENT = 0x6175676D
MEAN = np.array([0.4, 0.5, 0.6], np.float32)
STD = np.array([0.2, 0.25, 0.3], np.float32)
DRAWS = 40_000

f32 = np.float32

# fb.resnet.torch's; the standard deviations times the components, in float32 as in colour.rs.
IMAGENET = np.array(
    [[f32(v) * f32(s) for v, s in zip(row, (0.2175, 0.0188, 0.0045))]
     for row in ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))],
    f32,
)


class Stream:
    """One draw at a time of a stream of ours."""

    def __init__(self, *keys):
        self.rng = Rng(keys[0], keys[1:])

    def below(self, n):
        return self.rng.below(1, n)[0]

    def uniform(self):
        return self.rng.uniform(1)[0]

    def normal(self):
        u = float((int(self.rng.next_u64(1)[0]) >> 11) + 1) / float(1 << 53)
        v = float(int(self.rng.next_u64(1)[0]) >> 11) / float(1 << 53)
        return f32(math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v))


@contextlib.contextmanager
def drawing_from(stream):
    """torchvision draws from `stream` instead of PyTorch's generator."""

    class Empty:
        def uniform_(self, low, high):
            low, high = f32(low), f32(high)
            return torch.tensor(low + (high - low) * stream.uniform())

    def randperm(n):
        order = list(range(n))
        for last in range(n - 1, 0, -1):
            other = stream.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return torch.tensor(order)

    ours = {
        "empty": lambda *_, **__: Empty(),
        "rand": lambda *_, **__: torch.tensor([stream.uniform()]),
        "randint": lambda low, high, **_: torch.tensor([low + stream.below(high - low)]),
        "randperm": randperm,
    }
    kept = {name: getattr(torch, name) for name in ours}
    for name, function in ours.items():
        setattr(torch, name, function)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(torch, name, function)


def noise(width, height, name):
    """As `noise` in the Rust tests."""
    bits = Rng.named(0, name).next_u64(width * height * 3) >> np.uint64(56)
    return Image.fromarray(bits.astype(np.uint8).reshape(height, width, 3))


def resized_size(size, short):
    width, height = size
    return (short, short * height // width) if width <= height else (short * width // height, short)


def center_view(image, resize, crop):
    width, height = resized_size(image.size, resize)
    image = image.resize((width, height), Image.BILINEAR)
    return F.center_crop(image, crop)


def normalised(image, pixel_mean):
    values = np.asarray(image, np.float32) / f32(255)
    return values - pixel_mean if pixel_mean is not None else (values - MEAN) / STD


def one_input(image, case, stream, pixel_mean):
    """The input that `case` makes of `image`, `[crop, crop, 3]` float32."""
    crop, kind = case["crop"], case["kind"]
    pad = None
    if kind in ("scale", "resize"):
        short = case["shortest"]
        if kind == "scale":
            short += stream.below(case["longest"] - short + 1)
        width, height = resized_size(image.size, short)
        left, top = stream.below(width - crop + 1), stream.below(height - crop + 1)
        square = image.resize((width, height), Image.BILINEAR).crop((left, top, left + crop, top + crop))
    elif kind == "area":
        with drawing_from(stream):
            transform = T.RandomResizedCrop(crop, scale=(case["least"], 1.0), interpolation=InterpolationMode.BILINEAR)
            square = transform(image)
    else:
        square = center_view(image, case["resize"], crop)
        pad = [stream.below(2 * case["pad"] + 1) - case["pad"] for _ in "xy"] if kind == "pad" else [0, 0]
    flip = case["flip"] and stream.below(2) == 1
    if any(case["jitter"]):
        with drawing_from(stream):
            square = T.ColorJitter(*case["jitter"])(square)
    if flip and pad is None:
        square = F.hflip(square)
    values = normalised(square, pixel_mean)
    if case["colour"]:
        factors = [f32(0.1) * stream.normal() for _ in range(3)]
        shift = np.array([row[0] * factors[0] + row[1] * factors[1] + row[2] * factors[2] for row in IMAGENET], f32)
        values = values + (shift if pixel_mean is not None else shift / STD)
    if pad is not None:
        x, y = pad
        padded = np.zeros((crop + 2 * abs(y), crop + 2 * abs(x), 3), f32)
        padded[abs(y) : abs(y) + crop, abs(x) : abs(x) + crop] = values
        values = padded[abs(y) + y :, abs(x) + x :][:crop, :crop]
        values = values[:, ::-1] if flip else values
    if case["erase"]:
        tensor = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))
        with drawing_from(stream):
            tensor = T.RandomErasing(case["erase"])(tensor)
        values = tensor.numpy().transpose(1, 2, 0)
    return np.ascontiguousarray(values, dtype=f32)


def pixels():
    """Checksums of a batch of every kind of pipeline."""
    plain = dict(kind="center", resize=40, crop=36, flip=False, jitter=[0, 0, 0, 0], colour=False, erase=0, pixel_mean=False)
    paper = dict(kind="scale", shortest=40, longest=75, flip=True)
    area = dict(kind="area", least=0.08, flip=True)
    jitter = [0.4, 0.4, 0.4, 0.1]
    changes = [
        {},
        dict(kind="pad", pad=4, flip=True),
        dict(kind="pad", pad=4, flip=True, pixel_mean=True, colour=True),
        dict(kind="resize", shortest=41, flip=True),
        paper,
        dict(paper, colour=True),
        dict(paper, colour=True, pixel_mean=True),
        area,
        dict(area, least=0.25, pixel_mean=True),
        dict(area, jitter=[0.4, 0, 0, 0]),
        dict(area, jitter=[0, 0.9, 0, 0]),
        dict(area, jitter=[0, 0, 1.5, 0]),
        dict(area, jitter=[0, 0, 0, 0.5]),
        dict(area, jitter=jitter),
        dict(erase=0.5),
        dict(area, jitter=jitter, colour=True, erase=0.25),
        dict(kind="pad", pad=3, flip=True, jitter=jitter, colour=True, erase=0.5),
    ]
    images = [noise(*size, f"image {i}") for i, size in enumerate([(50, 40), (64, 48), (40, 90), (36, 36), (120, 20)])]
    cases = []
    for number, change in enumerate(changes):
        case = dict(plain, **change)
        mean = Rng.named(0, "mean").uniform(case["crop"] ** 2 * 3).reshape(case["crop"], case["crop"], 3)
        mean = mean if case["pixel_mean"] else None
        crc = 0
        for epoch in range(8):
            for index, image in enumerate(images):
                stream = Stream(number, AUGMENT, epoch, index)
                crc = zlib.crc32(one_input(image, case, stream, mean).tobytes(), crc)
        cases.append(dict(case, seed=number, crc32=crc))
        print(f"pixels: {change or 'centre'}: {crc:08x}")
    return cases


def all_colours():
    grid = np.arange(256, dtype=np.uint8)
    colours = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1).reshape(4096, 4096, 3)
    image = Image.fromarray(colours)
    crcs = {}
    for name, changed in {
        "hue 0.1": F.adjust_hue(image, float(f32(0.1))),
        "hue -0.3": F.adjust_hue(image, float(f32(-0.3))),
        "hue 0": F.adjust_hue(image, 0.0),
        "saturation 1.37": F.adjust_saturation(image, float(f32(1.37))),
        "saturation 0.4": F.adjust_saturation(image, float(f32(0.4))),
    }.items():
        crcs[name] = zlib.crc32(changed.tobytes())
        print(f"all colours: {name}: {crcs[name]:08x}")
    return crcs


def histogram(values):
    """Counts in twenty cells of [0, 1)."""
    cells = np.clip((np.array(values) * 20.0).astype(int), 0, 19)
    return np.bincount(cells, minlength=20).tolist()


def random_resized_crop():
    cases = []
    for width, height, least in [(500, 375, 0.08), (375, 500, 0.25), (224, 224, 0.5), (900, 300, 0.08), (40, 400, 0.08)]:
        image = Image.new("RGB", (width, height))
        found = {"area": [], "ratio": [], "x": [], "y": []}
        for _ in range(DRAWS):
            top, left, h, w = T.RandomResizedCrop.get_params(image, [least, 1.0], [3.0 / 4.0, 4.0 / 3.0])
            found["area"].append(w * h / (width * height))
            found["ratio"].append((w / h - 0.5) / 1.2)
            found["x"].append((left + w / 2.0) / width)
            found["y"].append((top + h / 2.0) / height)
        print(f"RandomResizedCrop {width}x{height}: mean share {np.mean(found['area']):.4f}")
        cases.append(dict(width=width, height=height, least=least, **{k: histogram(v) for k, v in found.items()}))
    return cases


def random_erasing():
    image, found = torch.zeros(3, 224, 224), {"area": [], "x": [], "ratio": []}
    for _ in range(DRAWS):
        _, left, h, w, _ = T.RandomErasing.get_params(image, (0.02, 0.33), (0.3, 3.3), [0.0])
        if (h, w) != (224, 224):
            found["area"].append(w * h / (224.0 * 224.0))
            found["x"].append((left + w / 2.0) / 224.0)
            found["ratio"].append(h / w / 4.0)
    print(f"RandomErasing: mean share {np.mean(found['area']):.4f}")
    return {k: histogram(v) for k, v in found.items()}


if __name__ == "__main__":
    torch.manual_seed(0)
    golden = {
        "versions": f"torchvision {torchvision.__version__}, pillow {PIL.__version__}",
        "pixels": pixels(),
        "all_colours": all_colours(),
        "random_resized_crop": random_resized_crop(),
        "random_erasing": random_erasing(),
    }
    text = json.dumps(golden, indent=1)
    # One line a list of numbers.
    lines = text.split("\n")
    short, inside = [], False
    for line in lines:
        if inside:
            short[-1] += line.strip()
            inside = line.strip() not in ("]", "],")
            continue
        short.append(line)
        inside = line.endswith("[") and any(f'"{k}": [' in line for k in ("area", "ratio", "x", "y", "jitter"))
    GOLDEN.write_text("\n".join(short) + "\n")
    print("wrote", GOLDEN)
