"""ST-LPIPS, the shift-tolerant learned perceptual distance, on AlexNet or VGG16.

Ghildyal and Liu, "Shift-tolerant Perceptual Similarity Metric", ECCV 2022. In contrast to the classical
trunks, each stride of 2 is a dense layer followed by a fixed 3x3 binomial blur and subsampling, and AlexNet's
first convolution has stride 1. The weights are the authors', read from the installed package
`stlpips-pytorch`. That package itself is not imported, because it needs torchvision.
"""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.evaluation.metrics.base import Measure, Shown
from vqcodec.extras import missing
from vqcodec.runtime.device import channels_last, native_bfloat16

SMALLEST_SIDE = 32  # below that, the reflected border of the last blur exceeds its input
_PACKAGE = "stlpips_pytorch"
_MEAN = (-0.030, -0.088, -0.188)  # of ImageNet pixels, on the scale -1..1
_STD = (0.458, 0.448, 0.450)


class BlurDownsample(nn.Module):
    """Binomial 3x3 blur, subsampled by 2, after a border of two reflected pixels.

    Args:
        channels: number of channels C.
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer(
            "kernel", torch.outer(taps, taps).expand(channels, 1, 3, 3).clone(), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H // 2 + 1, W // 2 + 1)."""
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), self.kernel, stride=2, groups=x.shape[1])


def _conv(inputs: int, outputs: int, size: int, padding: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, padding=padding), nn.ReLU(inplace=True)]


def _pool(channels: int, size: int) -> list[nn.Module]:
    return [nn.MaxPool2d(size, stride=1), BlurDownsample(channels)]


def _alexnet_stages() -> list[list[nn.Module]]:
    first = nn.Conv2d(3, 64, 11, padding=2)
    return [
        [first, BlurDownsample(64), nn.ReLU(inplace=True)],
        [*_pool(64, 3), *_conv(64, 192, 5, 2)],
        [*_pool(192, 3), *_conv(192, 384, 3, 1)],
        _conv(384, 256, 3, 1),
        _conv(256, 256, 3, 1),
    ]


def _vgg16_stages() -> list[list[nn.Module]]:
    stages: list[list[nn.Module]] = []
    channels = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        stage = _pool(channels, 2) if stages else []
        for _ in range(depth):
            stage += _conv(channels, width, 3, 1)
            channels = width
        stages.append(stage)
    return stages


_STAGES = {"alex": _alexnet_stages, "vgg": _vgg16_stages}
_STRIDES = {"alex": (2, 4, 8, 8, 8), "vgg": (1, 2, 4, 8, 16)}
# How far the trunks see, in whole strides.
_REACH = 128
# Images of more pixels are compared window by window: the whole features of 3 megapixels take 7 to 12 GB.
_AT_ONCE = 1 << 21
_WINDOW = 896


