"""What time_peers.py does for contestants in 8 bits: photographs, networks, and what these make of those.

Everything is written into the cache once for each network, weights and set of photographs. Standard library only.
"""

import hashlib
import json
import pathlib
import platform

import bootstrap

HERE = pathlib.Path(__file__).resolve().parent


def digest(*parts):
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:8]


def of_file(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def seven_bits(isa):
    """Must weights be small, lest sums saturate? So it is on x86 without VNNI."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return isa == "avx2" or "vnni" not in pathlib.Path("/proc/cpuinfo").read_text()


def photographs(args, tools, size):
    """The folder of what photographs.py wrote, or None without --calibrate."""
    if not args.calibrate:
        return None
    files = sorted((p.relative_to(args.calibrate), p.stat().st_size) for p in args.calibrate.rglob("*") if p.is_file())
    folder = args.cache / "photographs" / f"{digest(args.calibrate.resolve(), *files)}-{size}"
    if not (folder / "labels.json").is_file():
        bootstrap.say(f"decodes {args.calibrate}")
        bootstrap.run("photographs", [tools.python, HERE / "photographs.py", folder, args.calibrate, size])
    return folder


def weights(args):
    return ["--weights", args.weights] if args.weights else []


def models(args, tools, case, kinds):
    """The folder with the networks of these kinds, `model.KIND`; they have a batch that the peer sets."""
    images = photographs(args, tools, case.size)
    seven = seven_bits(args.isa)
    name = f"{case.arch}-{case.size}-{args.tag}-{images.name if images else 'normal'}-{args.images}-{8 - seven}"
    folder = args.cache / "int8" / name
    missing = [kind for kind in kinds if not (folder / f"model.{kind}").exists()]
    if missing:
        bootstrap.say(f"quantises {case.arch} for {', '.join(missing)} (once; takes minutes)")
        words = [tools.python, HERE / "quantise.py", folder, case.arch, case.size, *missing, *weights(args)]
        words += ["--images", args.images, *(["--photographs", images] if images else [])]
        bootstrap.run(case.arch, [*words, *(["--seven-bits"] if seven else [])])
    return folder


def judged(args, tools, case, contestants, env):
    """What each of `contestants`, a name and a model each, makes of the photographs (judge.py); {} without any."""
    images = photographs(args, tools, case.size)
    if not images:
        return {}
    bootstrap.say(f"compares what {case.arch} says of {args.calibrate}")
    words = [tools.python, HERE / "judge.py", case.arch, case.size, images, *weights(args), "--binary", args.binary]
    words += [f"{name}={model}" for name, model in contestants.items()]
    return json.loads(bootstrap.run(case.arch, words, env=env))


def notes(args):
    """What a reader of the numbers must know, on stderr."""
    if not args.calibrate:
        bootstrap.say("no --calibrate: random images calibrate the int8 networks, so only their speed counts")
    elif not args.weights:
        bootstrap.say("no --weights: the networks are random, so classes agree less than a trained one's")
    if not args.ours_int8 and not args.no_ours:
        bootstrap.say("no --ours-int8: resnet-cpu runs in f32 alone")


def check(args):
    """The sentence that says what is wrong with the arguments, or None."""
    for path in (args.weights, args.ours_int8):
        if path and not path.is_file():
            return f"{path} is no file"
        if path and len({case.arch for case in args.cases}) > 1:
            return f"{path} holds one network: give one --arch"
    if args.calibrate and not args.calibrate.is_dir():
        return f"--calibrate {args.calibrate}: no such folder"
    if args.images < 1:
        return f"--images {args.images}: at least 1"
    if args.ours_int8 and args.no_ours:
        return "--ours-int8 and --no-ours exclude each other"
    return None
