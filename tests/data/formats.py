"""Writes formats/ (a small image in every variant of every format) and formats.json: what Pillow
makes of each, and of a folder of real files.

What counts is `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`. Where our rule is another, or
Pillow reads nothing, the expected pixels are by our rule, and the case says so. Files that are to be
refused are called so. Of real files only the mean colours of 8 x 8 parts are kept.
Usage: python formats.py [FOLDER OF REAL FILES] (needs numpy and Pillow).
"""

import io
import json
import os
import struct
import sys
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps, features

from encoders import bits, bmp, chunk, frame, gif, png, riff, run_lengths, scanlines, tiff, u24

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "formats")
ORIENTATION = 274


def image(width, height):
    """A gradient, a disc and a little noise."""
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x * y * 5 + 90) % 256], 2)
    rgb[(x - width / 3) ** 2 + (y - height / 2) ** 2 < 16] = (230, 20, 60)
    noise = (np.arange(width * height * 3).reshape(rgb.shape) * 2654435761 >> 13) % 9 - 4
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


RGB = image(13, 11)
GREY = RGB[:, :, 1]
ALPHA = (np.arange(143).reshape(11, 13) * 37 % 256).astype(np.uint8)
ALPHA[2:4] = 0
DEEP = (RGB.astype(np.uint16) << 8) | RGB[::-1]
PHOTO = image(19, 17)
INDEX = (RGB[:, :, 0] // 17).astype(np.uint8)  # 0..15
PALETTE = [((i * 37) % 256, (i * 91 + 40) % 256, 255 - i * 16) for i in range(16)]
TURNED = image(5, 3)


def save(image, format, **options):
    """`image` is an array or Pillow's."""
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, format, **options)
    return file.getvalue()


def exif(orientation):
    e = Image.Exif()
    e[ORIENTATION] = orientation
    return e.tobytes()


# JPEG


