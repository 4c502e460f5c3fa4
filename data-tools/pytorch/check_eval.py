"""Does `resnet-cpu eval` find what torchvision finds? Top-1, top-5 and loss of class folders on both sides.

    resnet-cpu eval FOLDER --weights F --json > center.json
    resnet-cpu eval FOLDER --weights F --crops ten --json > ten.json
    python check_eval.py FOLDER F center.json ten.json

F holds a torchvision ResNet of ImageNet's 1,000 classes (safetensors); FOLDER has a folder of images for each
class, called by its WordNet id. With `--photographs DIR` FOLDER is made first, of links: DIR holds `labels.csv`
(file, wnid, ...) and `images/`. Images are decoded and resized by Pillow, so their pixels differ a little where
they are JPEGs. Prints both sides of each file. Exits 1 if a count differs or a loss does by more than 0.005.
"""

import argparse
import csv
import json
import pathlib
import sys

import torch
import torchvision
from PIL import Image, ImageOps
from torchvision.transforms import functional as F

from runs import weights

SYNSETS = pathlib.Path(__file__).resolve().parents[2] / "src" / "infer" / "imagenet_synsets.txt"
RESIZE, CROP = 256, 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TOLERANCE = 0.005


def link(photographs, folder):
    with open(photographs / "labels.csv", newline="") as rows:
        for row in csv.DictReader(rows):
            to = folder / row["wnid"] / row["file"]
            to.parent.mkdir(parents=True, exist_ok=True)
            if not to.exists():
                to.symlink_to((photographs / "images" / row["file"]).resolve())


def crops(path, which):
    """The network's inputs of an image, [crops, 3, 224, 224]."""
    image = F.resize(ImageOps.exif_transpose(Image.open(path)).convert("RGB"), RESIZE)
    squares = [F.center_crop(image, CROP)] if which == "center" else F.ten_crop(image, CROP)
    return torch.stack([F.normalize(F.to_tensor(square), MEAN, STD) for square in squares])


def measure(net, images, which):
    """Right, right among five, and mean loss, of probabilities averaged over crops."""
    top1, top5, loss = 0, 0, 0.0
    for path, label in images:
        with torch.inference_mode():
            mean = net(crops(path, which)).double().softmax(1).mean(0)
        order = mean.argsort(descending=True, stable=True)[:5].tolist()
        top1, top5 = top1 + (order[0] == label), top5 + (label in order)
        loss -= mean[label].log().item()
    return top1, top5, loss / len(images)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("results", type=pathlib.Path, nargs="*")
    parser.add_argument("--photographs", type=pathlib.Path)
    args = parser.parse_args()
    if args.photographs:
        link(args.photographs, args.folder)

    ids = [line.split()[0] for line in SYNSETS.read_text().splitlines()]
    paths = sorted(path for path in args.folder.glob("*/*") if path.is_file())
    images = [(path, ids.index(path.parent.name)) for path in paths]
    failed = False
    for file in args.results:
        found = json.loads(file.read_text())
        net = torchvision.models.get_model(found["arch"])
        net.load_state_dict(weights(args.weights), strict=False)
        top1, top5, loss = measure(net.eval(), images, found["crops"])
        ours = found["correct"], round(found["top5"] * found["images"]), found["loss"]
        print(f"{found['crops']}: of {len(images)} images")
        print(f"  torchvision  top-1 {top1}, top-5 {top5}, loss {loss:.4f}")
        print(f"  resnet-cpu   top-1 {ours[0]}, top-5 {ours[1]}, loss {ours[2]:.4f}")
        same = found["images"] == len(images) and ours[:2] == (top1, top5) and abs(ours[2] - loss) <= TOLERANCE
        failed |= not same
    sys.exit(failed)


if __name__ == "__main__":
    main()
