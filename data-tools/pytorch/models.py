"""All networks of "Deep Residual Learning" (He et al., 2015) in plain PyTorch, torchvision's names.

    build("resnet50", shortcut="b", stride_in="1x1")

ImageNet family: plain18|34, resnet18|34|50|101|152. CIFAR family, 6n+2 layers: plain20|32|44|56|110,
resnet20|32|44|56|110|1202.

shortcut (residual nets)  a: every second pixel, half of the new channels as zeros on each side;
                          b: 1x1 convolution + BN where the shape changes; c: in every block.
downsample (plain18|34)   conv: the first convolution of stages 2-4 has stride 2;
                          maxpool: a 2x2 pool with stride 2 before it, and it has stride 1.
stride_in (bottlenecks)   1x1: the first convolution, as in the paper; 3x3: the second ("v1.5").
"""

import re

import torch
from torch import nn
from torch.nn import functional as F

IMAGENET = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


def conv(cin, cout, k, stride):
    return nn.Conv2d(cin, cout, k, stride, padding=k // 2, bias=False)


class PadShortcut(nn.Module):
    """Shortcut A where the shape changes; it has no parameters."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.stride, self.pad = stride, (cout - cin) // 2

    def forward(self, x):
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))


def make_shortcut(kind, cin, cout, stride):
    changes = stride != 1 or cin != cout
    if kind == "c" or (kind == "b" and changes):
        return nn.Sequential(conv(cin, cout, 1, stride), nn.BatchNorm2d(cout))
    if kind == "a" and changes:
        return PadShortcut(cin, cout, stride)
    return None


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; without the shortcut (`shortcut` is None) it is two layers of a plain net."""

    expansion = 1

    def __init__(self, cin, width, stride, shortcut, pool=False):
        super().__init__()
        self.residual = shortcut is not None
        self.pool = nn.MaxPool2d(2, 2) if pool else None
        self.conv1 = conv(cin, width, 3, 1 if pool else stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = make_shortcut(shortcut, cin, width, stride)

    def forward(self, x):
        y = x if self.pool is None else self.pool(x)
        y = F.relu(self.bn1(self.conv1(y)))
        y = self.bn2(self.conv2(y))
        if self.residual:
            y = y + (x if self.downsample is None else self.downsample(x))
        return F.relu(y)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, cin, width, stride, shortcut, stride_in):
        super().__init__()
        cout = 4 * width
        self.conv1 = conv(cin, width, 1, stride if stride_in == "1x1" else 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride if stride_in == "3x3" else 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, cout, 1, 1)
        self.bn3 = nn.BatchNorm2d(cout)
        self.downsample = make_shortcut(shortcut, cin, cout, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Net(nn.Module):
    def __init__(self, arch, shortcut, downsample, stride_in, classes, blocks):
        super().__init__()
        family, depth = re.fullmatch(r"(plain|resnet)(\d+)", arch).groups()
        plain, depth = family == "plain", int(depth)
        if depth in IMAGENET:
            kind, counts = IMAGENET[depth]
            self.large, widths = True, (64, 128, 256, 512)
        else:
            assert (depth - 2) % 6 == 0, f"{arch}: a CIFAR network has 6n+2 layers"
            kind, counts = "basic", ((depth - 2) // 6,) * 3
            self.large, widths = False, (16, 32, 64)
        assert not (plain and kind == "bottleneck"), f"{arch}: no such plain network in the paper"
        assert not (shortcut == "a" and kind == "bottleneck"), f"{arch}: shortcut a needs basic blocks"

        self.blocks = tuple(blocks or counts)
        cin = widths[0]
        self.conv1 = conv(3, cin, 7, 2) if self.large else conv(3, cin, 3, 1)
        self.bn1 = nn.BatchNorm2d(cin)
        self.stages = [f"layer{i + 1}" for i in range(len(widths))]
        for stage, (name, width, count) in enumerate(zip(self.stages, widths, self.blocks)):
            stack = []
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                if kind == "bottleneck":
                    stack.append(Bottleneck(cin, width, stride, shortcut, stride_in))
                else:
                    pool = plain and downsample == "maxpool" and stride == 2
                    stack.append(BasicBlock(cin, width, stride, None if plain else shortcut, pool))
                cin = width * stack[-1].expansion
            setattr(self, name, nn.Sequential(*stack))
        self.fc = nn.Linear(cin, classes)

    def states(self, x):
        """Yields (name, activation) after the stem, each stage, the global pool and the classifier."""
        x = F.relu(self.bn1(self.conv1(x)))
        if self.large:
            x = F.max_pool2d(x, 3, 2, 1)
        yield "stem", x
        for name in self.stages:
            x = getattr(self, name)(x)
            yield name, x
        x = x.mean((2, 3))
        yield "features", x
        yield "logits", self.fc(x)

    def forward(self, x):
        for _, x in self.states(x):
            pass
        return x


def build(arch, shortcut=None, downsample="conv", stride_in="3x3", classes=1000, blocks=None):
    """The network; `shortcut` is b for the ImageNet family and a for CIFAR's unless given, `blocks` the
    blocks of each stage where they are not the architecture's own."""
    assert shortcut in (None, "a", "b", "c") and downsample in ("conv", "maxpool") and stride_in in ("1x1", "3x3")
    depth = int(re.search(r"\d+$", arch)[0])
    shortcut = shortcut or ("b" if depth in IMAGENET else "a")
    return Net(arch, shortcut, downsample, stride_in, classes, blocks)
