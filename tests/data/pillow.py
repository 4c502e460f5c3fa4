"""Writes pillow.json: what Pillow's antialiased resize with each kernel, and torchvision's preprocessing
on top of the bilinear one, give for images of noise.

The images come from an integer formula that tests/data_pillow.rs repeats; of large results only
the FNV-1a hash is kept. Usage: python pillow.py > pillow.json (needs numpy and Pillow 12.1 or
older: later ones resize rows before columns where that is cheaper, which rounds differently).
"""

import json

import numpy as np
import PIL
from PIL import Image

# width, height, new width, new height
CASES = [
    (5, 4, 3, 2), (2, 2, 5, 3), (1, 1, 4, 2), (7, 3, 7, 2), (3, 7, 2, 7), (6, 5, 6, 5),
    (1, 9, 3, 4), (9, 1, 4, 3), (13, 11, 12, 10), (64, 64, 32, 32), (33, 17, 70, 50),
    (500, 375, 341, 256), (375, 500, 256, 341), (37, 41, 224, 248), (1000, 800, 10, 7),
    (1920, 1, 256, 3), (1, 1500, 2, 256), (257, 300, 256, 298), (255, 255, 256, 256),
    (999, 333, 768, 256), (640, 480, 1, 1), (1200, 1600, 256, 341), (31, 77, 480, 1194),
    (393, 425, 304, 69), (4, 41, 37, 2), (213, 383, 335, 289), (4, 830, 18, 163),
]

# width, height, shorter side (0: no resize), crop
PREPROCESS = [
    (500, 375, 256, 224), (375, 501, 256, 224), (257, 256, 256, 224), (256, 259, 256, 224),
    (32, 32, 32, 32), (40, 33, 32, 32), (100, 37, 32, 32), (20, 45, 0, 32), (29, 31, 0, 32),
    (1, 300, 256, 224), (299, 3, 24, 33), (51, 50, 0, 45), (52, 57, 0, 45), (10, 10, 10, 13),
]
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def noise(width, height):
    x = (np.arange(1, width * height * 3 + 1, dtype=np.uint64) * 2654435761) & 0xFFFFFFFF
    x ^= x >> np.uint64(15)
    x = (x * 2246822519) & 0xFFFFFFFF
    return ((x >> np.uint64(24)) & 255).astype(np.uint8).reshape(height, width, 3)


def fnv1a(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def preprocess(image, short, crop):
    """torchvision's Resize, CenterCrop, ToTensor, Normalize; NHWC."""
    image = Image.fromarray(image)
    w, h = image.size
    if short and min(w, h) != short:
        long = int(short * max(w, h) / min(w, h))
        image = image.resize((short, long) if w <= h else (long, short), Image.BILINEAR)
    w, h = image.size
    pad_w, pad_h = max(crop - w, 0), max(crop - h, 0)
    x = np.asarray(image)
    x = np.pad(x, ((pad_h // 2, (pad_h + 1) // 2), (pad_w // 2, (pad_w + 1) // 2), (0, 0)))
    h, w, _ = x.shape
    top, left = int(round((h - crop) / 2.0)), int(round((w - crop) / 2.0))
    x = x[top:top + crop, left:left + crop].astype(np.float32) / np.float32(255)
    return (x - MEAN) / STD


KERNELS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "nearest": Image.NEAREST, "lanczos": Image.LANCZOS}

cases = []
for kernel, number in KERNELS.items():
    for w, h, nw, nh in CASES:
        out = np.asarray(Image.fromarray(noise(w, h)).resize((nw, nh), number)).tobytes()
        case = {"interpolation": kernel, "from": [w, h], "to": [nw, nh], "fnv1a": fnv1a(out)}
        if len(out) <= 48:
            case["pixels"] = list(out)
        cases.append(case)
preprocessed = []
for w, h, short, crop in PREPROCESS:
    out = preprocess(noise(w, h), short, crop)
    assert out.dtype == np.float32 and out.shape == (crop, crop, 3)
    hashed = fnv1a(out.astype("<f4").tobytes())
    preprocessed.append({"from": [w, h], "resize": short, "crop": crop, "fnv1a": hashed})


def lines(entries):
    return ",\n".join("  " + json.dumps(entry) for entry in entries)


print(f'{{"pillow": "{PIL.__version__}", "numpy": "{np.__version__}",')
print(f'"resize": [\n{lines(cases)}\n],\n"preprocess": [\n{lines(preprocessed)}\n]}}')
