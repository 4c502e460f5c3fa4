"""Writes resize_pillow.json: what Pillow's antialiased bilinear resize gives for pictures of noise.

The pictures come from an integer formula that tests/data_resize.rs repeats; of large results only
the FNV-1a hash is kept. Usage: python resize_pillow.py > resize_pillow.json (needs Pillow, numpy)
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
]


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


cases = []
for w, h, nw, nh in CASES:
    out = np.asarray(Image.fromarray(noise(w, h)).resize((nw, nh), Image.BILINEAR)).tobytes()
    case = {"from": [w, h], "to": [nw, nh], "fnv1a": fnv1a(out)}
    if len(out) <= 48:
        case["pixels"] = list(out)
    cases.append(case)
lines = ",\n".join("  " + json.dumps(c) for c in cases)
print(f'{{"pillow": "{PIL.__version__}", "numpy": "{np.__version__}", "cases": [\n{lines}\n]}}')
