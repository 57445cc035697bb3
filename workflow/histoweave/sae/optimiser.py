"""Adam with a warm-up, a decay at the end, and decoder rows that keep length 1."""

from __future__ import annotations

import torch

from histoweave.mechanics.eager import eager
from histoweave.sae.dictionary import Dictionary
from histoweave.settings.sae import Sae

_MAX_WARMUP_SHARE = 0.1
# (1 − β1)² = 1 − β2: a gradient after a long silence moves a weight by the learning rate, as a steady one does. With
# torch's 0.999 it would be three times that, which is too much for latents that fire rarely.
_BETAS = (0.9, 0.99)


def learning_rate_factor(step: int, *, n_steps: int, settings: Sae) -> float:
    """Share of the full learning rate at `step` of `n_steps` (from 0): up and down in straight lines.

    In short runs the warm-up ends after a tenth of the steps.
    """
    warmup = min(settings.warmup_steps, int(_MAX_WARMUP_SHARE * n_steps))
    decay = settings.decay_share * n_steps
    up = (step + 1) / (warmup + 1)
    down = (n_steps - step) / decay if decay else 1.0
    return min(1.0, up, down)


class Optimiser:
    """Changes a dictionary step by step, for `n_steps` steps."""

    def __init__(self, dictionary: Dictionary, settings: Sae, *, n_steps: int):
        self._dictionary = dictionary
        self._adam = eager(torch.optim.Adam)(dictionary.weights(), lr=settings.learning_rate, betas=_BETAS, fused=True)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._adam, lambda step: learning_rate_factor(step, n_steps=n_steps, settings=settings)
        )

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def step(self) -> None:
        """Follow the gradients that have been gathered, and forget them.

        The part of a decoder row's gradient along the row would only change its length, which is set to 1 again; it
        is taken away so that Adam's moments do not hold it.
        """
        w_dec = self._dictionary.w_dec
        assert w_dec.grad is not None
        along = torch.linalg.vecdot(w_dec.grad, w_dec.detach()).unsqueeze(1)
        w_dec.grad.addcmul_(along, w_dec.detach(), value=-1)
        self._adam.step()
        self._schedule.step()
        self._adam.zero_grad()
        with torch.no_grad():
            w_dec.div_(torch.linalg.vector_norm(w_dec, dim=1, keepdim=True))
