"""Bend a picture towards a text.

    pip install open_clip_torch
    python examples/text.py PICTURE.jpg "a watercolour of a harbour" OUT.vqc

The latents are changed until CLIP finds the rendered picture near to the text (VQGAN-CLIP, Crowson et al., ECCV
2022). CLIP looks at many pieces of the picture, in several sizes: a single look is too easily deceived. open_clip
loads its weights from the network when they are first used.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vqcodec import Codec
from vqcodec.edit import optimise_latents
from vqcodec.rate import place_of, setting_at

PIECES = 8
STEPS = 100


def towards(clip: torch.nn.Module, text: Tensor, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """The loss of a rendered picture (1, 3, H, W) against tokens (1, n): angles between what CLIP makes of them."""
    with torch.no_grad():
        wanted = F.normalize(clip.encode_text(text), dim=1)
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN).view(3, 1, 1)
    std = torch.tensor(open_clip.OPENAI_DATASET_STD).view(3, 1, 1)
    size = clip.visual.image_size
    size = size if isinstance(size, tuple) else (size, size)

    def loss(rendered: Tensor) -> Tensor:
        shorter = min(rendered.shape[2:])
        pieces = []
        for _ in range(PIECES):
            share, down, over = torch.rand(3, generator=generator).tolist()
            side = int(shorter * (0.5 + 0.5 * share))
            top, left = int(down * (rendered.shape[2] - side)), int(over * (rendered.shape[3] - side))
            piece = rendered[:, :, top : top + side, left : left + side]
            pieces.append(F.interpolate(piece, size, mode="bilinear", antialias=True))
        pictures = (torch.cat(pieces) + 1) / 2
        found = F.normalize(clip.encode_image((pictures - mean) / std), dim=1)
        # Half the angle, squared, as seen along the sphere.
        return ((found - wanted).norm(dim=1) / 2).arcsin().square().mean()

    return loss


def main(
    picture: str, text: str, out: str, name: str = "ViT-B-32", weights: str = "laion2b_s34b_b79k"
) -> None:
    clip = open_clip.create_model(name, pretrained=weights or None).eval().requires_grad_(False)
    tokens = open_clip.get_tokenizer(name)([text])
    codec, image = Codec.load(), Image.open(picture)
    loss = towards(clip, tokens, torch.Generator().manual_seed(0))
    latents, planes = optimise_latents(codec, image, loss, STEPS)
    planes = codec.transform.quantize(latents, planes, setting_at(codec.config, place_of(80)).lmbda)
    Path(out).write_bytes(codec.pack(planes, image.size))


if __name__ == "__main__":
    main(*sys.argv[1:])
