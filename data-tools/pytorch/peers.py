"""The Python process of one peer: runs a case of cases.py for a while and prints one JSON line.

    python peers.py NAME ARCH MODEL INPUT BATCH SIZE THREADS SECONDS

`../peers` does the same for peers in Rust, with the same arguments and the same line: the median time
of a run in milliseconds, how many runs there were, and the logits of the whole batch.

A peer is a class with a constructor, which takes the arguments and the input (float32, NCHW) and leaves
a ready model behind, and `run()`, which returns the logits. It imports what it likes.
"""

import argparse
import json
import pathlib
import statistics
import time

import numpy as np

WARM_UP = 3
FEWEST = 5


class OnnxRuntime:
    def __init__(self, args, x):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = args.threads
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
        self.x = x

    def run(self):
        return self.session.run(None, {"x": self.x})[0]


class OpenVino:
    def __init__(self, args, x):
        import openvino as ov

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": args.threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self.request = ov.Core().compile_model(args.model, "CPU", settings).create_infer_request()
        self.x = x

    def run(self):
        return self.request.infer({0: self.x}, share_inputs=True)[0]


class Torch:
    """Eager, channels_last."""

    def __init__(self, args, x):
        import torch
        from safetensors.torch import load_file

        from models import build

        torch.set_num_threads(args.threads)
        self.inference_mode = torch.inference_mode
        state = load_file(args.model)
        self.net = build(args.arch, classes=len(state["fc.bias"])).eval()
        # What is missing is num_batches_tracked.
        unexpected = self.net.load_state_dict(state, strict=False).unexpected_keys
        assert not unexpected, unexpected
        self.net = self.net.to(memory_format=torch.channels_last)
        self.x = torch.from_numpy(x).to(memory_format=torch.channels_last)

    def run(self):
        with self.inference_mode():
            return self.net(self.x).numpy()


class TorchCompile(Torch):
    """Inductor with the weights frozen; it chooses the layout."""

    def __init__(self, args, x):
        super().__init__(args, x)
        import torch
        import torch._inductor.config as config

        config.freezing = True
        self.x = self.x.contiguous()
        self.inference_mode = torch.no_grad
        self.net = torch.compile(self.net.to(memory_format=torch.contiguous_format))


class Ncnn:
    """fp32; it has no batch, so the images run one by one."""

    def __init__(self, args, x):
        import ncnn

        self.net, self.x = ncnn.Net(), [ncnn.Mat(image).clone() for image in x]
        options = self.net.opt
        options.num_threads = args.threads
        for name in dir(options):
            if "fp16" in name or "bf16" in name:
                setattr(options, name, False)
        folder = pathlib.Path(args.model)
        for load, file in ((self.net.load_param, "net.param"), (self.net.load_model, "net.bin")):
            assert load(str(folder / file)) == 0, file

    def run(self):
        return np.stack([self.image(x) for x in self.x])

    def image(self, x):
        extractor = self.net.create_extractor()
        extractor.input("in0", x)
        status, y = extractor.extract("out0")
        assert status == 0
        return np.array(y)


PEERS = {"ort": OnnxRuntime, "openvino": OpenVino, "torch": Torch, "torch-compile": TorchCompile, "ncnn": Ncnn}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=PEERS)
    for text in ("arch", "model", "input"):
        parser.add_argument(text)
    for number in ("batch", "size", "threads"):
        parser.add_argument(number, type=int)
    parser.add_argument("seconds", type=float)
    args = parser.parse_args()
    x = np.fromfile(args.input, np.float32).reshape(args.batch, 3, args.size, args.size)
    peer = PEERS[args.name](args, x)
    for _ in range(WARM_UP):
        y = peer.run()
    times, start = [], time.perf_counter()
    while len(times) < FEWEST or time.perf_counter() - start < args.seconds:
        t = time.perf_counter()
        peer.run()
        times.append(time.perf_counter() - t)
    logits = [float(v) for v in np.asarray(y).reshape(-1)]
    print(json.dumps({"median_ms": statistics.median(times) * 1e3, "runs": len(times), "logits": logits}))


if __name__ == "__main__":
    main()
