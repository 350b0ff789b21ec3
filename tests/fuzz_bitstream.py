"""Fuzz the reader of `.vqc` files for long.

    python tests/fuzz_bitstream.py --runs 200000
    python tests/fuzz_bitstream.py --atheris -- -max_total_time=3600     (needs `pip install atheris`)

Nothing may come out but `BitstreamError` or a result, and no file may take 2 s or 1 GB. The first file that
breaks this is written to `fuzz_failure.vqc`, and the exit code is 1.
"""

import argparse
import resource
import sys
import time
from collections import Counter
from pathlib import Path

# Not the folder of this file, whose `bitstream` folder is not the package.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from bitstream.chunks import pack_chunk  # noqa: E402
from tests.bitstream.fuzzing import exercise, mutants, seeds  # noqa: E402

MEMORY = 1 << 30
SECONDS = 2.0


def used_memory() -> int:
    """Address space in use, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def run(runs: int, seed: int) -> int:
    limit = used_memory() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    outcomes: Counter = Counter()
    slowest, start = 0.0, time.perf_counter()
    for number, (data, tables) in zip(range(1, runs + 1), mutants(seed), strict=False):
        began = time.perf_counter()
        try:
            outcomes[exercise(data, tables)] += 1
            took = time.perf_counter() - began
            if took > SECONDS:
                raise TimeoutError(f"{took:.1f} s for one file")
        except BaseException:
            Path("fuzz_failure.vqc").write_bytes(data)
            print(f"file {number} of seed {seed} is now fuzz_failure.vqc", file=sys.stderr)
            raise
        slowest = max(slowest, took)
        if number % 10000 == 0 or number == runs:
            rate = number / (time.perf_counter() - start)
            print(f"{number} files, {rate:.0f} per second, slowest {slowest * 1e3:.0f} ms", dict(outcomes))
    return 0


def run_atheris(arguments: list[str]) -> None:
    import atheris

    files = seeds()

    def one_input(data: bytes) -> None:
        """The first byte chooses a file and what to put into it, under a checksum that fits."""
        if not data:
            return
        kind, number = divmod(data[0], 32)
        original, tables = files[number % len(files)]
        head = original[:20]
        if kind == 0:
            exercise(data[1:], tables)
        elif kind == 1:
            exercise(data[1:21] + pack_chunk(data[1:21], b"P", data[21:]), tables)
        elif kind < 5:
            exercise(head + pack_chunk(head, b"P", data[1:]), tables)
        else:
            tag = (b"A", b"i", b"e")[kind - 5]
            exercise(head + pack_chunk(head, tag, data[1:]) + original[20:], tables)

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *arguments], one_input)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true", help="coverage-guided; arguments after -- go to it")
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    if options.atheris:
        run_atheris(options.arguments)
    return run(options.runs, options.seed)


if __name__ == "__main__":
    sys.exit(main())
