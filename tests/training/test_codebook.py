"""Learning codebooks: means, rates, and codewords brought back from the dead."""

from __future__ import annotations

import torch

from vqcodec.model import ResidualVectorQuantizer
from vqcodec.training.codebook import CodebookLearner


def learner_and_data(decay: float = 0.9) -> tuple[CodebookLearner, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    latents = torch.randn(512, 4, generator=generator)
    learner = CodebookLearner(ResidualVectorQuantizer(stages=2, codebook_size=16, dim=4), decay)
    learner.initialise(latents, generator)
    return learner, latents, generator


def used(learner: CodebookLearner, latents: torch.Tensor) -> list[float]:
    indices = learner.quantizer.quantize(latents).indices
    return [len(column.unique()) / 16 for column in indices.unbind(1)]


def test_dead_codewords_come_back():
    learner, latents, generator = learner_and_data()
    # A collapse: most codewords of both stages are far from everything.
    for stage in (0, 1):
        learner.quantizer.codebooks[stage, 3:] = 100.0
        learner.sums[stage, 3:] = 100.0 * learner.counts[stage, 3:, None]
    assert max(used(learner, latents)) < 0.25
    for _ in range(80):
        learner.update(learner.quantizer.quantize(latents), generator)
    assert learner.restarts >= 26
    assert min(used(learner, latents)) > 0.8


def test_codewords_become_the_means_of_what_they_stand_for():
    learner, latents, generator = learner_and_data()
    for _ in range(100):
        quantized = learner.quantizer.quantize(latents)
        learner.update(quantized, generator)
    index = learner.quantizer.quantize(latents).indices[:, 0]
    means = torch.stack([latents[index == k].mean(0) for k in range(16)])
    torch.testing.assert_close(learner.quantizer.codebooks[0], means, atol=0.05, rtol=0)


def test_codeword_zero_of_later_stages_stays_zero():
    learner, latents, generator = learner_and_data()
    for _ in range(20):
        learner.update(learner.quantizer.quantize(latents, lmbda=0.1), generator)
    assert not learner.quantizer.codebooks[1:, 0].any()
    assert learner.quantizer.codebooks[0, 0].any()


def test_rates_are_the_information_of_the_choices():
    learner, latents, generator = learner_and_data()
    for _ in range(100):
        learner.update(learner.quantizer.quantize(latents), generator)
    indices = learner.quantizer.quantize(latents).indices
    share = torch.bincount(indices[:, 0], minlength=16) / len(latents)
    entropy = -(share * share.log2()).sum()
    bits = learner.quantizer.rate(indices[:, :1]).mean()
    assert abs(bits - entropy) < 0.05


def test_a_price_on_bits_buys_fewer_bits_for_more_distortion():
    learner, latents, generator = learner_and_data()
    for _ in range(50):
        learner.update(learner.quantizer.quantize(latents, lmbda=0.1), generator)
    results = []
    for price in (0.0, 0.1, 0.5):
        quantized = learner.quantizer.quantize(latents, lmbda=price)
        error = (latents - quantized.partial[-1]).square().sum(1).mean()
        results.append((float(learner.quantizer.rate(quantized.indices).mean()), float(error)))
    rates, errors = zip(*results, strict=True)
    assert list(rates) == sorted(rates, reverse=True)
    assert list(errors) == sorted(errors)
