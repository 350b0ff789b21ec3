"""Codebooks of a model for coding: latents to indices of least cost, and indices to latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import numpy as np

from vqcodec.config import RATE_BINS, ModelConfig, TamingConfig
from vqcodec.forks import operation

# Sequences that are extended, or latents that are compared, at a time: their costs stay in the cache.
_AT_ONCE = 1024

Indices: TypeAlias = np.ndarray
Latents: TypeAlias = np.ndarray


class Codebooks(Protocol):
    """The quantizer of a band, of any family.

    Attributes:
        codebooks: (S, K, D) float32.
        codeword_bits: (S, K) float32, estimated rate of each codeword.
    """

    codebooks: np.ndarray
    codeword_bits: np.ndarray

    def choose(self, latents: Latents, lmbda: float, rate: float = 0.0, beams: int = 2) -> Indices:
        """Search for the indices (n, S) int64 of the least |latent - sum of codewords|^2 + lmbda * bits.

        Args:
            latents: (n, D) float32.
            lmbda: squared latent units per bit.
            rate: point of the dial, 0..1.
            beams: number of sequences that the search keeps; 1 is greedy.
        """
        ...

    def rate(self, indices: Indices, rate: float = 0.0) -> np.ndarray:
        """Estimated rate (n,) of indices (n, S) in bits, at a point of the dial."""
        ...

    def dequantize(self, indices: Indices) -> Latents:
        """Sums of the codewords of indices (n, s), s <= S: (n, D) float32."""
        ...


class BandCodebooks:
    """Codebooks of a band of a `vqcodec.model.VQGAN`, whose codeword 0 ends a position.

    Args:
        codebooks: (S, K, D).
        codeword_bits: (S, K), estimated rate of each codeword, given that the position goes on.
        end_bits: (S, RATE_BINS, 2), estimated rates of ending and of going on, in the middle of each part
            of the rate dial.
    """

    def __init__(self, codebooks: np.ndarray, codeword_bits: np.ndarray, end_bits: np.ndarray) -> None:
        self.codebooks = codebooks.astype(np.float32)
        self.codeword_bits = codeword_bits.astype(np.float32)
        self.end_bits = end_bits.astype(np.float32)
        self._squares = np.square(self.codebooks).sum(2)

    def ends_at(self, rate: float) -> np.ndarray:
        """Estimated rates (S, 2) of ending and of going on at a point of the dial: between those of its parts."""
        place = min(max(rate * RATE_BINS - 0.5, 0.0), RATE_BINS - 1.0)
        below = min(int(place), RATE_BINS - 2)
        share = np.float32(place - below)
        return self.end_bits[:, below] * (1 - share) + self.end_bits[:, below + 1] * share

    def choose(self, latents: Latents, lmbda: float, rate: float = 0.0, beams: int = 2) -> Indices:
        """See `Codebooks.choose`. After every stage, the best sequences so far are extended (beam search)."""
        ends = self.ends_at(rate)
        prices = self._squares + np.float32(lmbda) * (self.codeword_bits + ends[:, 1:])
        # Norms and rates are one more column, so that the costs of a stage are one matrix product.
        tables = np.concatenate([-2 * self.codebooks, prices[..., None]], 2).transpose(0, 2, 1)
        stop = np.float32(lmbda) * ends[:, 0]
        size = max(1, _AT_ONCE // beams)
        found = np.zeros((len(latents), len(tables)), np.int64)
        for start in range(0, len(latents), size):
            found[start : start + size] = self._search(latents[start : start + size], tables, stop, beams)
        return found

    def _search(self, latents: Latents, tables: np.ndarray, stop: np.ndarray, beams: int) -> Indices:
        count, dim = latents.shape
        stages = len(tables)
        # Sequences of all positions: residual and a column of ones, cost so far, indices, whether they go on.
        rows = np.ones((count, 1, dim + 1), np.float32)
        rows[:, 0, :dim] = latents
        total = np.zeros((count, 1), np.float32)
        chosen = np.zeros((count, 1, stages), np.int64)
        alive = np.ones((count, 1), bool)
        for stage, table in enumerate(tables):
            if not alive.any():
                break
            ways = 1 if stage == stages - 1 else beams
            with operation:
                cost = rows[alive] @ table
            cost[:, 0] = np.inf
            width = total.shape[1]
            # A sequence that has ended goes on as it is; one that is alive ends, or takes one of the best codewords.
            pick = np.zeros((count, width, ways + 1), np.int64)
            added = np.full((count, width, ways + 1), np.inf, np.float32)
            added[..., ways] = np.where(alive, stop[stage], np.float32(0))
            for way in range(ways):
                best = cost.argmin(1)[:, None]
                pick[..., way][alive] = best[:, 0]
                added[..., way][alive] = np.take_along_axis(cost, best, 1)[:, 0]
                if way < ways - 1:
                    np.put_along_axis(cost, best, np.inf, 1)
            candidates = (total[..., None] + added).reshape(count, -1)
            order = candidates.argsort(1, kind="stable")[:, :ways]
            total = np.take_along_axis(candidates, order, 1)
            parent = order // (ways + 1)
            pick = np.take_along_axis(pick.reshape(count, -1), order, 1)
            rows = np.take_along_axis(rows, parent[..., None], 1)
            rows[..., :dim] -= self.codebooks[stage][pick]
            chosen = np.take_along_axis(chosen, parent[..., None], 1)
            chosen[..., stage] = pick
            alive = pick != 0
        return chosen[:, 0]

    def rate(self, indices: Indices, rate: float = 0.0) -> np.ndarray:
        """See `Codebooks.rate`."""
        ends = self.ends_at(rate)
        going = (indices != 0).astype(np.int64)
        alive = np.concatenate([np.ones_like(going[:, :1]), going[:, :-1]], 1)
        stages = np.arange(indices.shape[1])
        return (alive * ends[stages, going] + self.codeword_bits[stages, indices]).sum(1)

    def dequantize(self, indices: Indices) -> Latents:
        """See `Codebooks.dequantize`."""
        total = self.codebooks[0].take(indices[:, 0], 0)
        for stage in range(1, indices.shape[1]):
            # Few positions go on to late stages.
            going = np.flatnonzero(indices[:, stage])
            total[going] += self.codebooks[stage].take(indices[going, stage], 0)
        return total


class PlainCodebook:
    """The codebook of an imported model: one stage, in which no codeword is special.

    Args:
        codebooks: (1, K, D).
        bits: (1, K), estimated rate of each codeword.
        projection, offset: (K, D) and (K,), if the codeword is the one that a linear classifier scores highest, in
            place of the nearest one.
    """

    def __init__(
        self,
        codebooks: np.ndarray,
        bits: np.ndarray,
        projection: np.ndarray | None = None,
        offset: np.ndarray | None = None,
    ) -> None:
        self.codebooks = codebooks.astype(np.float32)
        self.codeword_bits = bits.astype(np.float32)
        if projection is None or offset is None:
            projection, offset = self.codebooks[0], np.square(self.codebooks[0]).sum(1) / -2
        self._factor, self._offset = -2 * projection.T.astype(np.float32), -2 * offset.astype(np.float32)

    def choose(self, latents: Latents, lmbda: float, rate: float = 0.0, beams: int = 2) -> Indices:
        """See `Codebooks.choose`; there is nothing to search."""
        price = self._offset + np.float32(lmbda) * self.codeword_bits[0]
        found = np.zeros((len(latents), 1), np.int64)
        for start in range(0, len(latents), _AT_ONCE):
            with operation:
                cost = latents[start : start + _AT_ONCE] @ self._factor
            cost += price
            found[start : start + _AT_ONCE, 0] = cost.argmin(1)
        return found

    def rate(self, indices: Indices, rate: float = 0.0) -> np.ndarray:
        """See `Codebooks.rate`."""
        return self.codeword_bits[0][indices[:, 0]]

    def dequantize(self, indices: Indices) -> Latents:
        """See `Codebooks.dequantize`."""
        return self.codebooks[0].take(indices[:, 0], 0)


def codebooks_of(
    config: ModelConfig | TamingConfig, weights: Mapping[str, np.ndarray]
) -> list[BandCodebooks | PlainCodebook]:
    """The codebooks of each band of a model, given its weights by name.

    Raises:
        ValueError: the weights are not of this configuration.
    """
    found: list[BandCodebooks | PlainCodebook]
    try:
        if isinstance(config, TamingConfig):
            quantizer = {name: weights.get(f"quantizer.{name}") for name in ("projection", "offset")}
            found = [PlainCodebook(weights["quantizer.codebooks"], weights["quantizer.bits"], **quantizer)]
            wanted = [(1, config.codebook_size, config.latent_dim)]
        else:
            names = ("codebooks", "codeword_bits", "end_bits")
            found = [
                BandCodebooks(*(weights[f"quantizers.{number}.{name}"] for name in names))
                for number in range(len(config.bands))
            ]
            wanted = [(band.stages, band.codebook_size, band.dim) for band in config.bands]
    except KeyError as error:
        raise ValueError(f"there is no {error.args[0]}") from error
    for codebooks, shape in zip(found, wanted, strict=True):
        if codebooks.codebooks.shape != shape:
            raise ValueError(f"codebooks of shape {codebooks.codebooks.shape}, not {shape}")
    return found
