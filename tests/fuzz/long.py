"""Fuzz the reader of `.vqc` files for long.

    python tests/fuzz/long.py --runs 200000
    python tests/fuzz/long.py --runs 20000 --codec          (through the model, to pictures)
    python tests/fuzz/long.py --runs 200000 --atheris       (guided by coverage; needs `pip install .[fuzz]`)

Nothing may come out but `BitstreamError` or a result, and no file may take 2 s or 1 GB. The first file that
breaks this is written to `fuzz_failure.vqc` (by atheris to `crash-...`), and the exit code is not 0. Atheris keeps
what it found in `fuzz_corpus`, for the next time.
"""

import argparse
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

# Not the folder of this file, whose `bitstream` folder is not the package.
sys.path[0] = str(Path(__file__).resolve().parents[2])

MEMORY = 1 << 30
SECONDS = 2.0


def limit_memory(more: int = 0) -> None:
    """Let this process take no more than 1 GB, and `more`, beyond what it has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + MEMORY + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def run(runs: int, seed: int, files: Iterator[tuple], exercise: Callable[..., str]) -> int:
    """Exercise damaged files one after the other; each is a tuple of arguments, the bytes first."""
    limit_memory()
    outcomes: Counter = Counter()
    slowest, start = 0.0, time.perf_counter()
    for number, file in zip(range(1, runs + 1), files, strict=False):
        began = time.process_time()
        try:
            outcomes[exercise(*file)] += 1
            # Of this process alone: how busy the machine is says nothing about the file.
            took = time.process_time() - began
            if took > SECONDS:
                raise TimeoutError(f"{took:.1f} s for one file")
        except BaseException:
            Path("fuzz_failure.vqc").write_bytes(file[0])
            print(f"file {number} of seed {seed} is now fuzz_failure.vqc", file=sys.stderr)
            raise
        slowest = max(slowest, took)
        if number % 10000 == 0 or number == runs:
            rate = number / (time.perf_counter() - start)
            print(f"{number} files, {rate:.0f} per second, slowest {slowest * 1e3:.0f} ms", dict(outcomes))
    return 0


def run_codec(runs: int, seed: int) -> int:
    from tests.fuzz import codec as fuzzing
    from vqcodec.codec import default_codec

    codec = default_codec()
    files = fuzzing.mutants(codec, seed)
    return run(runs, seed, files, lambda data, choice: fuzzing.exercise(codec, data, choice))


def run_atheris(runs: int, seed: int) -> None:
    """Mutations that know the parts of a file, chosen by the code that they reach."""
    import atheris

    with atheris.instrument_imports(include=["bitstream"]):
        from bitstream import header, read  # noqa: F401
    from tests.fuzz.mutate import mutate
    from tests.fuzz.reader import exercise, seeds

    files = seeds()

    def one_input(data: bytes) -> None:
        """The first byte says which file it was made from."""
        if data:
            exercise(data[1:], files[data[0] % len(files)][1])

    def mutated(data: bytes, most: int, number: int) -> bytes:
        rng = random.Random(number)
        try:
            return (data[:1] + mutate(rng, data[1:], rng.choice(files)[0]))[:most]
        except IndexError:
            # Its chunks are past telling apart.
            return atheris.Mutate(data, most)

    corpus = Path("fuzz_corpus")
    corpus.mkdir(exist_ok=True)
    for number, (data, _) in enumerate(files):
        (corpus / str(number)).write_bytes(bytes([number]) + data)
    options = [f"-runs={runs}", f"-seed={seed + 1}", "-timeout=2", "-max_len=4096", "-len_control=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input, custom_mutator=mutated)
    # Atheris itself keeps some 4 KB of every run.
    limit_memory(runs << 13)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--codec", action="store_true", help="decompress to pictures with the released model")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage")
    options = parser.parse_args()
    if options.atheris:
        run_atheris(options.runs, options.seed)
    if options.codec:
        return run_codec(options.runs, options.seed)
    from tests.fuzz.reader import exercise, mutants

    return run(options.runs, options.seed, mutants(options.seed), exercise)


if __name__ == "__main__":
    sys.exit(main())
