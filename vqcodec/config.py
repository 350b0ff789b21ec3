"""Model configurations: one frozen dataclass per family, stored beside the weights."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

Point = TypeVar("Point", "float", "Tensor")

BLOCK = 16
"""Side in pixels of the squares whose means the base holds."""

CHROMA = 2
"""Steps of the two chroma planes of the base, as multiples of that of luma."""

GRIDS = (16, 8)
"""Downsampling of the grids that latents can stand on."""

RATE_BINS = 6
"""Parts of the rate dial that have frequencies of their own for whether a position goes on."""


@dataclass(frozen=True)
class Layer:
    """One plane of indices.

    Attributes:
        band: number of the band of latents, from 0.
        stage: number of the quantizer stage in the band, from 0.
        scale: positions along each side of the square that one position of the grid of the model covers, 1 or 2.
        codebook_size: codewords; indices are below it.
        ends: whether index 0 ends the position: its later stages in the band have index 0, and are not coded.
    """

    band: int
    stage: int
    scale: int
    codebook_size: int
    ends: bool


class Shape(Protocol):
    """What coders need to know about a model of any family.

    Attributes:
        downsampling: side, in pixels, of the square that one position of the grid covers.
        has_base: whether a coded base comes before the layers.
        layers: planes of indices, in the order in which they are coded.
        stages: the number of all coded stages: the base, if there is one, and the layers.
    """

    @property
    def downsampling(self) -> int: ...
    @property
    def has_base(self) -> bool: ...
    @property
    def layers(self) -> tuple[Layer, ...]: ...
    @property
    def stages(self) -> int: ...


@dataclass(frozen=True)
class Config:
    """Base class of the configurations of all families, which are frozen dataclasses.

    Attributes:
        family: name of the family in model files.
        blends: whether windows of larger pictures are cross-faded, so that everything depends on everything.
    """

    family: ClassVar[str]
    blends: ClassVar[bool]

    def to_json(self) -> str:
        """Serialise all fields as JSON, sorted by name."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a field is unknown or missing.
        """
        return cls.from_fields(json.loads(text))

    @classmethod
    def from_fields(cls, values: dict) -> Self:
        """Build a configuration from a dictionary of all its fields.

        Raises:
            ValueError: a field is unknown or missing.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise ValueError(f"model configuration has fields {sorted(values)}, expected {sorted(names)}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


@dataclass(frozen=True)
class Band:
    """Latents that share codebooks.

    Attributes:
        downsampling: side in pixels of the square that one position covers, 16 or 8.
        dim: channels of the latents.
        stages: number of quantizer stages.
        codebook_size: codewords per stage; codeword 0 is the zero vector.
    """

    downsampling: int
    dim: int
    stages: int
    codebook_size: int

    def __post_init__(self) -> None:
        if self.downsampling not in (16, 8):
            raise ValueError(f"a band has a downsampling of {self.downsampling}, neither 16 nor 8")


@dataclass(frozen=True)
class ModelConfig(Config):
    """Hyper-parameters of a `vqcodec.model.VQGAN`.

    Attributes:
        bands: in the order in which they are coded, those at 1/16 first.
        encoder_widths: channels of the encoder at 1/4, 1/8 and 1/16 resolution.
        encoder_blocks: residual blocks of the encoder at 1/4, 1/8 and 1/16 resolution.
        generator_widths: channels of the generator at 1/16, 1/8 and 1/4 resolution.
        generator_blocks: residual blocks of the generator at 1/16, 1/8 and 1/4 resolution.
        lmbdas: Lagrange multiplier of the rate, in squared latent units per bit, at the lowest and at the highest rate.
        base_steps: quantizer step of the luma of the base, in levels, at the lowest and at the highest rate.
    """

    family = "layered"
    blends = False
    bands: tuple[Band, ...] = (Band(16, 64, 4, 1024), Band(8, 16, 4, 256), Band(8, 16, 4, 256))
    encoder_widths: tuple[int, int, int] = (64, 128, 256)
    encoder_blocks: tuple[int, int, int] = (3, 4, 6)
    generator_widths: tuple[int, int, int] = (256, 128, 64)
    generator_blocks: tuple[int, int, int] = (8, 6, 4)
    lmbdas: tuple[float, float] = (16.0, 0.01)
    base_steps: tuple[float, float] = (20.0, 4.0)

    @classmethod
    def from_fields(cls, values: dict) -> Self:
        """Build a configuration from a dictionary of all its fields, bands as dictionaries or lists."""
        bands = tuple(
            Band(**band) if isinstance(band, dict) else Band(*band) for band in values.get("bands", ())
        )
        return super().from_fields(values | {"bands": bands} if "bands" in values else values)

    @property
    def downsampling(self) -> int:
        """Side, in pixels, of the square that one position of the grid covers."""
        return 16

    @property
    def has_base(self) -> bool:
        """Whether a coded base comes before the layers: always."""
        return True

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Planes of indices in coding order: by grid, coarse first, then by stage, then by band."""
        found = [
            Layer(number, stage, self.downsampling // band.downsampling, band.codebook_size, True)
            for number, band in enumerate(self.bands)
            for stage in range(band.stages)
        ]
        return tuple(sorted(found, key=lambda layer: (layer.scale, layer.stage, layer.band)))

    @property
    def stages(self) -> int:
        """The number of coded stages: the base and the layers."""
        return 1 + len(self.layers)

    @property
    def halo(self) -> int:
        """Positions at 1/16 around a window that its output depends on: the larger reach of the two networks."""
        # Each residual block reaches one position further at its own resolution; stem and head each reach one
        # further at 1/4, and the enlarged base one at 1/16.
        encoder, generator = self.encoder_blocks, self.generator_blocks
        first = (1 + encoder[0]) / 4 + encoder[1] / 2 + encoder[2]
        second = generator[0] + generator[1] / 2 + (generator[2] + 1) / 4
        return 2 + math.ceil(max(first, second))

    def dim(self, downsampling: int) -> int:
        """Channels of all latents on a grid; 0 if there are none."""
        return self.dims.get(downsampling, 0)

    @property
    def dims(self) -> dict[int, int]:
        """Channels of all latents on each grid, by its downsampling."""
        sums = {grid: sum(band.dim for band in self.bands if band.downsampling == grid) for grid in GRIDS}
        return {grid: dim for grid, dim in sums.items() if dim}

    def place(self, band: int) -> tuple[int, slice]:
        """The grid of a band, by its downsampling, and the channels of the band among those of the grid."""
        grid = self.bands[band].downsampling
        start = sum(before.dim for before in self.bands[:band] if before.downsampling == grid)
        return grid, slice(start, start + self.bands[band].dim)

    def lmbda(self, rate: Point) -> Point:
        """Lambda at a point of the rate dial, 0..1, or at points (N,)."""
        lowest, highest = self.lmbdas
        return lowest * (highest / lowest) ** rate

    def base_step(self, rate: Point) -> Point:
        """Step of the base in levels at a point of the rate dial, 0..1, or at points (N,)."""
        lowest, highest = self.base_steps
        return lowest * (highest / lowest) ** rate


@dataclass(frozen=True)
class TamingConfig(Config):
    """Hyper-parameters of a `vqcodec.model.TamingVQGAN`.

    Attributes:
        channels: base width; the width of each level is a multiple of it.
        multipliers: width of each level divided by `channels`, from full resolution down. Each further level
            halves the resolution.
        blocks: residual blocks per level of the encoder; the decoder has one more.
        attention_levels: levels with attention after each residual block.
        hidden_channels: channels between the networks and the 1x1 convolutions around the quantizer.
        latent_dim: channels D of the quantized latents.
        codebook_size: number of codewords K.
        quantizer: "nearest" for the nearest codeword, or "gumbel" for the one that a linear classifier scores
            highest.
    """

    family = "taming"
    blends = True
    channels: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    attention_levels: tuple[int, ...] = (4,)
    hidden_channels: int = 256
    latent_dim: int = 256
    codebook_size: int = 1024
    quantizer: str = "nearest"

    @property
    def has_base(self) -> bool:
        """Whether a coded base comes before the layers: never."""
        return False

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Planes of indices: one."""
        return (Layer(0, 0, 1, self.codebook_size, False),)

    @property
    def stages(self) -> int:
        """The number of coded stages, 1."""
        return 1

    @property
    def downsampling(self) -> int:
        """Side, in pixels, of the square that one latent position covers."""
        return 2 ** (len(self.multipliers) - 1)

    @property
    def dims(self) -> dict[int, int]:
        """Channels of the latents, by downsampling."""
        return {self.downsampling: self.latent_dim}

    def place(self, band: int) -> tuple[int, slice]:
        """The grid of the only band, by its downsampling, and all its channels."""
        return self.downsampling, slice(0, self.latent_dim)

    @property
    def halo(self) -> int:
        """Positions added around a window. Neighbouring windows are cross-faded over twice as many."""
        return 64 // self.downsampling


FAMILIES: dict[str, type[ModelConfig | TamingConfig]] = {
    config.family: config for config in (ModelConfig, TamingConfig)
}
"""Configuration class of each family, by the name that model files use."""
