"""What `info` tells of `.vqc` files and of pictures with a label."""

from __future__ import annotations

import io
import warnings
from typing import Any

import bitstream
from vqcodec.errors import ImageError
from vqcodec.image.xmp import DIGITAL_SOURCE_TYPE


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


def label_in_words(name: str, found: dict[str, Any]) -> str:
    """Describe a picture and its label in a few lines, given its name and the result of `description`."""
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
