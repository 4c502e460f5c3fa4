"""Writes turbo.json: small JPEGs of each subsampling, baseline and progressive, some damaged, and the FNV-1a hash of
the pixels that Pillow finds in them. Pillow decodes by libjpeg-turbo, so our optional decoder has to find the same.

Usage: python turbo.py > turbo.json (needs numpy and Pillow).
"""

import io
import json

import numpy as np
from PIL import Image, features

SIZES = [(37, 29), (16, 16), (1, 1), (3, 50), (65, 33)]


def picture(width, height):
    y, x = np.mgrid[:height, :width]
    noise = (x * 7919 + y * 104729) % 23
    return np.stack([(x * 5 + noise) % 256, (y * 6 + noise * 2) % 256, (x * 3 + y * 4) % 256], -1).astype(np.uint8)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def encoded(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def main():
    cases = []

    def add(name, data):
        with Image.open(io.BytesIO(data)) as image:
            pixels = image.convert("RGB")
        cases.append({"name": name, "jpeg": data.hex(), "size": pixels.size, "fnv1a": fnv1a(pixels.tobytes())})

    for width, height in SIZES:
        image = Image.fromarray(picture(width, height))
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            for progressive in (False, True):
                data = encoded(image, quality=85, subsampling=subsampling, progressive=progressive)
                add(f"{width}x{height} {subsampling} {'progressive' if progressive else 'baseline'}", data)
        add(f"{width}x{height} grey", encoded(image.convert("L"), quality=85))
    image = Image.fromarray(picture(40, 30))
    add("restarts", encoded(image, quality=85, subsampling="4:2:0", restart_marker_blocks=2))
    add("optimized", encoded(image, quality=98, subsampling="4:4:4", optimize=True))
    print(json.dumps({"libjpeg_turbo": features.version("libjpeg_turbo"), "cases": cases}, indent=1))


main()
