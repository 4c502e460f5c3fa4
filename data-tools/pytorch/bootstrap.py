"""Installs what time_peers.py needs, into a cache directory: a venv, and the programs built from source.

Every function does its work the first time and returns the path at once after that. Standard library only.
"""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements-peers.txt"
RUST = HERE.parent / "peers"


def default_cache():
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "resnet-cpu-peers"


def say(text):
    print(f"time_peers: {text}", file=sys.stderr)


def run(what, command, **options):
    """Runs a command whose output is of interest only when it fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"time_peers: {what}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def python(cache):
    """The interpreter of a venv with the pinned requirements."""
    venv = cache / "venv"
    interpreter, stamp = venv / "bin" / "python", venv / "requirements.txt"
    wanted = REQUIREMENTS.read_text()
    if stamp.is_file() and stamp.read_text() == wanted:
        return interpreter
    if sys.version_info < (3, 11):
        sys.exit("time_peers: the pinned numpy wants Python 3.11 or newer")
    say(f"installs {REQUIREMENTS.name} into {venv} (once; takes minutes)")
    run("venv", [sys.executable, "-m", "venv", "--clear", venv])
    pip = [interpreter, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    torch = next(line for line in wanted.splitlines() if line.startswith("torch=="))
    if subprocess.run([*pip, f"{torch}+cpu"], capture_output=True).returncode != 0:
        say(f"the package index has no {torch}+cpu; the default wheel brings several GB along")
    run("pip", [*pip, "-r", REQUIREMENTS])
    stamp.write_text(wanted)
    return interpreter


def rust(cache, isa):
    """The program with the peers in Rust, built for this CPU, or for one that ends at AVX2."""
    if not shutil.which("cargo"):
        sys.exit("time_peers: no cargo here; leave the peers in Rust out of --peers")
    target = cache / f"rust-{isa}"
    program = target / "release" / "peers"
    if not program.exists():
        say(f"builds {RUST} in {target} (once; takes many minutes)")
    cpu = "native" if isa == "auto" else "haswell"
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", RUST / "Cargo.toml"]
    run("cargo build", [*command, "--target-dir", target], env={**os.environ, "RUSTFLAGS": f"-C target-cpu={cpu}"})
    return program


def version(interpreter, package):
    """The installed version of a package of the venv."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return run("python", [interpreter, "-c", code]).strip()


def crate_version(crate):
    """The version of a crate of the project in Rust."""
    lines = (RUST / "Cargo.lock").read_text().splitlines()
    return lines[lines.index(f'name = "{crate}"') + 1].split('"')[1]


def preload(cache):
    """The library that hides AVX-512 from a process (hide_avx512.c)."""
    library = cache / "hide_avx512.so"
    cache.mkdir(parents=True, exist_ok=True)
    run("gcc", ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, HERE / "hide_avx512.c"])
    run("hide_avx512.so", ["true"], env={**os.environ, "LD_PRELOAD": str(library)})
    return library
