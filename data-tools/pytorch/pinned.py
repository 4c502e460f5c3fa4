"""Runs a contestant of a comparison: a process of its own, pinned to the first cores, and its peak of memory."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time


def peak_mb(process):
    """The peak of its resident set until now. (What wait4 tells is never below that of this process.)"""
    try:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(peak[1]) * 1024 / 1e6 if peak else 0


def run(words, threads, env):
    """Runs to the end; the last line that it prints, and its peak in MB. A failure ends the comparison."""
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads]))
    words, memory = ["taskset", "-c", cores, *map(str, words)], 0
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(words, stdout=out, stderr=errors, env=env)
        while process.poll() is None:
            time.sleep(0.1)
            memory = max(memory, peak_mb(process))
        out.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            sys.exit(f"{' '.join(words)}: exit code {process.returncode}\n{errors.read()[-3000:]}")
        return (out.read().splitlines() or [""])[-1], memory


def measure(words, threads, env):
    """The object of JSON that it prints at last, with `peak_mb`."""
    line, memory = run(words, threads, env)
    return {**json.loads(line), "peak_mb": memory}
