"""Which outputs belong to which inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from vqcodec.cli.plan import Task, plan
from vqcodec.errors import ImageError, RequestError

SUFFIXES = {".jpg", ".png"}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """a.jpg, b.PNG, notes.txt, sub/c.jpg, [x].png"""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("a.jpg", "b.PNG", "notes.txt", "sub/c.jpg", "[x].png"):
        (tmp_path / name).touch()
    return tmp_path


def pairs(inputs: list[str], output: str | None = None) -> list[tuple[str, str]]:
    return [(task.source_name, task.target_name) for task in plan(inputs, output, SUFFIXES, ".vqc")]


@pytest.mark.usefixtures("tree")
def test_beside_the_input_by_default() -> None:
    assert pairs(["a.jpg", "sub/c.jpg"]) == [("a.jpg", "a.vqc"), ("sub/c.jpg", "sub/c.vqc")]


@pytest.mark.usefixtures("tree")
def test_a_directory_is_searched_and_its_shape_kept() -> None:
    assert pairs(["."], "out") == [
        ("[x].png", "out/[x].vqc"),
        ("a.jpg", "out/a.vqc"),
        ("b.PNG", "out/b.vqc"),
        ("sub/c.jpg", "out/sub/c.vqc"),
    ]


@pytest.mark.usefixtures("tree")
def test_one_input_goes_to_a_file_or_into_a_directory() -> None:
    assert pairs(["a.jpg"], "x.vqc") == [("a.jpg", "x.vqc")]
    assert pairs(["a.jpg"], "new/") == [("a.jpg", "new/a.vqc")]
    assert pairs(["sub/c.jpg"], "sub") == [("sub/c.jpg", "sub/c.vqc")]


@pytest.mark.usefixtures("tree")
def test_what_is_named_is_taken_whatever_its_suffix_there_or_not() -> None:
    assert pairs(["notes.txt", "missing.jpg"]) == [("notes.txt", "notes.vqc"), ("missing.jpg", "missing.vqc")]


@pytest.mark.usefixtures("tree")
def test_patterns_are_expanded_but_names_come_first() -> None:
    assert pairs(["*.jpg"], "out") == [("a.jpg", "out/a.vqc")]
    assert pairs(["**/*.jpg"]) == [("a.jpg", "a.vqc"), ("sub/c.jpg", "sub/c.vqc")]
    assert pairs(["[x].png"]) == [("[x].png", "[x].vqc")]
    assert pairs(["*.tif"]) == [("*.tif", "*.vqc")]


@pytest.mark.usefixtures("tree")
def test_an_input_named_twice_is_done_once() -> None:
    assert pairs(["sub", "sub/c.jpg"]) == [("sub/c.jpg", "sub/c.vqc")]


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("turned", [False, True])
def test_names_are_longer_where_short_ones_would_be_the_same(turned: bool) -> None:
    inputs = ["a.jpg", "a.png", "a.jpg.png", "sub/a.tif", "b.PNG"]
    assert dict(pairs(inputs[:: -1 if turned else 1])) == {
        "a.jpg": "a.jpg.vqc",
        "a.png": "a.png.vqc",
        "a.jpg.png": "a.jpg.png.vqc",
        "sub/a.tif": "sub/a.vqc",
        "b.PNG": "b.vqc",
    }
    inputs = ["a.jpg", "sub/a.tif", "other/b.png"]
    assert dict(pairs(inputs[:: -1 if turned else 1], "out")) == {
        "a.jpg": "out/a.jpg.vqc",
        "sub/a.tif": "out/a.tif.vqc",
        "other/b.png": "out/b.vqc",
    }
    # Here, nothing in the names tells them apart.
    assert pairs(["a.jpg", "sub/a.jpg"], "out") == [("a.jpg", "out/a.vqc"), ("sub/a.jpg", "out/a.vqc")]


@pytest.mark.usefixtures("tree")
def test_links_hide_no_shared_output(tree: Path) -> None:
    (tree / "same").symlink_to(tree, target_is_directory=True)
    assert pairs(["a.jpg", "same/a.png"]) == [("a.jpg", "a.jpg.vqc"), ("same/a.png", "same/a.png.vqc")]


def test_standard_streams() -> None:
    assert plan(["-"], None, SUFFIXES, ".vqc") == [Task(None, None)]
    assert plan(["-"], "a.vqc", SUFFIXES, ".vqc") == [Task(None, Path("a.vqc"))]
    assert plan(["a.jpg"], "-", SUFFIXES, ".vqc") == [Task(Path("a.jpg"), None)]


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("inputs", "output"),
    [(["a.jpg", "b.PNG"], "-"), (["sub"], "-"), (["-", "a.jpg"], None), (["a.jpg", "b.PNG"], "notes.txt")],
)
def test_requests_that_make_no_sense(inputs: list[str], output: str | None) -> None:
    with pytest.raises(RequestError):
        pairs(inputs, output)


def test_an_empty_directory_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no files of the kind to read"):
        pairs([str(tmp_path)])
    (tmp_path / "a.jpg").touch()
    (tmp_path / "empty").mkdir()
    empty, full = plan([str(tmp_path / "empty"), str(tmp_path)], None, SUFFIXES, ".vqc")
    assert empty.fault == "holds no files of the kind to read"
    assert full == Task(tmp_path / "a.jpg", tmp_path / "a.vqc")
