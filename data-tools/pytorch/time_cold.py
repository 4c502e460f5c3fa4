#!/usr/bin/env python3
"""Cold start: the time of a whole process, from an image's file to its five most likely classes.

    python data-tools/pytorch/time_cold.py --weights resnet18.safetensors --image dog.jpg
    python data-tools/pytorch/time_cold.py --weights resnet18.safetensors --image dog.jpg --onnx resnet18.onnx

Every process is started anew, with its files in the page cache; contestants take turns, so a slow
minute of the machine hits all alike. Memory is the peak of the resident set. The ONNX peer is a Python
process with Pillow and ONNX Runtime.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

BINARY = pathlib.Path(__file__).resolve().parent.parent.parent / "target" / "release" / "resnet-cpu"


def peer(model, image, threads):
    """The process of the ONNX peer: torchvision's preprocessing, one run, five classes."""
    import numpy as np
    import onnxruntime as ort
    from PIL import Image

    image = Image.open(image).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([int(side * scale) for side in image.size], Image.Resampling.BILINEAR)
    left, top = ((side - 224) // 2 for side in image.size)
    x = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    x = (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    y = session.run(None, {session.get_inputs()[0].name: x.transpose(2, 0, 1)[None].copy()})[0][0]
    print(np.argsort(-y)[:5])


def run(command):
    """Milliseconds and peak MB of one process; it must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{error.decode()[-2000:]}")
    return elapsed * 1e3, usage.ru_maxrss * 1024 / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", required=True, help="safetensors file")
    parser.add_argument("--image", required=True)
    parser.add_argument("--onnx", help="the network as an ONNX file: time ONNX Runtime from Python too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--binary", default=str(BINARY), help="resnet-cpu, built for release")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args.onnx, args.image, args.threads)

    threads = ["--threads", str(args.threads)]
    contestants = {"resnet-cpu": [args.binary, "infer", "--weights", args.weights, args.image, *threads]}
    if args.onnx:
        files = ["--weights", args.weights, "--image", args.image, "--onnx", args.onnx]
        contestants["ONNX Runtime, Python"] = [sys.executable, __file__, "--peer", *files, *threads]
    cores = ["taskset", "-c", ",".join(map(str, range(args.threads)))]
    results = {name: [] for name in contestants}
    for i in range(args.runs + 1):
        for name, command in contestants.items():
            result = run([*cores, *command])
            # The first fills the page cache.
            if i > 0:
                results[name].append(result)
    size = os.path.getsize(args.weights) / 1e6
    print("| process | ms: median | fastest | slowest | peak memory, MB | times the weights |")
    print("|---|---|---|---|---|---|")
    for name, values in results.items():
        ms, memory = [sorted(column) for column in zip(*values)]
        peak = statistics.median(memory)
        cells = [name, f"{statistics.median(ms):.1f}", f"{ms[0]:.1f}", f"{ms[-1]:.1f}", f"{peak:.1f}", f"{peak / size:.2f}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