def jpegs():
    photo = Image.fromarray(PHOTO)
    for name, sampling in [("444", 0), ("422", 1), ("420", 2)]:
        yield f"baseline-{name}", save(photo, "JPEG", quality=90, optimize=True, subsampling=sampling)
        yield f"progressive-{name}", save(
            photo, "JPEG", quality=90, optimize=True, subsampling=sampling, progressive=True)
    yield "quality-20", save(photo, "JPEG", quality=20)
    yield "restarts", save(photo, "JPEG", restart_marker_blocks=1)
    yield "rgb", save(photo, "JPEG", quality=90, optimize=True, keep_rgb=True)
    yield "grey", save(photo.convert("L"), "JPEG", quality=90, optimize=True)
    yield "grey-progressive", save(photo.convert("L"), "JPEG", quality=90, optimize=True, progressive=True)
    cmyk = Image.fromarray(np.dstack([PHOTO, PHOTO[::-1, :, 1] // 2]), "CMYK")
    for name, options in [("", {}), ("-progressive", {"progressive": True})]:
        data = save(cmyk, "JPEG", quality=90, optimize=True, **options)
        yield f"cmyk-adobe{name}", data
        at = data.index(b"Adobe")
        yield f"cmyk-bare{name}", data[:at - 4] + data[at + 12:]
        yield f"ycck{name}", data[:at + 11] + b"\2" + data[at + 12:]
    plain = save(photo, "JPEG", quality=90, optimize=True)
    yield "with-a-tail", plain + b"what follows the image"
    for i in range(1, 9):
        yield f"orientation-{i}", save(TURNED, "JPEG", quality=95, optimize=True, subsampling=0, exif=exif(i))
    big_endian = b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    yield "orientation-big-endian", save(TURNED, "JPEG", quality=95, optimize=True, exif=big_endian)
    yield "exif-damaged", save(TURNED, "JPEG", quality=95, optimize=True, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    sof = plain.index(b"\xff\xc0")
    patched = lambda at, byte: plain[:at] + bytes([byte]) + plain[at + 1:]
    yield "refused-12-bit", patched(sof + 4, 12)
    yield "refused-arithmetic", patched(sof + 1, 0xC9)
    yield "refused-lossless", patched(sof + 1, 0xC3)
    yield "refused-cut", plain[:-40]
    yield "refused-no-pixels", plain[:sof + 5] + bytes(4) + plain[sof + 9:]


# PNG


def pngs():
    deep_grey, deep_alpha = DEEP[:, :, 1], ALPHA.astype(np.uint16) * 255
    colours = {
        "grey": (0, GREY, deep_grey),
        "rgb": (2, RGB, DEEP),
        "grey-alpha": (4, np.dstack([GREY, ALPHA]), np.dstack([deep_grey, deep_alpha])),
        "rgba": (6, np.dstack([RGB, ALPHA]), np.dstack([DEEP, deep_alpha])),
    }
    for interlaced in [False, True]:
        adam7 = "-interlaced" if interlaced else ""
        for name, (colour, shallow, deep) in colours.items():
            yield f"{name}-8{adam7}", png(shallow, 8, colour, interlaced=interlaced)
            yield f"{name}-16{adam7}", png(deep, 16, colour, interlaced=interlaced)
        for depth in [1, 2, 4]:
            yield f"grey-{depth}{adam7}", png(GREY >> (8 - depth), depth, 0, interlaced=interlaced)
            yield f"palette-{depth}{adam7}", png(
                INDEX >> (4 - depth), depth, 3, interlaced=interlaced, palette=PALETTE[:1 << depth])
        yield f"palette-8{adam7}", png(INDEX, 8, 3, interlaced=interlaced, palette=PALETTE)
    trns = lambda *values: chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))
    yield "grey-4-transparent", png(GREY >> 4, 4, 0, trns(5))
    yield "grey-8-transparent", png(GREY, 8, 0, trns(int(GREY[3, 3])))
    yield "rgb-8-transparent", png(RGB, 8, 2, trns(*map(int, RGB[3, 3])))
    yield "rgb-16-transparent", png(DEEP, 16, 2, trns(*map(int, DEEP[3, 3])))
    yield "palette-transparent", png(
        INDEX, 8, 3, chunk(b"tRNS", bytes(range(0, 160, 10))), palette=PALETTE)
    yield "palette-short", png(INDEX, 8, 3, palette=PALETTE[:12])
    for i in [1, 5, 6, 8]:
        e = chunk(b"eXIf", exif(i)[6:])
        yield f"orientation-{i}", png(TURNED, 8, 2, e)
    frame = lambda n, w, h: chunk(b"fcTL", struct.pack(">IIIIIHHBB", n, w, h, 0, 0, 1, 10, 0, 0))
    more = chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(scanlines(255 - RGB, 8)))
    actl = chunk(b"acTL", struct.pack(">II", 2, 0))
    yield "animated", png(RGB, 8, 2, actl + frame(0, 13, 11), frame(1, 13, 11) + more)
    actl = chunk(b"acTL", struct.pack(">II", 1, 0))
    more = chunk(b"fdAT", struct.pack(">I", 1) + zlib.compress(scanlines(255 - RGB, 8)))
    yield "animated-still-apart", png(RGB, 8, 2, actl, frame(0, 13, 11) + more)
    plain = png(RGB, 8, 2)
    yield "refused-cut", plain[:len(plain) * 2 // 3]
    yield "refused-checksum", plain[:80] + bytes([plain[80] ^ 1]) + plain[81:]
    huge = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    yield "refused-huge", plain[:8] + huge + plain[33:]
    bomb = chunk(b"IHDR", struct.pack(">IIBBBBB", 16_384, 16_384, 16, 6, 0, 0, 0))
    yield "refused-bomb", plain[:8] + bomb + plain[33:]


# GIF


def gifs():
    whole, full = INDEX, (13, 11)
    yield "global-palette", gif(full, [frame(whole)], PALETTE)
    yield "local-palette", gif(full, [frame(whole, local=PALETTE[::-1])], PALETTE)
    yield "only-local-palette", gif(full, [frame(whole, local=PALETTE[::-1])], None)
    yield "refused-no-palette", gif(full, [frame(whole)], None)
    yield "short-palette", gif(full, [frame(whole)], PALETTE[:8])
    yield "interlaced", gif(full, [frame(whole, interlaced=True)], PALETTE)
    yield "transparent", gif(full, [frame(whole, transparent=5)], PALETTE)
    yield "animated", gif(full, [frame(whole), frame(15 - whole)], PALETTE)
    part = whole[2:8, 3:9]
    yield "part", gif(full, [frame(part, at=(3, 2))], PALETTE, background=7)
    yield "part-transparent", gif(full, [frame(part, at=(3, 2), transparent=9)], PALETTE, background=7)
    yield "part-local", gif(full, [frame(part, at=(3, 2), local=PALETTE[::-1])], PALETTE, background=7)
    yield "beyond-the-screen", gif((8, 7), [frame(whole[:6, :6], at=(4, 3))], PALETTE)
    yield "large", save(Image.fromarray(PHOTO).quantize(200), "GIF")
    plain = gif(full, [frame(whole)], PALETTE)
    yield "refused-cut", plain[:-60]
    yield "refused-no-frame", gif(full, [], PALETTE)
    yield "refused-huge", gif((65_535, 65_535), [frame(whole)], PALETTE)
    yield "refused-huge-frame", gif(full, [frame(whole, at=(65_000, 3))], PALETTE)


# WebP


def webps():
    rgba = np.dstack([RGB, ALPHA])
    photo = Image.fromarray(PHOTO)
    soft = Image.fromarray(np.dstack([PHOTO, PHOTO[:, :, 1]]))
    yield "lossy", save(photo, "WEBP", quality=90)
    yield "lossy-quality-20", save(photo, "WEBP", quality=20)
    yield "lossy-alpha", save(soft, "WEBP", quality=90, exact=True)
    yield "lossless", save(RGB, "WEBP", lossless=True)
    yield "lossless-alpha", save(rgba, "WEBP", lossless=True, exact=True)
    for i in [1, 5, 6, 8]:
        yield f"orientation-{i}", save(TURNED, "WEBP", lossless=True, exif=exif(i))
    second = [Image.fromarray(255 - RGB)]
    yield "animated", save(
        Image.fromarray(RGB), "WEBP", lossless=True, save_all=True, append_images=second)
    second = [Image.fromarray(255 - PHOTO)]
    yield "animated-lossy", save(photo, "WEBP", quality=90, save_all=True, append_images=second)
    second = [Image.fromarray(np.dstack([255 - RGB, ALPHA]))]
    yield "animated-alpha", save(
        Image.fromarray(rgba), "WEBP", lossless=True, exact=True, save_all=True, append_images=second)
    still = save(rgba, "WEBP", lossless=True, exact=True)
    at = still.index(b"VP8L")
    vp8l = still[at + 8:at + 8 + struct.unpack("<I", still[at + 4:at + 8])[0]]
    for name, how in [("", 0), ("-overwriting", 2)]:
        anmf = u24(1, 2, 12, 10, 100) + bytes([how]) + b"VP8L" + struct.pack("<I", len(vp8l)) + vp8l
        anmf += b"\0" * (len(vp8l) % 2)
        yield f"animated-part{name}", riff(
            (b"VP8X", bytes([0x12, 0, 0, 0]) + u24(17, 18)),
            (b"ANIM", bytes([10, 200, 30, 255, 0, 0])), (b"ANMF", anmf))
    plain = save(photo, "WEBP", quality=90)
    yield "refused-cut", plain[:len(plain) * 2 // 3]


# BMP


def bmps():
    size = dict(size=(13, 11))
    for depth in [1, 4, 8]:
        rows = bits(INDEX >> max(4 - depth, 0), depth)
        palette = PALETTE[:1 << depth]
        yield f"palette-{depth}", bmp(rows, depth, palette=palette, **size)
        yield f"palette-{depth}-os2", bmp(
            rows, depth, header=12, palette=palette + [(0, 0, 0)] * ((1 << depth) - len(palette)), **size)
    yield "rle-8", bmp(None, 8, compression=1, palette=PALETTE, data=run_lengths(INDEX, False), **size)
    yield "rle-4", bmp(None, 4, compression=2, palette=PALETTE, data=run_lengths(INDEX, True), **size)
    jump = bytes([3, 1, 0, 2, 4, 2, 5, 9, 0, 0, 2, 7, 0, 1])
    yield "rle-8-jump", bmp(None, 8, compression=1, palette=PALETTE, data=jump, **size)
    r, g, b = (RGB[:, :, i].astype(np.uint16) for i in range(3))
    yield "rgb-555", bmp((r >> 3 << 10 | g >> 3 << 5 | b >> 3).astype("<u2"), 16, **size)
    yield "rgb-565", bmp((r >> 3 << 11 | g >> 2 << 5 | b >> 3).astype("<u2"), 16, compression=3,
                         masks=(0xF800, 0x7E0, 0x1F), **size)
    bgr = np.ascontiguousarray(RGB[:, :, ::-1])
    yield "rgb-24", bmp(bgr, 24, **size)
    yield "rgb-24-os2", bmp(bgr, 24, header=12, **size)
    yield "rgb-24-top-down", bmp(bgr, 24, top_down=True, **size)
    bgra = np.dstack([bgr, ALPHA])
    yield "rgb-32", bmp(bgra, 32, **size)
    yield "rgba-32-v5", bmp(bgra, 32, header=124, compression=3,
                            masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000), **size)
    plain = bmp(bgr, 24, **size)
    yield "refused-cut", plain[:-100]
    yield "refused-huge", plain[:18] + struct.pack("<ii", 3_000_000, 2_000_000) + plain[26:]


# TIFF


def tiffs():
    rgba = np.dstack([RGB, ALPHA])
    grey, rgb = Image.fromarray(GREY), Image.fromarray(RGB)
    bilevel = GREY >> 7
    yield "bilevel", tiff(bilevel, 1, 1)
    yield "bilevel-white-is-zero", tiff(bilevel, 1, 0)
    yield "refused-grey-4", tiff(GREY >> 4, 4, 1)
    yield "grey-8", tiff(GREY, 8, 1)
    yield "grey-8-white-is-zero", tiff(GREY, 8, 0)
    yield "grey-16", tiff(DEEP[:, :, 1], 16, 1)
    yield "grey-16-big-endian", tiff(DEEP[:, :, 1], 16, 1, ">")
    yield "refused-grey-alpha", tiff(np.dstack([GREY, ALPHA]), 8, 1, tags=[(338, 3, [2])])
    yield "refused-palette", save(Image.fromarray(PHOTO).quantize(16), "TIFF")
    yield "rgb-8", tiff(RGB, 8, 2)
    yield "rgb-8-big-endian", tiff(RGB, 8, 2, ">")
    yield "rgb-8-planar", tiff(RGB, 8, 2, planar=2)
    yield "rgb-8-tiles", tiff(RGB, 8, 2, tile=16)
    yield "rgb-16", tiff(DEEP, 16, 2)
    yield "rgba-8", tiff(rgba, 8, 2, tags=[(338, 3, [2])])
    yield "rgba-8-premultiplied", tiff(np.dstack([RGB // 2, ALPHA | 128]), 8, 2, tags=[(338, 3, [1])])
    yield "rgbx-8", tiff(rgba, 8, 2, tags=[(338, 3, [0])])
    yield "cmyk-8", tiff(np.dstack([RGB, GREY[::-1] // 2]), 8, 5)
    yield "refused-float-grey", tiff((GREY / np.float32(200) - np.float32(0.1)), 32, 1, sample_format=3)
    yield "float-rgb", tiff((RGB / np.float32(200) - np.float32(0.1)), 32, 2, sample_format=3)
    for name in ["tiff_lzw", "tiff_adobe_deflate", "packbits"]:
        yield f"rgb-{name.removeprefix('tiff_')}", save(rgb, "TIFF", compression=name)
    yield "rgb-lzw-predictor", save(rgb, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "grey-jpeg", save(Image.fromarray(PHOTO[:, :, 1]), "TIFF", compression="jpeg", quality=90)
    yield "rgb-jpeg", save(Image.fromarray(PHOTO), "TIFF", compression="jpeg", quality=90)
    yield "group4", save(Image.fromarray(bilevel.astype(bool)), "TIFF", compression="group4")
    yield "big", save(rgb, "TIFF", big_tiff=True)
    yield "pages", save(rgb, "TIFF", save_all=True, append_images=[Image.fromarray(255 - RGB)])
    for i in range(1, 9):
        yield f"orientation-{i}", tiff(TURNED, 8, 2, tags=[(274, 3, [i])])
    yield "refused-cut", tiff(RGB, 8, 2)[:-120]
    plain = tiff(RGB, 8, 2)
    huge = plain.replace(struct.pack("<HHII", 256, 4, 1, 13), struct.pack("<HHII", 256, 4, 1, 1 << 30))
    yield "refused-huge", huge


def by_rule(name):
    """Expected pixels where our rule is another than Pillow's; docs/formats.md says why."""
    grey = lambda values: np.repeat(values[:, :, None], 3, 2)
    unit = lambda values: np.floor(np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)

    def runs_and_jumps():
        rgb = np.zeros((11, 13, 3), np.uint8)
        rgb[10, 0:3], rgb[8, 7:12], rgb[7, 0:2] = PALETTE[1], PALETTE[9], PALETTE[7]
        return rgb

    if name.startswith(("png/grey-16", "tiff/grey-16")):
        return grey(np.round(DEEP[:, :, 1] / 257).astype(np.uint8))
    return {
        "tiff/float-rgb.tif": lambda: unit(RGB / np.float32(200) - np.float32(0.1)),
        "tiff/rgba-8-premultiplied.tif": lambda: RGB // 2,
        "bmp/rle-8-jump.bmp": runs_and_jumps,
    }.get(name, lambda: None)()


def pillow(data):
    """What Pillow makes of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def cells(rgb):
    """The mean colours of 8 x 8 parts."""
    cut = lambda length: [length * i // 8 for i in range(9)]
    ys, xs = cut(rgb.shape[0]), cut(rgb.shape[1])
    means = [rgb[ys[j]:ys[j + 1], xs[i]:xs[i + 1]].mean((0, 1)) for j in range(8) for i in range(8)]
    return [round(float(value), 1) for value in np.concatenate(means)]


def lines(entries):
    return ",\n".join("  " + json.dumps(entry) for entry in entries)


def main():
    images, cases = {}, []
    for folder, suffix, files in [("jpeg", "jpg", jpegs()), ("png", "png", pngs()), ("gif", "gif", gifs()),
                                  ("webp", "webp", webps()), ("bmp", "bmp", bmps()), ("tiff", "tif", tiffs())]:
        os.makedirs(os.path.join(OUT, folder), exist_ok=True)
        for name, data in files:
            file = f"{folder}/{name}.{suffix}"
            with open(os.path.join(OUT, file), "wb") as out:
                out.write(data)
            if name.startswith("refused"):
                continue
            rule = by_rule(file)
            rgb = pillow(data) if rule is None else rule
            pixels = images.setdefault(rgb.tobytes().hex(), len(images))
            cases.append({"file": file, "by": "Pillow" if rule is None else "rule",
                          "size": [rgb.shape[1], rgb.shape[0]], "pixels": pixels})
    real = []
    for folder, _, files in os.walk(sys.argv[1]) if len(sys.argv) > 1 else ():
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                data = f.read()
            try:
                rgb = pillow(data)
            except (OSError, Image.DecompressionBombError):
                continue
            real.append({"file": os.path.relpath(path, sys.argv[1]).replace(os.sep, "/"),
                         "size": [rgb.shape[1], rgb.shape[0]], "cells": cells(rgb)})
    versions = {"pillow": PIL.__version__} | {name: features.version(name) for name in ["jpg", "webp", "libtiff"]}
    with open(os.path.join(HERE, "formats.json"), "w") as out:
        out.write(f'{{"versions": {json.dumps(versions)},\n"cases": [\n{lines(cases)}\n],\n')
        out.write(f'"images": [\n{lines(images)}\n],\n')
        out.write(f'"real": [\n{lines(sorted(real, key=lambda entry: entry["file"]))}\n]}}\n')


main()
