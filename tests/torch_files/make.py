"""Writes data/*.pth and data/expected.json: small files as torch.save makes them, and what is in them.

Made with Python 3.11, torch 2.15.0 and numpy 2.4.6. Run it in this folder: python make.py
"""

import argparse
import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).parent / "data"
NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
expected = {}


def save(name, content, state_dict, notes=(), **options):
    """A file, and what must be read from it: the tensors of state_dict, and notes."""
    torch.save(content, DATA / name, **options)
    tensors = [
        {
            "name": key,
            "dtype": NAMES[value.dtype],
            "shape": list(value.shape),
            # As f32, which is what half and bfloat16 are exactly and double is rounded to.
            "values": value.detach().float().flatten().tolist(),
        }
        for key, value in state_dict.items()
    ]
    expected[name] = {"tensors": tensors, "notes": list(notes)}


def plain():
    """One tensor of each type."""
    values = [0.0, -1.5, 1 / 3, 1e-5, 65504.0, -2.0]
    state = OrderedDict()
    for dtype in [torch.float32, torch.float16, torch.bfloat16, torch.float64]:
        state[f"layer.{NAMES[dtype]}"] = torch.tensor(values, dtype=torch.float64).reshape(2, 3).to(dtype)
    state["bn.num_batches_tracked"] = torch.tensor(7)
    for dtype in [torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]:
        state[f"other.{NAMES[dtype]}"] = torch.tensor([0, 1, 1, 0]).to(dtype)
    return state


def views():
    """Tensors that share storages, start within them, and do not lie in order."""
    base = torch.arange(24.0).reshape(4, 6)
    conv = torch.arange(48.0).reshape(2, 3, 2, 4).to(memory_format=torch.channels_last)
    return {
        "base": base,
        "same": base,
        "row": base[2],
        "transposed": base.t(),
        "every second": base[1:, ::2],
        "corner": base[3, 5],
        "channels last": conv,
        "half, transposed": base.half().t(),
        "none": base[:0],
        "ones": torch.ones(1, 1, 1).expand(1, 1, 1),
    }


def checkpoint(wrapper):
    """What training scripts keep; the optimiser and the schedule have state of their own."""
    model = torch.nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.arange(6.0).reshape(2, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3, 3])
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = OrderedDict((f"module.{key}", value) for key, value in model.state_dict().items())
    content = {
        "epoch": 3,
        wrapper: state,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "best_prec1": torch.tensor(91.5),
        "best_acc": np.float64(0.915),
        "rng": np.arange(3, dtype=np.uint32),
        "args": argparse.Namespace(lr=0.1, milestones=(2, 3), device=torch.device("cpu"), tags={"a"}),
        "text": b"bytes",
    }
    beside = [key for key in content if key != wrapper]
    notes = [f"the weights are those under {wrapper}"]
    shown = ", ".join(beside[:8]) + (f" and {len(beside) - 8} more" if len(beside) > 8 else "")
    notes.append(f"entries ignored ({len(beside)}): {shown}")
    return content, state, notes


def main():
    DATA.mkdir(exist_ok=True)
    torch.manual_seed(1)
    old = {"_use_new_zipfile_serialization": False}
    for protocol in [2, 3, 4, 5]:
        save(f"zip_protocol{protocol}.pth", plain(), plain(), pickle_protocol=protocol)
    for protocol in [2, 4]:
        save(f"legacy_protocol{protocol}.pth", plain(), plain(), pickle_protocol=protocol, **old)
    save("zip_views.pth", views(), views())
    save("legacy_views.pth", views(), views(), **old)

    for wrapper, options in [
        ("state_dict", {}),
        ("state_dict", old),
        ("model", {"pickle_protocol": 4}),
        ("model_state_dict", {}),
        ("net", {}),
    ]:
        content, state, notes = checkpoint(wrapper)
        kind = "legacy" if options == old else "zip"
        save(f"{kind}_{wrapper}.pth", content, state, notes, **options)

    state = {"weight": torch.nn.Parameter(torch.arange(4.0)), "step": 5}
    tensors = {"weight": state["weight"]}
    for kind, options in [("zip", {}), ("legacy", old)]:
        save(f"{kind}_parameter.pth", state, tensors, ["entries ignored (1): step"], **options)

    torch.serialization.set_crc32_options(False)
    save("zip_without_crc.pth", state, tensors, ["entries ignored (1): step"])
    (DATA / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
