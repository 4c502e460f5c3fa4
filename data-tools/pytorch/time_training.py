#!/usr/bin/env python3
"""Times a whole training step of resnet-cpu and of PyTorch: forward, loss, backward, update; float32, interleaved.

    cargo build --release
    pip install -r requirements.txt && apt install libjemalloc2 g++
    python3 time_training.py --rounds 5
    python3 time_training.py --arch resnet18:32 --threads 2 --modes channels-last,compile+jemalloc --json steps.jsonl
    python3 time_training.py --arch resnet18:32 --threads 2 --data PHOTOS

Every round runs each contestant once, in a new process pinned to the first `threads` cores, in an order that
rotates from round to round; so a slow minute of the machine hits all alike. PyTorch runs as it is installed, and
again with jemalloc and huge pages in place of glibc's allocator (`+jemalloc`), which does more for it than the memory
format. The batch is in memory and is the same in every step; with `--data`, a folder with a folder of images for each
class, both sides read, augment and load it as well (torchvision's RandomResizedCrop and flip, or padded crops at 32 px;
DataLoader with a worker for each thread).

A table for each case: medians over the rounds of the milliseconds, the images a second, the percent of the FMA peak
that our own bench measured in the same round (three times the forward's operations by definition, so Winograd's
algorithm can exceed 100) and the peak memory of the process (VmHWM), and the median of the rounds' own ratios: above
1x we are faster. That of a compiled network includes its compilation.
"""

import argparse
import ctypes.util
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

import pinned
import table

HERE = pathlib.Path(__file__).resolve().parent
BINARY = HERE.parent.parent / "target" / "release" / "resnet-cpu"
OURS = "resnet-cpu"
IMAGENET = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
CIFAR = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
FORMATS = {"eager": "NCHW", "channels-last": "channels_last", "compile-nchw": "NCHW", "compile": "channels_last"}
JEMALLOC = "+jemalloc"
MODES = [mode + allocator for allocator in ("", JEMALLOC) for mode in ("eager", "channels-last", "compile")]
HUGE_PAGES = (
    "thp:always,metadata_thp:always,background_thread:true,dirty_decay_ms:-1,muzzy_decay_ms:-1"
)
# As `resnet-cpu bench` does: at least so many steps after the warm-up. The first compiled step compiles.
FEWEST, WARM_UP = 5, 2


def jemalloc():
    """The library's file, or None."""
    name = ctypes.util.find_library("jemalloc") or "libjemalloc.so.2"
    folders = [pathlib.Path(folder) for folder in ("/usr/lib", "/usr/lib64", "/usr/local/lib")]
    folders += [folder for usr in ("/usr/lib", "/lib") for folder in pathlib.Path(usr).glob("*-linux-gnu*")]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def side_and_classes(arch):
    return (32, 10) if arch in CIFAR else (224, 1000)


