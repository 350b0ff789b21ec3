"""The commands `page` and `view`."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

import bitstream
from vqcodec.cli.console import exit_code, in_words
from vqcodec.cli.output import replacing
from vqcodec.cli.streams import complain
from vqcodec.entropy.packing import Packing
from vqcodec.errors import ImageError, ModelError, RequestError
from vqcodec.weights import ModelFile, load_model

_model = click.option("--model", metavar="NAME|FILE", help="Released model or model file. [photo]")
_file = click.Path(dir_okay=False, path_type=Path)


@click.command("page")
@click.argument("file", metavar="PHOTO.vqc", type=_file)
@click.option("-o", "--output", type=_file, metavar="PHOTO.html", help="Page to write. [beside the file]")
@click.option("-f", "--force", is_flag=True, help="Overwrite a page that exists.")
@_model
def page_command(file: Path, output: Path | None, force: bool, model: str | None) -> None:
    """Make a page that decodes and shows PHOTO.vqc in any browser, offline.

    The page holds the decoder, the model and the file, about 20 megabytes.
    """
    from vqcodec.web.page import page_of

    loaded = load_model(model)
    page = page_of(loaded, _checked(loaded, file), file.name)
    target = output or file.with_suffix(".html")
    with replacing(target, force) as out:
        out.write(page.encode())
    click.echo(f"{target}: {len(page) / 1e6:.1f} MB")


@click.command("view")
@click.argument("file", metavar="[PHOTO.vqc]", type=_file, required=False)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on. [a free one]")
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.  [default: browser]")
@_model
def view_command(file: Path | None, port: int, browser: bool, model: str | None) -> None:
    """Serve a page on which .vqc files are dropped, to this machine alone, until Ctrl-C."""
    from vqcodec.web.server import ViewServer

    loaded = load_model(model)
    picture = None if file is None else (file.name, _checked(loaded, file))
    try:
        server = ViewServer(loaded, port, picture)
    except OSError as error:
        raise RequestError(f"port {port}: {error.strerror}") from error
    with server:
        click.echo(server.url)
        if browser:
            webbrowser.open(server.url)
        server.serve_forever()


def _checked(model: ModelFile, file: Path) -> bytes:
    """The contents of a file, which must be one of the model; if it is not, says so and exits."""
    try:
        data = file.read_bytes()
        container = bitstream.read(data, allow_truncated=True)
        Packing(model).check(container.header)
    except OSError as error:
        raise ImageError(f"{file}: {error.strerror or error}") from error
    except (bitstream.BitstreamError, ModelError) as error:
        complain(f"vqcodec: {file}: {in_words(error)}")
        click.get_current_context().exit(exit_code(error))
    return data
