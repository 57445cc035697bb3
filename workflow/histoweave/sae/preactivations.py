"""The dense part of a step: all pre-activations of a batch, and which of them are the largest of each token."""

from __future__ import annotations

import logging

import torch
from torch import Tensor
from torch.nn import functional

from histoweave.sae import screening
from histoweave.sae.dictionary import Dictionary
from histoweave.sae.largest import largest
from histoweave.sae.screening import Quantised

_AT_ONCE = 1 << 23  # float32 numbers, 32 MiB
_MAX_UNSURE = 0.25  # of the tokens; with more than a third, screening costs more than it saves

_log = logging.getLogger(__name__)


@torch.no_grad()
def preactivations(dictionary: Dictionary, centred: Tensor) -> Tensor:
    """All pre-activations (n,L) of tokens x' − b_dec (n,D)."""
    if centred.device.type == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        # oneDNN takes half the time of MKL on AMD; torch uses it where it is asked to only.
        return torch.ops.mkldnn._linear_pointwise(centred, dictionary.w_enc, dictionary.b_enc, "none", [], "")
    return functional.linear(centred, dictionary.w_enc, dictionary.b_enc)


class LargestPreactivations:
    """Finds the k largest pre-activations of each token, batch after batch of one fit.

    Where it pays they are looked for with 8-bit numbers first (`screening`), until a batch comes where that was of
    little use.
    """

    def __init__(self, k: int):
        self._k = k
        self._screens = True

    @torch.no_grad()
    def __call__(self, dictionary: Dictionary, centred: Tensor) -> tuple[Tensor, Tensor]:
        """Of tokens x' − b_dec (n,D), the values (n,k) and latents (n,k) int64, in no order.

        On the CPU in parts, which need little memory: to get it can cost more than to fill it. Parts are a power of
        two, since the product of an odd number of tokens takes a fifth longer.
        """
        at_once = len(centred)
        if centred.device.type == "cpu":
            at_once = 1 << max(1, _AT_ONCE // dictionary.n_latents).bit_length() - 1
        if self._screens and screening.pays(centred, dictionary.n_latents, self._k):
            found = self._screened(dictionary, centred, at_once)
        else:
            found = [largest(preactivations(dictionary, part), self._k) for part in centred.split(at_once)]
        values, latents = zip(*found, strict=True)
        return torch.cat(values), torch.cat(latents)

    def _screened(self, dictionary: Dictionary, centred: Tensor, at_once: int) -> list[tuple[Tensor, Tensor]]:
        found = []
        n_unsure = 0
        w_enc = Quantised.of(dictionary.w_enc)
        for part in centred.split(at_once):
            values, latents, unsure = screening.screen(part, w_enc, dictionary.b_enc, self._k)
            if len(unsure):
                values[unsure], latents[unsure] = largest(preactivations(dictionary, part[unsure]), self._k)
            n_unsure += len(unsure)
            found.append((values, latents))
        if n_unsure > _MAX_UNSURE * len(centred):
            _log.info(
                "8-bit screening inconclusive for %d of %d tokens; using float32 from now on", n_unsure, len(centred)
            )
            self._screens = False
        return found