def loader(folder, side, batch, workers):
    """Endless batches of the folder's images."""
    import torch
    from torchvision import datasets
    from torchvision import transforms as t

    crop = [t.Resize((32, 32)), t.RandomCrop(32, padding=4)] if side == 32 else [t.RandomResizedCrop(side)]
    last = [t.RandomHorizontalFlip(), t.ToTensor(), t.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    data = datasets.ImageFolder(folder, t.Compose(crop + last))
    options = {"batch_size": batch, "shuffle": True, "drop_last": True, "num_workers": workers}
    batches = torch.utils.data.DataLoader(data, persistent_workers=True, **options)
    if not len(batches):
        sys.exit(f"{folder}: expected at least {batch} images, found {len(data)}")
    while True:
        yield from batches


def worker(case, threads, mode, args):
    """PyTorch's process: prints one line of JSON."""
    import torch

    import models

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    arch, batch = case
    side, classes = side_and_classes(arch)
    memory = torch.channels_last if FORMATS[mode] == "channels_last" else torch.contiguous_format
    net = models.build(arch, classes=classes).train().to(memory_format=memory)
    step = torch.compile(net) if mode.startswith("compile") else net
    cross_entropy = torch.nn.CrossEntropyLoss()
    sgd = torch.optim.SGD(net.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    resident = (torch.randn(batch, 3, side, side), torch.arange(batch) % classes)
    if args.data:
        batches = loader(args.data / "train" if (args.data / "train").is_dir() else args.data, side, batch, threads)
    times, start = [], time.perf_counter()
    while len(times) < WARM_UP + FEWEST or time.perf_counter() - start < args.seconds:
        if len(times) == WARM_UP:
            start = time.perf_counter()
        begin = time.perf_counter()
        images, labels = next(batches) if args.data else resident
        sgd.zero_grad()
        loss = cross_entropy(step(images.contiguous(memory_format=memory)), labels)
        loss.backward()
        sgd.step()
        times.append((time.perf_counter() - begin) * 1e3)
    if not torch.isfinite(loss):
        sys.exit(f"the loss is {loss}")
    times = times[WARM_UP:]
    # Steps wait for data unevenly: their sum counts.
    mean = statistics.mean if args.data else statistics.median
    print(json.dumps({"median_ms": mean(times), "runs": len(times)}))


def bench(case, threads, args):
    """Our step with a resident batch."""
    arch, batch = case
    words = [args.binary, "bench", "--mode", "train", "--arch", arch, "--batch", batch, "--threads", threads]
    return pinned.measure([*words, "--seconds", args.seconds, "--json", "--quiet", *args.ours], threads, None)


def trained(case, threads, args):
    """Our step within a run: its second epoch, as the run itself measures it."""
    arch, batch = case
    side, _ = side_and_classes(arch)
    with tempfile.TemporaryDirectory() as out:
        crop = ["--crop", "pad" if side == 32 else "area", "--flip=true", "--colour", "none"]
        words = [args.binary, "train", args.data, "--recipe", "fast-cifar", "--arch", arch, "--batch", batch]
        words += [*crop, "--epochs", 2, "--threads", threads, "--out", f"{out}/run", "--quiet"]
        _, memory = pinned.run(words, threads, None)
        last = (pathlib.Path(out) / "run" / "metrics.jsonl").read_text().splitlines()[-1]
    return {"median_ms": 1e3 * batch / json.loads(last)["images_per_second"], "peak_mb": memory}


def measure(case, threads, mode, args):
    if mode == OURS:
        row = bench(case, threads, args)
        operations = row["gflops"] * row["median_ms"]
        # The step that counts, and the peak of this minute.
        row = {**row, **trained(case, threads, args)} if args.data else row
        return {**row, "operations": operations}
    words = [sys.executable, __file__, "--worker", mode.removesuffix(JEMALLOC), "--arch", f"{case[0]}:{case[1]}"]
    words += ["--threads", threads, "--seconds", args.seconds, *(["--data", args.data] if args.data else [])]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if mode.endswith(JEMALLOC):
        env |= {"LD_PRELOAD": str(args.jemalloc), "MALLOC_CONF": HUGE_PAGES}
    return pinned.measure(words, threads, env)


def rounds(case, threads, args, record):
    """The results of every round, by mode."""
    contestants, results = [OURS, *args.modes], []
    for i in range(args.rounds):
        turn = i % len(contestants)
        results.append({})
        for mode in contestants[turn:] + contestants[:turn]:
            result = measure(case, threads, mode, args)
            results[-1][mode] = result
            name = f"{case[0]} batch {case[1]} threads {threads} round {i + 1} {mode}"
            print(f"{name}: {result['median_ms']:.1f} ms, {result['peak_mb']:.0f} MB", file=sys.stderr)
            record({"arch": case[0], "batch": case[1], "threads": threads, "round": i + 1, "mode": mode, **result})
    return results


def rows(case, threads, results):
    """A row for each contestant, the fastest first."""
    arch, batch = case
    contestants = sorted(results[0], key=lambda mode: table.median(results, mode, "median_ms"))
    for mode in contestants:
        ours = [one[OURS] for one in results]
        theirs = [one[mode] for one in results]
        ms = table.median(results, mode, "median_ms")
        peak = [o["operations"] / t["median_ms"] / o["peak_gflops"] for o, t in zip(ours, theirs)]
        ratio = [t["median_ms"] / o["median_ms"] for o, t in zip(ours, theirs)]
        memory = statistics.median(t["peak_mb"] for t in theirs)
        least = statistics.median(t["peak_mb"] / o["peak_mb"] for o, t in zip(ours, theirs))
        cells = [arch, batch, threads, mode, table.milliseconds(ms), f"{1e3 * batch / ms:.1f}"]
        cells += [f"{100 * statistics.median(peak):.0f}", f"{memory:.0f}"]
        if mode == OURS:
            yield table.line([*cells, "", "", ""])
        else:
            speed, spread = f"**{statistics.median(ratio):.2f}x**", f"{min(ratio):.2f}–{max(ratio):.2f}"
            yield table.line([*cells, speed, spread, f"{least:.2f}x"])


def names(text):
    return [name for name in text.split(",") if name]


def cases(text):
    pairs = [name.partition(":") for name in names(text)]
    for arch, _, batch in pairs:
        if arch not in IMAGENET + CIFAR or not batch.isdecimal():
            raise argparse.ArgumentTypeError(f"expected NAME:BATCH, found {arch}:{batch}")
    return [(arch, int(batch)) for arch, _, batch in pairs]


def parse():
    defaults = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=defaults)
    four = "resnet18:32,resnet50:32,resnet20:128,resnet56:128"
    parser.add_argument("--arch", type=cases, default=four, help="NAME:BATCH, comma-separated; 224 px, CIFAR's 32")
    parser.add_argument("--threads", type=lambda t: [int(n) for n in names(t)], default="1,2", help="cores each")
    parser.add_argument("--modes", type=names, help=f"PyTorch's, of {','.join(FORMATS)} and the same with {JEMALLOC} [all]")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contestant runs")
    parser.add_argument("--seconds", type=float, default=4.0, help=f"of measuring in a round; at least {FEWEST} steps")
    parser.add_argument("--data", type=pathlib.Path, help="class folders to load images from, on both sides")
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY, help="resnet-cpu, built for release")
    parser.add_argument("--ours", type=str.split, default=[], help="further arguments of resnet-cpu bench, one string")
    parser.add_argument("--json", type=pathlib.Path, help="a file for one line of JSON a run")
    parser.add_argument("--worker", choices=FORMATS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.jemalloc = jemalloc()
    if args.modes is None:
        args.modes = [mode for mode in MODES if args.jemalloc or not mode.endswith(JEMALLOC)]
        if not args.jemalloc:
            print("no libjemalloc.so.2 here (Debian: libjemalloc2): PyTorch runs as installed only", file=sys.stderr)
    for mode in args.modes:
        if mode.removesuffix(JEMALLOC) not in FORMATS:
            parser.error(f"unknown mode {mode}")
        if mode.endswith(JEMALLOC) and not args.jemalloc:
            parser.error(f"{mode}: there is no libjemalloc.so.2 here (Debian: libjemalloc2)")
    if not args.worker and not args.binary.is_file():
        parser.error(f"{args.binary} is missing: cargo build --release")
    available = len(os.sched_getaffinity(0))
    if max(args.threads) > available:
        parser.error(f"--threads {max(args.threads)}: only {available} cores")
    return args


def main():
    args = parse()
    if args.worker:
        return worker(args.arch[0], args.threads[0], args.worker, args)
    import torch

    print(table.heading("auto", {"PyTorch": torch.__version__, "jemalloc": args.jemalloc or "missing"}))
    head = ["network", "batch", "threads", "who", "ms", "images/s", "% of FMA peak", "peak MB", "theirs / ours"]
    head += ["spread", "memory, theirs / ours"]
    print(table.line(head), table.line(["---"] * len(head)), sep="\n", flush=True)
    records = args.json.open("a") if args.json else None

    def record(row):
        if records:
            print(json.dumps(row), file=records, flush=True)

    for case in args.arch:
        for threads in args.threads:
            print(*rows(case, threads, rounds(case, threads, args, record)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
