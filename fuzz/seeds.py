"""Writes the seeds of the fuzz targets to fuzz/seeds/TARGET/, small valid files of every kind. (Those of
`torch` are the pickles in the files of tests/torch_files/data/, which are seeds too.)

Usage: python fuzz/seeds.py [CHECKPOINT] (needs Pillow and NumPy). The header of CHECKPOINT, a run's
last.safetensors of resnet20, becomes a seed of `weights`.
"""

import gzip
import io
import json
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent / "seeds"


def put(target, name, data):
    path = ROOT / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def quantised():
    """The header of a resnet20 in 8 bits."""
    convs = [("conv1", 16, 3)]
    for layer, (width, before) in enumerate([(16, 16), (32, 16), (64, 32)], 1):
        for block in range(3):
            convs.append((f"layer{layer}.{block}.conv1", width, before if block == 0 else width))
            convs.append((f"layer{layer}.{block}.conv2", width, width))
    one, byte = np.array([0.02], np.float32), np.zeros(1, np.uint8)
    tensors = {
        "input.factor": np.full(3, 58, np.float32),
        "input.offset": np.full(3, 124, np.float32),
        "fc.weight_scale": np.ones(10, np.float32),
        "fc.bias": np.zeros(10, np.float32),
        "fc.input_scale": one,
    }
    for name, out, _ in convs:
        tensors[f"{name}.weight_scale"] = np.ones(out, np.float32)
        tensors[f"{name}.bias"] = np.zeros(out, np.float32)
        tensors[f"{name}.output_scale"] = one
    tensors["input.padding"] = np.full(3, 124, np.uint8)
    for name, out, channels in convs:
        tensors[f"{name}.weight"] = np.zeros((out, channels, 3, 3), np.int8)
        tensors[f"{name}.output_zero_point"] = byte
    tensors["fc.weight"] = np.zeros((10, 64), np.int8)
    tensors["fc.input_zero_point"] = byte
    kinds = {"float32": "F32", "int8": "I8", "uint8": "U8"}
    header = {"__metadata__": {"resnet_cpu.arch": "resnet20", "resnet_cpu.shortcut": "a", "resnet_cpu.quantized": "u8i8"}}
    start = 0
    for name, values in tensors.items():
        end = start + values.nbytes
        header[name] = {"dtype": kinds[values.dtype.name], "shape": values.shape, "data_offsets": [start, end]}
        start = end
    put("weights", "quantised_resnet20", json.dumps(header).encode())


