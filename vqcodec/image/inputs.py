"""What the codec takes as an image: files, bytes, Pillow images, arrays and tensors, all made into a `Picture`."""

from __future__ import annotations

import io
import os
import sys
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, Union

import numpy as np
from PIL import Image

from bitstream import Metadata
from vqcodec.errors import ImageError, LossWarning, caller
from vqcodec.image.picture import Picture, from_pil, reader_faults

if TYPE_CHECKING:
    import torch

# An image in any of the forms that `as_picture` takes.
ImageLike: TypeAlias = Union[
    str,
    "os.PathLike[str]",
    BinaryIO,
    bytes,
    bytearray,
    memoryview,
    Image.Image,
    Picture,
    "np.ndarray[Any, Any]",
    "torch.Tensor",
]

_KINDS = (
    "a path, an open file, the bytes of a picture file, a Pillow image, a Picture, an array (height, width, "
    "channels) or a tensor (channels, height, width)"
)
_DTYPES = "use uint8, uint16, bool, or floats from 0 to 1"
# How far floats may lie outside 0..1, which is how far float32 rounds.
_ROUNDING = 1e-6
# Pixels converted at a time, so that a large array is never in memory twice as float64.
_STRIP = 1 << 20


def as_picture(image: ImageLike, metadata: Metadata | None = None) -> Picture:
    """Convert an image in any form to the form that the codec takes.

    Warns with `LossWarning` about anything that is not kept.

    Args:
        image: one of

            - a path, an open binary file (read from its beginning), or the bytes of a picture file, in any
              format that Pillow reads;
            - a Pillow image of any mode;
            - a `Picture`, taken as it is;
            - an array (height, width) or (height, width, channels), or a tensor (height, width), (channels,
              height, width) or (1, channels, height, width). 1 channel is grey, 2 are grey and alpha, 3 are
              RGB, 4 are RGBA. Values are uint8 from 0 to 255, uint16 from 0 to 65535, bool, or floats from 0
              to 1. Other integers mean the same as uint8. Arrays and tensors have no metadata.
        metadata: replaces the metadata of the image. If it has EXIF, its orientation is used, not that of the
            image, except for a `Picture`, which is upright already.

    Raises:
        vqcodec.errors.ImageError: the image cannot be read, or is none of these; the message names a path.
        ValueError: the metadata is no `Metadata`.
    """
    if metadata is not None and not isinstance(metadata, Metadata):
        raise ValueError(f"metadata is {type(metadata).__name__}: use bitstream.Metadata")
    if isinstance(image, Picture):
        return _checked(image if metadata is None else replace(image, metadata=metadata))
    if isinstance(image, Image.Image):
        return _of_image(image, metadata)
    if isinstance(image, (str, os.PathLike)):
        try:
            return _of_file(image, metadata)
        except ImageError as error:
            raise ImageError(f"{os.fspath(image)}: {error}") from error
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _of_file(io.BytesIO(image.tobytes() if isinstance(image, memoryview) else image), metadata)
    # Without torch loaded, nothing can be a tensor.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(image, torch.Tensor):
        return _of_image(_of_array(_values_of(image)), metadata)
    if hasattr(image, "__array__"):
        return _of_image(_of_array(np.asanyarray(image)), metadata)
    if isinstance(image, io.TextIOBase):
        raise ImageError("the file is open as text: open it with mode 'rb'")
    if hasattr(image, "read"):
        return _of_file(image, metadata)
    raise ImageError(f"{type(image).__name__} is no image: pass {_KINDS}")


def _of_file(file: str | os.PathLike | BinaryIO, metadata: Metadata | None) -> Picture:
    with reader_faults(), Image.open(file) as image:
        return _of_image(image, metadata)


def _of_image(image: Image.Image, metadata: Metadata | None) -> Picture:
    if not (image.width and image.height):
        raise ImageError(f"{image.width}x{image.height} pixels: an image has at least 1x1")
    with reader_faults():
        # Pillow converts the modes with multiplied alpha to few others.
        plain = {"La": "LA", "RGBa": "RGBA"}.get(image.mode)
        return from_pil(image.convert(plain) if plain else image, metadata)


