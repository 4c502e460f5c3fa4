"""Writes the int8 networks of time_peers.py, each made by the peer's own tool from the same network and images.

    python quantise.py FOLDER ARCH SIZE KIND.. [--weights F] [--photographs P] [--images N] [--seven-bits]

KIND is `ort-int8` or `openvino-int8`. P is a folder that photographs.py wrote, of which N images, evenly
spaced, calibrate; without P, N random normal ones do.
--seven-bits is for x86 CPUs without VNNI, whose instruction for u8 times i8 saturates. Models have a batch
that the peer sets. Files that are there already are kept.
"""

import argparse
import logging
import pathlib
import tempfile

import numpy as np

import cases
import photographs

SEED = 1


def inputs(args):
    """The images that calibrate, one after the other: float32, [1, 3, size, size]."""
    if not args.photographs:
        rng = np.random.default_rng(SEED)
        for _ in range(args.images):
            yield rng.standard_normal((1, 3, args.size, args.size), np.float32)
        return
    there = photographs.count(args.photographs)
    n = min(args.images, there)
    yield from photographs.normalised(args.photographs, args.size, [i * there // n for i in range(n)])


def free_batch(model):
    """Gives the batch a name, for the peer to say how large it is; shapes in between go."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]


def write_ort_int8(path, args):
    """Static, in QDQ form; weights i8 per output channel, activations u8 in the range that was seen."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.images = inputs(args)

        def get_next(self):
            x = next(self.images, None)
            return None if x is None else {"x": x}

    with tempfile.TemporaryDirectory() as folder:
        exported, prepared = f"{folder}/exported.onnx", f"{folder}/prepared.onnx"
        cases.write_onnx(exported, args)
        quant_pre_process(exported, prepared)
        quantization.quantize_static(
            prepared,
            path,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=args.seven_bits,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
    model = onnx.load(path)
    free_batch(model)
    onnx.save(model, path)


def write_openvino_int8(path, args):
    """NNCF's quantisation after training; a folder with the layers and the weights."""
    import nncf
    import openvino as ov

    overflow = nncf.OverflowFix.ENABLE if args.seven_bits else nncf.OverflowFix.DISABLE
    with tempfile.TemporaryDirectory() as folder:
        exported = f"{folder}/exported.onnx"
        cases.write_onnx(exported, args)
        quantised = nncf.quantize(
            ov.Core().read_model(exported),
            nncf.Dataset(list(inputs(args))),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=args.images,
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow),
        )
    path.mkdir(exist_ok=True)
    ov.save_model(quantised, path / "net.xml", compress_to_fp16=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("arch")
    parser.add_argument("size", type=int)
    parser.add_argument("kinds", nargs="+")
    parser.add_argument("--weights", type=pathlib.Path)
    parser.add_argument("--photographs", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--seven-bits", action="store_true")
    args = parser.parse_args()
    args.batch = 1
    logging.getLogger().setLevel(logging.ERROR)
    args.folder.mkdir(parents=True, exist_ok=True)
    for kind in args.kinds:
        cases.once(args.folder / f"model.{kind}", globals()[f"write_{kind.replace('-', '_')}"], args)


if __name__ == "__main__":
    main()
