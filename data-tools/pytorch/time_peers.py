"""Times resnet-cpu against other CPU runtimes: inference, float32, interleaved.

    cargo build --release
    python time_peers.py --arch resnet18,resnet50 --batch 1,16 --threads 1,2 --peers ort --rounds 5

Every round runs each contestant once, in a process of its own pinned to the first `threads` cores,
in an order that rotates from round to round; so a slow minute of the machine hits all alike. A table
row compares medians of the rounds; the ratio is the median of the rounds' own ratios.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BINARY = HERE.parent.parent / "target" / "release" / "resnet-cpu"


def network(arch):
    """The network with 1000 (CIFAR: 10) classes and the values of fill.py's rule."""
    from fill import fill
    from models import build

    classes = 1000 if build(arch).large else 10
    return fill(build(arch, classes=classes), 1).eval()


def onnx_file(cache, arch, batch, size):
    """Path of the exported model; written by the parent, once."""
    return cache / f"{arch}-{batch}x{size}.onnx"


def export(path, arch, batch, size):
    import torch

    partial = path.with_suffix(".partial")
    net, x = network(arch), torch.zeros(batch, 3, size, size)
    torch.onnx.export(net, (x,), str(partial), input_names=["x"], output_names=["y"], external_data=False, verbose=False)
    partial.rename(path)


# A peer is a class with the name used in --peers, whether it reads the ONNX file, and a constructor
# that takes the worker's arguments and the input (float32, NCHW) and leaves a ready model behind
# `run()`, which returns the logits. It runs in a process of its own, so it imports what it likes.


class OnnxRuntime:
    name, title, needs_onnx = "ort", "ONNX Runtime", True

    def __init__(self, args, x):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = args.threads
        options.inter_op_num_threads = 1
        path = str(onnx_file(args.cache, args.arch, args.batch, args.size))
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.x = x

    def run(self):
        return self.session.run(None, {"x": self.x})[0]


class OpenVino:
    name, title, needs_onnx = "openvino", "OpenVINO", True

    def __init__(self, args, x):
        import openvino as ov

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": args.threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        path = str(onnx_file(args.cache, args.arch, args.batch, args.size))
        self.request = ov.Core().compile_model(path, "CPU", settings).create_infer_request()
        self.x = x

    def run(self):
        return self.request.infer({0: self.x}, share_inputs=True)[0]


class Torch:
    name, title, needs_onnx = "torch", "PyTorch (eager, channels_last)", False

    def __init__(self, args, x):
        import torch

        torch.set_num_threads(args.threads)
        self.inference_mode = torch.inference_mode
        self.net = network(args.arch).to(memory_format=torch.channels_last)
        self.x = torch.from_numpy(x).to(memory_format=torch.channels_last)

    def run(self):
        with self.inference_mode():
            return self.net(self.x).numpy()


PEERS = {p.name: p for p in (OnnxRuntime, OpenVino, Torch)}


def work(args):
    """The process of one peer: prints one JSON line."""
    import numpy as np

    from rng import Rng

    shape = (args.batch, 3, args.size, args.size)
    x = (Rng.named(1, "input").uniform(int(np.prod(shape))) * np.float32(4) - np.float32(2)).reshape(shape)
    peer = PEERS[args.worker](args, x)
    y = None
    for _ in range(3):
        y = peer.run()
    times, start = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < args.seconds:
        t = time.perf_counter()
        peer.run()
        times.append(time.perf_counter() - t)
    logits = [float(v) for v in np.asarray(y).reshape(-1)[:10]]
    print(json.dumps({"median_ms": statistics.median(times) * 1e3, "runs": len(times), "logits": logits}))


