"""Runs resnet-cpu on weights of every family that it understands, as timm, torchvision and transformers write
them, beside PyTorch.

Weights are random with a fixed seed, statistics of batch norm too. The program prepares and runs images of noise
(PNG); its logits, PyTorch's float64 ones and PyTorch's float32 ones are compared: ours may be off by at most 3
times PyTorch's float32, or 1e-6 of the logits' RMS. Then every ResNet that timm knows is saved, and must be
understood under its name or refused by name; and grey images must equal Pillow's. Ends with an error otherwise.

    python check_families.py target/release/resnet-cpu [--full NAME,NAME] [--only NAME,NAME] [--names]

--full says which networks also run in batches of 16 (slow in float64); others do in batches of 2.
Needs numpy, pillow==12.1.1, torch, torchvision, timm, transformers, safetensors.
"""

import argparse
import copy
import json
import pathlib
import re
import subprocess
import tempfile

import numpy as np
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf
from transformers import ResNetConfig, ResNetForImageClassification

TIMM = """wide_resnet50_2 wide_resnet101_2 resnet18d resnet34d resnet26d resnet50d resnet101d resnet50c resnet50s
resnet10t resnet14t resnet26t resnet50t resnext50_32x4d resnext50d_32x4d resnext101_32x8d resnext101_64x4d resnet26
resnet18 resnet50""".split()
TORCHVISION = "wide_resnet50_2 resnext50_32x4d resnext101_32x8d resnet34".split()
TRANSFORMERS = {
    "transformers-18": dict(depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic"),
    "transformers-50": dict(),
}
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def randomise(net, seed):
    """Random statistics and factors of batch norm; convolutions stay as they are made."""
    generator = torch.Generator().manual_seed(seed)
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            size = module.weight.shape
            # The last of a branch is small, so that depth does not blow up.
            last = re.search(r"bn3$|layer\d+\.\d+\.bn2$|layer\.2\.normalization$", name)
            module.weight.data = (torch.rand(size, generator=generator) + 0.5) * (0.3 if last else 1.0)
            module.bias.data = torch.randn(size, generator=generator) * 0.2
            module.running_mean = torch.randn(size, generator=generator) * 0.2
            module.running_var = torch.rand(size, generator=generator) + 0.5
    return net.eval()


def nets(only):
    for name in TIMM:
        if not only or name in only:
            torch.manual_seed(len(name))
            yield name, 3, randomise(timm.create_model(name), 1)
    for name in ("resnet18", "resnet50d"):
        if not only or name in only:
            yield name, 1, randomise(timm.create_model(name, in_chans=1), 2)
    for name in TORCHVISION:
        if not only or name in only:
            yield f"torchvision {name}", 3, randomise(getattr(torchvision.models, name)(), 3)
    for name, options in TRANSFORMERS.items():
        if not only or name in only:
            yield name, 3, randomise(ResNetForImageClassification(ResNetConfig(num_labels=1000, **options)), 4)


def logits(net, x):
    with torch.inference_mode():
        y = net(x)
    return getattr(y, "logits", y)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


def noise(folder, count, side):
    rng = np.random.default_rng(side + count)
    paths = []
    for i in range(count):
        # Of several scales, so that images differ after many layers.
        coarse = Image.fromarray(rng.integers(0, 256, (5 + i, 7, 3), dtype=np.uint8)).resize((side, side), Image.BICUBIC)
        fine = rng.integers(-40, 41, (side, side, 3))
        pixels = np.clip(np.asarray(coarse, dtype=int) + fine, 0, 255).astype(np.uint8)
        paths.append(str(folder / f"{side}-{count}-{i:02}.png"))
        Image.fromarray(pixels).save(paths[-1])
    return paths


def program(binary, weights, paths, side, flags=()):
    command = [binary, "infer", "--weights", str(weights), "--json", "--top", "1000", "--batch", str(len(paths))]
    command += ["--resize", str(side), "--crop", str(side), "-q", *flags, *paths]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = []
    for line in out.splitlines():
        predictions = json.loads(line)["predictions"]
        row = np.empty(len(predictions))
        row[[p["index"] for p in predictions]] = [p["logit"] for p in predictions]
        rows.append(row)
    return np.array(rows)


def check(binary, folder, name, channels, net, sizes):
    good = True
    weights = folder / "weights.safetensors"
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, weights)
    exact_net = copy.deepcopy(net).double()
    for count, side in sizes:
        paths = noise(folder, count, side)
        if channels == 1:
            pixels = np.stack([np.asarray(Image.open(p).convert("L"))[..., None] for p in paths])
            mean, std = np.float32([0.449]), np.float32([0.226])
            flags = ["--mean", "0.449", "--std", "0.226"]
        else:
            pixels = np.stack([np.asarray(Image.open(p)) for p in paths])
            mean, std, flags = MEAN, STD, []
        x = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        x = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        exact = logits(exact_net, x.double()).numpy()
        single = logits(net, x).numpy()
        ours = program(binary, weights, paths, side, flags)
        errors = rms(ours - exact) / rms(exact), rms(single - exact) / rms(exact)
        fine = errors[0] <= max(3 * errors[1], 1e-6)
        good &= fine
        mark = "" if fine else "  WRONG"
        ratio = errors[0] / errors[1]
        print(f"{name}, {channels} channels, {count} x {side}: ours {errors[0]:.1e}, PyTorch {errors[1]:.1e} ({ratio:.2f}x){mark}", flush=True)
    return good


def check_names(binary, folder):
    """Every ResNet of timm is understood under its name, or refused by name."""
    good = True
    others = """skresnet18 skresnet50 resnest14d resnest50d res2net50_14w_8s res2next50 resnetv2_50 resnetv2_50d
        resnetv2_50x1_bit nf_resnet50 resnet50_clip resnet32ts resnet51q botnet26t_256 gcresnet50t lambda_resnet26t
        legacy_seresnet18 legacy_seresnet50 cspresnet50 halonet26t bat_resnext26ts tresnet_m""".split()
    for name in [*timm.list_models(module="resnet"), *others]:
        if name == "test_resnet":
            continue
        net = timm.create_model(name)
        if sum(p.numel() for p in net.parameters()) > 120e6:
            print(f"{name}: too large for this check, left out")
            continue
        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / "model.safetensors")
        save_config_for_hf(net, folder / "config.json")
        command = [binary, "inspect", "--json", str(folder / "model.safetensors")]
        result = subprocess.run(command, capture_output=True, text=True)
        arch = json.loads(result.stdout)["arch"] if result.returncode == 0 and result.stdout else None
        last = result.stderr.strip().splitlines()[-1:] or [""]
        understood = arch == name
        refused = arch is None and "this network cannot be run: it is" in last[0]
        fine = understood or refused
        good &= fine
        print(f"{name}: {'understood' if understood else last[0].split('run: ')[-1] if refused else f'WRONG {arch} {last}'}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--full", default="resnet18d,resnext50_32x4d,wide_resnet50_2")
    parser.add_argument("--only", default="")
    parser.add_argument("--names", action="store_true", help="check names alone")
    args = parser.parse_args()
    full, only = args.full.split(","), [name for name in args.only.split(",") if name]
    good = True
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, channels, net in [] if args.names else nets(only):
            batch = 16 if name in full and channels == 3 else 2
            good &= check(args.binary, folder, name, channels, net, [(1, 224), (batch, 224), (1, 288), (batch, 288)])
        if not only:
            good &= check_names(args.binary, folder)
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
