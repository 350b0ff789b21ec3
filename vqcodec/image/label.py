"""Labels: decoded pictures say that a generative codec made them, by which model, and from how many bits.

A label is in the XMP, and its first word in the EXIF. It holds no time and no name, so equal files decode to equal
files.
"""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

import bitstream
from vqcodec import __version__
from vqcodec.errors import LossWarning, caller
from vqcodec.image import metadata as meta
from vqcodec.image.software import SOFTWARE, with_software
from vqcodec.image.xmp import DIGITAL_SOURCE_TYPE, SOURCE_TYPE, label_in, with_label

if TYPE_CHECKING:
    from typing_extensions import Buffer

_PROGRAM = "vqcodec "


@dataclass(frozen=True)
class Label:
    """What a decoded picture says of itself; `None` where that is not known.

    Attributes:
        model: model id, 8 hexadecimal digits.
        realism: share of the second generator, 0..1.
        bpp: bits per pixel of the `.vqc` file.
        version: version of this package.
        source_type: URI of the IPTC digital source type.
    """

    model: str | None = None
    realism: float | None = None
    bpp: float | None = None
    version: str = __version__
    source_type: str = DIGITAL_SOURCE_TYPE

    @classmethod
    def of(cls, data: Buffer, realism: float | None = None) -> Label:
        """Return the label of the picture that a `.vqc` file decodes to.

        Args:
            data: contents of the file.
            realism: value that it is decoded with. The default of a codec is `codec.transform.realism`.

        Raises:
            bitstream.BitstreamError: the header is damaged.
        """
        header = bitstream.read_header(data)
        bpp = 8 * memoryview(data).nbytes / (header.width * header.height)
        return cls(header.model_id.hex(), realism, bpp)

    @property
    def software(self) -> str:
        """Name and version of this program."""
        return _PROGRAM + self.version

    @property
    def properties(self) -> dict[str, str]:
        """Version, Model, Realism and Bpp as text, as far as they are known."""
        found = {
            "Version": self.version,
            "Model": self.model,
            "Realism": None if self.realism is None else f"{self.realism:.4g}",
            "Bpp": None if self.bpp is None else f"{self.bpp:.4g}",
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def comment(self) -> str:
        """The label as one line of text, for formats that hold nothing else."""
        said = self.properties | {SOURCE_TYPE: self.source_type}
        del said["Version"]
        return "; ".join([self.software, *(f"{name}={value}" for name, value in said.items())])


def labelled(image: Image.Image, label: Label) -> Image.Image:
    """Return a copy of an image with a label in its `Image.info`, from where Pillow's writers can be given it.

        image = labelled(codec.decompress(data), Label.of(data))
        image.save("photo.jpg", exif=image.info["exif"], xmp=image.info["xmp"])

    `vqcodec.image.save.write_image` does both in one step.
    """
    out = image.copy()
    out.info.update(with_labels(image.info, label))
    return out


def with_labels(info: Mapping[Any, Any], label: Label) -> dict[str, bytes]:
    """Return the entries "xmp" and "exif" of an `Image.info` with a label.

    The XMP keeps all that it has, and an older label is replaced. The EXIF names this program as `Software`
    if it names none. XMP that cannot be read stays as it is, with a `LossWarning`.
    """
    xmp = meta.as_xmp(info.get("xmp"))
    new = with_label(xmp, label.properties)
    if new is None:
        text = "the XMP cannot be read and stays without a label"
        warnings.warn(text, LossWarning, stacklevel=caller())
    exif = with_software(meta.as_exif(info.get("exif")), label.software)
    return meta.to_info(bitstream.Metadata(exif=exif, xmp=xmp if new is None else new))


def label_of(image: Image.Image) -> Label | None:
    """Return the label of a picture that has been opened with Pillow, or `None` if it has none.

    Where only the name of the program is left, in EXIF or PNG text, the label has only a version.
    """
    xmp = meta.as_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
    found = label_in(xmp) if xmp else {}
    if found:
        return _from_properties(found)
    for text in _programs(image):
        if text.startswith(_PROGRAM):
            program, *rest = text.split("; ")
            said = dict(part.split("=", 1) for part in rest if "=" in part)
            return _from_properties(said | {"Version": program.removeprefix(_PROGRAM)})
    return None


def _from_properties(found: Mapping[str, str]) -> Label:
    return Label(
        found.get("Model"),
        _number(found.get("Realism")),
        _number(found.get("Bpp")),
        found.get("Version", "unknown"),
        found.get(SOURCE_TYPE) or DIGITAL_SOURCE_TYPE,
    )


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _programs(image: Image.Image) -> list[str]:
    """Return where a picture may name the program that wrote it."""
    found = [image.info.get("comment"), image.info.get("Software")]
    # Pillow raises all of these on damaged EXIF.
    with contextlib.suppress(OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error):
        found.append(image.getexif().get(SOFTWARE))
    return [text.decode("latin-1") if isinstance(text, bytes) else str(text) for text in found if text]