class STLPIPS(nn.Module):
    """Perceptual distance between two images: 0 for equal ones, about 0.5 for very different ones.

    Args:
        net: the trunk, `alex` (AlexNet) or `vgg` (VGG16).

    Raises:
        ValueError: there is no such trunk.
        MissingExtraError: `stlpips-pytorch`, which holds the weights, is not installed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: Literal["alex", "vgg"] = "alex") -> None:
        super().__init__()
        if net not in _STAGES:
            raise ValueError(f"no ST-LPIPS trunk {net!r}, only {', '.join(_STAGES)}")
        self.strides = _STRIDES[net]
        self.stages = nn.ModuleList(nn.Sequential(*layers) for layers in _STAGES[net]())
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)
        self._load(torch.load(_weight_file(net), map_location="cpu", weights_only=True))
        self.eval().requires_grad_(False)

    def _load(self, state: dict[str, Tensor]) -> None:
        # The file numbers its layers differently, but in the same order.
        names = [name for name in state if name.startswith("net.") and name.endswith((".weight", ".bias"))]
        with torch.no_grad():
            for parameter, name in zip(self.stages.parameters(), names, strict=True):
                parameter.copy_(state[name])
        for number in range(len(self.stages)):
            self.register_buffer(
                f"channel_weights_{number}", state[f"lin{number}.model.1.weight"], persistent=False
            )

    @property
    def channel_weights(self) -> list[Tensor]:
        """Weights (1, C_i, 1, 1) of the squared differences of each stage."""
        return [getattr(self, f"channel_weights_{number}") for number in range(len(self.stages))]

    def features(self, image: Tensor) -> list[Tensor]:
        """Compute the trunk activations of images, for reuse where one image is compared with many.

        Args:
            image: (N, 3, H, W) in -1..1, each side at least 32.

        Returns:
            five tensors (N, C_i, H_i, W_i), the outputs of the five stages, of any scale.

        Raises:
            ValueError: the image has another shape.
        """
        if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[2:]) < SMALLEST_SIDE:
            raise ValueError(
                f"ST-LPIPS takes (N, 3, H, W) with sides from {SMALLEST_SIDE}, not {tuple(image.shape)}"
            )
        x = (image - self.mean) / self.std
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs

    def distance(self, features_a: Sequence[Tensor], features_b: Sequence[Tensor]) -> Tensor:
        """Compute the distance (N,) between results of `features`. Batch sizes must match, or one be 1."""
        total = torch.zeros(())
        for a, b, weights in zip(features_a, features_b, self.channel_weights, strict=True):
            total = total + _differences(a, b, weights).mean(dim=(1, 2, 3))
        return total

    def in_windows(
        self,
        a: Tensor,
        b: Tensor,
        edge: int = _WINDOW,
        features: Callable[[Tensor], list[Tensor]] | None = None,
    ) -> Tensor:
        """Compute the same distance (N,) in little memory, but with more work.

        The features of each window come from the window and all around it that they depend on, so the distance
        differs by rounding only.

        Args:
            a: (N, 3, H, W) in -1..1, sides at least 32.
            b: the same of the other images.
            edge: of the windows, a multiple of 16.
            features: computes the features in place of the method.
        """
        features = features or self.features
        sums = torch.zeros(len(self.stages), len(a))
        counts = torch.zeros(len(self.stages), 1)
        for down in _windows(a.shape[2], edge):
            for across in _windows(a.shape[3], edge):
                parts = [features(images[:, :, down.seen, across.seen]) for images in (a, b)]
                for number, stride in enumerate(self.strides):
                    one, other = (part[number][:, :, down.of(stride), across.of(stride)] for part in parts)
                    found = _differences(one, other, self.channel_weights[number])
                    sums[number] += found.sum(dim=(1, 2, 3))
                    counts[number] += found[0].numel()
        return (sums / counts).sum(0)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Compute the distance (N,) between images a and b, each (N, 3, H, W) in -1..1, sides at least 32.

        Raises:
            ValueError: the shapes differ or are not as above.
        """
        if a.shape != b.shape:
            raise ValueError(f"images to compare differ in shape: {tuple(a.shape)} and {tuple(b.shape)}")
        return self.distance(self.features(a), self.features(b))


class StLpips(Measure):
    """ST-LPIPS as a metric.

    On CPUs with native bfloat16 the trunk uses it, which halves the time. Distances are within 0.5 % of
    float32.

    Args:
        net: see `STLPIPS`.
    """

    def __init__(self, net: Literal["alex", "vgg"]) -> None:
        # Torch's annotations of `Module.to` lack this form.
        self._trunk = channels_last(STLPIPS(net))
        self._bfloat16 = native_bfloat16()

    def prepare(self, original: Shown) -> list[Tensor] | Tensor:
        """Features of the original, or the original itself if it is large."""
        tensor = original.tensor
        return tensor if tensor[0, 0].numel() > _AT_ONCE else self._features(tensor)

    def compare(self, prepared: list[Tensor] | Tensor, decoded: Shown) -> float:
        if isinstance(prepared, Tensor):
            return float(self._trunk.in_windows(prepared, decoded.tensor, features=self._features))
        return float(self._trunk.distance(prepared, self._features(decoded.tensor)))

    def _features(self, image: Tensor) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            features = self._trunk.features(image.to(memory_format=torch.channels_last))
        return [feature.float() for feature in features]


class _Window(NamedTuple):
    """A part of a side of an image, from `first` to before `end`. The last one has all the rest."""

    first: int
    end: int | None

    @property
    def seen(self) -> slice:
        """The part with all around it that its features depend on."""
        return slice(max(0, self.first - _REACH), self.end and self.end + _REACH)

    def of(self, stride: int) -> slice:
        """The part in features of what is seen."""
        start = self.seen.start
        return slice((self.first - start) // stride, self.end and (self.end - start) // stride)


def _windows(size: int, edge: int) -> list[_Window]:
    firsts = range(0, size, edge)
    return [_Window(first, None if first == firsts[-1] else first + edge) for first in firsts]


def _differences(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    """Distances (N, 1, H, W) of the features (N, C, H, W) of one stage."""
    return F.conv2d((_unit_vectors(a) - _unit_vectors(b)).square_(), weights)


def _unit_vectors(features: Tensor) -> Tensor:
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + 1e-10)


def _weight_file(net: str) -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None and spec.submodule_search_locations:
        path = Path(spec.submodule_search_locations[0], "weights", "vST0.0", f"{net}_shift_tolerant.pth")
        if path.is_file():
            return path
    raise missing("stlpips-pytorch", "the ST-LPIPS distance")
