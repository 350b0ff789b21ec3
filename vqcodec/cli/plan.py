"""What a command reads and where it writes: files, directories, patterns and standard streams."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqcodec.errors import ImageError, RequestError
from vqcodec.image.find import files_below

STANDARD_STREAM = "-"


@dataclass(frozen=True)
class Task:
    """One file to make from another.

    Attributes:
        source: file to read; `None` for standard input.
        target: file to write; `None` for standard output.
    """

    source: Path | None
    target: Path | None

    @property
    def source_name(self) -> str:
        """Name of the source, for messages."""
        return "standard input" if self.source is None else str(self.source)

    @property
    def target_name(self) -> str:
        """Name of the target, for messages."""
        return "standard output" if self.target is None else str(self.target)


def plan(inputs: Sequence[str], output: str | None, suffixes: Collection[str], new_suffix: str) -> list[Task]:
    """Pair each input with its output.

    Directories are searched for files with one of the suffixes. Patterns such as `*.png` are expanded. Files
    that are named are taken with any suffix, whether they exist or not.

    Args:
        inputs: files, directories, patterns, or "-".
        output: a file for one input; a directory for several inputs or for a directory; or "-". `None` puts
            each output beside its input, and that of standard input on standard output.
        suffixes: lower-case suffixes to look for in directories.
        new_suffix: suffix of outputs that are not named.

    Raises:
        RequestError: inputs and output do not go together.
        ImageError: a directory has no files with one of the suffixes.
    """
    found = dict(_find(inputs, suffixes))
    several = (
        len(inputs) > 1 or len(found) > 1 or any(os.path.isdir(name) or _is_pattern(name) for name in inputs)
    )
    if None in found and len(found) > 1:
        raise RequestError("standard input cannot be one of several inputs")
    if output == STANDARD_STREAM:
        if several:
            raise RequestError("several files cannot go to standard output")
        return [Task(source, None) for source in found]
    if output is None:
        return [Task(source, source and source.with_suffix(new_suffix)) for source in found]
    directory = Path(output)
    if not several and not directory.is_dir() and not output.endswith(("/", os.sep)):
        return [Task(source, directory) for source in found]
    if directory.exists() and not directory.is_dir():
        raise RequestError(f"{output}: several files need a directory to go to")
    return [
        Task(source, (directory / relative).with_suffix(new_suffix)) for source, relative in found.items()
    ]


def _find(inputs: Sequence[str], suffixes: Collection[str]) -> Iterator[tuple[Path | None, Path]]:
    """Yield each source, and its path relative to the directory that was searched."""
    for name in inputs:
        if name == STANDARD_STREAM:
            yield None, Path("stdin")
        elif os.path.isdir(name):
            inside = list(files_below(Path(name), suffixes))
            if not inside:
                raise ImageError(f"{name}: holds no files of the kind to read")
            yield from ((path, path.relative_to(name)) for path in inside)
        elif _is_pattern(name):
            for path in sorted(map(Path, glob.glob(name, recursive=True))) or [Path(name)]:
                if not path.is_dir():
                    yield path, Path(path.name)
        else:
            yield Path(name), Path(Path(name).name)


def _is_pattern(name: str) -> bool:
    """Return whether a name is a pattern. File names may contain brackets and stars too."""
    return glob.has_magic(name) and not os.path.lexists(name)
