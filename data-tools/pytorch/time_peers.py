#!/usr/bin/env python3
"""Times resnet-cpu against other CPU runtimes: inference in float32 and in 8 bits, interleaved.

    cargo build --release
    python3 time_peers.py --arch resnet18,resnet50 --batch 1,16 --threads 1,2 --peers ort,openvino --rounds 5
    python3 time_peers.py --arch resnet20:1,resnet20:128 --peers all --isa avx2
    python3 time_peers.py --arch resnet18 --peers ort,openvino,int8 --weights F --calibrate PHOTOGRAPHS --ours-int8 F

Every round runs each contestant once, in a process of its own pinned to the first `threads` cores,
in an order that rotates from round to round; so a slow minute of the machine hits all alike. All run
the same weights on the same input, and every logit is compared with a float64 forward. The tables
that are printed have medians over the rounds; the ratio is the median of the rounds' own ratios.

Peers install themselves the first time (bootstrap.py): Python's into a venv, those in Rust are built.
"""

import argparse
import json
import math
import os
import pathlib
import sys
from typing import NamedTuple

import bootstrap
import int8
import pinned
import table

HERE = pathlib.Path(__file__).resolve().parent
BINARY = HERE.parent.parent / "target" / "release" / "resnet-cpu"
OURS, OURS_INT8 = "resnet-cpu", "resnet-cpu int8"
IMAGENET = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
CIFAR = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
# The relative RMS error of float32 is below 1e-5; above this, somebody ran something else.
LARGEST_ERROR = 1e-3
# In 8 bits it is a few percent, and more on this noise after another calibration: photographs tell what it costs.
# Another network's logits are further off than no logits at all.
LARGEST_ERROR_INT8 = 1.0


class Peer(NamedTuple):
    title: str
    model: str  # what it reads: a kind of cases.py
    package: str = ""  # of Python
    crate: str = ""  # of ../peers
    only: tuple = IMAGENET + CIFAR
    int8: bool = False


PEERS = {
    "ort": Peer("ONNX Runtime", "onnx", "onnxruntime"),
    "ort-int8": Peer("ONNX Runtime int8", "ort-int8", "onnxruntime", int8=True),
    "openvino": Peer("OpenVINO", "onnx", "openvino"),
    "openvino-int8": Peer("OpenVINO int8", "openvino-int8", "openvino", int8=True),
    "torch": Peer("PyTorch eager", "safetensors", "torch"),
    "torch-compile": Peer("PyTorch compiled", "safetensors", "torch"),
    "ncnn": Peer("ncnn", "ncnn", "ncnn"),
    "rten": Peer("rten", "onnx", crate="rten"),
    "tract": Peer("tract", "onnx", crate="tract-onnx"),
    "candle": Peer("candle", "safetensors", crate="candle-core", only=IMAGENET),
    "burn": Peer("burn", "safetensors", crate="burn", only=IMAGENET),
}


class Case(NamedTuple):
    arch: str
    batch: int
    threads: int
    size: int


class Machinery(NamedTuple):
    """What bootstrap.py installed."""

    python: pathlib.Path
    rust: pathlib.Path | None
    preload: pathlib.Path | None


def title(contestant):
    return PEERS[contestant].title if contestant in PEERS else contestant


def is_int8(contestant):
    return contestant == OURS_INT8 or contestant in PEERS and PEERS[contestant].int8


def in_f32(contestant):
    """The contestant in f32 that one in 8 bits has beside it."""
    return OURS if contestant == OURS_INT8 else contestant.partition("-int8")[0]


def folder(args, case):
    return args.cache / "cases" / f"{case.arch}-{case.batch}x{case.size}-{args.tag}"


def model(args, tools, contestant, case):
    """The file, or the folder, that it reads."""
    if contestant == OURS_INT8:
        return args.ours_int8
    if is_int8(contestant):
        kind = PEERS[contestant].model
        return int8.models(args, tools, case, [kind]) / f"model.{kind}"
    kind = "safetensors" if contestant == OURS else PEERS[contestant].model
    return folder(args, case) / f"model.{kind}"


