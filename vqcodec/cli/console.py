"""What a command tells its user: a line per file, a line per fault, a progress bar, and an exit code."""

from __future__ import annotations

import json
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bitstream import BitstreamError
from vqcodec.cli.plan import Task
from vqcodec.errors import ConcealedWarning, TruncatedWarning, VqcodecError, WriteError

# Exit codes; those of `VqcodecError` are with its classes.
FAILED = 1
CORRUPT = 4


def exit_code(error: BaseException) -> int:
    """The exit code for an error: its kind's own, or 1 for what should not happen."""
    if isinstance(error, BitstreamError):
        return CORRUPT
    return error.exit_code if isinstance(error, VqcodecError) else FAILED


def in_words(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "not enough memory"
    text = " ".join(str(error).split())
    if isinstance(error, (BitstreamError, VqcodecError)):
        return text
    return f"unexpected {type(error).__name__}: {text}"


class Console:
    """Reports on many files, from several threads.

    Args:
        total: number of files, for the progress bar.
        as_json: print one JSON object per file on standard output instead of text.
        quiet: print nothing but faults and warnings.
        verbose: print what was skipped too, and where unexpected errors come from.
        data_on_stdout: standard output carries a file, so that text goes to standard error.
    """

    def __init__(
        self,
        total: int,
        *,
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        data_on_stdout: bool = False,
    ) -> None:
        from tqdm import tqdm

        self._json = as_json
        self._quiet = quiet
        self._verbose = verbose
        self._out = sys.stderr if data_on_stdout else sys.stdout
        self._current = threading.local()
        self._lock = threading.RLock()
        self._codes: set[int] = set()
        self._bar = tqdm(
            total=total,
            delay=1,
            disable=True if quiet else None,
            file=sys.stderr,
            bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        )

    @property
    def exit_code(self) -> int:
        """0, or the code of what went wrong, or 1 where that was of several kinds."""
        return FAILED if len(self._codes) > 1 else next(iter(self._codes), 0)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Print every warning as one line, with the name of the file that its thread is at."""
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = self._show_warning
            try:
                yield
            finally:
                self._bar.close()

    @contextmanager
    def working_on(self, task: Task) -> Iterator[Progress]:
        """Count a file as in hand; gives the callback that its progress is reported to."""
        self._current.name, self._current.warnings = task.source_name, []
        progress = Progress(self)
        try:
            yield progress
        finally:
            progress(1.0)
            self._current.name = None

    def warnings(self) -> list[str]:
        """What this thread's file was warned about."""
        return self._current.warnings

    def advance(self, share: float) -> None:
        with self._lock:
            self._bar.update(share)

    def done(self, task: Task, said: dict[str, Any]) -> None:
        """Report what became of a file."""
        if self._json:
            self._print({"input": task.source_name, "output": task.target_name} | said)
        elif not self._quiet and (self._verbose or not said.get("skipped")):
            self._print(f"{task.source_name} -> {task.target_name}: {_sentence(said)}")

    def fault(self, task: Task, error: BaseException) -> None:
        """Report that a file failed, and remember it for the exit code."""
        self._codes.add(exit_code(error))
        name = task.target_name if isinstance(error, WriteError) else task.source_name
        self.complain(f"{name}: {in_words(error)}")
        if self._verbose and exit_code(error) == FAILED:
            self.complain("".join(traceback.format_exception(error)).rstrip())
        if self._json:
            fault = {"error": in_words(error), "exit_code": exit_code(error)}
            self._print({"input": task.source_name, "output": task.target_name} | fault)

    def complain(self, line: str) -> None:
        with self._lock:
            self._bar.write(f"vqcodec: {line}", file=sys.stderr)

    def _print(self, what: str | dict[str, Any]) -> None:
        with self._lock:
            self._bar.write(what if isinstance(what, str) else json.dumps(what), file=self._out)

    def _show_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: str | None = None,
    ) -> None:
        name = getattr(self._current, "name", None)
        text = " ".join(str(message).split())
        if issubclass(category, (TruncatedWarning, ConcealedWarning)):
            self._codes.add(CORRUPT)
        if name:
            self._current.warnings.append(text)
        self.complain(f"{name}: warning: {text}" if name else f"warning: {text}")


class Progress:
    """Callback for the share of one file that is done; moves the bar by what was added."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._share = 0.0

    def __call__(self, share: float) -> None:
        self._console.advance(share - self._share)
        self._share = share


def _sentence(said: dict[str, Any]) -> str:
    if said.get("skipped"):
        return "exists already, skipped"
    parts = [f"{said['width']}x{said['height']}", f"{said['bytes']:,} bytes"]
    if "bpp" in said:
        parts.append(f"{said['bpp']:.3f} bpp")
    if "psnr" in said:
        parts.append(f"{said['psnr']:.2f} dB PSNR")
    return ", ".join(parts)