def _checked(picture: Picture) -> Picture:
    pixels, alpha = picture.pixels, picture.alpha
    shape: tuple[int, ...] = getattr(pixels, "shape", ())
    dtype = getattr(pixels, "dtype", type(pixels).__name__)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise ImageError(f"Picture.pixels are {dtype} of shape {shape}: use uint8 (height, width, 3)")
    if alpha is not None and (alpha.shape != shape[:2] or alpha.dtype != np.uint8):
        raise ImageError(f"Picture.alpha is {alpha.dtype} of shape {alpha.shape}: use uint8 {shape[:2]}")
    return picture


def _values_of(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor as an array with the channels last."""
    shape: tuple[int, ...] = tuple(tensor.shape)
    if tensor.ndim == 4 and shape[0] == 1:
        tensor = tensor[0]
    elif tensor.ndim == 4:
        raise ImageError(f"a batch of {shape[0]} images: pass one at a time, or use compress_many")
    if tensor.ndim == 3:
        if not 1 <= tensor.shape[0] <= 4:
            last = 1 <= tensor.shape[2] <= 4
            hint = "; move the channels to the front with permute(2, 0, 1)" if last else ""
            raise ImageError(f"a tensor of shape {shape} is not (1 to 4 channels, height, width){hint}")
        tensor = tensor.permute(1, 2, 0)
    elif tensor.ndim != 2:
        raise ImageError(f"a tensor of shape {shape} is not (channels, height, width)")
    try:
        tensor = tensor.detach().cpu()
        # NumPy has no bfloat16.
        numpy_has = tensor.element_size() >= 4 or str(tensor.dtype) == "torch.float16"
        return (tensor if numpy_has or not tensor.is_floating_point() else tensor.float()).numpy()
    except (RuntimeError, TypeError) as error:
        raise ImageError(f"the tensor has no values to read: {str(error).splitlines()[0]}") from error


def _of_array(array: np.ndarray) -> Image.Image:
    """Return an array as a Pillow image of mode L, LA, RGB or RGBA."""
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and not 1 <= shape[2] <= 4):
        hint = ""
        if array.ndim == 3 and 1 <= shape[0] <= 4:
            hint = "; move the channels to the end with numpy.moveaxis(array, 0, -1)"
        elif array.ndim == 1 and array.dtype == np.uint8:
            hint = "; pass the bytes of a picture file as array.tobytes()"
        elif array.ndim == 4 and shape[0] == 1:
            hint = "; pass array[0]"
        raise ImageError(f"an array of shape {shape} is not (height, width) or (height, width, 1 to 4){hint}")
    if 0 in shape:
        raise ImageError(f"{shape[1]}x{shape[0]} pixels: an image has at least 1x1")
    if np.ma.is_masked(array):
        raise ImageError("the array has masked pixels: give them values with filled()")
    values = _eight_bits(np.asarray(array))
    return Image.fromarray(values[:, :, 0] if values.shape[2:] == (1,) else values)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Return values as uint8 of the same shape, by the rules of `as_picture`."""
    dtype = values.dtype
    if dtype == np.uint8:
        return values
    if dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if dtype.kind not in "uif":
        raise ImageError(f"values of dtype {dtype}: {_DTYPES}")
    if dtype == np.uint16:
        warnings.warn("16 bits per channel are reduced to 8", LossWarning, stacklevel=caller())
        return _scaled(values, 255 / 65535)
    low, high = values.min(), values.max()
    if dtype.kind == "f":
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ImageError("the values include NaN or infinity: floats must be from 0 to 1")
        if low < -_ROUNDING or high > 1 + _ROUNDING:
            raise ImageError(f"floats from {low:.8g} to {high:.8g}: they must be from 0 to 1, or use uint8")
        return _scaled(values, 255)
    if low < 0 or high > 255:
        raise ImageError(f"values of dtype {dtype} from {low} to {high}: {_DTYPES}")
    return values.astype(np.uint8)


def _scaled(values: np.ndarray, factor: float) -> np.ndarray:
    out = np.empty(values.shape, np.uint8)
    rows = max(1, _STRIP // values.shape[1])
    for top in range(0, len(values), rows):
        strip = np.rint(values[top : top + rows].astype(np.float64) * factor)
        out[top : top + rows] = np.clip(strip, 0, 255)
    return out
