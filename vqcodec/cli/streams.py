"""Standard input, output and error of the program, which may be closed, full, or short of characters.

Reports never decide over the work: what standard output cannot take is dropped, and told once at the end.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from vqcodec.errors import ImageError, WriteError

# The error of a report that could not be written.
_failure: Exception | None = None


class _Output(io.FileIO):
    """Standard output that remembers the first error of writing, and drops what comes after it.

    A reader that goes away is an error as ever: there is nobody left to write to.
    """

    error: OSError | None = None
    failed = False

    def write(self, data) -> int:
        if not self.failed:
            try:
                return super().write(data)
            except BrokenPipeError:
                raise
            except OSError as error:
                self.error, self.failed = error, True
        return memoryview(data).nbytes


class _Errors(io.FileIO):
    """Standard error that drops what it cannot take. There is no other place to say so."""

    def write(self, data) -> int:
        with suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def prepare() -> None:
    """Make the standard streams of this process safe to use. Call this before anything opens a file."""
    # A file that is opened later would take the number of a closed stream, and the text that is meant for it.
    # Input and output are opened the wrong way round, so that using them is an error.
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened == number:
                os.set_inheritable(number, True)
            else:
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - open to the end
    sys.stdout = _text(sys.stdout, 1, _Output)
    sys.stderr = _text(sys.stderr, 2, _Errors)


def _text(stream: TextIO | None, number: int, kind: type[io.FileIO]) -> TextIO:
    """Return a text stream over `kind` in place of a standard stream, which is `None` if it was closed."""
    encoding, line_buffering, direct = "utf-8", False, False
    if stream is not None:
        if not isinstance(stream, io.TextIOWrapper):
            return stream
        if type(_raw(stream)) is not io.FileIO:
            # The console of Windows, which has its own kind of file.
            stream.reconfigure(errors="backslashreplace")
            return stream
        encoding, line_buffering, direct = stream.encoding, stream.line_buffering, stream.write_through
    raw = kind(number, "w", closefd=False)
    # Names of files may have characters that the encoding lacks.
    return io.TextIOWrapper(
        # Python itself puts text on an unbuffered file, if it is told not to buffer.
        raw if direct else io.BufferedWriter(raw),
        encoding,
        "backslashreplace",
        line_buffering=line_buffering,
        write_through=direct,
    )


def _raw(stream: object) -> object:
    """Return the file below a text stream, or `None`."""
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


def read_standard_input() -> bytes:
    """Return all of standard input.

    Raises:
        ImageError: it is closed or cannot be read.
    """
    try:
        return sys.stdin.buffer.read()
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def write_standard_output(data: bytes | memoryview) -> None:
    """Write a file to standard output.

    Raises:
        WriteError: it cannot be written.
        BrokenPipeError: its reader has gone away.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        _give_up()
        raise _fault(error) from error
    if failure := _remembered():
        raise _fault(failure) from failure


def remember(error: Exception) -> None:
    """Remember for `finish` that a report could not be written."""
    global _failure
    _failure = _failure or error


def finish(code: int) -> int:
    """Write what is left of the reports. Return the exit code of the program, given that of the work.

    If standard output has failed, that is one line on standard error, and the exit code of an output that
    cannot be written, unless something else went wrong. If its reader has gone away, there is no line.
    """
    global _failure
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        remember(error)
        _give_up()
    failure, _failure = _failure or _remembered(), None
    if failure is None:
        return code
    if isinstance(failure, BrokenPipeError):
        return code or 1
    complain(f"vqcodec: standard output: {_fault(failure)}")
    return code or WriteError.exit_code


def report(line: str) -> None:
    """Print a line on standard output. If that fails, `finish` says so.

    Raises:
        BrokenPipeError: the reader has gone away.
    """
    try:
        print(line)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        remember(error)


def complain(line: str) -> None:
    """Print a line on standard error, if it can be written."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)


def _fault(error: BaseException) -> WriteError:
    return WriteError(f"cannot be written: {getattr(error, 'strerror', None) or error}")


def _remembered() -> OSError | None:
    """Return the error of standard output, if it has one that nobody has been told of."""
    raw = _raw(sys.stdout)
    if not isinstance(raw, _Output):
        return None
    error, raw.error = raw.error, None
    return error


def _give_up() -> None:
    """Forget standard output, which Python would try to write again at exit, and complain."""
    sys.stdout = None
