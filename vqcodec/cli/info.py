"""The command `info`: describe `.vqc` files, and the labels of pictures that were decoded from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bitstream
from bitstream.chunks import NAMES
from vqcodec.cli.console import CORRUPT
from vqcodec.cli.labels import description, label_in_words
from vqcodec.cli.streams import complain, read_standard_input, report
from vqcodec.errors import ImageError


def describe_files(names: Sequence[str], as_json: bool) -> int:
    """Print a description of each file; return the exit code.

    Args:
        names: paths, or "-" for standard input.
        as_json: print one JSON object per file instead of text.
    """
    codes = set()
    for name in names:
        try:
            data = read_standard_input() if name == "-" else Path(name).read_bytes()
            found = description(data)
        except bitstream.BitstreamError as error:
            codes.add(CORRUPT)
            complain(f"vqcodec: {name}: {error}")
        except ImageError as error:
            codes.add(error.exit_code)
            complain(f"vqcodec: {name}: {error}")
        except OSError as error:
            codes.add(ImageError.exit_code)
            complain(f"vqcodec: {name}: {error.strerror or error}")
        else:
            report(json.dumps({"file": name} | found) if as_json else in_words(name, found))
    return max(codes) if len(codes) == 1 else bool(codes)


def in_words(name: str, found: dict[str, Any]) -> str:
    """Describe a file in a few lines, given its name and the result of `description`."""
    if "label" in found:
        return label_in_words(name, found)
    chunks = ", ".join(
        f"{NAMES.get(chunk['tag'].encode(), 'chunk ' + chunk['tag'])} {chunk['bytes']:,}"
        for chunk in found["chunks"]
    )
    tiles = f"{found['tiles']} tile{'s' * (found['tiles'] > 1)} of {found['tile_size']}x{found['tile_size']}"
    lines = [
        f"{name}: {found['width']}x{found['height']} {found['mode']}, {found['bytes']:,} bytes, {found['bpp']:.3f} bpp",
        f"  model {found['model_id']}, rate {found['rate']}, {found['stages']} stages, {tiles}",
        f"  bytes: {chunks}",
    ]
    source_type = found["digital_source_type"].rpartition("/")[2]
    lines.append(f"  decoded pictures are labelled {source_type}")
    if found["truncated"]:
        lines.append(
            f"  truncated: {found['missing_bytes']:,} bytes are missing, "
            f"{found['complete_stages']} of {found['stages']} stages are complete"
        )
    return "\n".join(lines)