def command(args, tools, contestant, case):
    file = model(args, tools, contestant, case)
    if contestant in (OURS, OURS_INT8):
        ours = [args.binary, "bench", "--mode", "infer", "--json", "--quiet", "--isa", args.isa]
        ours += ["--weights", file, "--arch", case.arch, "--batch", case.batch, "--size", case.size]
        ours += ["--threads", case.threads, "--seconds", args.seconds]
        return ours + (args.ours if contestant == OURS else [])
    program = [tools.rust] if PEERS[contestant].crate else [tools.python, HERE / "peers.py"]
    work = [contestant, case.arch, file, folder(args, case) / "input.f32"]
    return [*program, *work, case.batch, case.size, case.threads, args.seconds]


def environment(args, tools, contestant, threads):
    threads = {name: str(threads) for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")}
    env = {**os.environ, **threads, "TORCHINDUCTOR_CACHE_DIR": str(args.cache / f"inductor-{args.isa}")}
    if tools.preload and contestant not in (OURS, OURS_INT8):
        env["LD_PRELOAD"] = str(tools.preload)
        # PyTorch's compiler asks the kernel, not the CPU.
        env["ATEN_CPU_CAPABILITY"] = "avx2"
    return env


def measure(args, tools, contestant, case):
    """One process; the JSON that it prints at last, and its peak of memory."""
    words = command(args, tools, contestant, case)
    return pinned.measure(words, case.threads, environment(args, tools, contestant, case.threads))


def error(logits, expected, who, largest):
    """Relative RMS error; one above the largest means that the timing means nothing."""
    if len(logits) != len(expected):
        sys.exit(f"{who} printed {len(logits)} logits, not {len(expected)}")
    difference = math.fsum((a - b) ** 2 for a, b in zip(logits, expected))
    relative = math.sqrt(difference / math.fsum(b * b for b in expected))
    if not relative <= largest:
        sys.exit(f"{who}: the logits are off by {relative:.1e}: {logits[:5]}, not {expected[:5]}")
    return relative


def written(args, tools, contestants, case):
    """Writes what all of them read; returns the right answer."""
    kinds = sorted({"safetensors"} | {PEERS[c].model for c in contestants if c in PEERS and not is_int8(c)})
    write = [tools.python, HERE / "cases.py", folder(args, case), case.arch, case.batch, case.size]
    bootstrap.run(f"{case.arch} batch {case.batch}", [*write, *kinds, *int8.weights(args)])
    for contestant in contestants:
        model(args, tools, contestant, case)
    return json.loads((folder(args, case) / "expected.json").read_text())


def judged(args, tools, contestants, case):
    """What each makes of the photographs, by title; peers in Rust are not asked."""
    one = case._replace(batch=1)
    asked = [c for c in contestants if c not in PEERS or not PEERS[c].crate]
    written(args, tools, asked, one)
    env = environment(args, tools, None, len(os.sched_getaffinity(0)))
    found = int8.judged(args, tools, one, {c: model(args, tools, c, one) for c in asked}, env)
    return {title(c): what for c, what in found.items()}


def rounds(args, tools, contestants, case):
    """The results of every round, by title."""
    name = f"{case.arch} batch {case.batch} threads {case.threads}"
    expected = written(args, tools, contestants, case)
    results = []
    for i in range(args.rounds):
        turn = i % len(contestants)
        results.append({})
        for contestant in contestants[turn:] + contestants[:turn]:
            result = measure(args, tools, contestant, case)
            largest = LARGEST_ERROR_INT8 if is_int8(contestant) else LARGEST_ERROR
            result["error"] = error(result.pop("logits"), expected, f"{name}: {contestant}", largest)
            results[-1][title(contestant)] = result
            print(f"{name} round {i + 1} {contestant}: {result['median_ms']:.2f} ms", file=sys.stderr)
    return results


def install(args):
    peers = [PEERS[p] for p in args.peers]
    preload = bootstrap.preload(args.cache) if args.isa == "avx2" else None
    rust = bootstrap.rust(args.cache, args.isa) if any(p.crate for p in peers) else None
    return Machinery(bootstrap.python(args.cache), rust, preload)


def versions(args, tools):
    """The version of each contestant, by title."""
    found = {} if args.no_ours else {OURS: bootstrap.run(OURS, [args.binary, "--version"]).split()[-1]}
    for p in args.peers:
        peer = PEERS[p]
        crate = peer.crate and bootstrap.crate_version(peer.crate)
        found[peer.title] = crate or bootstrap.version(tools.python, peer.package)
    return found


def names(text):
    return [t for t in text.split(",") if t]


def numbers(text):
    return [int(t) for t in names(text)]


def networks(text):
    """`NAME` or `NAME:BATCH` each, as pairs; the batch is None where there is none."""
    pairs = [name.partition(":") for name in names(text)]
    for name, _, batch in pairs:
        if name not in IMAGENET + CIFAR:
            raise argparse.ArgumentTypeError(f"unknown network {name} (there are {', '.join(IMAGENET + CIFAR)})")
    return [(name, int(batch) if colon else None) for name, colon, batch in pairs]


def parse():
    defaults = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=defaults)
    parser.add_argument("--arch", type=networks, default="resnet18,resnet50", help="NAME or NAME:BATCH, comma-separated")
    parser.add_argument("--batch", type=numbers, default="1,16", help="where the network's name has none")
    parser.add_argument("--threads", type=numbers, default="1,2", help="cores that a process is pinned to")
    parser.add_argument("--size", type=int, default=224, help="side of the ImageNet family's input (CIFAR's is 32)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contestant runs")
    parser.add_argument("--seconds", type=float, default=2.0, help="a contestant's time of measuring in one round")
    parser.add_argument("--peers", type=names, default="ort,openvino", help="all (in f32), int8 (all), or of " + ",".join(PEERS))
    parser.add_argument("--isa", choices=("auto", "avx2"), default="auto", help="what all are held to (Linux, gcc)")
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY, help="resnet-cpu, built for release")
    parser.add_argument("--ours", type=str.split, default=[], help="further arguments of resnet-cpu bench, one string")
    parser.add_argument("--ours-int8", type=pathlib.Path, help="what resnet-cpu quantize wrote, timed, too")
    parser.add_argument("--weights", type=pathlib.Path, help="safetensors or torch.save, for all")
    parser.add_argument("--calibrate", type=pathlib.Path, help="images: some calibrate, all are compared")
    parser.add_argument("--images", type=int, default=128, help="how many of them calibrate")
    parser.add_argument("--no-ours", action="store_true", help="time the peers alone")
    cache = bootstrap.default_cache()
    parser.add_argument("--cache", type=pathlib.Path, default=cache, help="where what is installed and written goes")
    args = parser.parse_args()
    args.cache = args.cache.absolute()
    groups = {"all": [p for p in PEERS if not is_int8(p)], "int8": [p for p in PEERS if is_int8(p)]}
    args.peers = list(dict.fromkeys(p for name in args.peers for p in groups.get(name, [name])))
    for peer in args.peers:
        if peer not in PEERS:
            parser.error(f"unknown peer {peer} (there are {', '.join(PEERS)})")
    if not args.no_ours and not args.binary.is_file():
        parser.error(f"{args.binary} is missing: cargo build --release, or --no-ours")
    if args.no_ours and not args.peers:
        parser.error("--no-ours: there is nobody else")
    available = len(os.sched_getaffinity(0))
    if max(args.threads) > available:
        parser.error(f"--threads {max(args.threads)}: only {available} cores")
    args.cases = [
        Case(arch, n, t, args.size if arch in IMAGENET else 32)
        for arch, batch in args.arch
        for n in ([batch] if batch else args.batch)
        for t in args.threads
    ]
    wrong = int8.check(args)
    if wrong:
        parser.error(wrong)
    args.tag = int8.of_file(args.weights) if args.weights else "random"
    return args


def main():
    args = parse()
    tools = install(args)
    ours = [] if args.no_ours else [OURS]
    ours += [OURS_INT8] if args.ours_int8 else []
    if any(map(is_int8, ours + args.peers)):
        int8.notes(args)
    print(table.heading(args.isa, versions(args, tools)))
    print(table.SPEED_HEAD, flush=True)
    everything, opinions = [], {}
    eight = {title(c): title(in_f32(c)) for c in ours + args.peers if is_int8(c)}
    try:
        for case in args.cases:
            contestants = ours + [p for p in args.peers if case.arch in PEERS[p].only]
            if eight and case.arch not in opinions:
                opinions[case.arch] = judged(args, tools, contestants, case)
            results = rounds(args, tools, contestants, case)
            everything.append((case, results))
            print(table.speed_row(case, results, OURS, eight), flush=True)
    finally:
        if everything:
            if eight:
                print(table.int8(everything, eight, OURS_INT8, opinions))
            print(table.errors(everything))


if __name__ == "__main__":
    main()
