"""Does fine-tuning with a frozen backbone do as well as logistic regression on the same features?

    cargo build --release
    python check_finetune.py WEIGHTS IMAGES --unfrozen 5

WEIGHTS is a safetensors file of an ImageNet ResNet of torchvision's names (resnet18 by default), IMAGES a folder
with a folder of images for each class. Five stratified folds (the i-th image of a class, in the order of names,
is in fold i mod 5) are made as folders of links, in a temporary folder. For each, `resnet-cpu train FOLD --weights
WEIGHTS --freeze backbone` trains with an empty cache and is timed from start to end; its accuracy is that of the last
epoch on the fold left out. scikit-learn's LogisticRegression (its own settings) gets torchvision's features of the
same images, by Pillow's resizing. With `--unfrozen N`, the first N folds are trained whole, too.

Prints a line a fold, then the means. Exits 1 if frozen is more than 1 point below logistic regression, unfrozen more
than 3 points below frozen (of the same folds), or a frozen run takes two minutes or more.
Needs numpy, torch, torchvision, safetensors, pillow==12.1.1 and scikit-learn.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from torchvision import transforms

BINARY = pathlib.Path(__file__).parents[2] / "target/release/resnet-cpu"
FOLDS = 5


def features(arch, weights, paths):
    """What torchvision's network computes of the centre views, before its classifier."""
    net = getattr(torchvision.models, arch)()
    missing = net.load_state_dict(load_file(weights), strict=False)
    assert all("num_batches_tracked" in name for name in missing.missing_keys), missing
    net.fc = torch.nn.Identity()
    net.eval()
    prepare = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    with torch.inference_mode():
        rows = [net(prepare(Image.open(path).convert("RGB"))[None])[0].numpy() for path in paths]
    return np.array(rows)


def train(binary, fold, out, weights, flags):
    """Our run: top-1 after the last epoch, and seconds from start to end."""
    start = time.monotonic()
    command = [binary, "train", fold, "--weights", weights, "--out", out, "--cache", out.with_suffix(".cache"), "--quiet"]
    done = subprocess.run([*map(str, command), *flags], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr}")
    seconds = time.monotonic() - start
    return json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["val_top1"], seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--unfrozen", type=int, default=0, metavar="N", help="folds to train whole, too")
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    parser.add_argument("--flags", default="", help="more flags for runs of the whole network")
    args = parser.parse_args()

    known = torchvision.datasets.folder.IMG_EXTENSIONS
    paths, labels, folds = [], [], []
    for label, folder in enumerate(sorted(path for path in args.images.iterdir() if path.is_dir())):
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in known)
        paths += files
        labels += [label] * len(files)
        folds += [i % FOLDS for i in range(len(files))]
    labels, folds = np.array(labels), np.array(folds)
    print(f"{len(paths)} images, {labels.max() + 1} classes", flush=True)
    rows = features(args.arch, args.weights, paths)

    frozen, whole, logistic, times = [], [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        for fold in range(FOLDS):
            for path, its_fold in zip(paths, folds):
                part = "val" if its_fold == fold else "train"
                link = root / f"fold{fold}" / part / path.parent.name / path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                os.symlink(path.resolve(), link)
            data = root / f"fold{fold}"
            inside = folds != fold
            model = LogisticRegression(max_iter=10_000).fit(rows[inside], labels[inside])
            logistic.append(model.score(rows[~inside], labels[~inside]))
            top1, seconds = train(
                args.binary, data, root / f"frozen{fold}", args.weights, ["--freeze", "backbone"]
            )
            frozen.append(top1)
            times.append(seconds)
            line = f"fold {fold}: logistic regression {logistic[-1]:.4f}, frozen {top1:.4f} in {seconds:.1f} s"
            if fold < args.unfrozen:
                top1, seconds = train(
                    args.binary, data, root / f"whole{fold}", args.weights, args.flags.split()
                )
                whole.append(top1)
                line += f", unfrozen {top1:.4f} in {seconds:.0f} s"
            print(line, flush=True)
    means = {"logistic regression": np.mean(logistic), "frozen": np.mean(frozen)}
    wrong = []
    if means["frozen"] < means["logistic regression"] - 0.01:
        wrong.append("frozen is more than 1 point below logistic regression")
    if max(times) >= 120:
        wrong.append(f"a frozen run took {max(times):.0f} s")
    if whole:
        means[f"frozen, the first {len(whole)}"] = np.mean(frozen[: len(whole)])
        means[f"unfrozen, the first {len(whole)}"] = np.mean(whole)
        if np.mean(whole) < np.mean(frozen[: len(whole)]) - 0.03:
            wrong.append("unfrozen is more than 3 points below frozen")
    print("means: " + ", ".join(f"{name} {mean:.4f}" for name, mean in means.items()))
    print(f"a frozen run took {min(times):.1f} to {max(times):.1f} s")
    sys.exit("; ".join(wrong) or 0)


if __name__ == "__main__":
    main()