def images():
    y, x = np.mgrid[:13, :19]
    rgb = Image.fromarray(np.stack([x * 13, y * 19, (x * y) % 256], 2).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    modes = {mode: rgb.convert(mode) for mode in ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"]}
    deep = Image.fromarray((x * 3000 + y).astype(np.uint16))
    frames = dict(save_all=True, append_images=[rgb.rotate(180)])

    jpeg = lambda name, mode, **options: put("image", f"{name}.jpg", saved(modes[mode], "JPEG", **options))
    jpeg("baseline", "RGB", exif=exif)
    jpeg("444", "RGB", subsampling=0, quality=95)
    jpeg("progressive", "RGB", progressive=True)
    jpeg("restart", "RGB", restart_marker_blocks=1)
    jpeg("grey", "L")
    jpeg("cmyk", "CMYK")

    for mode, image in modes.items():
        if mode != "CMYK":
            put("image", f"{mode.lower()}.png", saved(image, "PNG", optimize=True))
    put("image", "16bit.png", saved(deep, "PNG"))
    put("image", "exif.png", saved(rgb, "PNG", exif=exif))
    put("image", "plain.gif", saved(modes["P"], "GIF"))
    put("image", "frames.gif", saved(rgb, "GIF", interlace=True, transparency=0, **frames))
    put("image", "lossy.webp", saved(rgb, "WEBP", exif=exif))
    put("image", "lossless.webp", saved(modes["RGBA"], "WEBP", lossless=True))
    put("image", "alpha.webp", saved(modes["RGBA"], "WEBP", quality=30))
    put("image", "frames.webp", saved(rgb, "WEBP", **frames))
    for mode in ["1", "L", "P", "RGB", "RGBA"]:
        put("image", f"{mode.lower()}.bmp", saved(modes[mode], "BMP"))
    put("image", "rle.bmp", run_length_bmp())
    for compression in ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"]:
        put("image", f"{compression}.tif", saved(rgb, "TIFF", compression=compression))
    put("image", "fax.tif", saved(modes["1"], "TIFF", compression="group4"))
    put("image", "cmyk.tif", saved(modes["CMYK"], "TIFF"))
    put("image", "16bit.tif", saved(deep, "TIFF"))
    put("image", "float.tif", saved(rgb.convert("F"), "TIFF"))


def run_length_bmp():
    rows = bytes([4, 1, 0, 0, 0, 3, 1, 0, 1, 0, 0, 0, 0, 2, 1, 1, 4, 0, 0, 1])
    palette = bytes([0, 0, 0, 0, 255, 128, 7, 0])
    offset = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 8, 1, len(rows), 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + info + palette + rows


def tensors(entries, metadata):
    """A safetensors header. Entries: name, type, shape, bytes an element."""
    header, start = {"__metadata__": metadata} if metadata else {}, 0
    for name, dtype, shape, size in entries:
        end = start + size * int(np.prod(shape, dtype=int))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
        start = end
    return json.dumps(header, separators=(",", ":")).encode(), start


def resnet20():
    def conv(name, norm, channels, before, kernel):
        yield f"{name}.weight", "F16", [channels, before, kernel, kernel], 2
        for field in ["weight", "bias", "running_mean", "running_var"]:
            yield f"{norm}.{field}", "F16", [channels], 2
        yield f"{norm}.num_batches_tracked", "I64", [], 8

    yield from conv("conv1", "bn1", 16, 3, 3)
    before = 16
    for stage in [1, 2, 3]:
        channels = 8 << stage
        for block in range(3):
            for index in [1, 2]:
                at = f"layer{stage}.{block}."
                yield from conv(f"{at}conv{index}", f"{at}bn{index}", channels, before, 3)
                before = channels
    yield "fc.weight", "F16", [10, 64], 2
    yield "fc.bias", "F16", [10], 2


def weights(checkpoint):
    types = [("F32", 4), ("F16", 2), ("BF16", 2), ("F64", 8), ("I64", 8), ("U8", 1)]
    small = [(f"tensor.{name}", name, [2, 3], size) for name, size in types]
    start = [entry for entry in resnet20() if entry[0].startswith(("conv1", "bn1"))]
    stated = {
        "resnet_cpu.arch": "resnet20", "resnet_cpu.shortcut": "a", "resnet_cpu.mean": "0.5,0.5,0.5",
        "resnet_cpu.std": "1,1,1", "resnet_cpu.resize": "32", "resnet_cpu.crop": "32",
        "resnet_cpu.classes": json.dumps([f"class {i}" for i in range(10)]),
    }
    mean = [("resnet_cpu.pixel_mean", "F32", [2, 2, 3], 4)]
    for name, entries, metadata in [
        ("empty", [], {}),
        ("types", small, {"format": "pt"}),
        ("start", start, stated),
        ("mean", mean, {"resnet_cpu.crop": "2"}),
        ("whole", list(resnet20()), stated),
    ]:
        header, size = tensors(entries, metadata)
        put("weights", name, header)
        if size < 4096:
            values = np.arange(size, dtype=np.uint8).tobytes()
            put("safetensors", name, struct.pack("<Q", len(header)) + header + values)
    if checkpoint:
        data = Path(checkpoint).read_bytes()
        header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
        put("weights", "checkpoint", json.dumps(header, separators=(",", ":")).encode())
        only = {"__metadata__": header["__metadata__"]}
        put("weights", "run", json.dumps(only, separators=(",", ":")).encode())


def pickles():
    for path in (ROOT / "../../tests/torch_files/data").glob("zip_[!w]*.pth"):
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            put("torch", f"{path.stem}.pkl", archive.read(name))


def small_sets():
    record = lambda label: bytes([label]) + bytes(i % 251 for i in range(3072))
    put("cifar", "one", record(9))
    put("cifar", "two", record(0) + record(5))
    put("cifar", "label", record(10))

    labels = b"\0\0\x08\x01" + struct.pack(">I", 3) + bytes([1, 0, 1])
    images = b"\0\0\x08\x03" + struct.pack(">III", 3, 2, 5) + bytes(range(30))
    for flags in range(4):
        put("idx", f"zipped{flags}", bytes([flags, len(labels)]) + labels + images)
    put("idx", "gzip", bytes([0, len(labels)]) + labels + gzip.compress(images, mtime=0))


def shards():
    image = (ROOT / "image" / "444.jpg").read_bytes()

    def shard(name, files, **options):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", **options) as tar:
            for path, content in files:
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        # Padded to 10 kB otherwise.
        end = out.getvalue().rstrip(b"\0")
        put("tar", name, end + bytes(-len(end) % 512 + 1024))

    ustar = dict(format=tarfile.USTAR_FORMAT)
    shard("classes", [("000000.jpg", image), ("000000.cls", b"1"), ("000001.jpg", b"x"), ("000001.cls", b"0")], **ustar)
    shard("json", [("a/b.txt", b"text"), ("a/b.json", b'{"label": 3}'), ("a/b.png", b"x" * 600)], **ustar)
    shard("raw", [("0.ppm", b"P6\n1 1\n255\nabc"), ("0.cls", b"12\n")], **ustar)
    long = "n" * 120
    shard("gnu", [(f"{long}.jpg", b"x"), (f"{long}.cls", b"2")], format=tarfile.GNU_FORMAT)
    shard("pax", [(f"{long}\u00fc.webp", b"x"), (f"{long}\u00fc.cls", b"2")], format=tarfile.PAX_FORMAT)

    # Without checksums, which the targets add.
    record = lambda offset, length, label, flags: struct.pack("<QIIII", offset, length, label, 7, flags)
    header = lambda records, size: b"RCPUIDX1" + struct.pack("<QQI", records, size, 5)
    put("index", "empty", header(0, 1024))
    put("index", "two", header(2, 5120) + record(512, 100, 1, 2) + record(2048, 513, 0, 1))

    manifest = {
        "format": "resnet-cpu shards",
        "version": 1,
        "classes": ["ant", "bee"],
        "splits": {
            "train": {
                "images": 3,
                "shards": [{"name": "train-000000.tar", "records": 3, "bytes": 5120, "crc32c": "00000007"}],
                "skipped": [{"image": "a.jpg", "reason": "truncated"}],
            }
        },
        "pack": {"quality": 95},
        "statistics": [],
    }
    put("dataset", "packed", json.dumps(manifest, indent=2).removeprefix("{\n").encode() + b"\n")
    manifest["splits"] = {}
    put("dataset", "empty", json.dumps(manifest, indent=2).removeprefix("{\n").encode() + b"\n")


images()
quantised()
weights(sys.argv[1] if len(sys.argv) > 1 else None)
small_sets()
pickles()
shards()
