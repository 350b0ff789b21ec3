"""Picture editing between encoder and generator: on planes and on latents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqcodec.codec import Codec
from vqcodec.entropy.base import clipped
from vqcodec.geometry import Box
from vqcodec.model import VQGAN
from vqcodec.planes import Planes
from vqcodec.runtime.pixels import base_tensor
from vqcodec.runtime.strips import Strips


def transplant(target: Planes, donor: Planes, region: Box, donor_at: tuple[int, int] | None = None) -> Planes:
    """Copy a region of planes from one picture into another.

    If one picture has fewer layers, its missing ones count as index 0, "nothing to add". Steps of the base stay those
    of the target, since a tile of a file has one: the base of the donor is rounded to them, and clipped to the colours
    of pictures.

    Args:
        target: of a picture.
        donor: of another one, of the same model.
        region: where to put the copy, in positions of the grid.
        donor_at: left and top of the source region; by default those of `region`.

    Raises:
        ValueError: the region does not lie inside both pictures.
    """
    left, top = donor_at or (region.left, region.top)
    source = Box.at(left, top, region.width, region.height)
    for box, planes in ((region, target), (source, donor)):
        rows, columns = planes.grid
        if not box.is_inside(Box(0, 0, columns, rows)):
            raise ValueError(f"{box} is not inside a picture of {rows}x{columns} positions")
    out = target.copy()
    rows, columns = target.grid
    for number in range(len(target.layers), len(donor.layers)):
        scale = donor.scale(number)
        out.layers.append(np.zeros((scale * rows, scale * columns), donor.layers[number].dtype))
    part = donor.part(source)
    for number, plane in enumerate(out.layers):
        inside = region.scaled(out.scale(number)).of(plane)
        inside[:] = part.layers[number] if number < len(part.layers) else 0
    if out.base is not None and out.steps is not None and part.base is not None and part.steps is not None:
        steps = region.of(out.steps)
        levels = part.base.astype(np.float64) * part.steps
        # White in a coarse step may be above 255.
        region.of(out.base)[:] = clipped(np.rint(levels / steps), steps)
    return out


def optimise_latents(
    codec: Codec,
    start: Image.Image | Planes,
    loss: Callable[[Tensor], Tensor],
    steps: int = 50,
    lr: float = 0.08,
) -> tuple[dict[int, Tensor], Planes]:
    """Optimise the latents of a picture for a loss on the rendered picture (as in VQGAN-CLIP, 2022).

    The loss can be anything differentiable: a colour, edges, or the output of another network such as CLIP.
    `Adam` updates the latents; the model and the base stay fixed. The whole picture is rendered at once, with
    gradients, which takes several times the memory of `Codec.decode`.

    To turn the result into planes, use `Codec.transform.quantize`; to turn it into a picture, use
    `Codec.transform.render_latents`. A Gumbel quantizer chooses from what its encoder outputs, so for such a model only
    the picture is meaningful.

    Args:
        codec: its generator renders the picture.
        start: a picture, or planes.
        loss: maps the rendered picture (1, 3, f h, f w), about [-1, 1], to a scalar.
        steps: number of updates.
        lr: learning rate: roughly the largest change of a latent channel per step.

    Returns:
        latents by downsampling, (h, w, D), and the planes whose base and rate belong to them.
    """
    planes = codec.encode(start, quality=100) if isinstance(start, Image.Image) else start
    # Tensors made in inference mode cannot have gradients; clones made outside it can.
    latents = {
        grid: latent.clone().requires_grad_() for grid, latent in codec.transform.dequantize(planes).items()
    }
    optimiser = torch.optim.Adam(list(latents.values()), lr=lr)
    render = _renderer(codec, planes)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(render({grid: latent.permute(2, 0, 1)[None] for grid, latent in latents.items()})).backward()
        optimiser.step()
    return {grid: latent.detach() for grid, latent in latents.items()}, planes


def _renderer(codec: Codec, planes: Planes) -> Callable[[dict[int, Tensor]], Tensor]:
    """What renders latents by downsampling, (1, D, h, w), over the base of planes, with gradients."""
    model, transform = codec.model, codec.transform
    if not isinstance(model, VQGAN):
        (step,) = transform.dequantize(planes)
        return lambda latents: model.synthesise(latents[step])
    assert isinstance(transform.networks, Strips)  # this family runs in strips
    assert planes.base is not None  # and has a base
    assert planes.steps is not None
    generator = transform.networks.blended(transform.realism)
    base = base_tensor(planes.base, planes.steps, transform.device)
    rate = torch.full((1,), planes.point, device=transform.device)
    return lambda latents: model.over_base(generator(latents, base.features, rate), base)
