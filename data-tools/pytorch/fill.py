"""Network values that need no file: every tensor is a pure function of (seed, name, shape).

The rule (a test in Rust implements the same). The tensor named NAME draws from the stream
`Rng::named(seed, NAME)`, one `uniform()` draw `u` for each element in flat order; NAME is the full
name in the state dictionary, such as `layer2.0.downsample.0.weight`. All arithmetic is float32,
each operation rounded, in the order written; every constant is a float32:

    convolution weight      flat order OIHW         (2*u - 1) * bound,  bound = f32(sqrt(6 / (k*k*cout)))
    fc.weight               flat order [out, in]    (2*u - 1) * bound,  bound = f32(sqrt(3 / in))
    fc.bias                                         (u - 0.5) * 0.2
    batch norm weight                               0.5 + u
      of the last BN of a residual block's branch   (0.5 + u) * 0.25
      (bn2 of a basic block, bn3 of a bottleneck; neither `downsample.1` nor anything in a plain net)
    batch norm bias                                 (u - 0.5) * 0.2
    batch norm running_mean                         (u - 0.5) * 0.2
    batch norm running_var                          0.5 + u
    input                   flat order NHWC         4*u - 2,            NAME = "input" or "input.<step>"
    labels                                          below(classes),     NAME = "label.<step>"

`bound` alone is computed in float64 (one division, one square root) and rounded once to float32.
2*u - 1, u - 0.5 and 4*u - 2 are exact, so only the multiplications and 0.5 + u round.
"""

import math

import numpy as np
import torch

from models import BasicBlock, Bottleneck
from rng import Rng

F = np.float32


def symmetric(u, bound):
    return (F(2) * u - F(1)) * F(bound)


def centred(u):
    return (u - F(0.5)) * F(0.2)


def value(net_last_bn, seed, name, shape):
    """The float32 values of tensor `name`; `net_last_bn` holds the names of the scaled batch norms."""
    u = Rng.named(seed, name).uniform(math.prod(shape))
    module, _, kind = name.rpartition(".")
    if len(shape) == 4:
        out = symmetric(u, math.sqrt(6 / (shape[2] * shape[3] * shape[0])))
    elif name == "fc.weight":
        out = symmetric(u, math.sqrt(3 / shape[1]))
    elif kind in ("bias", "running_mean"):
        out = centred(u)
    else:
        assert kind in ("weight", "running_var"), name
        out = F(0.5) + u
        if kind == "weight" and module in net_last_bn:
            out = out * F(0.25)
    assert out.dtype == np.float32
    return out.reshape(shape)


def fill(net, seed):
    """Fills every parameter and buffer of `net` (float32) in place and returns it."""
    last_bn = set()
    for name, module in net.named_modules():
        if isinstance(module, BasicBlock) and module.residual:
            last_bn.add(f"{name}.bn2")
        elif isinstance(module, Bottleneck):
            last_bn.add(f"{name}.bn3")
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                tensor.copy_(torch.from_numpy(value(last_bn, seed, name, tuple(tensor.shape))))
    return net


def images(seed, n, h, w, name="input"):
    """A float32 batch, NCHW, drawn in NHWC order."""
    u = Rng.named(seed, name).uniform(n * h * w * 3).reshape(n, h, w, 3)
    return torch.from_numpy(np.ascontiguousarray((F(4) * u - F(2)).transpose(0, 3, 1, 2)))


def labels(seed, n, classes, name):
    return torch.tensor(Rng.named(seed, name).below(n, classes))