def pinned(threads, command):
    """Runs `command` on the first `threads` cores; the last line of its stdout as JSON."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = ["taskset", "-c", ",".join(map(str, range(threads))), *map(str, command)]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_ours(args, arch, batch, threads):
    command = [args.binary, "bench", "--mode", "infer", "--arch", arch]
    command += ["--batch", batch, "--threads", threads, "--json", *args.ours]
    return pinned(threads, command)


def run_peer(args, peer, arch, batch, threads):
    command = [sys.executable, __file__, "--worker", peer, "--arch", arch, "--batch", batch, "--threads", threads]
    return pinned(threads, command + ["--size", size_of(args, arch), "--cache", args.cache, "--seconds", args.seconds])


def size_of(args, arch):
    from models import build

    return args.size if build(arch).large else 32


def check_same(results, where):
    """The peers run one network on one input: their logits must agree, or a timing means nothing."""
    logits = {k: r["logits"] for k, r in results.items() if "logits" in r}
    for k, v in logits.items():
        first = next(iter(logits.values()))
        scale = max(map(abs, first))
        if max(abs(a - b) for a, b in zip(v, first)) > 1e-4 * scale:
            sys.exit(f"{where}: {k}'s logits differ from {next(iter(logits))}'s: {v} {first}")


def row(args, arch, batch, threads):
    """All rounds of one configuration; a list of table rows, one for each peer."""
    contestants = ([] if args.no_ours else ["ours"]) + args.peers
    rounds = []
    for i in range(args.rounds):
        order = contestants[i % len(contestants) :] + contestants[: i % len(contestants)]
        results = {}
        for c in order:
            run = run_ours(args, arch, batch, threads) if c == "ours" else run_peer(args, c, arch, batch, threads)
            results[c] = run
            print(f"{arch} batch {batch} threads {threads} round {i + 1} {c}: {run['median_ms']:.2f} ms", file=sys.stderr)
        check_same(results, f"{arch} batch {batch}")
        rounds.append(results)

    def median(contestant, field="median_ms"):
        return statistics.median(r[contestant][field] for r in rounds)

    rows = []
    for peer in args.peers:
        cells = [arch, batch, threads, PEERS[peer].title]
        if args.no_ours:
            cells += ["–", f"{median(peer):.2f}", "–", "–", "–"]
        else:
            ratios = sorted(r[peer]["median_ms"] / r["ours"]["median_ms"] for r in rounds)
            peak = 100 * median("ours", "gflops") / median("ours", "peak_gflops")
            theirs = peak * median("ours") / median(peer)
            cells += [f"{median('ours'):.2f}", f"{median(peer):.2f}", f"{statistics.median(ratios):.2f}x"]
            cells += [f"{ratios[0]:.2f}–{ratios[-1]:.2f}", f"{peak:.0f} / {theirs:.0f}"]
        rows.append(cells)
    return rows


def names(text):
    return [t for t in text.split(",") if t]


def numbers(text):
    return [int(t) for t in names(text)]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", type=names, default="resnet18,resnet50")
    parser.add_argument("--batch", type=numbers, default="1,16")
    parser.add_argument("--threads", type=numbers, default="1,2")
    parser.add_argument("--size", type=int, default=224, help="side of the ImageNet family's input (CIFAR's is 32)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="a peer's time of measuring in one round")
    parser.add_argument("--peers", type=names, default="ort", help="of " + ",".join(PEERS))
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY, help="resnet-cpu, built for release")
    parser.add_argument("--ours", type=str.split, default=[], help="further arguments of resnet-cpu bench, one string")
    parser.add_argument("--no-ours", action="store_true", help="time the peers alone")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "resnet-cpu-onnx")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        args.arch, args.batch, args.threads = args.arch[0], args.batch[0], args.threads[0]
        return args
    unknown = [p for p in args.peers if p not in PEERS]
    if unknown:
        parser.error(f"unknown peer {unknown[0]} (there are {', '.join(PEERS)})")
    if not args.no_ours and not args.binary.is_file():
        parser.error(f"{args.binary} is missing: cargo build --release, or --no-ours")
    available = len(os.sched_getaffinity(0))
    if max(args.threads) > available:
        parser.error(f"--threads {max(args.threads)}: only {available} cores")
    return args


def main():
    args = parse()
    if args.worker:
        return work(args)
    args.cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for arch in args.arch:
        for batch in args.batch:
            path = onnx_file(args.cache, arch, batch, size_of(args, arch))
            if any(PEERS[p].needs_onnx for p in args.peers) and not path.exists():
                export(path, arch, batch, size_of(args, arch))
            for threads in args.threads:
                rows += row(args, arch, batch, threads)
    print("| arch | batch | threads | peer | resnet-cpu ms | peer ms | peer / ours | spread | % of FMA peak: ours / peer |")
    print("|---|---|---|---|---|---|---|---|---|")
    for cells in rows:
        print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
