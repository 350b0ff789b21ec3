"""Pictures changed between encoder and generator: in their indices, and in their latents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqcodec.codec import Codec
from vqcodec.geometry import Box


def transplant(
    target: np.ndarray, donor: np.ndarray, region: Box, donor_at: tuple[int, int] | None = None
) -> np.ndarray:
    """Put a region of one picture's index planes into another's.

    Where one of them has fewer stages, nothing is added in those that it lacks, which is what index 0 says.

    Args:
        target: (s, h, w) integers.
        donor: (t, h', w') integers of the same model.
        region: where to put it, in latent positions.
        donor_at: left and top of where to take it from; the same place by default.

    Returns:
        (max(s, t), h, w), of the type of `target`.

    Raises:
        ValueError: the region is not inside both pictures.
    """
    left, top = donor_at or (region.left, region.top)
    source = Box.at(left, top, region.width, region.height)
    for box, planes in ((region, target), (source, donor)):
        height, width = planes.shape[1:]
        if not box.is_inside(Box(0, 0, width, height)):
            raise ValueError(f"{box} is not inside a picture of {height}x{width} positions")
    out = np.zeros((max(len(target), len(donor)), *target.shape[1:]), target.dtype)
    out[: len(target)] = target
    inside = region.of(out)
    inside[:] = 0
    inside[: len(donor)] = source.of(donor)
    return out


def optimise_latents(
    codec: Codec,
    start: Image.Image | np.ndarray,
    loss: Callable[[Tensor], Tensor],
    steps: int = 50,
    lr: float = 0.08,
) -> Tensor:
    """Change the latents of a picture until a loss of the rendered picture is small (as in VQGAN-CLIP, 2022).

    The loss may be anything differentiable: a colour, edges, the answer of another network such as CLIP. `Adam`
    changes the latents, the model stays as it is. The whole picture is rendered at once, with gradients: that
    takes several times the memory of `Codec.decode`.

    `Codec.transform.quantize` makes indices of the result, and `render_latents` a picture. (Where a Gumbel quantizer
    chooses by what its encoder says, there is only the picture.)

    Args:
        codec: whose generator renders.
        start: a picture, or index planes (s, h, w).
        loss: maps the rendered picture (1, 3, f h, f w), about [-1, 1], to one number.
        steps: number of changes.
        lr: largest change of a latent channel per step, about.

    Returns:
        latents (h, w, D).
    """
    planes = codec.encode(start, quality=100) if isinstance(start, Image.Image) else start
    # What was made in inference mode has no gradients; a copy made outside can have them.
    latents = latents_of(codec, planes).clone().requires_grad_()
    optimiser = torch.optim.Adam([latents], lr=lr)
    count = torch.tensor([codec.config.stages], device=codec.transform.device)
    # The generator that pictures are rendered with; models with one generator have no realism but 0.
    transform = codec.transform
    synthesise = (
        transform.networks.blended(transform.realism) if transform.realism else codec.model.synthesise
    )
    for _ in range(steps):
        optimiser.zero_grad()
        loss(synthesise(latents.permute(2, 0, 1)[None], count)).backward()
        optimiser.step()
    return latents.detach()


@torch.inference_mode()
def latents_of(codec: Codec, planes: np.ndarray) -> Tensor:
    """Latents (h, w, D) of index planes (s, h, w): the sums of their codewords."""
    indices = torch.from_numpy(planes.astype(np.int64)).to(codec.transform.device).flatten(1).T
    return codec.model.quantizer.dequantize(indices).view(*planes.shape[1:], -1)


@torch.inference_mode()
def render_latents(codec: Codec, latents: Tensor, stages: int | None = None) -> Tensor:
    """The picture (f h, f w, 3), about [-1, 1], of latents (h, w, D) as made from so many stages (all)."""
    step = codec.config.downsampling
    rows, columns = latents.shape[:2]
    out = torch.empty(step * rows, step * columns, 3)
    for top, left, part in codec.transform.networks.synthesise(
        lambda box: latents[box.slices],
        rows,
        columns,
        stages or codec.config.stages,
        codec.transform.realism,
    ):
        out[top : top + part.shape[0], left : left + part.shape[1]] = part.float() / 127.5
    return out
