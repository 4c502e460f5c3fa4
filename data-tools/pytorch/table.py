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


def ratios_to(results, contestant, other):
    """How much longer it took than another, in each round; sorted."""
    return sorted(one[contestant]["median_ms"] / one[other]["median_ms"] for one in results)


def speed_row(case, results, ours, left_out):
    """One row of SPEED_HEAD: the fastest peer, then the others as `name ms (ratio)`, fastest first."""
    times = {c: median(results, c, "median_ms") for c in results[0] if c not in left_out}
    own = times.pop(ours, None)
    ratios = {c: ratios_to(results, c, ours) for c in times if own}
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


INT8_HEAD = (
    "\n8 bits beside f32. Logits and classes of photographs, beside PyTorch in f32:\n\n"
    "| network | batch | threads | | ms | times resnet-cpu int8 | spread | its f32 takes | largest Δ of a logit "
    "| mean cosine | same top-1 | right top-1 |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def int8(everything, twins, ours, opinions):
    """A row for each contestant of each case, fastest first. `twins` has those in 8 bits, each with its own
    in f32; `opinions` has what judge.py says of each, by network."""
    lines = [INT8_HEAD]
    for case, results in everything:
        opinion = opinions.get(case.arch, {})
        for c in sorted(results[0], key=lambda c: median(results, c, "median_ms")):
            cells = [case.arch, case.batch, case.threads, c, milliseconds(median(results, c, "median_ms"))]
            if c != ours and ours in results[0]:
                of = ratios_to(results, c, ours)
                cells += [f"**{statistics.median(of):.2f}x**", f"{of[0]:.2f}–{of[-1]:.2f}"]
            else:
                cells += ["–", "–"]
            twin = twins.get(c)
            cells.append(f"{statistics.median(ratios_to(results, twin, c)):.2f}x" if twin in results[0] else "–")
            lines.append(line([*cells, *judgement(opinion.get(c))]))
    return "\n".join(lines)


def judgement(of):
    """The last four cells of INT8_HEAD."""
    if of is None:
        return ["–"] * 4
    right = f"{of['right']} of {of['known']}" if of["known"] else "–"
    return [f"{of['max_difference']:.2g}", f"{of['cosine']:.4f}", f"{of['same']} of {of['images']}", right]


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
