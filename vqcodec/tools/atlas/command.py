"""The command `codebook`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from vqcodec.cli.output import replacing
from vqcodec.codec import Codec
from vqcodec.errors import ImageError
from vqcodec.image.find import pictures_below
from vqcodec.image.picture import Picture, read
from vqcodec.rate import DEFAULT_QUALITY
from vqcodec.tools.atlas.page import codebook_page
from vqcodec.tools.atlas.picture import dissect
from vqcodec.tools.atlas.stages import examine
from vqcodec.tools.usage import count_usage
from vqcodec.weights import find_model


@click.command("codebook")
@click.argument("model", metavar="[MODEL]", required=False)
@click.option(
    "--image",
    "pictures",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="PHOTO",
    help="Picture to take apart: its indices, and where its bits went; repeatable.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of photographs to count the codewords on.",
)
@click.option(
    "-q",
    "--quality",
    type=click.FloatRange(0, 100),
    default=DEFAULT_QUALITY,
    show_default=True,
    help="Quality at which codewords are chosen.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="HTML page to write; it holds everything and works offline.",
)
def codebook_command(
    model: str | None, pictures: Sequence[Path], data: Path | None, quality: float, out: Path
) -> None:
    """Show the codebooks of a model: what codewords look like, how often they are used, which are alike."""
    codec = Codec.load(model)
    photographs = pictures_below(data) if data else []
    counts = count_usage(codec, photographs, quality) if data else None
    dissected = [dissect(codec, path.name, _read(path), quality) for path in pictures]
    name = find_model(model).stem
    page = codebook_page(codec, name, examine(codec, counts), dissected, len(photographs), quality)
    with replacing(out, overwrite=True) as file:
        file.write(page.encode("utf-8"))
    click.echo(out)


def _read(path: Path) -> Picture:
    try:
        return read(path)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
