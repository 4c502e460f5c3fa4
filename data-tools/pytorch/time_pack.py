#!/usr/bin/env python3
"""Packing a folder of photographs: `resnet-data pack` against a script of Pillow and NumPy that does the same.

    python data-tools/pytorch/time_pack.py PHOTOS
    python data-tools/pytorch/time_pack.py PHOTOS --threads 2 --rounds 7 --repeat 4

PHOTOS is a folder of JPEGs, which are copied into class folders. Both sides read every image, decode it, keep the
bytes of those whose shorter side is at most 480, resize and encode the others (quality 95, 4:4:4), write a tar of
samples, and measure channel means and deviations, the mean of each pixel and the covariance of colours on the
centre crops (256, 224) of what they have stored. `--enlarge` resizes the photographs first, so that all of them
have to be encoded anew. The two take turns; the ratio is the median of the rounds', with the smallest and the
largest. The Pillow side uses one process a thread, or `--processes`. Wants numpy and pillow==12.1.1, and cargo build --release.
"""

import argparse
import io
import multiprocessing
import pathlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

import numpy as np
from PIL import Image, ImageOps

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = ROOT / "target" / "release" / "resnet-data"


def shortened(image, side):
    width, height = image.size
    size = (side, side * height // width) if width <= height else (side * width // height, side)
    return image.resize(size, Image.Resampling.BILINEAR)


def stored(path):
    """The bytes of an image as they are stored, and the centre crop of what they show."""
    data = path.read_bytes()
    image = Image.open(io.BytesIO(data))
    plain = image.format == "JPEG" and image.mode in ("L", "RGB") and image.getexif().get(274, 1) == 1
    image = ImageOps.exif_transpose(image).convert("RGB")
    if not plain or min(image.size) > 480:
        if min(image.size) > 480:
            image = shortened(image, 480)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=95, subsampling=0)
        data = buffer.getvalue()
        image = Image.open(io.BytesIO(data)).convert("RGB")
    image = shortened(image, 256)
    left, top = ((side - 224) // 2 for side in image.size)
    return data, np.asarray(image.crop((left, top, left + 224, top + 224)))


def measured(path):
    """What a process does with an image: its bytes, and the sums over it."""
    data, square = stored(path)
    pixels = square.reshape(-1, 3).astype(np.float64)
    return data, pixels.sum(0), pixels.T @ pixels, square


def pack(folder, out, threads):
    """Pillow's side."""
    classes = sorted(path.name for path in folder.iterdir())
    files = [(path, classes.index(path.parent.name)) for path in sorted(folder.glob("*/*"))]
    files = [files[i] for i in np.random.default_rng(0).permutation(len(files))]
    sums, products, mean = np.zeros(3), np.zeros((3, 3)), np.zeros((224, 224, 3), np.int64)
    out.mkdir()
    with tarfile.open(out / "train-000000.tar", "w", format=tarfile.USTAR_FORMAT) as tar:

        def take(results):
            nonlocal sums, products, mean
            for i, ((_, label), (data, first, second, square)) in enumerate(zip(files, results)):
                for name, content in ((f"{i:06}.jpg", data), (f"{i:06}.cls", b"%d" % label)):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
                sums, products, mean = sums + first, products + second, mean + square

        paths = [path for path, _ in files]
        if threads == 1:
            take(map(measured, paths))
        else:
            with multiprocessing.Pool(threads) as pool:
                take(pool.imap(measured, paths, chunksize=4))
    np.savez(out / "measured.npz", sums=sums, products=products, mean=mean / len(files))


def prepare(photos, folder, repeat, enlarge):
    found = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    for copy in range(repeat):
        for i, path in enumerate(found):
            place = folder / f"class{i % 4}" / f"{copy}-{path.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            if enlarge:
                shortened(Image.open(path).convert("RGB"), enlarge).save(place, quality=90)
            else:
                shutil.copyfile(path, place)
    return len(found) * repeat


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, help="processes of Pillow's side [default: --threads]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=1, help="copies of each photograph")
    parser.add_argument("--enlarge", type=int, metavar="SIDE", help="resize photographs to this shorter side first")
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    args = parser.parse_args()
    processes = args.processes or args.threads
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        images = prepare(args.photos, work / "in", args.repeat, args.enlarge)
        seconds = {"ours": [], "pillow": []}
        for number in range(args.rounds):
            ours, theirs = work / f"ours{number}", work / f"pillow{number}"
            command = [args.binary, "pack", work / "in", ours, "--val-split", "0", "-q", "-j", str(args.threads)]
            for name, run in (
                ("ours", lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)),
                ("pillow", lambda: pack(work / "in", theirs, processes)),
            ):
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
            print(number, *(f"{name} {times[-1]:.2f} s" for name, times in seconds.items()), file=sys.stderr)
            shutil.rmtree(ours)
            shutil.rmtree(theirs)
        ratios = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds["pillow"])]
        speeds = {name: images / statistics.median(times) for name, times in seconds.items()}
        print(
            f"{images} photographs, resnet-data with {args.threads} threads {speeds['ours']:.0f} images/s, Pillow in "
            f"{processes} processes {speeds['pillow']:.0f} images/s; {statistics.median(ratios):.2f}x "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
