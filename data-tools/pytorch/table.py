"""The Markdown that time_peers.py prints.

`results` is a list of rounds; a round maps each contestant's title to what it measured: median_ms, error,
peak_mb, and for resnet-cpu gflops and peak_gflops.
"""

import datetime
import os
import platform
import re
import statistics

SPEED_HEAD = (
    "| network | batch | threads | resnet-cpu, ms | % of FMA peak | fastest peer, ms | peer / ours | spread | others |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def heading(isa, versions):
    """When, where and who: one paragraph."""
    with open("/proc/cpuinfo") as file:
        cpu = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", file.read(), re.MULTILINE))
    cpu = f"{cpu.get('model name', platform.processor())} (family {cpu.get('cpu family')}, model {cpu.get('model')})"
    held = ", all held to AVX2" if isa == "avx2" else ""
    who = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{datetime.date.today()}, {cpu}, {len(os.sched_getaffinity(0))} cores{held}. {who}.\n"


def line(cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def median(results, contestant, field):
    return statistics.median(one[contestant][field] for one in results)


def milliseconds(value):
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def speed_row(case, results, ours):
    """One row of SPEED_HEAD: the fastest peer, then the others as `name ms (ratio)`, fastest first."""
    times = {c: median(results, c, "median_ms") for c in results[0]}
    own = times.pop(ours, None)
    ratios = {c: sorted(one[c]["median_ms"] / one[ours]["median_ms"] for one in results) for c in times if own}
    cells = [case.arch, case.batch, case.threads]
    if own:
        cells += [milliseconds(own), f"{100 * median(results, ours, 'gflops') / median(results, ours, 'peak_gflops'):.0f}"]
    else:
        cells += ["–", "–"]
    peers = sorted(times, key=times.get)
    if not peers:
        return line([*cells, "–", "–", "–", "–"])
    first, *others = peers
    cells.append(f"{first} {milliseconds(times[first])}")
    if own:
        of = ratios[first]
        cells += [f"**{statistics.median(of):.2f}x**", f"{of[0]:.2f}–{of[-1]:.2f}"]
    else:
        cells += ["–", "–"]

    def other(c):
        ratio = f" ({statistics.median(ratios[c]):.2f}x)" if own else ""
        return f"{c} {milliseconds(times[c])}{ratio}"

    return line([*cells, ", ".join(map(other, others)) or "–"])


def errors(everything):
    """Error and memory of every contestant, one column each; the largest over rounds and threads."""
    columns = list(dict.fromkeys(c for _, results in everything for c in results[0]))
    worst = {}
    for case, results in everything:
        row = worst.setdefault((case.arch, case.batch), {})
        for one in results:
            for c, result in one.items():
                old = row.get(c, (0, 0))
                row[c] = (max(old[0], result["error"]), max(old[1], result["peak_mb"]))
    lines = ["\nRelative RMS error of the logits against float64, and peak memory of the process in MB:\n"]
    lines += [line(["network", "batch", *columns]), line(["---"] * (2 + len(columns)))]
    for (arch, batch), row in worst.items():
        cells = [f"{row[c][0]:.1e}, {row[c][1]:.0f}" if c in row else "–" for c in columns]
        lines.append(line([arch, batch, *cells]))
    return "\n".join(lines)
