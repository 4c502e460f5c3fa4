"""The Python process of one peer: runs a case of cases.py for a while and prints one JSON line.

    python peers.py NAME ARCH MODEL INPUT BATCH SIZE THREADS SECONDS

`../peers` does the same for peers in Rust, with the same arguments and the same line: the median time
of a run in milliseconds, how many runs there were, and the logits of the whole batch.

A peer is a class with a constructor, which takes the arguments and leaves a ready model behind, `prepare(x)`,
which makes of images (float32, NCHW) what the peer reads, and `run`, which makes logits of that. It imports
what it likes.
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
    def __init__(self, args):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = args.threads
        options.inter_op_num_threads = 1
        options.add_free_dimension_override_by_name("batch", args.batch)
        self.session = ort.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])

    def prepare(self, x):
        return x

    def run(self, x):
        return self.session.run(None, {"x": x})[0]


class OpenVino:
    def __init__(self, args):
        import openvino as ov

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": args.threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        core = ov.Core()
        model = core.read_model(self.file(args.model))
        model.reshape([args.batch, 3, args.size, args.size])
        self.request = core.compile_model(model, "CPU", settings).create_infer_request()

    def file(self, model):
        return model

    def prepare(self, x):
        return x

    def run(self, x):
        return self.request.infer({0: x}, share_inputs=True)[0]


class OpenVinoInt8(OpenVino):
    """Its model says which layers run in 8 bits; f32 is for what is left."""

    def file(self, model):
        return f"{model}/net.xml"


class Torch:
    """Eager, channels_last."""

    def __init__(self, args):
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

    def prepare(self, x):
        import torch

        return torch.from_numpy(x).to(memory_format=torch.channels_last)

    def run(self, x):
        with self.inference_mode():
            return self.net(x).numpy()


class TorchCompile(Torch):
    """Inductor with the weights frozen; it chooses the layout."""

    def __init__(self, args):
        super().__init__(args)
        import torch
        import torch._inductor.config as config

        config.freezing = True
        self.inference_mode = torch.no_grad
        self.net = torch.compile(self.net.to(memory_format=torch.contiguous_format))

    def prepare(self, x):
        return super().prepare(x).contiguous()


class Ncnn:
    """fp32; it has no batch, so the images run one by one."""

    def __init__(self, args):
        import ncnn

        self.net = ncnn.Net()
        options = self.net.opt
        options.num_threads = args.threads
        for name in dir(options):
            if "fp16" in name or "bf16" in name:
                setattr(options, name, False)
        folder = pathlib.Path(args.model)
        for load, file in ((self.net.load_param, "net.param"), (self.net.load_model, "net.bin")):
            assert load(str(folder / file)) == 0, file

    def prepare(self, x):
        import ncnn

        return [ncnn.Mat(image).clone() for image in x]

    def run(self, x):
        return np.stack([self.image(one) for one in x])

    def image(self, x):
        extractor = self.net.create_extractor()
        extractor.input("in0", x)
        status, y = extractor.extract("out0")
        assert status == 0
        return np.array(y)


PEERS = {
    "ort": OnnxRuntime,
    "ort-int8": OnnxRuntime,
    "openvino": OpenVino,
    "openvino-int8": OpenVinoInt8,
    "torch": Torch,
    "torch-compile": TorchCompile,
    "ncnn": Ncnn,
}


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
    peer = PEERS[args.name](args)
    x = peer.prepare(x)
    for _ in range(WARM_UP):
        y = peer.run(x)
    times, start = [], time.perf_counter()
    while len(times) < FEWEST or time.perf_counter() - start < args.seconds:
        t = time.perf_counter()
        peer.run(x)
        times.append(time.perf_counter() - t)
    logits = [float(v) for v in np.asarray(y).reshape(-1)]
    print(json.dumps({"median_ms": statistics.median(times) * 1e3, "runs": len(times), "logits": logits}))


if __name__ == "__main__":
    main()
