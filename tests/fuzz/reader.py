"""All that can be done with a file, done to damaged ones: nothing but `BitstreamError` may come out."""

import random
from collections import Counter
from pathlib import Path

import numpy as np

from bitstream import BitstreamError, Container, info, read, read_header, salvage
from tests.bitstream.order0 import Stage, decode_tile
from tests.fuzz.mutate import mutate

VALID = Path(__file__).parents[1] / "vectors" / "valid"
MOST_SYMBOLS = 1 << 16  # per stage and file; a codec refuses pictures by size in the same way
MOST_ALPHA = 1 << 24


def seeds() -> list[tuple[bytes, list[Stage]]]:
    """Intact files, small ones, with their stages."""
    files = [(path.read_bytes(), path.with_suffix(".npz")) for path in sorted(VALID.glob("*.vqc"))]
    return [(data, stages_in(content)) for data, content in files if len(data) < 2000]


def stages_in(path: Path) -> list[Stage]:
    """The stages of a valid file, from the content beside it."""
    with np.load(path) as content:
        order = enumerate(zip(content["scales"].tolist(), content["before"].tolist(), strict=True))
        return [Stage(scale, content[f"table_{number}"], before) for number, (scale, before) in order]


def exercise(data: bytes, stages: list[Stage]) -> str:
    """Read in every way and decode; returns the name of the last error, or "decoded" if there was none."""
    outcome = "decoded"
    for reader in (
        read_header,
        info,
        salvage,
        lambda data: read(data, allow_truncated=True),
        lambda data: read(data, verify_payload=False),
        read,
    ):
        try:
            opened = reader(data)
            if isinstance(opened, Container):
                decode_all(opened, stages)
        except BitstreamError as error:
            if str(error) != str(error).strip() or "\n" in str(error) or not str(error):
                raise AssertionError(f"not one clear line: {error!r}") from error
            outcome = type(error).__name__
    return outcome


def decode_all(container: Container, stages: list[Stage]) -> None:
    header = container.header
    if header.width * header.height <= MOST_ALPHA:
        container.alpha()
    rows, columns = header.grid
    if rows * columns > MOST_SYMBOLS or header.stages > len(stages):
        return
    for tile, complete in enumerate(container.payload.complete.tolist()):
        if complete:
            decode_tile(container, tile, stages[:complete])


def mutants(seed: int):
    """Damaged files with the stages of what they were made from, without end."""
    rng = random.Random(seed)
    files = seeds()
    while True:
        data, stages = rng.choice(files)
        yield mutate(rng, data, rng.choice(files)[0]), stages


def fuzz(runs: int, seed: int) -> Counter:
    """Exercise `runs` mutants; returns how often each outcome was seen."""
    outcomes = Counter()
    for _, (data, stages) in zip(range(runs), mutants(seed), strict=False):
        outcomes[exercise(data, stages)] += 1
    return outcomes
