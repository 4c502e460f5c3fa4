"""Do we train as well as PyTorch? Several seeds of the same recipe on both sides, means compared.

    python compare_accuracy.py DATA OUT --epochs 5 --seeds 0,1,2 --threads 1

DATA holds CIFAR-10 binary records (`cifar_bin.py`). The recipe is `--recipe` with its own settings;
PyTorch draws its own start, order and augmentation from the same distributions. The two sides of a
seed run beside one another. Results stay in OUT: what is there is not trained again. Exits 1 if the
means of the final top-1 on the test images differ by three Welch standard errors or more.
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from torch.nn import functional as F

from runs import BINARY, config, learning_rate, metadata, network, normalised, records, sgd


def fresh(net):
    """He initialisation, fan-out, and nn.Linear's own for the classifier."""
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net


def crop_flip(batch):
    """A random crop of each image with 4 zeros around it, mirrored half of the time."""
    n, _, h, w = batch.shape
    padded = F.pad(batch, (4, 4, 4, 4))
    dy, dx = torch.randint(0, 9, (2, n, 1))
    rows, columns = dy + torch.arange(h), dx + torch.arange(w)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns, columns.flip(1))
    image = torch.arange(n).view(n, 1, 1, 1)
    channel = torch.arange(3).view(1, 3, 1, 1)
    return padded[image, channel, rows.view(n, 1, h, 1), columns.view(n, 1, 1, w)]


def top1(net, pixels, labels, stated):
    net.eval()
    right = 0
    with torch.inference_mode():
        for part in np.array_split(np.arange(len(labels)), max(1, len(labels) // 500)):
            x = torch.from_numpy(normalised(pixels[part], stated))
            right += int((net(x).argmax(1) == labels[part]).sum())
    return right / len(labels)


def train(data, last, seed):
    """PyTorch's run of the configuration in `last`."""
    recipe, stated = config(last), metadata(last)
    assert recipe["augment"] == "crop-flip" and recipe["normalize"] == "channel"
    torch.manual_seed(seed)
    pixels, labels = records(data, "train")
    labels = torch.from_numpy(labels)
    net = fresh(network(recipe)).to(memory_format=torch.channels_last)
    optimiser = sgd(net, recipe)
    batch, epochs = recipe["batch"], recipe["length"]["epochs"]
    steps = len(labels) // batch
    for epoch in range(epochs):
        net.train()
        start, losses = time.time(), []
        order = torch.randperm(len(labels))[: steps * batch].view(steps, batch)
        for i, indices in enumerate(order.numpy()):
            x = crop_flip(torch.from_numpy(normalised(pixels[indices], stated)))
            loss = F.cross_entropy(net(x.contiguous(memory_format=torch.channels_last)), labels[indices])
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(recipe, epoch * steps + i, epochs * steps)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        mean = statistics.fmean(losses)
        print(f"PyTorch, seed {seed}: epoch {epoch + 1}/{epochs}: loss {mean:.3f}, {time.time() - start:.0f} s", flush=True)
    pixels, labels = records(data, "test")
    return top1(net, pixels, torch.from_numpy(labels), stated)


def both(args, seed):
    """(our, PyTorch's) top-1 of `seed`."""
    folder, result = args.out / f"ours-{seed}", args.out / f"torch-{seed}.json"
    command = [args.binary, "train", args.data, "--recipe", args.recipe, "--epochs", args.epochs]
    command += ["--seed", seed, "--threads", args.threads, "--out", folder]
    with open(args.out / f"ours-{seed}.log", "a") as log:
        run = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
    try:
        if not result.exists():
            last = folder / "last.safetensors"
            while not last.exists() and run.poll() is None:
                time.sleep(0.1)
            result.write_text(json.dumps({"top1": train(args.data, last, seed)}))
        if run.wait():
            sys.exit(f"resnet-cpu: exit code {run.returncode}, see {log.name}")
    finally:
        run.terminate()
    metrics = (folder / "metrics.jsonl").read_text().splitlines()
    return json.loads(metrics[-1])["val_top1"], json.loads(result.read_text())["top1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--recipe", default="fast-cifar")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", default="0,1,2", type=lambda text: [int(x) for x in text.split(",")])
    parser.add_argument("--threads", type=int, default=1, help="of each side")
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)

    results = [both(args, seed) for seed in args.seeds]
    print("| seed | resnet-cpu | PyTorch |\n|---|---|---|")
    for seed, pair in zip(args.seeds, results):
        print(f"| {seed} | {pair[0]:.2%} | {pair[1]:.2%} |")
    sides = list(zip(*results))
    means, deviations = [[f(side) for side in sides] for f in (statistics.fmean, statistics.stdev)]
    print(f"| mean | {means[0]:.2%} | {means[1]:.2%} |\n| sd | {deviations[0]:.2%} | {deviations[1]:.2%} |")
    error = math.sqrt(sum(d * d for d in deviations) / len(args.seeds))
    t = (means[0] - means[1]) / error
    print(f"difference {means[0] - means[1]:+.2%}, Welch's standard error {error:.2%}, t = {t:+.2f}")
    sys.exit(abs(t) >= 3)


if __name__ == "__main__":
    main()
