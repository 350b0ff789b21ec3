"""Learning codebooks: means, rates, and codewords brought back from the dead."""

from __future__ import annotations

import torch

from vqcodec.codebooks import BandCodebooks
from vqcodec.model import BandQuantizer
from vqcodec.model.quantizer import Quantized
from vqcodec.training.codebook import CodebookLearner

COUNT = 512
RATE = torch.linspace(0, 0.999, COUNT)


def learner_and_data(decay: float = 0.9) -> tuple[CodebookLearner, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    latents = torch.randn(COUNT, 4, generator=generator)
    learner = CodebookLearner(BandQuantizer(stages=2, codebook_size=16, dim=4), decay)
    learner.initialise(latents, generator)
    return learner, latents, generator


def quantized(learner: CodebookLearner, latents: torch.Tensor, lmbda: float = 0.0) -> Quantized:
    return learner.quantizer.quantize(latents, torch.full((len(latents),), lmbda), RATE[: len(latents)])


def used(learner: CodebookLearner, latents: torch.Tensor) -> list[float]:
    indices = quantized(learner, latents).indices
    return [len(column.unique()) / 16 for column in indices.unbind(1)]


def learned(lmbda: float, times: int) -> tuple[CodebookLearner, torch.Tensor]:
    learner, latents, generator = learner_and_data()
    for _ in range(times):
        learner.update(quantized(learner, latents, lmbda), RATE, generator)
    return learner, latents


def test_dead_codewords_come_back():
    learner, latents, generator = learner_and_data()
    # A collapse: most codewords of both stages are far from everything.
    for stage in (0, 1):
        learner.quantizer.codebooks[stage, 3:] = 100.0
        learner.sums[stage, 3:] = 100.0 * learner.counts[stage, 3:, None]
    assert max(used(learner, latents)) < 0.25
    for _ in range(80):
        learner.update(quantized(learner, latents), RATE, generator)
    assert learner.restarts >= 26
    assert min(used(learner, latents)) > 0.8


def test_codewords_become_the_means_of_what_they_stand_for():
    learner, latents = learned(0.0, 100)
    index = quantized(learner, latents).indices[:, 0]
    means = torch.stack([latents[index == k].mean(0) for k in range(1, 16)])
    torch.testing.assert_close(learner.quantizer.codebooks[0, 1:], means, atol=0.1, rtol=0)


def test_codeword_zero_stays_zero():
    learner, _ = learned(0.1, 20)
    assert not learner.quantizer.codebooks[:, 0].any()


def test_positions_that_have_ended_stay_so_and_cost_nothing():
    learner, latents = learned(0.5, 50)
    found = quantized(learner, latents, 0.5)
    ended = found.indices[:, 0] == 0
    assert 0 < ended.sum() < COUNT
    assert not found.indices[ended, 1].any()
    first = learner.quantizer.ends_at(RATE)[0, :, 0]
    torch.testing.assert_close(found.bits[ended], first[ended])


def test_rates_are_the_information_of_the_choices():
    learner, latents = learned(0.2, 150)
    indices = quantized(learner, latents, 0.2).indices
    total = 0.0
    # Whether positions go on, by part of the dial, and then which codeword of those that do.
    alive = torch.ones(COUNT, dtype=torch.bool)
    for column in indices.unbind(1):
        for part in range(6):
            there = alive & ((RATE * 6).long() == part)
            total += entropy(torch.bincount((column[there] != 0).long(), minlength=2))
        alive = column != 0
        total += entropy(torch.bincount(column[alive]))
    state = learner.quantizer.state_dict()
    codebooks = BandCodebooks(*(state[name].numpy() for name in ("codebooks", "codeword_bits", "end_bits")))
    bits = sum(
        float(codebooks.rate(indices[number : number + 1].numpy(), rate).sum())
        for number, rate in enumerate(RATE.tolist())
    )
    assert abs(bits - total) / COUNT < 0.15


def entropy(counts: torch.Tensor) -> float:
    """Bits of that many choices, all together."""
    counts = counts[counts > 0].float()
    return float(-(counts * (counts / counts.sum()).log2()).sum())


def test_a_price_on_bits_buys_fewer_bits_for_more_distortion():
    learner, latents = learned(0.1, 50)
    results = []
    for price in (0.0, 0.1, 0.5):
        found = quantized(learner, latents, price)
        error = (latents - found.partial[-1]).square().sum(1).mean()
        results.append((float(found.bits.mean()), float(error)))
    rates, errors = zip(*results, strict=True)
    assert list(rates) == sorted(rates, reverse=True)
    assert list(errors) == sorted(errors)
