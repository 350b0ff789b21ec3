"""The command `import-taming`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from safetensors import SafetensorError

from vqcodec.codec import Codec
from vqcodec.errors import WriteError
from vqcodec.image.find import pictures_below
from vqcodec.tools.taming.convert import convert
from vqcodec.tools.usage import count_usage
from vqcodec.weights import frequencies, save_model

# Added to every count, so that a codeword that the photographs happened to miss is not priced out.
_PRIOR = 0.5

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("import-taming")
@click.argument("checkpoint", type=_file)
@click.argument("config", metavar="CONFIG.yaml", type=_file)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Model file to write, for --model.",
)
@click.option(
    "--calibrate",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Count the codewords on the photographs of a folder; without it, all indices cost the same.",
)
def import_taming_command(checkpoint: Path, config: Path, output: Path, calibrate: Path | None) -> None:
    """Make a model file from a VQGAN checkpoint in the layout of CompVis/taming-transformers.

    Nothing in the checkpoint is run. The networks of these models look at the whole picture at once, which no
    memory bounds: pictures above 768x512 pixels go through overlapping windows that are faded into each other.
    """
    model = convert(checkpoint, config)
    shape = model.config
    tables = [frequencies(np.ones(shape.codebook_size))]
    try:
        model_id = save_model(output, model, tables)
        if calibrate:
            # All codewords cost the same so far, so every quality takes the nearest ones.
            (counts,) = count_usage(Codec.load(output), pictures_below(calibrate), 100)
            tables = [frequencies(counts + _PRIOR)]
            model.quantizer.bits[0] = 16 - torch.from_numpy(tables[0].astype(np.float32)).log2()
            model_id = save_model(output, model, tables)
    except (OSError, SafetensorError) as error:
        raise WriteError(f"{output}: {error}") from error
    click.echo(
        f"{output}: model {model_id.hex()}, one index of {shape.codebook_size} for "
        f"{shape.downsampling}x{shape.downsampling} pixels"
    )
