"""Model configurations: one frozen dataclass per family, stored beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

Point = TypeVar("Point", "float", "Tensor")


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
    """Base class of the configurations of all families, which are frozen dataclasses."""

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
    """Hyper-parameters of a `VQGAN`.

    Attributes:
        bands: in the order in which they are coded, those at 1/16 first.
        encoder_widths: channels of the encoder at 1/4, 1/8 and 1/16 resolution.
        encoder_blocks: residual blocks of the encoder at 1/4, 1/8 and 1/16 resolution.
        generator_widths: channels of the generator at 1/16, 1/8 and 1/4 resolution.
        generator_blocks: residual blocks of the generator at 1/16, 1/8 and 1/4 resolution.
        lmbdas: Lagrange multiplier of the rate, in squared latent units per bit, at the lowest and at the highest rate.
        base_steps: quantizer step of the luma of the base, in levels, at the lowest and at the highest rate.
    """

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

    def dim(self, downsampling: int) -> int:
        """Channels of all latents on a grid; 0 if there are none."""
        return sum(band.dim for band in self.bands if band.downsampling == downsampling)

    def lmbda(self, rate: Point) -> Point:
        """Lambda at a point of the rate dial, 0..1, or at points (N,)."""
        lowest, highest = self.lmbdas
        return lowest * (highest / lowest) ** rate

    def base_step(self, rate: Point) -> Point:
        """Step of the base in levels at a point of the rate dial, 0..1, or at points (N,)."""
        lowest, highest = self.base_steps
        return lowest * (highest / lowest) ** rate
