"""From checkpoint and configuration to a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from reprlib import repr as shown
from typing import Any, TypeGuard

from torch import Tensor

from bitstream.header import DOWNSAMPLE_LOG2
from vqcodec.config import TamingConfig
from vqcodec.errors import ModelError
from vqcodec.extras import missing
from vqcodec.model import SkipInitialisation, TamingVQGAN
from vqcodec.tools.taming.checkpoint import read_state

# Published configurations take about 2 kB.
MOST_BYTES = 1 << 20
# Published configurations are nested about 6 levels deep. PyYAML's time grows with the square of the depth.
_DEEPEST = 32
# Larger widths and counts are not those of a picture codec.
_LARGEST = 1 << 16
# Codewords that an index of 16 bits can name.
CODEBOOK_SIZES = range(2, _LARGEST + 1)


def convert(checkpoint: Path, config: Path) -> TamingVQGAN:
    """Build the model of a published checkpoint.

    Args:
        checkpoint: of a VQGAN, or of a transformer that was trained on one and holds it as its first stage.
        config: the YAML file beside it.

    Raises:
        ModelError: one of them cannot be read, they do not belong together, or the model is of a kind that
            cannot be imported.
    """
    settings = read_config(config)
    state = _vqgan_part(read_state(checkpoint), checkpoint)
    gumbel = "quantize.embed.weight" in state
    try:
        with SkipInitialisation():
            model = TamingVQGAN(replace(settings, quantizer="gumbel" if gumbel else "nearest"))
    except ValueError as error:
        raise ModelError(f"{config}: {error}") from error

    def take(name: str) -> Tensor:
        if name not in state:
            raise ModelError(f"{checkpoint}: the checkpoint lacks {name}")
        return state[name].float()

    own = model.state_dict()
    tensors = {key: take(key) for key in own if not key.startswith(("quantizer.", "latent_rms"))}
    codebook = take("quantize.embed.weight" if gumbel else "quantize.embedding.weight")
    # A power of two brings the codewords to about unit scale without rounding anything.
    scale = codebook.square().mean().sqrt().log2().round().exp2()
    tensors["latent_rms"] = scale
    tensors["quantizer.codebooks"] = codebook[None] / scale
    tensors["quantizer.bits"] = own["quantizer.bits"]
    if gumbel:
        tensors["quantizer.projection"] = take("quantize.proj.weight").flatten(1) * scale
        tensors["quantizer.offset"] = take("quantize.proj.bias")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        mismatch = str(error).splitlines()[1].strip()
        raise ModelError(f"{checkpoint}: does not belong to {config}: {mismatch}") from error
    return model.eval().requires_grad_(False)


def read_config(path: Path) -> TamingConfig:
    """The shape of a VQGAN from its YAML file.

    Raises:
        ModelError: it cannot be read, or describes something else than a VQGAN for RGB pictures.
        vqcodec.extras.MissingExtraError: `pyyaml` is not installed.
    """
    try:
        params = _mapping(_mapping(_read_yaml(path), "model"), "params")
        if "first_stage_config" in params:
            params = _mapping(_mapping(params, "first_stage_config"), "params")
        network = _mapping(params, "ddconfig")
        for name, value, wanted in (
            ("in_channels", network.get("in_channels"), 3),
            ("out_ch", network.get("out_ch"), 3),
            ("double_z", network.get("double_z", True), False),
            ("resamp_with_conv", network.get("resamp_with_conv", True), True),
            ("remap", params.get("remap"), None),
        ):
            # The type counts too, since 0 == False.
            if type(value) is not type(wanted) or value != wanted:
                raise ValueError(f"{name} is {shown(value)}, and only {wanted} can be imported")
        multipliers = _integers(network, "ch_mult")
        size, codewords = _integer(network, "resolution"), _integer(params, "n_embed")
        if len(multipliers) - 1 not in DOWNSAMPLE_LOG2:
            raise ValueError(
                f"ch_mult of {len(multipliers)} levels: the file format has no such downsampling"
            )
        if codewords not in CODEBOOK_SIZES:
            raise ValueError(f"n_embed is {codewords}: an index names 2 to 65536 codewords")
        attention = _integers(network, "attn_resolutions")
        return TamingConfig(
            channels=_integer(network, "ch"),
            multipliers=multipliers,
            blocks=_integer(network, "num_res_blocks"),
            attention_levels=tuple(n for n in range(len(multipliers)) if size // 2**n in attention),
            hidden_channels=_integer(network, "z_channels"),
            latent_dim=_integer(params, "embed_dim"),
            codebook_size=codewords,
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from error


def _read_yaml(path: Path) -> object:
    """Return the content of a YAML file: plain values, lists and dictionaries.

    Raises:
        ValueError: it is larger than `MOST_BYTES`, no YAML, nested too deeply, or uses aliases or tags of Python
            objects.
    """
    try:
        import yaml
    except ImportError as error:
        raise missing("pyyaml", "import-taming", "'vqcodec[taming]'", cause=error) from error
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES} bytes, which no configuration is")
    text = data.decode("utf-8")
    try:
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            # A few lines of aliases of aliases can stand for gigabytes, and no published file has any.
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"alias {shown(event.anchor)} is not accepted")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise ValueError(f"nested more than {_DEEPEST} levels deep")
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        # PyYAML raises these for values that contradict their tag.
        raise ValueError(f"not understood: {type(error).__name__}") from error


def _vqgan_part(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    for prefix in ("", "first_stage_model."):
        if f"{prefix}encoder.conv_in.weight" in state:
            return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    raise ModelError(f"{path}: not the checkpoint of a VQGAN: it has no encoder.conv_in.weight")


def _mapping(node: object, key: str) -> dict[str, Any]:
    value = node.get(key) if isinstance(node, dict) else None
    if not isinstance(value, dict):
        raise ValueError(f"{key} is {'missing' if value is None else 'no mapping'}")
    return value


def _integer(node: dict[str, Any], key: str) -> int:
    value = node.get(key)
    if not _is_size(value):
        raise ValueError(f"{key} is {shown(value)}, not an integer from 1 to {_LARGEST}")
    return value


def _integers(node: dict[str, Any], key: str) -> tuple[int, ...]:
    value = node.get(key)
    if not (isinstance(value, list) and all(map(_is_size, value))):
        raise ValueError(f"{key} is {shown(value)}, not a list of integers from 1 to {_LARGEST}")
    return tuple(value)


def _is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value <= _LARGEST
