"""Prepares a folder of images for the int8 contestants of time_peers.py: decoded, resized and cropped by Pillow.

    python photographs.py FOLDER IMAGES SIZE        needs pillow, numpy

Writes to FOLDER what everybody sees: `crops/00000.png`, .. in the order of their paths, `crops.u8` with the
same bytes, [n, size, size, 3], and `labels.json`: each image's class where `IMAGES/labels.csv` (columns `file`
and `class_index`) names it, else null. The shorter side becomes 256/224 of SIZE, but CIFAR's images keep theirs.
"""

import csv
import json
import pathlib
import sys

import numpy as np

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = 32


def files(images):
    """All images below a folder, in the order of their paths."""
    return sorted(p for p in images.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)


def crop(path, size):
    """The centre of an image, as it is stored (EXIF's orientation is not applied)."""
    from PIL import Image

    shorter = size if size == CIFAR else size * 256 // 224
    try:
        image = Image.open(path).convert("RGB")
    except OSError as error:
        sys.exit(f"{path}: no image that Pillow reads: {error}")
    scale = [int(shorter * side / min(image.size)) for side in image.size]
    image = image.resize(scale, Image.Resampling.BILINEAR)
    left, top = (round((side - size) / 2) for side in scale)
    return image.crop((left, top, left + size, top + size))


def labels(images, paths):
    table = images / "labels.csv"
    if not table.is_file():
        return [None] * len(paths)
    with open(table, newline="") as rows:
        known = {row["file"]: int(row["class_index"]) for row in csv.DictReader(rows)}
    return [known.get(path.name) for path in paths]


def count(folder):
    return len(json.loads((folder / "labels.json").read_text()))


def normalised(folder, size, indices):
    """The network's inputs, one after the other: float32, [1, 3, size, size]."""
    crops = np.memmap(folder / "crops.u8", np.uint8, "r").reshape(-1, size, size, 3)
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
    for i in indices:
        x = (crops[i].astype(np.float32) / np.float32(255) - mean) / std
        yield np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def main():
    folder, images, size = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    paths = files(images)
    if not paths:
        sys.exit(f"{images}: no images ({', '.join(SUFFIXES)}) in it")
    (folder / "crops").mkdir(parents=True, exist_ok=True)
    with open(folder / "crops.u8", "wb") as out:
        for i, path in enumerate(paths):
            image = crop(path, size)
            image.save(folder / "crops" / f"{i:05}.png", compress_level=1)
            out.write(image.tobytes())
    # The last file: it says that the others are there.
    (folder / "labels.json").write_text(json.dumps(labels(images, paths)))


if __name__ == "__main__":
    main()
