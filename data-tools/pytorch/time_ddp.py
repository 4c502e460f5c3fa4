#!/usr/bin/env python3
"""Times a training step of two processes of one thread each: resnet-cpu by MPI, and PyTorch's
DistributedDataParallel by gloo; float32, interleaved.

    cargo build --release --features mpi
    pip install -r requirements.txt
    python3 time_ddp.py --program ../../target/release/resnet-cpu --arch resnet18:64,resnet50:32 --rounds 3

The batch is that of both processes together. Each is pinned to a core. Both sides compute forward and backward pass
and the update on random images in memory; PyTorch is in channels_last. Batch norm sees the images of a process on both.
A line for each case: medians of milliseconds, and the median of the rounds' own ratios: above 1x we are faster.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PROCESSES, WARM_UP, FEWEST = 2, 2, 5


def worker(arch, batch, seconds):
    """One of PyTorch's processes; the first prints the median of its steps."""
    import torch
    import torch.distributed as dist

    import models

    rank = int(os.environ["RANK"])
    os.sched_setaffinity(0, {rank})
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dist.init_process_group("gloo", rank=rank, world_size=PROCESSES)
    side, classes = (32, 10) if arch in ("resnet20", "resnet56") else (224, 1000)
    net = models.build(arch, classes=classes).train().to(memory_format=torch.channels_last)
    # The buffers of batch norm are each process's own.
    net = torch.nn.parallel.DistributedDataParallel(net, broadcast_buffers=False)
    sgd = torch.optim.SGD(net.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    own = batch // PROCESSES
    images = torch.randn(own, 3, side, side).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(own) % classes
    cross_entropy = torch.nn.CrossEntropyLoss()
    times, start, more = [], time.perf_counter(), torch.ones(1)
    while True:
        begin = time.perf_counter()
        sgd.zero_grad()
        loss = cross_entropy(net(images), labels)
        loss.backward()
        sgd.step()
        times.append((time.perf_counter() - begin) * 1e3)
        # The first says whether there is another step.
        more[0] = len(times) < WARM_UP + FEWEST or time.perf_counter() - start < seconds
        dist.broadcast(more, 0)
        if not more[0]:
            break
    if not torch.isfinite(loss):
        sys.exit(f"the loss is {loss}")
    if rank == 0:
        print(json.dumps({"ms": statistics.median(times[WARM_UP:])}))
    dist.destroy_process_group()


def pytorch(arch, batch, seconds):
    """Milliseconds of a step of PyTorch's processes."""
    argv = [sys.executable, "-W", "ignore", __file__, "--worker", arch, str(batch), str(seconds)]
    env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29533"}
    jobs = [
        subprocess.Popen(argv, env={**env, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(PROCESSES)
    ]
    out = [job.communicate()[0] for job in jobs]
    if any(job.returncode for job in jobs):
        sys.exit("PyTorch has failed")
    return json.loads(out[0].splitlines()[-1])["ms"]


def ours(program, arch, batch, seconds):
    """Milliseconds of a step of ours."""
    argv = ["mpirun", "-n", str(PROCESSES), "--bind-to", "core", program, "bench", "--mode", "train", "--arch", arch]
    argv += ["--batch", str(batch), "-j1", "-q", "--json", "--seconds", str(seconds)]
    root = dict.fromkeys(("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1")
    done = subprocess.run(argv, env={**os.environ, **root}, stdout=subprocess.PIPE, text=True, check=True)
    # The other line is of steps that send all at the end.
    return json.loads(done.stdout.splitlines()[0])["median_ms"]


def main():
    if sys.argv[1:2] == ["--worker"]:
        arch, batch, seconds = sys.argv[2:]
        return worker(arch, int(batch), float(seconds))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="resnet-cpu, built with --features mpi")
    parser.add_argument("--arch", default="resnet18:64,resnet50:32", help="NETWORK:BATCH,...")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for case in args.arch.split(","):
        arch, batch = case.split(":")
        rounds = []
        for i in range(args.rounds):
            sides = [lambda: ours(args.program, arch, int(batch), args.seconds), lambda: pytorch(arch, int(batch), args.seconds)]
            order = [0, 1] if i % 2 == 0 else [1, 0]
            times = {side: sides[side]() for side in order}
            rounds.append((times[0], times[1]))
        ratios = sorted(theirs / own for own, theirs in rounds)
        own, theirs = (statistics.median(column) for column in zip(*rounds))
        print(
            f"{arch} batch {batch}: resnet-cpu {own:.0f} ms, PyTorch {theirs:.0f} ms: "
            f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
