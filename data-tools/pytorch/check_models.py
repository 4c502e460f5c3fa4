"""Checks models.py: parameters against published counts, names and logits against torchvision.

Usage: python check_models.py (needs torchvision).
"""

import torch
import torchvision

from fill import fill, images
from models import build


def check():
    """Parameters against published counts; names and logits against torchvision."""
    x = images(1, 1, 65, 47)
    for arch in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
        ours, theirs = fill(build(arch), 1).eval(), getattr(torchvision.models, arch)().eval()
        assert list(ours.state_dict()) == list(theirs.state_dict()), arch
        theirs.load_state_dict(ours.state_dict())
        with torch.inference_mode():
            error = (ours(x) - theirs(x)).abs().max().item()
        assert error < 1e-4, (arch, error)
        count = sum(p.numel() for p in ours.parameters())
        print(f"{arch}: {count} parameters, torchvision's names, logits differ by {error:.1e}")
    for arch, count in (("resnet20", 269722), ("resnet56", 853018), ("resnet110", 1727962)):
        assert sum(p.numel() for p in build(arch, classes=10).parameters()) == count, arch
        print(f"{arch}: {count} parameters")


if __name__ == "__main__":
    check()
