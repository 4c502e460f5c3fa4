"""Times a training step of resnet-cpu against PyTorch eager, float32, interleaved.

    python time_training.py --cases resnet18:32,resnet50:32,resnet20:128 --threads 2 --rounds 3

A step is forward, backward and SGD with momentum and weight decay, on a batch already in memory.
PyTorch runs in both memory formats, each contestant in a process of its own pinned to the cores; the
faster format of a round counts. Prints medians over the rounds and the ratio (above 1: we are faster).
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def worker(arch, batch, threads, channels_last, steps):
    import torch

    import models

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    cifar = arch in ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
    side, classes = (32, 10) if cifar else (224, 1000)
    net = models.build(arch, shortcut="a" if cifar else "b", classes=classes).train()
    images = torch.randn(batch, 3, side, side)
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % classes
    loss = torch.nn.CrossEntropyLoss()
    sgd = torch.optim.SGD(net.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        sgd.zero_grad()
        loss(net(images), labels).backward()
        sgd.step()
        times.append((time.perf_counter() - start) * 1e3)
    print(statistics.median(times[1:]))


def pinned(threads, command):
    cores = ",".join(map(str, range(threads)))
    done = subprocess.run(["taskset", "-c", cores, *command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="resnet18:32,resnet50:32,resnet20:128")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--binary", default=str(ROOT / "target/release/resnet-cpu"))
    parser.add_argument("--worker", nargs=2, metavar=("CASE", "FORMAT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        arch, batch = args.worker[0].split(":")
        return worker(arch, int(batch), args.threads, args.worker[1] == "last", args.steps)

    print("| network | batch | threads | resnet-cpu ms | PyTorch ms | PyTorch / ours |")
    print("|---|---|---|---|---|---|")
    for case in args.cases.split(","):
        arch, batch = case.split(":")
        ours, torch = [], []
        for _ in range(args.rounds):
            bench = [args.binary, "bench", "--mode", "train", "--arch", arch, "--batch", batch]
            bench += ["--threads", str(args.threads), "--json", "--quiet"]
            ours.append(json.loads(pinned(args.threads, bench))["median_ms"])
            base = [sys.executable, __file__, "--threads", str(args.threads)]
            base += ["--steps", str(args.steps), "--worker", case]
            torch.append(min(float(pinned(args.threads, [*base, f])) for f in ("last", "first")))
        ratio = statistics.median(t / o for t, o in zip(torch, ours))
        row = [arch, batch, args.threads, f"{statistics.median(ours):.1f}"]
        row += [f"{statistics.median(torch):.1f}", f"{ratio:.2f}x"]
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
