"""Writes tests/golden/prepared.json: how timm's and transformers' own code prepares images for their published
ResNets, as FNV-1a hashes of the bytes before normalisation, with the configurations that lie beside the weights.

Images are noise from an integer formula (that of tests/data/pillow.py); of photographs in the folder given, the
hash of the decoded pixels is kept, too, since decoders differ. Nothing is downloaded.

Usage: python prepared.py [FOLDER OF PHOTOGRAPHS] > ../../tests/golden/prepared.json
Needs numpy, pillow==12.1.1, torch, torchvision, timm, transformers.
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
import PIL
import timm
import transformers
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models._hub import save_config_for_hf
from transformers import ResNetConfig
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil

TIMM = """resnet18.a1_in1k resnet18.a3_in1k resnet18.gluon_in1k resnet18.tv_in1k resnet18.fb_swsl_ig1b_ft_in1k
resnet34.bt_in1k resnet34.ra4_e3600_r224_in1k resnet50.a1_in1k resnet50.a1h_in1k resnet50.am_in1k
resnet50.ram_in1k resnet50.tv2_in1k resnet101.a1h_in1k resnet152.a2_in1k""".split()
# What no published ResNet has, but their form allows.
CHANGED = [
    ("resnet18.a1_in1k", {"crop_mode": "squash", "test_crop_pct": 0.9}),
    ("resnet18.a1_in1k", {"crop_mode": "border", "test_crop_pct": 0.95, "mean": (0.5, 0.3, 0.1)}),
    ("resnet18.tv_in1k", {"interpolation": "lanczos", "crop_pct": 0.8}),
    ("resnet18.tv_in1k", {"interpolation": "nearest", "input_size": (3, 160, 160)}),
]
# As in the repositories of microsoft/resnet-18 and microsoft/resnet-50, and variations of them.
TRANSFORMERS = [
    ("resnet18", {"feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": 0.875, "size": 224, "resample": 3}),
    ("resnet50", {"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875, "size": {"shortest_edge": 224}, "resample": 3}),
    ("resnet50", {"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.95, "size": {"shortest_edge": 288}, "resample": 2}),
    ("resnet50", {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}, "resample": 1}),
]
SIZES = [(500, 375), (375, 501), (257, 300), (231, 229), (100, 37), (640, 480), (33, 29), (224, 224), (289, 288)]
PHOTOGRAPHS = 8


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


def bytes_of(chw):
    chw = np.asarray(chw)
    assert chw.dtype == np.uint8 and chw.shape[0] == 3, (chw.dtype, chw.shape)
    return np.ascontiguousarray(chw.transpose(1, 2, 0)).tobytes()


def of_timm(name, changed):
    model = timm.create_model(name, pretrained=False)
    model.pretrained_cfg = {**model.pretrained_cfg, **changed}
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "config.json"
        save_config_for_hf(model, file)
        config = json.loads(file.read_text())
    how = resolve_data_config(pretrained_cfg=model.pretrained_cfg, use_test_size=True)
    transform = create_transform(**how, is_training=False, normalize=False)
    files = {"config.json": config}
    return config["architecture"], files, how["input_size"][1], lambda image: bytes_of(transform(image))


def of_transformers(arch, processor):
    blocks = {"resnet18": ([2, 2, 2, 2], "basic"), "resnet50": ([3, 4, 6, 3], "bottleneck")}[arch]
    names = {i: f"class number {i}" for i in range(10)}
    config = ResNetConfig(depths=blocks[0], layer_type=blocks[1], id2label=names).to_dict()
    keep = ["model_type", "depths", "layer_type", "id2label"]
    config = {key: config[key] for key in keep} | {"architectures": ["ResNetForImageClassification"]}
    processor = {"do_normalize": True, "do_resize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], **processor}
    size = processor["size"] if isinstance(processor["size"], dict) else {"shortest_edge": processor["size"]}
    own = ConvNextImageProcessorPil(size=size, resample=processor["resample"], crop_pct=processor.get("crop_pct", 224 / 256), do_rescale=False, do_normalize=False)
    files = {"config.json": config, "preprocessor_config.json": processor}
    return arch, files, size["shortest_edge"], lambda image: bytes_of(own(image)["pixel_values"][0])


made = [(name, of_timm(name, {})) for name in TIMM]
made += [(f"{name} {changed}", of_timm(name, changed)) for name, changed in CHANGED]
made += [(f"transformers {arch} {processor['size']}", of_transformers(arch, processor)) for arch, processor in TRANSFORMERS]
images = [{"size": [w, h], "pixels": noise(w, h)} for w, h in SIZES]
if len(sys.argv) > 1:
    folder = pathlib.Path(sys.argv[1])
    for file in sorted(folder.iterdir())[:PHOTOGRAPHS]:
        pixels = np.asarray(Image.open(file).convert("RGB"))
        images.append({"file": file.name, "decoded": fnv1a(pixels.tobytes()), "pixels": pixels})

cases = []
for name, (arch, files, side, prepare) in made:
    seen = [fnv1a(prepare(Image.fromarray(image["pixels"]))) for image in images]
    cases.append({"name": name, "arch": arch, "files": files, "side": side, "seen": seen})
    print(name, file=sys.stderr)
for image in images:
    del image["pixels"]


def lines(entries):
    return ",\n".join("  " + json.dumps(entry) for entry in entries)


versions = {"pillow": PIL.__version__, "timm": timm.__version__, "transformers": transformers.__version__}
print(f'{{"versions": {json.dumps(versions)},')
print(f'"images": [\n{lines(images)}\n],\n"cases": [\n{lines(cases)}\n]}}')
