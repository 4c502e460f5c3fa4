"""What the scripts that compare training share: our program and its runs, and PyTorch's side of them.

The recipe is read from our own checkpoint, so there is one source of every setting.
"""

import json
import math
import pathlib
import subprocess
import time

import numpy as np
import torch
from safetensors import safe_open

from models import build

BINARY = pathlib.Path(__file__).resolve().parents[2] / "target" / "release" / "resnet-cpu"


def ours(binary, *args):
    """Runs resnet-cpu to its end and returns what it printed; what it says besides is shown on failure."""
    done = subprocess.run([binary, *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return done.stdout


def metadata(file):
    with safe_open(file, "pt") as tensors:
        return tensors.metadata()


def config(last):
    """The configuration in a checkpoint."""
    return json.loads(metadata(last)["resnet_cpu.train.config"])


def weights(file):
    """The model's own tensors of a checkpoint: what `load_state_dict` takes strictly."""
    with safe_open(file, "pt") as tensors:
        other = ("optimizer.", "ema.", "resnet_cpu.")
        return {name: tensors.get_tensor(name) for name in tensors.keys() if not name.startswith(other)}


def begin(folder, binary, data, *flags):
    """Begins a run in `folder`, stops it as soon as it is there, and returns its checkpoint, in which
    no step is done: a run is saved before its first step and then not before an epoch has passed."""
    last = pathlib.Path(folder) / "last.safetensors"
    run = subprocess.Popen([binary, "train", data, "--out", folder, "--quiet", *map(str, flags)])
    try:
        while not last.exists():
            if run.poll() is not None:
                raise SystemExit(f"resnet-cpu train ended with exit code {run.returncode}")
            time.sleep(0.01)
    finally:
        run.kill()
        run.wait()
    assert json.loads(metadata(last)["resnet_cpu.train.progress"])["step"] == 0
    return last


def records(folder, split):
    """CIFAR-10 binary: pixels `[n, 3, 32, 32]` and labels, as our reader orders them."""
    names = {"train": ("data_batch_*.bin", "train*.bin"), "test": ("test_batch.bin", "test*.bin")}[split]
    files = next(filter(None, (sorted(pathlib.Path(folder).glob(name)) for name in names)), None)
    if files is None:
        raise SystemExit(f"{folder}: expected CIFAR-10's binary files, {' or '.join(names)}")
    rows = np.concatenate([np.fromfile(file, np.uint8).reshape(-1, 3073) for file in files])
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64)


def normalised(pixels, mean_std):
    """(byte / 255 - mean) / std in float32, as src/data/normalize.rs; `mean_std` is a checkpoint's metadata."""
    mean, std = (
        np.array([float(x) for x in mean_std[f"resnet_cpu.{key}"].split(",")], np.float32).reshape(3, 1, 1)
        for key in ("mean", "std")
    )
    return (pixels.astype(np.float32) / np.float32(255) - mean) / std


def network(config):
    return build(config["arch"], shortcut=config["shortcut"], classes=config["classes"])


def sgd(net, config):
    """torch.optim.SGD as the configuration says, for recipes in which everything decays."""
    assert config["decay_bn"] and config["ema_decay"] is None and config["label_smoothing"] == 0
    rule = {key: config[key] for key in ("momentum", "nesterov", "weight_decay")}
    return torch.optim.SGD(net.parameters(), lr=config["lr"], **rule)


def learning_rate(config, step, total):
    """Linear warm-up and half a cosine, as src/train/schedule.rs; `step` counts from 0."""
    assert config["schedule"] == {"kind": "cosine"} and config["warmup"]["kind"] == "linear"
    warmup = config["warmup"]["steps"]
    if step < warmup:
        return config["lr"] * (step + 1) / warmup
    return config["lr"] * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
