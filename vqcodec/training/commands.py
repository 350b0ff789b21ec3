"""The commands `train`, `release`, `train-context` and `export-onnx`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vqcodec.errors import RequestError, WriteError
from vqcodec.extras import missing
from vqcodec.image.find import pictures_below
from vqcodec.training.config import TrainConfig
from vqcodec.training.data import CropSampler
from vqcodec.weights import load_model

if TYPE_CHECKING:
    from vqcodec.training.trainer import Trainer

RECIPE = Path(__file__).parent / "recipes" / "photo.json"
# Of a folder without separate validation photographs, this share is held out, up to a number.
HELD_OUT_SHARE, HELD_OUT_MOST = 0.05, 20

_folder = click.Path(exists=True, file_okay=False, path_type=Path)
_data = click.option(
    "--data",
    type=_folder,
    multiple=True,
    required=True,
    metavar="DIR",
    help="Folder of photographs, searched through; repeatable.",
)
_output = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="MODEL.safetensors",
    help="Model file to write.",
)


_crops = click.option(
    "--crops",
    type=click.IntRange(min=20),
    default=6000,
    show_default=True,
    help="Pieces of 256x256 pixels that the context model learns from.",
)
_steps = click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=3000,
    show_default=True,
    help="Steps of the training of the context model.",
)


@click.command("train")
@_data
@click.option(
    "--val",
    type=_folder,
    metavar="DIR",
    help=f"Photographs to validate on. [the last {HELD_OUT_SHARE:.0%} of the data by name, at most {HELD_OUT_MOST}]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="RUN",
    help="Folder of the run; one that is there is continued.",
)
@click.option(
    "--recipe",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=RECIPE,
    show_default="the released model's",
    help="Model and phases, as JSON.",
)
@click.option(
    "--start",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="MODEL.safetensors",
    help="Let a new run continue from a model file, at the step that it was released at.",
)
@click.option(
    "--compile",
    "compiling",
    is_flag=True,
    help="Compile networks and losses first. It takes a minute or two and a C++ compiler, then steps are faster.",
)
def train_command(
    data: Sequence[Path], val: Path | None, out: Path, recipe: Path, start: Path | None, compiling: bool
) -> None:
    """Train a model on folders of photographs.

    Stop it with Ctrl-C and continue with the same command: the run folder holds everything.
    """
    with _faults():
        from vqcodec.training import compiled, distributed
        from vqcodec.training.trainer import Trainer
        from vqcodec.training.validation import Validator

        config = TrainConfig.load(recipe)
        _flush_denormal()
        if compiling:
            compiled.enable()
        photographs: Sequence[Path] = pictures_below(*data)
        if val is None:
            photographs, validation = hold_out(photographs)
        else:
            validation = pictures_below(val)
        crops = CropSampler(photographs, device=distributed.join())
        validator = Validator(validation) if validation else None
        trainer = Trainer(config, crops, validator, out, start)
        if distributed.rank() == 0:
            for remark in _remarks(trainer, len(photographs)):
                click.echo(remark, err=True)
        trainer.run()


def _remarks(trainer: Trainer, photographs: int) -> Iterator[str]:
    """What the user of a run might not expect, one line each."""
    if trainer.recipe_changed:
        yield f"{trainer.out}: the recipe has changed; the run continues from step {trainer.step} with the new one"
    if trainer.finished:
        yield f"{trainer.out}: finished, all {trainer.config.steps} steps of the recipe are done"
    elif trainer.validator is None:
        enough = math.ceil(1 / HELD_OUT_SHARE)
        yield f"no validation: {photographs} photographs are too few to hold some out ({enough} are enough), see --val"


@click.command("release")
@click.argument("run", type=_folder)
@_data
@_output
@click.option(
    "--realism",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Share of the generator of the adversarial phase, if there was one, where none is asked for.",
)
@_crops
@_steps
def release_command(
    run: Path, data: Sequence[Path], output: Path, realism: float, crops: int, steps: int
) -> None:
    """Make a model file of the averaged weights of a training run, and train its context model."""
    with _faults():
        from vqcodec.training.release import release

        _flush_denormal()
        sampler = CropSampler(pictures_below(*data))
        model_id = release(run, output, sampler, crops, steps, realism)
    click.echo(f"{output}: model {model_id.hex()}")


@click.command("train-context")
@click.argument("model")
@_data
@_output
@_crops
@_steps
def train_context_command(model: str, data: Sequence[Path], output: Path, crops: int, steps: int) -> None:
    """Give MODEL, a released model or a model file, a context model, for smaller files.

    Imported models need it, and any model whose pictures are unlike those that it has learned from. The result is
    another model: what was compressed with the one at hand needs that one still.
    """
    with _faults():
        from vqcodec.training.release import refit

        _flush_denormal()
        file = load_model(model)
        model_id = refit(file, output, CropSampler(pictures_below(*data)), crops, steps)
    notes = load_model(output).notes
    click.echo(
        f"{output}: model {model_id.hex()}, {notes['bits_context']} bits per latent position "
        f"({notes['bits_tables']} without context)"
    )


@click.command("export-onnx")
@click.argument("model")
@click.option(
    "-o",
    "--output",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder for files that hold the weights too, for other programs.",
)
def export_onnx_command(model: str, output: Path | None) -> None:
    """Write encoder and generator of MODEL, a released model or a model file, as ONNX.

    Without -o, the files go beside the model file and refer to the weights in it. `--runtime onnx` needs these;
    `release` and `train-context` write them too.
    """
    with _faults():
        from vqcodec.training.onnx.export import write_graphs

        written = write_graphs(load_model(model), output)
    for path in written:
        click.echo(path)


def hold_out(photographs: Sequence[Path]) -> tuple[Sequence[Path], Sequence[Path]]:
    """Split photographs, sorted by path, into those to train on and those to validate on."""
    count = min(HELD_OUT_MOST, int(HELD_OUT_SHARE * len(photographs)))
    by_name = sorted(photographs, key=lambda path: path.name)
    held_out = sorted(by_name[len(by_name) - count :])
    return [path for path in photographs if path not in set(held_out)], held_out


def _flush_denormal() -> None:
    """Let denormal numbers count as zero, for threads to come as well.

    What optimisers remember of weights without a gradient decays to them, and a CPU takes twenty times as long there.
    """
    import torch

    torch.set_flush_denormal(True)


@contextmanager
def _faults() -> Iterator[None]:
    """Turn errors that a user can cause into those that the command line prints as one line."""
    try:
        yield
    except ImportError as error:
        name = error.name or "a package"
        raise missing(name, "training", "'vqcodec[train]'", cause=error) from error
    except (FileNotFoundError, ValueError) as error:
        raise RequestError(_in_words(error)) from error
    except OSError as error:
        # Photographs have their own error: what is left is the run folder or the model file.
        raise WriteError(_in_words(error)) from error


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
