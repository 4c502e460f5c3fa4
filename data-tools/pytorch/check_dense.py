"""Does `resnet-cpu eval --crops dense` find what PyTorch finds?

    python check_dense.py target/release/resnet-cpu WEIGHTS FOLDER

The dense test of the paper (section 3.4), written out: an image's shorter side is resized to each of 224, 256, 384,
480 and 640, the network's convolutions run on all of it and on its mirror, the classifier runs as a 1x1 convolution
at every place of the last feature map, its scores are averaged over the places; the softmax of that is averaged over
mirrors and scales.

WEIGHTS is a torchvision ResNet of ImageNet's 1,000 classes (safetensors); FOLDER is as `check_eval.py` makes it
(`--photographs DIR` makes it first). Images are decoded and resized by Pillow, so JPEGs' pixels differ a little.
Compared are the counts and the loss of all images, and of each image by itself two probabilities: that of its class,
which is exp(-loss), and that of the most likely class, which the calibration error of a single image tells. Exits 1
if a count differs, the loss does by more than 0.005, or a probability by more than 0.05.

Needs torch, torchvision, safetensors, pillow.
"""

import argparse
import json
import math
import pathlib
import sys
import tempfile

import torch
import torchvision
from PIL import Image, ImageOps
from torch.nn import functional
from torchvision.transforms import functional as F

from check_eval import MEAN, STD, SYNSETS, link
from runs import ours, weights

SCALES = 224, 256, 384, 480, 640
LOSS, PROBABILITY = 0.005, 0.05


def last_map(net, x):
    """The last feature map, before any pool."""
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    for stage in net.layer1, net.layer2, net.layer3, net.layer4:
        x = stage(x)
    return x


def probabilities(net, path):
    """The mean over scales and mirrors, [classes], f64."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    classifier = net.fc.weight[:, :, None, None]
    mean = torch.zeros(len(net.fc.bias), dtype=torch.float64)
    for scale in SCALES:
        upright = F.normalize(F.to_tensor(F.resize(image, scale)), MEAN, STD)
        both = torch.stack([upright, upright.flip(2)])
        with torch.inference_mode():
            scores = functional.conv2d(last_map(net, both), classifier, net.fc.bias)
        mean += scores.mean((2, 3)).double().softmax(1).mean(0)
    return mean / len(SCALES)


def evaluate(binary, file, folder):
    """What the program finds on `folder`."""
    found = json.loads(ours(binary, "eval", folder, "-w", file, "--crops", "dense", "--json", "-q"))
    assert found["crops"] == "dense" and found["networks"][0]["scales"] == list(SCALES), found["networks"]
    return found


def alone(binary, file, path):
    """The probabilities of its class and of the most likely one that the program finds for one image."""
    with tempfile.TemporaryDirectory() as folder:
        to = pathlib.Path(folder) / path.parent.name / path.name
        to.parent.mkdir()
        to.symlink_to(path.resolve())
        found = evaluate(binary, file, folder)
    # The calibration error of one image is the gap between its probability and whether it is right.
    most = 1 - found["ece"] if found["correct"] else found["ece"]
    return math.exp(-found["loss"]), most


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--photographs", type=pathlib.Path)
    args = parser.parse_args()
    if args.photographs:
        link(args.photographs, args.folder)

    ids = [line.split()[0] for line in SYNSETS.read_text().splitlines()]
    paths = sorted(path for path in args.folder.glob("*/*") if path.is_file())
    found = evaluate(args.binary, args.weights, args.folder)
    net = torchvision.models.get_model(found["arch"])
    net.load_state_dict(weights(args.weights), strict=False)
    net.eval()
    top1, top5, loss, single, differences = 0, 0, 0.0, 0.0, []
    for path in paths:
        label = ids.index(path.parent.name)
        theirs = probabilities(net, path)
        order = theirs.argsort(descending=True, stable=True)[:5].tolist()
        top1, top5 = top1 + (order[0] == label), top5 + (label in order)
        loss -= theirs[label].log().item() / len(paths)
        of_class, most = alone(args.binary, args.weights, path)
        single -= math.log(of_class) / len(paths)
        difference = max(abs(of_class - theirs[label].item()), abs(most - theirs.max().item()))
        differences.append((difference, path.name))
    right = found["correct"], round(found["top5"] * found["images"])
    (worst, image), mean = max(differences), sum(d for d, _ in differences) / len(paths)
    print(f"dense, scales {SCALES}: of {len(paths)} images")
    print(f"  PyTorch     top-1 {top1}, top-5 {top5}, loss {loss:.5f}")
    print(f"  resnet-cpu  top-1 {right[0]}, top-5 {right[1]}, loss {found['loss']:.5f}, one by one {single:.5f}")
    print(f"  largest difference of a probability {worst:.2e} ({image}), mean {mean:.2e}")
    same = found["images"] == len(paths) and right == (top1, top5) and abs(single - found["loss"]) < 1e-9
    sys.exit(not (same and abs(found["loss"] - loss) <= LOSS and worst <= PROBABILITY))


if __name__ == "__main__":
    main()
