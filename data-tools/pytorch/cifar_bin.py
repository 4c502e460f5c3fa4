"""Writes CIFAR-10's binary records of a folder of 32 x 32 images, one folder a class.

    python cifar_bin.py IMAGES OUT     IMAGES/{train,test}/CLASS/* -> OUT/{train,test}.bin

JPEG decoders differ by a unit here and there; records give both sides of a comparison the same pixels.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        classes = sorted(folder for folder in (args.images / split).iterdir() if folder.is_dir())
        count = 0
        with open(args.out / f"{split}.bin", "wb") as out:
            for label, folder in enumerate(classes):
                for file in sorted(folder.iterdir()):
                    pixels = np.asarray(Image.open(file).convert("RGB"))
                    assert pixels.shape == (32, 32, 3), f"{file}: {pixels.shape}"
                    out.write(bytes([label]) + pixels.transpose(2, 0, 1).tobytes())
                    count += 1
        print(f"{split}: {count} images of {', '.join(folder.name for folder in classes)}")


if __name__ == "__main__":
    main()
