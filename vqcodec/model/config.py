"""The shape of a model, as one frozen dataclass per family that is stored beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Self


class Shape(Protocol):
    """What coders need to know of a model, of whatever family.

    Attributes:
        stages: quantizer stages S.
        codebook_size: codewords per stage K.
        latent_dim: channels D of the quantized latents.
        downsampling: edge in pixels of the picture area that one latent position stands for.
    """

    @property
    def stages(self) -> int: ...
    @property
    def codebook_size(self) -> int: ...
    @property
    def latent_dim(self) -> int: ...
    @property
    def downsampling(self) -> int: ...


class Config:
    """What the configurations of all families have in common; they are frozen dataclasses."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Raises `ValueError` on unknown or missing fields."""
        return cls.from_fields(json.loads(text))

    @classmethod
    def from_fields(cls, values: dict) -> Self:
        """Build from a dictionary of all fields. Raises `ValueError` on unknown or missing ones."""
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
        """Edge in pixels of the picture area that one latent position stands for."""
        return 16
