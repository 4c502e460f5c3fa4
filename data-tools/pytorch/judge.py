"""What the contestants of time_peers.py make of photographs: logits and classes, beside PyTorch in float32.

    python judge.py ARCH SIZE PHOTOGRAPHS NAME=MODEL.. [--weights F] [--binary B]

PHOTOGRAPHS is a folder that photographs.py wrote. NAME is a peer of peers.py, or any other name, of a file of
weights that resnet-cpu runs. Prints JSON: for each name, of all images, the largest difference of a logit
(`max_difference`), the mean cosine of the logits (`cosine`), how many have the same class first
(`same`), and of those with a known class (`known`) how many have that first (`right`); `f32` is PyTorch.
"""

import argparse
import json
import os
import pathlib
import subprocess
from types import SimpleNamespace

import numpy as np
import torch

import photographs
from cases import network
from peers import PEERS

PYTORCH = "f32"


def peer_logits(name, model, args, images):
    """One image at a time."""
    settings = SimpleNamespace(arch=args.arch, model=model, batch=1, size=args.size, threads=args.threads)
    peer = PEERS[name](settings)
    return np.stack([np.array(peer.run(peer.prepare(x))).reshape(-1) for x in images])


def our_logits(weights, args, classes):
    """Those of the crops, which resizing leaves as they are; the normalisation is that of the file."""
    words = [args.binary, "infer", args.photographs / "crops", "--weights", weights, "--json", "--quiet"]
    words += ["--top", classes, "--resize", args.size, "--crop", args.size, "--arch", args.arch]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    rows = sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda row: row["image"])
    logits = np.empty((len(rows), classes))
    for row, image in zip(logits, rows):
        for p in image["predictions"]:
            row[p["index"]] = p["logit"]
    return logits


def compared(logits, right, labels):
    logits, right = logits.astype(np.float64), right.astype(np.float64)
    lengths = np.linalg.norm(logits, axis=1) * np.linalg.norm(right, axis=1)
    first, known = logits.argmax(1), [i for i, label in enumerate(labels) if label is not None]
    return {
        "images": len(logits),
        "max_difference": np.abs(logits - right).max(),
        "cosine": ((logits * right).sum(1) / lengths).mean(),
        "same": int((first == right.argmax(1)).sum()),
        "known": len(known),
        "right": sum(int(first[i] == labels[i]) for i in known),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("arch")
    parser.add_argument("size", type=int)
    parser.add_argument("photographs", type=pathlib.Path)
    parser.add_argument("contestants", nargs="+", metavar="NAME=MODEL")
    parser.add_argument("--weights", type=pathlib.Path)
    parser.add_argument("--binary", type=pathlib.Path)
    args = parser.parse_args()
    args.threads = len(os.sched_getaffinity(0))
    labels = json.loads((args.photographs / "labels.json").read_text())
    images = list(photographs.normalised(args.photographs, args.size, range(len(labels))))
    net = network(args.arch, args.weights)
    with torch.inference_mode():
        right = np.concatenate([net(torch.from_numpy(x)).numpy() for x in images])
    found = {PYTORCH: compared(right, right, labels)}
    for contestant in args.contestants:
        name, _, model = contestant.partition("=")
        if name in PEERS:
            logits = peer_logits(name, model, args, images)
        else:
            logits = our_logits(model, args, right.shape[1])
        found[name] = compared(logits, right, labels)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
