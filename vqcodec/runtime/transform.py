"""Pixels to latents to index planes, and back to pixels, for pictures of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from vqcodec import forks
from vqcodec.geometry import Box
from vqcodec.model import VQGAN
from vqcodec.runtime.device import fastest_dtype, usable_device
from vqcodec.runtime.pixels import to_pixels
from vqcodec.runtime.strips import Strips
from vqcodec.runtime.windows import Windows
from vqcodec.weights import ModelFile


class Transform:
    """Networks and quantizer of a model on a device. The networks run over a picture part by part.

    Args:
        file: return value of `load_model`.
        device: torch device that runs the networks.
        dtype: dtype that they compute in; by default the fastest one. Imported models always compute in
            float32.

    Attributes:
        model: the network, with the first of its generators.
        config: configuration of the model.
        device: device of the model.
        networks: runs encoder and generator.
        realism: default weight of the second generator, 0..1.
        most_realism: 1, or 0 if there is only one generator.

    Raises:
        vqcodec.errors.RequestError: torch does not have this device here.
    """

    def __init__(
        self, file: ModelFile, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self.device = usable_device(device)
        self._born = forks.generation()
        # Torch's annotations of `Module.to` lack this form.
        self.model = file.model.to(self.device).to(memory_format=file.model.memory_format)  # type: ignore[call-overload]
        self.networks: Strips | Windows
        if isinstance(self.model, VQGAN):
            second = file.realistic and {
                name: value.to(self.device) for name, value in file.realistic.items()
            }
            self.networks = Strips(self.model, dtype or fastest_dtype(self.device), second)
        else:
            self.networks = Windows(self.model)
        self.config = self.model.config
        self.most_realism = 1.0 if file.realistic else 0.0
        self.realism = float(file.notes.get("realism", self.most_realism))

    @torch.inference_mode()
    def latents(self, pixels: np.ndarray, progress: Callable[[float], None] | None = None) -> Tensor:
        """Encode pixels (H, W, 3) uint8 to latents (h, w, D) float32; h = ceil(H/f), w = ceil(W/f).

        Args:
            pixels: the picture.
            progress: called after each part with the fraction done, 0..1.
        """
        forks.settle(self.device, self._born)
        step = self.config.downsampling
        rows, columns = -(-pixels.shape[0] // step), -(-pixels.shape[1] // step)
        out = torch.empty(rows, columns, self.config.latent_dim)
        done = 0
        for top, left, latents in self.networks.analyse(pixels):
            out[top : top + latents.shape[0], left : left + latents.shape[1]] = latents
            done += latents.shape[0] * latents.shape[1]
            if progress:
                progress(done / (rows * columns))
        return out

    @torch.inference_mode()
    def quantize(self, latents: Tensor, lmbda: float) -> np.ndarray:
        """Quantize latents (h, w, D) to index planes (stages, h, w) uint16.

        Final stages that add nothing anywhere are dropped.

        Args:
            latents: (h, w, D).
            lmbda: squared latent units per bit (see `vqcodec.rate.lmbda_of`); 0 takes the nearest codewords.
        """
        forks.settle(self.device, self._born)
        rows, columns, dim = latents.shape
        chosen = self.model.quantizer.choose(latents.to(self.device).reshape(-1, dim), lmbda)
        out = chosen.T.reshape(-1, rows, columns).cpu().numpy().astype(np.uint16)
        used = [stage for stage, plane in enumerate(out) if stage == 0 or plane.any()]
        return out[: used[-1] + 1]

    def render(self, planes: np.ndarray, realism: float | None = None) -> np.ndarray:
        """Decode index planes (stages, h, w) to pixels (f h, f w, 3) uint8; f is `config.downsampling`.

        See `rendered` for `realism` and errors.
        """
        step = self.config.downsampling
        out = np.empty((step * planes.shape[1], step * planes.shape[2], 3), np.uint8)
        for top, left, pixels in self.rendered(planes, realism):
            out[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return out

    @torch.inference_mode()
    def rendered(self, planes: np.ndarray, realism: float | None) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield the picture of index planes in parts that cover it once: top, left and (h, w, 3) uint8.

        Args:
            planes: (stages, h, w) integers.
            realism: weight of the second generator, 0..1; by default that of the model.

        Raises:
            ValueError: `realism` is out of range, or the planes are not of this model.
        """
        forks.settle(self.device, self._born)
        stages, rows, columns = planes.shape
        realism = self.realism if realism is None else realism
        if not 0 <= realism <= 1:
            raise ValueError(f"realism {realism} is not between 0 and 1")
        if realism > self.most_realism:
            raise ValueError("this model has one generator, and no other realism than 0")
        if not 1 <= stages <= self.config.stages or planes.max() >= self.config.codebook_size:
            raise ValueError("the index planes are not of this model")

        def latents(box: Box) -> Tensor:
            part = box.of(planes).astype(np.int64)
            indices = torch.from_numpy(part).to(self.device).flatten(1).T
            return self.model.quantizer.dequantize(indices).view(*part.shape[1:], -1)

        for top, left, picture in self.networks.synthesise(latents, rows, columns, stages, realism):
            yield top, left, to_pixels(picture).cpu().numpy()
