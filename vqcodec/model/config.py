"""Model configurations: one frozen dataclass per family, stored beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Self


class Shape(Protocol):
    """What coders need to know about a model of any family.

    Attributes:
        stages: number of quantizer stages S.
        codebook_size: codewords per stage K.
        latent_dim: channels D of the quantized latents.
        downsampling: side, in pixels, of the square that one latent position covers.
    """

    @property
    def stages(self) -> int: ...
    @property
    def codebook_size(self) -> int: ...
    @property
    def latent_dim(self) -> int: ...
    @property
    def downsampling(self) -> int: ...


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
class ModelConfig(Config):
    """Hyper-parameters of a `VQGAN`.

    Attributes:
        stages: number of residual quantizer stages S.
        codebook_size: codewords per stage K.
        latent_dim: channels D of the quantized latents.
        encoder_widths: channels of the encoder at 1/4, 1/8 and 1/16 resolution.
        encoder_blocks: residual blocks of the encoder at 1/4, 1/8 and 1/16 resolution.
        generator_widths: channels of the generator at 1/16, 1/8 and 1/4 resolution.
        generator_blocks: residual blocks of the generator at 1/16, 1/8 and 1/4 resolution.
    """

    stages: int = 8
    codebook_size: int = 1024
    latent_dim: int = 64
    encoder_widths: tuple[int, int, int] = (64, 128, 256)
    encoder_blocks: tuple[int, int, int] = (2, 3, 4)
    generator_widths: tuple[int, int, int] = (256, 128, 64)
    generator_blocks: tuple[int, int, int] = (6, 3, 2)

    @property
    def downsampling(self) -> int:
        """Side, in pixels, of the square that one latent position covers."""
        return 16
