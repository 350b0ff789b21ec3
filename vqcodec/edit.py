"""Picture editing between encoder and generator: on planes and on latents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqcodec.codec import Codec
from vqcodec.entropy.base import clipped
from vqcodec.errors import RequestError
from vqcodec.geometry import Box
from vqcodec.planes import Planes
from vqcodec.runtime.choice import BySize
from vqcodec.runtime.strips import Strips, base_tensor
from vqcodec.runtime.windows import Windows


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
) -> tuple[dict[int, np.ndarray], Planes]:
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
    device = _in_torch(codec).model.latent_rms.device
    latents = {
        grid: torch.from_numpy(latent).to(device).requires_grad_()
        for grid, latent in codec.transform.dequantize(planes).items()
    }
    optimiser = torch.optim.Adam(list(latents.values()), lr=lr)
    render = _renderer(codec, planes)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(render({grid: latent.permute(2, 0, 1)[None] for grid, latent in latents.items()})).backward()
        optimiser.step()
    return {grid: latent.detach().cpu().numpy() for grid, latent in latents.items()}, planes


def _renderer(codec: Codec, planes: Planes) -> Callable[[dict[int, Tensor]], Tensor]:
    """What renders latents by downsampling, (1, D, h, w), over the base of planes, with gradients."""
    networks, step = _in_torch(codec), codec.config.downsampling
    if isinstance(networks, Windows):
        return lambda latents: networks.model.synthesise(latents[step])
    model, generator = networks.model, networks.blended(codec.transform.realism)
    base = base_tensor(planes, model.latent_rms.device)
    rate = torch.full((1,), planes.point, device=model.latent_rms.device)
    return lambda latents: model.over_base(generator(latents, base.features, rate), base)


def _in_torch(codec: Codec) -> Strips | Windows:
    networks = codec.transform.networks
    if isinstance(networks, BySize):
        return networks.torch
    if not isinstance(networks, Strips | Windows):
        raise RequestError("gradients need a codec whose runtime is torch")
    return networks
