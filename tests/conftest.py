"""Options and pictures that the tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

DATA = Path(__file__).parent / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes, run with --slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes minutes, run with --slow"))


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """A photograph of 160 x 107 pixels, of which no test may change anything."""
    with Image.open(DATA / "temple.jpg") as image:
        small = image.resize((160, 107), Image.Resampling.LANCZOS)
    small.info.clear()
    return small
