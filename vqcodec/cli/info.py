"""The command `info`: describe `.vqc` files, and the labels of pictures that were decoded from them."""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bitstream
from vqcodec.cli.console import CORRUPT
from vqcodec.errors import ImageError
from vqcodec.image.xmp import DIGITAL_SOURCE_TYPE

_CHUNKS = {"i": "ICC profile", "e": "EXIF", "x": "XMP", "A": "alpha", "P": "payload"}


def describe_files(names: Sequence[str], as_json: bool) -> int:
    """Print a description of each file; return the exit code.

    Args:
        names: paths, or "-" for standard input.
        as_json: print one JSON object per file instead of text.
    """
    codes = set()
    for name in names:
        try:
            data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
            found = description(data)
        except ImageError as error:
            codes.add(error.exit_code)
            print(f"vqcodec: {name}: {error}", file=sys.stderr)
        except bitstream.BitstreamError as error:
            codes.add(CORRUPT)
            print(f"vqcodec: {name}: {error}", file=sys.stderr)
        except OSError as error:
            codes.add(ImageError.exit_code)
            print(f"vqcodec: {name}: {error.strerror or error}", file=sys.stderr)
        else:
            print(json.dumps({"file": name} | found) if as_json else in_words(name, found))
    return max(codes) if len(codes) == 1 else bool(codes)


def description(data: bytes) -> dict[str, Any]:
    """Describe a file in plain values for JSON.

    Args:
        data: a `.vqc` file, or a picture with a label.

    Returns:
        for a `.vqc` file the result of `bitstream.info` and `digital_source_type`, the source type that a
        decoded picture is labelled with; for a picture `format`, `width`, `height`, `mode`, `bytes` and
        `label`.

    Raises:
        bitstream.BitstreamError: it is neither a valid `.vqc` file nor a picture.
        ImageError: it is a picture without a label.
    """
    try:
        return bitstream.info(data) | {"digital_source_type": DIGITAL_SOURCE_TYPE}
    except bitstream.BadMagic as error:
        found = _picture(data)
        if found is None:
            raise
        if found["label"] is None:
            raise ImageError("not a .vqc file, but a picture without a label of this codec") from error
        return found


def _picture(data: bytes) -> dict[str, Any] | None:
    """Describe a picture and its label. Return `None` if it is no picture."""
    # Only here, because Pillow takes a moment to import.
    from PIL import Image

    from vqcodec.image.label import label_of

    try:
        with warnings.catch_warnings():
            # Only the header and metadata are read.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
        with image:
            label = label_of(image)
    except Exception:
        # Pillow's readers raise all kinds of errors on a damaged file.
        return None
    return {
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "bytes": len(data),
        "label": label
        and {
            "version": label.version,
            "model_id": label.model,
            "realism": label.realism,
            "bpp": label.bpp,
            "digital_source_type": label.source_type,
        },
    }


def in_words(name: str, found: dict[str, Any]) -> str:
    """Describe a file in a few lines, given its name and the result of `description`."""
    if "label" in found:
        return _label_in_words(name, found)
    chunks = ", ".join(
        f"{_CHUNKS.get(chunk['tag'], 'chunk ' + chunk['tag'])} {chunk['bytes']:,}"
        for chunk in found["chunks"]
    )
    tiles = f"{found['tiles']} tile{'s' * (found['tiles'] > 1)} of {found['tile_size']}x{found['tile_size']}"
    lines = [
        f"{name}: {found['width']}x{found['height']} {found['mode']}, {found['bytes']:,} bytes, {found['bpp']:.3f} bpp",
        f"  model {found['model_id']}, {found['stages']} stages of {found['codebook_size']} codewords, {tiles}",
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


def _label_in_words(name: str, found: dict[str, Any]) -> str:
    label = found["label"]
    said = [f"vqcodec {label['version']}"]
    if label["model_id"] is not None:
        said.append(f"model {label['model_id']}")
    if label["realism"] is not None:
        said.append(f"realism {label['realism']:g}")
    if label["bpp"] is not None:
        said.append(f"from {label['bpp']:.3f} bpp")
    return "\n".join(
        [
            f"{name}: {found['width']}x{found['height']} {found['mode']} {found['format']}, {found['bytes']:,} bytes",
            f"  decoded by {', '.join(said)}",
            f"  labelled {label['digital_source_type'].rpartition('/')[2]}",
        ]
    )
