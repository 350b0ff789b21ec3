"""What a command tells its user: one line per file, one line per error, a progress bar, and an exit code."""

from __future__ import annotations

import json
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from bitstream import BitstreamError
from vqcodec.cli import streams
from vqcodec.errors import ConcealedWarning, TruncatedWarning, VqcodecError, WriteError

if TYPE_CHECKING:
    from vqcodec.cli.plan import Task

# Exit codes. Those of `VqcodecError` are with its classes.
FAILED = 1
CORRUPT = 4


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error: that of its class, or `FAILED` for unexpected errors."""
    if isinstance(error, BitstreamError):
        return CORRUPT
    return error.exit_code if isinstance(error, VqcodecError) else FAILED


def in_words(error: BaseException) -> str:
    """Return the message of an error as one line."""
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "not enough memory"
    text = " ".join(str(error).split())
    if isinstance(error, (BitstreamError, VqcodecError)):
        return text
    return f"unexpected {type(error).__name__}: {text}"


class Console:
    """Reports on many files, from several threads.

    A report that cannot be written never stops the work. `streams.finish` tells of it at the end.

    Args:
        total: number of files, for the progress bar.
        as_json: print one JSON object per file on standard output instead of text.
        quiet: print only errors and warnings.
        verbose: also print what was skipped, and tracebacks of unexpected errors.
        data_on_stdout: standard output carries a file, so print text on standard error.
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
        # tqdm's own lock is for several processes too.
        tqdm.set_lock(self._lock)
        self._bar = tqdm(
            total=total,
            delay=1,
            disable=True if quiet or sys.stderr is None else None,
            file=sys.stderr,
            bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        )

    @property
    def exit_code(self) -> int:
        """0 if nothing went wrong, else the code of the errors, or `FAILED` if they have several codes."""
        return FAILED if len(self._codes) > 1 else next(iter(self._codes), 0)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Print each warning as one line, with the name of the file that its thread works on."""
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = self._show_warning
            try:
                yield
            finally:
                with suppress(OSError, ValueError):
                    self._bar.close()

    @contextmanager
    def working_on(self, task: Task) -> Iterator[Progress]:
        """Mark a file as current in this thread. Gives the callback that takes its progress."""
        self._current.name, self._current.warnings = task.source_name, []
        progress = Progress(self)
        try:
            yield progress
        finally:
            progress(1.0)
            self._current.name = None

    def warnings(self) -> list[str]:
        """Return the warnings about the current file of this thread."""
        return self._current.warnings

    def advance(self, share: float) -> None:
        """Move the progress bar by a fraction of a file, 0..1."""
        with self._lock, suppress(OSError, ValueError):
            self._bar.update(share)

    def done(self, task: Task, said: dict[str, Any]) -> None:
        """Report a finished file.

        Args:
            task: the file.
            said: facts about it, by name: `width`, `height`, `bytes` and others, or `skipped`.
        """
        if self._json:
            self._print({"input": task.source_name, "output": task.target_name} | said)
        elif not self._quiet and (self._verbose or not said.get("skipped")):
            self._print(f"{task.source_name} -> {task.target_name}: {_sentence(said)}")

    def fault(self, task: Task, error: BaseException) -> None:
        """Report an error of a file, and remember its exit code."""
        self._codes.add(exit_code(error))
        name = task.target_name if isinstance(error, WriteError) else task.source_name
        self.complain(f"{name}: {in_words(error)}")
        if self._verbose and exit_code(error) == FAILED:
            self.complain("".join(traceback.format_exception(error)).rstrip())
        if self._json:
            fault = {"error": in_words(error), "exit_code": exit_code(error)}
            self._print({"input": task.source_name, "output": task.target_name} | fault)

    def complain(self, line: str) -> None:
        """Print a line on standard error, above the progress bar."""
        if sys.stderr is not None:
            with self._lock, suppress(OSError, ValueError):
                self._bar.write(f"vqcodec: {line}", file=sys.stderr)

    def _print(self, what: str | dict[str, Any]) -> None:
        line = what if isinstance(what, str) else json.dumps(what)
        with self._lock:
            try:
                self._bar.write(line, file=self._out)
            except (OSError, ValueError) as error:
                streams.remember(error)

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
    """Callback that takes the fraction of one file that is done, 0..1, and moves the progress bar."""

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
