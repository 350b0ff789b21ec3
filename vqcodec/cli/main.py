"""The command line. Commands parse their options and delegate. Heavy modules are imported when needed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from vqcodec import __version__
from vqcodec.cli import streams
from vqcodec.errors import Interrupted, VqcodecError
from vqcodec.extras import missing
from vqcodec.rate import DEFAULT_QUALITY

EXIT_CODES = """\b
Exit codes:
  0  everything done
  1  any other error, or errors of several kinds
  2  wrong usage
  3  an input is missing or not a picture
  4  a .vqc file is damaged; if it is only truncated, a coarser picture is written, and with --conceal
     any file gives one that has not lost all its tiles
  5  the model is missing, or not the one the file was made with
  6  the requested size cannot be reached
  7  an output cannot be written, or already exists; also standard output, if all else went well
  130  stopped by Ctrl-C
"""

# Commands in modules that are slow to import: module, name in it, line in the overview.
_ELSEWHERE = {
    "evaluate": (
        "vqcodec.evaluation.commands",
        "evaluate_command",
        "Measure codecs on the pictures in folders.",
    ),
    "compare": (
        "vqcodec.evaluation.commands",
        "compare_command",
        "Compare a picture in several codecs at equal file size.",
    ),
    "train": ("vqcodec.training.commands", "train_command", "Train a model on folders of photographs."),
    "release": ("vqcodec.training.commands", "release_command", "Make a model file from a training run."),
    "train-context": (
        "vqcodec.training.commands",
        "train_context_command",
        "Give a model, such as an imported one, a context model.",
    ),
    "codebook": (
        "vqcodec.tools.atlas.command",
        "codebook_command",
        "Show a model's codebooks, and where a picture's bits go, in one page.",
    ),
    "page": (
        "vqcodec.web.commands",
        "page_command",
        "Make a page that decodes a .vqc file in any browser.",
    ),
    "view": (
        "vqcodec.web.commands",
        "view_command",
        "Serve a page on which .vqc files are dropped.",
    ),
    "export-onnx": (
        "vqcodec.training.commands",
        "export_onnx_command",
        "Write a model's encoder and generator as ONNX files.",
    ),
    "import-taming": (
        "vqcodec.tools.taming.command",
        "import_taming_command",
        "Convert a published VQGAN checkpoint to a model file.",
    ),
}


class _Commands(click.Group):
    """Imports the commands of `_ELSEWHERE` only when one of them is called."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("stopped") from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_ELSEWHERE]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in _ELSEWHERE:
            module, attribute, _ = _ELSEWHERE[name]
            try:
                return getattr(importlib.import_module(module), attribute)
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] != "torch":
                    raise
                raise missing("torch", f"`vqcodec {name}`", "torch", cause=error) from error
        return super().get_command(ctx, name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # Click's own version would import every command for its help.
        names = [CompletionItem(name) for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        here = [(name, self.commands[name].get_short_help_str(80)) for name in super().list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(here + [(name, line) for name, (_, _, line) in _ELSEWHERE.items()])


class _Region(click.ParamType):
    name = "x,y,w,h"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int, int]:
        try:
            x, y, width, height = (int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not four whole numbers x,y,width,height", param, ctx)
        return x, y, width, height


# Lets the shell complete file names. The commands check readability, with their own exit code.
_PATH = click.Path(readable=False)


def _shared(command: Callable) -> Callable:
    """Add the options that `compress` and `decompress` share."""
    options = [
        click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=_PATH),
        click.option(
            "-o",
            "--output",
            metavar="PATH",
            type=_PATH,
            help="File, directory, or - for standard output. [beside the input]",
        ),
        click.option(
            "--keep",
            metavar="LIST",
            help="Metadata to keep: icc, exif, xmp with commas, all or none. Colours stay: without icc they are "
            "converted to sRGB. [all]",
        ),
        click.option(
            "--drop",
            metavar="LIST",
            default="",
            help="Parts of the metadata to drop: gps, thumbnail. compress always drops the thumbnail.",
        ),
        click.option("-f", "--force", is_flag=True, help="Overwrite outputs that exist."),
        click.option("--preserve", is_flag=True, help="Give outputs the times and permissions of inputs."),
        click.option("--skip-existing", is_flag=True, help="Keep outputs that exist, and make the others."),
        click.option(
            "--model", metavar="NAME|FILE", type=_PATH, help="Released model or model file. [photo]"
        ),
        click.option("--device", default="cpu", show_default=True, help="Torch device of the networks."),
        click.option(
            "--runtime",
            type=click.Choice(["onnx", "torch"]),
            help="Library that runs the networks: ONNX Runtime or torch. [the faster one]",
        ),
        click.option("--threads", type=click.IntRange(min=1), help="Cores to use. [all]"),
        click.option(
            "--max-megapixels",
            type=click.FloatRange(min=0),
            default=512,
            show_default=True,
            help="Refuse larger pictures; 0 for no limit.",
        ),
        click.option("--json", "as_json", is_flag=True, help="One JSON object per file on standard output."),
        click.option("-v", "--verbose", is_flag=True, help="Print more."),
        click.option("--quiet", is_flag=True, help="Print only warnings and errors."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(cls=_Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vqcodec")
def cli() -> None:
    """Neural image codec for low bit rates.

    INPUT may be files, directories (searched for pictures), patterns such as '*.png', or - for standard input.

    Completion with the tab key, in bash: eval "$(_VQCODEC_COMPLETE=bash_source vqcodec)"; zsh and fish likewise.
    """


@cli.command(epilog=EXIT_CODES)
@click.option(
    "-q",
    "--quality",
    type=click.FloatRange(0, 100),
    default=DEFAULT_QUALITY,
    show_default=True,
    help="Higher is better and larger.",
)
@click.option(
    "--bpp",
    type=click.FloatRange(min=0, min_open=True),
    help="Maximum bits per pixel, instead of -q.",
)
@click.option(
    "--size", type=click.IntRange(min=1), metavar="BYTES", help="Maximum size in bytes, instead of -q."
)
@click.option("--strip", is_flag=True, help="The same as --keep none.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where to run: on this machine, or on a Ray cluster that shares its file system.",
)
@_shared
@click.pass_context
def compress(ctx: click.Context, **options: Any) -> None:
    """Compress pictures to .vqc files.

    photo.jpg becomes photo.vqc, or photo.jpg.vqc if photo.png is among the inputs too.
    """
    from vqcodec.cli.batch import compress_files
    from vqcodec.image.keep import Keep

    if options["bpp"] is not None and options["size"] is not None:
        raise click.UsageError("--bpp and --size exclude each other")
    if options.pop("strip"):
        if options["keep"] is not None:
            raise click.UsageError("--strip and --keep exclude each other")
        options["keep"] = "none"
    options["keep"] = Keep.named(options["keep"], options.pop("drop"))
    ctx.exit(compress_files(**options))


@cli.command(epilog=EXIT_CODES)
@click.option("--format", "suffix", metavar="EXT", help="Format of outputs that are not named. [png]")
@click.option(
    "--stages",
    type=click.IntRange(min=1),
    help="Decode only the first stages: a coarser preview. The first is the base.",
)
@click.option("--region", type=_Region(), help="Decode only a part of the picture, in pixels.")
@click.option(
    "--scale",
    type=click.Choice(["1", "1/2", "1/4", "1/8", "1/16"]),
    default="1",
    help="Smaller preview, for less memory. 1/16 needs no network.",
)
@click.option(
    "--conceal",
    is_flag=True,
    help="Fill in what cannot be read of a damaged file, and name the tiles.",
)
@click.option(
    "--realism",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    help="0 stays closest to the original, 1 looks most like a photograph and invents more. [the model's choice]",
)
@click.option(
    "--reference", type=click.Path(path_type=Path), metavar="FILE", help="Picture to compare with by PSNR."
)
@click.option(
    "--label/--no-label",
    default=True,
    help="Say in the output's metadata that a generative codec made it, by which model and rate. [yes]",
)
@_shared
@click.pass_context
def decompress(ctx: click.Context, **options: Any) -> None:
    """Rebuild pictures from .vqc files."""
    from vqcodec.cli.batch import decompress_files
    from vqcodec.image.keep import Keep

    options["keep"] = Keep.named(options["keep"], options.pop("drop"))
    options["scale"] = int(options["scale"].rpartition("/")[2])
    ctx.exit(decompress_files(**options))


@cli.command(epilog=EXIT_CODES)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file.")
@click.pass_context
def info(ctx: click.Context, files: Sequence[str], as_json: bool) -> None:
    """Describe .vqc files without decoding them, and pictures that this codec has decoded by their labels."""
    from vqcodec.cli.info import describe_files

    ctx.exit(describe_files(files, as_json))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Each error is one line on standard error and an exit code.

    Args:
        arguments: command line without the program name; by default that of the process.
    """
    try:
        code = cli.main(arguments, prog_name="vqcodec", standalone_mode=False)
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        code = error.exit_code
    except VqcodecError as error:
        streams.complain(f"vqcodec: {error}")
        code = error.exit_code
    except BrokenPipeError:
        # The reader of standard output has closed it; Python would complain again at exit.
        sys.stdout = None
        code = 1
    sys.exit(streams.finish(code or 0))
