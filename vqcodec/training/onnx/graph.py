"""Graphs of encoder and generator in ONNX, whose weights lie in the model file beside them.

Both take the rate as an input, and height and width as they come. Weights are float16, as the model file holds them;
sums are float32. The generator takes the realism too, and blends its two sets of weights by it.

    encoder    picture, base, rate             -> latents of each grid
    generator  latents of each grid, base, rate, realism -> picture
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from vqcodec.config import ModelConfig
from vqcodec.weights import REALISTIC_PREFIX

OPSET, IR_VERSION = 17, 8
# YCoCg, as `Base.features` has it, to RGB in [-1, 1].
_TO_RGB = np.array([[1, 0.5, -0.5], [1, 0, 0.5], [1, -0.5, -0.5]], np.float32)[:, :, None, None]


def encoder_graph(path: Path, config: ModelConfig) -> onnx.ModelProto:
    """The encoder of a model file.

    Inputs: `picture` (1, 3, 16 h, 16 w) in [-1, 1]; `base` (1, 4, h, w), see `vqcodec.model.base.Base.features`; `rate`
    (1,), point of the dial, 0..1. Outputs: `latents16` (1, D, h, w) and `latents8` (1, D, 2 h, 2 w), if there are any.
    """
    graph = _Graph(path, "encoder", config)
    colours = graph.colours("base")
    rest = graph.add("Sub", "picture", graph.enlarged(colours, 16))
    # A convolution of patches of 4x4 pixels is one of 12x12 pixels in steps of 4.
    stem = graph.weight("encoder.stem.weight")
    pixels, base = graph.cut(stem, 0, 48, 1), graph.cut(stem, 48, 51, 1)
    width = config.encoder_widths[0]
    pixels = graph.reshaped(pixels, (width, 3, 4, 4, 3, 3))
    pixels = graph.add("Transpose", pixels, perm=[0, 1, 4, 2, 5, 3])
    pixels = graph.reshaped(pixels, (width, 3, 12, 12))
    bias = graph.weight("encoder.stem.bias")
    x = graph.add("Conv", rest, pixels, bias, kernel_shape=[12, 12], strides=[4, 4], pads=[4] * 4)
    told = graph.add("Conv", graph.enlarged(colours, 4), base, kernel_shape=[3, 3], pads=[1] * 4)
    x = graph.stack(graph.add("Add", x, told), "encoder.at4", config.encoder_blocks[0])
    x = graph.halved(x, "encoder.to8")
    x = graph.stack(x, "encoder.at8", config.encoder_blocks[1])
    heads = {8: x}
    x = graph.halved(x, "encoder.to16")
    heads[16] = graph.stack(x, "encoder.at16", config.encoder_blocks[2])
    outputs = []
    for number, grid in enumerate((16, 8)):
        if config.dim(grid):
            rms = graph.cut(graph.weight("latent_rms"), number, number + 1, 0)
            latents = graph.convolution(heads[grid], f"encoder.head{grid}", 1)
            graph.add("Div", latents, rms, out=f"latents{grid}")
            outputs.append(_of_floats(f"latents{grid}", 1, config.dim(grid), None, None))
    picture = _of_floats("picture", 1, 3, "height", "width")
    return graph.model([picture, _BASE, _of_floats("rate", 1)], outputs)


def generator_graph(path: Path, config: ModelConfig, realistic: bool) -> onnx.ModelProto:
    """The generators of a model file.

    Inputs: latents, `base` and `rate` as of `encoder_graph`; `realism` (1,), weight of the second generator, 0..1.
    Output: `picture` (1, 3, 16 h, 16 w), about [-1, 1].

    Args:
        path: the model file.
        config: its configuration.
        realistic: whether it has a second generator; without one, `realism` does not matter.
    """
    graph = _Graph(path, "generator", config, realistic)
    x = graph.convolution(graph.add("Concat", "latents16", "base", axis=1), "generator.stem", 1)
    x = graph.stack(x, "generator.at16", config.generator_blocks[0])
    x = graph.doubled(x, "generator.to8", 2)
    inputs = [_of_floats("latents16", 1, config.dim(16), "rows", "columns")]
    if config.dim(8):
        x = graph.add("Add", x, graph.convolution("latents8", "generator.enter8", 1))
        inputs.append(_of_floats("latents8", 1, config.dim(8), "rows8", "columns8"))
    x = graph.stack(x, "generator.at8", config.generator_blocks[1])
    x = graph.doubled(x, "generator.to4", 2)
    x = graph.stack(x, "generator.at4", config.generator_blocks[2])
    x = graph.add("DepthToSpace", graph.convolution(x, "generator.head", 3), blocksize=4, mode="CRD")
    graph.add("Add", x, graph.enlarged(graph.colours("base"), 16), out="picture")
    inputs += [_BASE, _of_floats("rate", 1), _of_floats("realism", 1)]
    return graph.model(inputs, [_of_floats("picture", 1, 3, None, None)])


def _of_floats(name: str, *shape: int | str | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


_BASE = _of_floats("base", 1, 4, "rows", "columns")


class _Graph:
    """A graph that is being built. Methods add nodes and return the name of what these give."""

    def __init__(self, path: Path, name: str, config: ModelConfig, realistic: bool = False) -> None:
        self._file = path.name
        self._name = name
        self._realistic = realistic
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            self._header = json.loads(file.read(length))
        self._start = 8 + length
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._weights: dict[str, str] = {}
        self._hat = self._hat_of_rate(config)

    def model(self, inputs: list, outputs: list) -> onnx.ModelProto:
        """The model, checked."""
        graph = helper.make_graph(self._nodes, self._name, inputs, outputs, list(self._initializers.values()))
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="vqcodec",
        )

    def add(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        out = out or f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attributes))
        return out

    def constant(self, value: np.ndarray) -> str:
        kind = {"f": "floats", "i": "whole"}[value.dtype.kind]
        name = "_".join([kind, *map(str, value.shape), *map(str, value.ravel().tolist())])
        if name not in self._initializers:
            self._initializers[name] = onnx.numpy_helper.from_array(value, name)
        return name

    def whole(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def floats(self, *values: float) -> str:
        return self.constant(np.array(values, np.float32))

    def reshaped(self, x: str, shape: tuple[int, ...]) -> str:
        return self.add("Reshape", x, self.whole(*shape))

    def cut(self, x: str, start: int, end: int, axis: int) -> str:
        return self.add("Slice", x, self.whole(start), self.whole(end), self.whole(axis))

    def weight(self, name: str, shape: tuple[int, ...] | None = None) -> str:
        """A weight of the model file as float32, of another shape if one is given; of generators, the blend."""
        if name not in self._weights:
            found = self._stored(name, shape)
            second = REALISTIC_PREFIX + name.removeprefix("generator.")
            if self._realistic and name.startswith("generator."):
                more = self.add("Sub", self._stored(second, shape), found)
                found = self.add("Add", found, self.add("Mul", more, "realism"))
            self._weights[name] = found
        return self._weights[name]

    def _stored(self, name: str, shape: tuple[int, ...] | None) -> str:
        entry = self._header[name]
        first, end = entry["data_offsets"]
        kind = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}[entry["dtype"]]
        tensor = TensorProto(name=name, data_type=kind, dims=shape or entry["shape"])
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": self._file, "offset": self._start + first, "length": end - first}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self._initializers[name] = tensor
        return self.add("Cast", name, to=TensorProto.FLOAT) if kind == TensorProto.FLOAT16 else name

    def shape(self, name: str) -> list[int]:
        return self._header[name]["shape"]

    def convolution(self, x: str, name: str, size: int) -> str:
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("Conv", x, weight, bias, kernel_shape=[size] * 2, pads=[size // 2] * 4)

    def halved(self, x: str, name: str) -> str:
        """`Downsample`: a 1x1 convolution of 2x2 patches is one of 2x2 in steps of 2."""
        out, channels = self.shape(f"{name}.conv.weight")[:2]
        weight = self.weight(f"{name}.conv.weight", (out, channels // 4, 2, 2))
        bias = self.weight(f"{name}.conv.bias")
        return self.add("Conv", x, weight, bias, kernel_shape=[2, 2], strides=[2, 2])

    def doubled(self, x: str, name: str, factor: int) -> str:
        """`Upsample`."""
        x = self.convolution(x, f"{name}.conv", 1)
        return self.add("DepthToSpace", x, blocksize=factor, mode="CRD")

    def stack(self, x: str, name: str, blocks: int) -> str:
        """`Stack`."""
        for number in range(blocks):
            x = self.add("Add", x, self._block(x, f"{name}.{number}"))
        return x

    def _block(self, x: str, name: str) -> str:
        y = self.add("Relu", self.convolution(x, f"{name}.enter", 1))
        table = f"{name}.condition.table"
        channels = self.shape(table)[1] // 2
        values = self.add("MatMul", self._hat, self.weight(table))
        scale, bias = (
            self.reshaped(self.cut(values, start, start + channels, 1), (1, channels, 1, 1))
            for start in (0, channels)
        )
        y = self.add("Add", self.add("Mul", y, self.add("Add", scale, self.floats(1))), bias)
        y = self.add("Relu", self.convolution(y, f"{name}.spatial", 3))
        return self.convolution(y, f"{name}.leave", 1)

    def _hat_of_rate(self, config: ModelConfig) -> str:
        """The share of every knot of `RateCondition` at the rate, (1, KNOTS)."""
        knots = next(
            entry["shape"][0] for name, entry in self._header.items() if name.endswith("condition.table")
        )
        place = self.reshaped(self.add("Mul", "rate", self.floats(knots - 1)), (1, 1))
        off = self.add("Abs", self.add("Sub", place, self.floats(*range(knots))))
        return self.add("Relu", self.add("Sub", self.floats(1), off))

    def colours(self, base: str) -> str:
        """RGB in [-1, 1] of the features of a base."""
        ycc = self.cut(base, 0, 3, 1)
        return self.add("Conv", ycc, self.constant(_TO_RGB), self.floats(-1, -1, -1), kernel_shape=[1, 1])

    def enlarged(self, x: str, factor: int) -> str:
        """`vqcodec.model.base.enlarged`."""
        for axis in (2, 3):
            x = self._continued(x, axis)
        large = self.add(
            "Resize",
            x,
            "",
            self.floats(1, 1, factor, factor),
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        starts, ends = self.whole(factor, factor), self.whole(-factor, -factor)
        return self.add("Slice", large, starts, ends, self.whole(2, 3))

    def _continued(self, x: str, axis: int) -> str:
        """One more value at either end of an axis, on the line through the two next to it."""
        one = self.whole(1)
        last = self.add("Sub", self.add("Gather", self.add("Shape", x), self.whole(axis)), one)
        places = {
            "first": self.whole(0),
            "second": self.add("Min", last, one),
            "before": self.add("Max", self.add("Sub", last, one), self.whole(0)),
            "last": last,
        }
        at = {name: self.add("Gather", x, place, axis=axis) for name, place in places.items()}
        first = self.add("Sub", self.add("Mul", at["first"], self.floats(2)), at["second"])
        end = self.add("Sub", self.add("Mul", at["last"], self.floats(2)), at["before"])
        return self.add("Concat", first, x, end, axis=axis)
