"""What a command reads and where it writes: files, directories, patterns and standard streams."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
        fault: why there is nothing to do; `None` if there is.
    """

    source: Path | None
    target: Path | None
    fault: str | None = None

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

    The suffix of an output takes the place of that of its input. Where this gives several inputs the same
    output, such as `a.jpg` and `a.png`, it is appended instead: `a.jpg.vqc` and `a.png.vqc`.

    Args:
        inputs: files, directories, patterns, or "-".
        output: a file for one input; a directory for several inputs or for a directory; or "-". `None` puts
            each output beside its input, and that of standard input on standard output.
        suffixes: lower-case suffixes to look for in directories.
        new_suffix: suffix of outputs that are not named.

    Raises:
        RequestError: inputs and output do not go together.
        ImageError: the only input is a directory without files with one of the suffixes. Of several, it has
            a task with a fault.
    """
    found: dict[Path | None, Path] = {}
    faults: list[Task] = []
    for source, relative in _find(inputs, suffixes, faults):
        found.setdefault(source, relative)
    if len(inputs) == 1 and not found and faults:
        raise ImageError(f"{faults[-1].source_name}: {faults[-1].fault}")
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
        return faults + _named(dict(zip(found, found, strict=True)), new_suffix)
    directory = Path(output)
    if not several and not directory.is_dir() and not output.endswith(("/", os.sep)):
        return [Task(source, directory) for source in found]
    if directory.exists() and not directory.is_dir():
        raise RequestError(f"{output}: several files need a directory to go to")
    return faults + _named({source: directory / relative for source, relative in found.items()}, new_suffix)


def _named(outputs: Mapping[Path | None, Path | None], new_suffix: str) -> list[Task]:
    """Return a task for each source.

    Args:
        outputs: by source, its output with the suffix of the source; `None` for standard output.
        new_suffix: the suffix to give to outputs.
    """
    real_path = lru_cache(None)(os.path.realpath)

    def shared(targets: Mapping[Path | None, Path]) -> set[Path | None]:
        """Return the sources that have a target in common, if their names differ and can tell them apart."""
        by_target: dict[tuple[str, str], list[Path | None]] = {}
        for source, target in targets.items():
            by_target.setdefault((real_path(target.parent), target.name), []).append(source)
        return {
            source
            for sources in by_target.values()
            if len({source.name for source in sources if source}) > 1
            for source in sources
        }

    targets = {source: path.with_suffix(new_suffix) for source, path in outputs.items() if path}
    longer = {source: path.with_name(path.name + new_suffix) for source, path in outputs.items() if path}
    # A longer name may in turn be that of another output.
    while unclear := [source for source in shared(targets) if targets[source] != longer[source]]:
        targets.update((source, longer[source]) for source in unclear)
    return [Task(source, targets.get(source)) for source in outputs]


def _find(
    inputs: Sequence[str], suffixes: Collection[str], faults: list[Task]
) -> Iterator[tuple[Path | None, Path]]:
    """Yield each source, and its path relative to the directory that was searched.

    Directories that cannot be read, or have nothing to read, are added to `faults`, and so are pipes in them, for
    which one could wait for ever.
    """

    def unreadable(error: OSError) -> None:
        faults.append(Task(Path(error.filename), Path(error.filename), error.strerror or str(error)))

    for name in inputs:
        if name == STANDARD_STREAM:
            yield None, Path("stdin")
        elif os.path.isdir(name):
            before = len(faults)
            inside = list(files_below(Path(name), suffixes, on_error=unreadable))
            special = {path for path in inside if _is_special(path)}
            faults.extend(Task(path, path, "is a pipe or a device") for path in inside if path in special)
            if not inside and len(faults) == before:
                faults.append(Task(Path(name), Path(name), "holds no files of the kind to read"))
            yield from ((path, path.relative_to(name)) for path in inside if path not in special)
        elif _is_pattern(name):
            for path in sorted(map(Path, glob.glob(name, recursive=True))) or [Path(name)]:
                if not path.is_dir():
                    yield path, Path(path.name)
        else:
            yield Path(name), Path(Path(name).name)


def _is_special(path: Path) -> bool:
    return os.path.exists(path) and not os.path.isfile(path)


def _is_pattern(name: str) -> bool:
    """Return whether a name is a pattern. File names may contain brackets and stars too."""
    return glob.has_magic(name) and not os.path.lexists(name)
