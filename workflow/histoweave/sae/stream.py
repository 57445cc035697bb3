"""Tokens in random order, in batches, from files that may be far larger than the memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from histoweave.sae.tokens import Block, Tokens, read

BUFFER_BYTES = 256 << 20
_CHUNKS_PER_BUFFER = 64  # so many stretches of the files are mixed with each other at any time


class Stream:
    """Shuffled batches of tokens; the same seed gives the same batches.

    Stretches of consecutive rows are read in random order into a buffer. When it is full, half of its rows, drawn at
    random, are given out, and the next take their places. Tokens that all fit the buffer are read once and kept.

    Attributes
    ----------
    tokens: what is streamed. buffer_bytes: size of the buffer of float32 rows; the process needs up to 1.5 times it.
    """

    def __init__(self, tokens: Tokens, *, seed: int, buffer_bytes: int = BUFFER_BYTES):
        self.tokens = tokens
        self._rng = np.random.default_rng(seed)
        row_bytes = 4 * max(1, tokens.dim)
        self._chunks = chunks(tokens, max(1, buffer_bytes // _CHUNKS_PER_BUFFER // row_bytes))
        self._capacity = min(tokens.n_tokens, max(2, buffer_bytes // row_bytes))
        self._buffer = np.empty((self._capacity, tokens.dim), np.float32)
        self._resident = False

    def n_batches(self, size: int, *, epochs: float) -> int:
        """How many batches `batches` gives."""
        return math.ceil(self.n_tokens(epochs=epochs) / size)

    def batches(self, size: int, *, epochs: float) -> Iterator[np.ndarray]:
        """Batches (size,D) float32, the last one maybe smaller. Each pass gives every token once, in a new order.

        Raises
        ------
        InputError
            naming the image whose tokens hold NaN or infinity.
        """
        left = self.n_tokens(epochs=epochs)
        parts: list[np.ndarray] = []
        missing = min(size, left)
        while left:
            for order in self._rounds():
                start = 0
                while missing and start < len(order):
                    part = order[start : start + missing]
                    parts.append(self._buffer[part])
                    start += len(part)
                    left -= len(part)
                    missing -= len(part)
                    if not missing:
                        yield parts[0] if len(parts) == 1 else np.concatenate(parts)
                        parts, missing = [], min(size, left)
                if not left:
                    break

    def sample(self, size: int) -> np.ndarray:
        """At most `size` tokens (n,D) float32, drawn at random.

        Of more tokens than the buffer holds, the beginnings of as many stretches as are mixed in it: little is read.
        """
        if self._capacity == self.tokens.n_tokens:
            return next(self.batches(size, epochs=1))
        chosen = self._rng.permutation(len(self._chunks))[: min(size, _CHUNKS_PER_BUFFER)]
        return np.concatenate([read(_beginning(self._chunks[i], size // len(chosen))) for i in chosen])

    def n_tokens(self, *, epochs: float) -> int:
        """How many tokens `batches` gives: one at least, unless there are none."""
        return max(1, round(epochs * self.tokens.n_tokens)) if self.tokens.n_tokens else 0

    def _rounds(self) -> Iterator[np.ndarray]:
        """One pass over the tokens: rows of the buffer that are given out next, while the caller takes them."""
        if not self._resident:
            held, free = np.split(np.arange(self._capacity), [0])
            for i in self._rng.permutation(len(self._chunks)):
                values = read(self._chunks[i])
                if len(values) > len(free):
                    given, held = np.split(self._rng.permutation(held), [max(len(values), len(held) // 2)])
                    yield given
                    free = np.concatenate([free, given])
                taken, free = np.split(free, [len(values)])
                self._buffer[taken] = values
                held = np.concatenate([held, taken])
            self._resident = len(held) == self.tokens.n_tokens
            yield self._rng.permutation(held)
        else:
            yield self._rng.permutation(self.tokens.n_tokens)


def _beginning(group: list[Block], n: int) -> list[Block]:
    """The first n rows of the blocks, or all."""
    taken: list[Block] = []
    for block in group:
        if n > 0:
            taken.append(replace(block, stop=min(block.stop, block.start + n)))
            n -= len(block)
    return taken


def chunks(tokens: Tokens, max_rows: int) -> list[list[Block]]:
    """All tokens in order, in groups of `max_rows` at most: neighbouring blocks together, larger blocks cut."""
    groups: list[list[Block]] = []
    n = max_rows
    for block in tokens.blocks:
        for start in range(block.start, block.stop, max_rows):
            piece = replace(block, start=start, stop=min(start + max_rows, block.stop))
            if n + len(piece) > max_rows:
                groups.append([])
                n = 0
            groups[-1].append(piece)
            n += len(piece)
    return groups
