"""The command `train`, from its options to what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.pictures import scene
from tests.training.test_trainer import RECIPE
from vqcodec.cli.main import main

SHORT = replace(RECIPE, phases=RECIPE.phases[:1])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with three photographs and a recipe of three steps."""
    (tmp_path / "photographs").mkdir()
    for seed in range(3):
        scene(128, 96, seed).save(tmp_path / "photographs" / f"{seed}.png")
    (tmp_path / "recipe.json").write_text(json.dumps(SHORT.to_dict()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(capfd: pytest.CaptureFixture[str], *more: str) -> tuple[int, list[str]]:
    """Exit code, and the lines on standard error without progress bars."""
    with pytest.raises(SystemExit) as caught:
        main(["train", "--data", "photographs", "--out", "run", "--recipe", "recipe.json", *more])
    lines = capfd.readouterr().err.splitlines()
    return caught.value.code or 0, [line for line in lines if "%|" not in line and "it/s" not in line]


def test_what_is_special_about_a_run_is_said(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    too_few = "no validation: 3 photographs are too few to hold some out (20 are enough), see --val"
    assert train(capfd) == (0, [too_few])
    assert train(capfd) == (0, ["run: finished, all 3 steps of the recipe are done"])
    extended = replace(SHORT, phases=(*SHORT.phases, RECIPE.phases[1]))
    (folder / "recipe.json").write_text(json.dumps(extended.to_dict()))
    changed = "run: the recipe has changed; the run continues from step 3 with the new one"
    assert train(capfd, "--val", "photographs") == (0, [changed])


def test_mistakes_are_one_line(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "recipe.json").write_text("{")
    code, (line,) = train(capfd)
    assert code == 2
    assert line.startswith("vqcodec: recipe.json: not JSON: ")


def test_a_photograph_that_is_none_is_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "photographs" / "3.png").write_bytes(b"no")
    code, (line,) = train(capfd)
    assert code == 3
    name = Path("photographs", "3.png")
    assert line == f"vqcodec: {name}: not a picture in a format that Pillow reads"


def test_a_run_folder_that_cannot_be_made_is_named(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, lines = train(capfd, "--out", "recipe.json/run")
    assert code == 7
    assert lines[-1].startswith("vqcodec: recipe.json")


def test_compiling_needs_a_compiler(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train(capfd, "--compile") == (
        2,
        [
            "vqcodec: --compile needs a C++ compiler, and there is no no-such-compiler; CXX can name another",
        ],
    )
