"""Do we take the same steps as PyTorch? The first training losses from the same start and batches.

    python compare_losses.py DATA --steps 50

DATA holds CIFAR-10 binary records (`cifar_bin.py`). Our side is `train` with the recipe fast-cifar, a
run made one step longer at a time; PyTorch starts from the weights of our checkpoint and reads the same
images, cropped and mirrored alike. The yardstick is PyTorch itself: it runs in float64, and in float32
in both memory formats, with one thread and with all. Training amplifies every rounding, so the float32
losses leave the float64 ones step by step; at no step may ours be off by more than three times what
the worst of PyTorch's own has been off by until then (or by more than float32 resolves). Exits 1 if it
is. The first ten steps tell most: after twenty, all float32 runs go ways of their own.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

import numpy as np
import torch
from torch.nn import functional as F

from rng import Rng
from runs import BINARY, begin, config, learning_rate, metadata, network, normalised, ours, records, sgd, weights

ORDER, AUGMENT = 0x6F_7264_6572, 0x6175_676D  # "order", "augm": the keys of sampler.rs and batches.rs
PAD = 4
FACTOR = 3


def epoch_order(seed, epoch, images):
    """src/data/sampler.rs: Fisher and Yates from the end."""
    order = list(range(images))
    draws = Rng(seed, [ORDER, epoch]).next_u64(images - 1)
    for last, draw in zip(range(images - 1, 0, -1), draws):
        other = int(draw) * (last + 1) >> 64
        order[last], order[other] = order[other], order[last]
    return order


def crop_flip(image, rng):
    """src/data/augment.rs: a random crop of the image `[3, 32, 32]` in zeros, mirrored half of the time."""
    x, y = rng.below(2, 2 * PAD + 1)
    padded = np.pad(image, ((0, 0), (PAD, PAD), (PAD, PAD)))
    crop = padded[:, y : y + 32, x : x + 32]
    return crop[:, :, ::-1] if rng.below(1, 2)[0] else crop


def batches(data, last, steps):
    """Inputs and labels of the first `steps` steps of the run of `last`."""
    recipe, stated = config(last), metadata(last)
    seed, size = recipe["seed"], recipe["batch"]
    pixels, labels = records(data, "train")
    assert steps <= len(labels) // size, "more than an epoch"
    order = np.array(epoch_order(seed, 0, len(labels))[: steps * size]).reshape(steps, size)
    for indices in order:
        images = zip(indices, normalised(pixels[indices], stated))
        x = np.stack([crop_flip(image, Rng(seed, [AUGMENT, 0, int(i)])) for i, image in images])
        yield torch.from_numpy(x), torch.from_numpy(labels[indices])


def torch_losses(recipe, start, steps, total, dtype, memory_format, threads):
    """The loss before each step. It is summed in float64, so that it shows what weights and logits are."""
    torch.set_num_threads(threads)
    net = network(recipe)
    net.load_state_dict(start, strict=True)
    net = net.to(dtype=dtype, memory_format=memory_format).train()
    optimiser, losses = sgd(net, recipe), []
    for step, (x, labels) in enumerate(steps):
        logits = net(x.to(dtype=dtype, memory_format=memory_format))
        losses.append(float(F.cross_entropy(logits.detach().double(), labels)))
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, step, total)
        optimiser.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimiser.step()
    return np.array(losses)


def our_losses(args, folder):
    """A run that is made one step longer at a time; its checkpoint has the sum of the epoch's losses."""
    losses, before = [], 0.0
    for steps in range(1, args.steps + 1):
        flags = ["--recipe", "fast-cifar", "--out", folder, "--iterations", steps, "--quiet"]
        ours(args.binary, "train", folder.parent / "data", *flags)
        progress = json.loads(metadata(folder / "last.safetensors")["resnet_cpu.train.progress"])
        losses.append((progress["loss_sum"] - before) / (progress["cursor"] / steps))
        before = progress["loss_sum"]
    return np.array(losses)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        # The training images alone: nothing is to be validated after each step.
        (folder / "data").mkdir()
        for file in [*args.data.glob("data_batch_*.bin"), *args.data.glob("train*.bin")]:
            (folder / "data" / file.name).symlink_to(file.resolve())
        last = begin(folder / "start", args.binary, folder / "data", "--recipe", "fast-cifar")
        recipe, start = config(last), weights(last)
        steps = list(batches(args.data, last, args.steps))
        mine = our_losses(args, folder / "run")

    total = recipe["length"]["epochs"] * (recipe["data"]["train_images"] // recipe["batch"])
    assert args.steps <= recipe["warmup"]["steps"], "within the warm-up the rate does not depend on the run's length"
    plain, last = torch.contiguous_format, torch.channels_last
    exact = torch_losses(recipe, start, steps, total, torch.float64, plain, os.cpu_count())
    single = [
        torch_losses(recipe, start, steps, total, torch.float32, memory_format, threads)
        for memory_format in (plain, last)
        for threads in sorted({1, os.cpu_count()})
    ]
    theirs = np.max([np.abs(losses - exact) for losses in single], axis=0)
    off = np.abs(mine - exact)
    bound = np.maximum(FACTOR * np.maximum.accumulate(theirs), np.finfo(np.float32).eps * exact)
    print("| step | loss (float64) | resnet-cpu off by | PyTorch float32 off by | bound |\n|---|---|---|---|---|")
    for i in range(args.steps):
        print(f"| {i + 1} | {exact[i]:.6f} | {off[i]:.1e} | {theirs[i]:.1e} | {bound[i]:.1e} |")
    ratio = np.maximum.accumulate(off) / np.maximum.accumulate(theirs)
    print(f"largest so far, ours / PyTorch's: {ratio[-1]:.2f} at the end, median {np.median(ratio):.2f}")
    beyond = np.flatnonzero(off > bound) + 1
    if beyond.size:
        sys.exit(f"beyond the bound at steps {beyond.tolist()}")


if __name__ == "__main__":
    main()
