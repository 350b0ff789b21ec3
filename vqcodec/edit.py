"""Picture editing between encoder and generator: on index planes and on latents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqcodec.codec import Codec
from vqcodec.geometry import Box
from vqcodec.runtime.strips import Strips


def transplant(
    target: np.ndarray, donor: np.ndarray, region: Box, donor_at: tuple[int, int] | None = None
) -> np.ndarray:
    """Copy a region of index planes from one picture into another.

    If one picture has fewer stages, its missing stages count as index 0, "nothing to add".

    Args:
        target: (s, h, w) integers.
        donor: (t, h', w') integers of the same model.
        region: where to put the copy, in latent positions.
        donor_at: left and top of the source region; by default those of `region`.

    Returns:
        (max(s, t), h, w), with the dtype of `target`.

    Raises:
        ValueError: the region does not lie inside both pictures.
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
    """Optimise the latents of a picture for a loss on the rendered picture (as in VQGAN-CLIP, 2022).

    The loss can be anything differentiable: a colour, edges, or the output of another network such as CLIP.
    `Adam` updates the latents; the model stays fixed. The whole picture is rendered at once, with gradients,
    which takes several times the memory of `Codec.decode`.

    To turn the result into indices, use `Codec.transform.quantize`; to turn it into a picture, use
    `render_latents`. A Gumbel quantizer chooses from what its encoder outputs, so for such a model only the
    picture is meaningful.

    Args:
        codec: its generator renders the picture.
        start: a picture, or index planes (s, h, w).
        loss: maps the rendered picture (1, 3, f h, f w), about [-1, 1], to a scalar.
        steps: number of updates.
        lr: learning rate: roughly the largest change of a latent channel per step.

    Returns:
        latents (h, w, D).
    """
    planes = codec.encode(start, quality=100) if isinstance(start, Image.Image) else start
    # Tensors made in inference mode cannot have gradients; a clone made outside it can.
    latents = latents_of(codec, planes).clone().requires_grad_()
    optimiser = torch.optim.Adam([latents], lr=lr)
    count = torch.tensor([codec.config.stages], device=codec.transform.device)
    # Use the generator that decoding uses. A model with one generator has realism 0 only.
    transform = codec.transform
    synthesise: Callable[[Tensor, Tensor], Tensor] = codec.model.synthesise
    if transform.realism and isinstance(transform.networks, Strips):
        synthesise = transform.networks.blended(transform.realism)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(synthesise(latents.permute(2, 0, 1)[None], count)).backward()
        optimiser.step()
    return latents.detach()


@torch.inference_mode()
def latents_of(codec: Codec, planes: np.ndarray) -> Tensor:
    """Return the latents (h, w, D) of index planes (s, h, w): the sums of their codewords."""
    indices = torch.from_numpy(planes.astype(np.int64)).to(codec.transform.device).flatten(1).T
    return codec.model.quantizer.dequantize(indices).view(*planes.shape[1:], -1)


@torch.inference_mode()
def render_latents(codec: Codec, latents: Tensor, stages: int | None = None) -> Tensor:
    """Render latents (h, w, D) to a picture (f h, f w, 3), about [-1, 1].

    Args:
        codec: its generator renders the picture.
        latents: (h, w, D).
        stages: number of stages that the latents were made from; all by default.
    """
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
