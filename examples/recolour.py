"""Give a picture the colours of another and leave its edges where they are.

    python examples/recolour.py PICTURE.jpg COLOURS.jpg OUT.vqc

The latents are changed until the rendered picture satisfies two losses, one on its colours and one on its edges.
Any other differentiable loss can take their place, such as how far CLIP finds the picture from a text.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqcodec import Codec
from vqcodec.edit import optimise_latents
from vqcodec.planes import Planes
from vqcodec.rate import place_of, setting_at


def pixels_of(image: Image.Image) -> Tensor:
    """(1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 127.5 - 1


def colours(picture: Tensor) -> Tensor:
    """Mean and standard deviation of each channel."""
    return torch.cat([picture.mean((2, 3)), picture.std((2, 3))], 1)


def edges(picture: Tensor) -> Tensor:
    """Differences of brightness between neighbours, in units of their mean."""
    grey = picture.mean(1)
    across, down = grey.diff(dim=2)[:, 1:], grey.diff(dim=1)[:, :, 1:]
    strength = (across.square() + down.square() + 1e-4).sqrt()
    return strength / strength.mean()


def recolour(
    codec: Codec, image: Image.Image, example: Image.Image, steps: int = 100
) -> tuple[dict[int, np.ndarray], Planes]:
    """Latents of the picture in the colours of the example, and the planes that hold its base."""
    wanted_edges = edges(pixels_of(image))
    wanted_colours = colours(pixels_of(example))

    def loss(rendered: Tensor) -> Tensor:
        # The grid of latents may reach beyond the picture.
        rendered = rendered[:, :, : image.height, : image.width]
        off_colour = (colours(rendered) - wanted_colours).square().sum()
        off_edge = (edges(rendered) - wanted_edges).abs().mean()
        return off_colour + 0.1 * off_edge

    return optimise_latents(codec, image, loss, steps)


def main(picture: str, example: str, out: str) -> None:
    codec = Codec.load()
    image = Image.open(picture)
    latents, planes = recolour(codec, image, Image.open(example))
    planes = codec.transform.quantize(latents, planes, setting_at(codec.config, place_of(80)).lmbda)
    Path(out).write_bytes(codec.pack(planes, image.size))


if __name__ == "__main__":
    main(*sys.argv[1:])
