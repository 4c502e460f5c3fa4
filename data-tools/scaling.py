#!/usr/bin/env python3
"""A model of training on several machines, beside what was measured, and what it predicts for more of them.

    python3 data-tools/scaling.py

docs/scaling.md says what it takes into account, and how the numbers below were measured.
"""

# Measured on two cores of a Xeon (Emerald Rapids), one core a process (data-tools/namespaces; docs/scaling.md).
# Bytes of weights, milliseconds for an image on one core, buckets, floats of batch norm's statistics.
NETWORKS = {
    "resnet18": dict(weights=46.8e6, image=47.6, buckets=7, statistics=9600),
    "resnet50": dict(weights=102.2e6, image=180.8, buckets=15, statistics=53120),
}
# network, images of a process, Gbit/s, ms of a step: sent as it is finished; sent at the end.
MEASURED = [
    ("resnet18", 32, 1, 1699, 2159),
    ("resnet50", 16, 1, 3215, 4415),
    ("resnet18", 32, 10, 1543, 1522),
    ("resnet50", 16, 10, 2983, 2949),
]

# Fitted to these: the share of a link that one exchange after the other fills; seconds of a core for each byte that is
# sent or received; the share of a core that looking for what has arrived takes; seconds of a round of messages.
FILLS, PER_BYTE, LOOKING, ROUND = 0.65, 0.3e-9, 0.12, 0.4e-3
# Assumed: the part of so many cores that one process makes use of (on two it is 0.97, measured).
CORES_USED = {1: 1.0, 16: 0.85, 64: 0.7}


def step(network, images, micro_batches, machines, gbit, cores, overlap=True):
    """Seconds of a step in which each machine computes `images`, in `micro_batches`."""
    net = NETWORKS[network]
    compute = images * net["image"] / 1e3 / (cores * CORES_USED[cores])
    bytes_sent = 2 * net["weights"] * (machines - 1) / machines
    bytes_sent += 4 * net["statistics"] * micro_batches * (machines - 1)
    send = bytes_sent / (FILLS * gbit * 1e9 / 8) + (2 * net["buckets"] + 6) * ROUND
    work = (2 * bytes_sent * PER_BYTE + LOOKING * send) / cores
    if not overlap:
        return compute + send + work
    # Gradients are final in the last micro-batch's backward pass only: two thirds of it. The last bucket comes after.
    hidden = 2 / 3 * compute / micro_batches
    return compute + work + max(send / net["buckets"], send - hidden)


def main():
    print("measured and modelled, two processes of one core, ms a step\n")
    print("| network | Gbit/s | overlapped | model | sent at the end | model |\n|---|---|---|---|---|---|")
    for network, images, gbit, overlapped, at_end in MEASURED:
        model = [1e3 * step(network, images, 1, 2, gbit, 1, overlap) for overlap in (True, False)]
        print(f"| {network} | {gbit} | {overlapped} | {model[0]:.0f} | {at_end} | {model[1]:.0f} |")
    print("\npredicted, 64 images a machine in 2 micro-batches, % of so many times one machine's speed\n")
    print("| network | cores of a machine | Gbit/s | 4 machines | 16 | 64 |\n|---|---|---|---|---|---|")
    for network in NETWORKS:
        for cores in (16, 64):
            for gbit in (1, 10, 25):
                alone = 64 * NETWORKS[network]["image"] / 1e3 / (cores * CORES_USED[cores])
                shares = [100 * alone / step(network, 64, 2, machines, gbit, cores) for machines in (4, 16, 64)]
                print(f"| {network} | {cores} | {gbit} | " + " | ".join(f"{share:.0f}" for share in shares) + " |")


if __name__ == "__main__":
    main()
