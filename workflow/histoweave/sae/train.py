"""Fitting a sparse autoencoder to tokens."""

from __future__ import annotations

import logging
import math

import numpy as np
import pandas as pd
import torch

from histoweave.errors import InputError
from histoweave.mechanics.memory import keep_freed_memory
from histoweave.sae import scaling
from histoweave.sae.dead import Silence, revival_loss
from histoweave.sae.dictionary import Dictionary
from histoweave.sae.history import History, Seen
from histoweave.sae.median import geometric_median
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.optimiser import Optimiser
from histoweave.sae.scaling import Scaling
from histoweave.sae.stream import Stream
from histoweave.sae.tokens import Tokens
from histoweave.sae.variants import VARIANTS, Variant
from histoweave.settings.sae import Sae

_MEDIAN_TOKENS = 16384
_MAX_DEAD_WINDOW = 10_000_000
_MAX_PREACTIVATIONS = 1 << 26  # of a part of a batch: 256 MiB of float32

_log = logging.getLogger(__name__)


def fit(tokens: Tokens, *, settings: Sae, seed: int, device: torch.device) -> tuple[SparseAutoencoder, pd.DataFrame]:
    """Fit a dictionary; on the CPU, the same tokens, settings and seed give the same bytes.

    A batch whose pre-activations would take more than 256 MiB is worked on in parts, whose gradients are added up; the
    k · n activations of `batchtopk` and `matryoshka` are then chosen within the part.

    Returns
    -------
    The sparse autoencoder, with the centring and scaling folded in, on the CPU. `firing` was counted while it was
    fitted, over the last pass, or over the last half of the tokens where there are fewer than two passes. `metadata`
    tells the settings, the seed, `gamma` and `scale` (see `Scaling`), `n_tokens` and `steps`.
    The history: about a hundred rows with `step` and `tokens` so far, and, over the steps since the row before, share
    of the variance of the tokens that was explained, latents per token (`l0`), and the auxiliary loss as a share of
    the variance; `dead` latents and the learning rate at that step.

    Raises
    ------
    InputError
        if there are fewer than two tokens, if they are all the same, if an image's tokens hold NaN or infinity, or if
        `sae.k` is more than the dictionary has.
    """
    keep_freed_memory()
    n_latents = settings.expansion * tokens.dim
    if tokens.n_tokens and settings.variant != "standard" and settings.k > n_latents:
        raise InputError(f"sae.k: {settings.k} is more than the {n_latents} latents of the dictionary; choose fewer")
    order_seed, weights_seed = (int(state) for state in np.random.SeedSequence(seed).generate_state(2))
    scaled = scaling.measure(tokens, device=device)
    _log.info("%d tokens of %d values, gamma %.2f", tokens.n_tokens, tokens.dim, scaled.gamma)
    stream = Stream(tokens, seed=order_seed)
    centre = geometric_median(scaled.apply(torch.from_numpy(stream.sample(_MEDIAN_TOKENS)).to(device)))
    dictionary = Dictionary.random(centre, n_latents, seed=weights_seed)
    variant = VARIANTS[settings.variant](settings, scaled)
    history = _train(dictionary, variant, stream, scaled, settings=settings)
    fitted = SparseAutoencoder(
        architecture=variant.architecture,
        **dictionary.unscaled(scaled),
        **variant.applied(n_latents),
        training_mean=scaled.mean.cpu(),
        firing=history.firing().cpu(),
        metadata={
            **settings.model_dump(exclude={"source", "preset", "seeds", "scoring"}),
            "seed": seed,
            "gamma": scaled.gamma,
            "scale": scaled.scale,
            "n_tokens": tokens.n_tokens,
            "n_images": len(tokens.blocks),
            "steps": history.n_steps,
        },
    )
    return fitted, history.table()


def _train(dictionary: Dictionary, variant: Variant, stream: Stream, scaled: Scaling, *, settings: Sae) -> History:
    """Change `dictionary` and `variant` in place."""
    device = dictionary.w_dec.device
    n_steps = stream.n_batches(settings.batch_tokens, epochs=settings.epochs)
    n_tokens = stream.n_tokens(epochs=settings.epochs)
    optimiser = Optimiser(dictionary, settings, n_steps=n_steps)
    limit = settings.dead_after_tokens or min(stream.tokens.n_tokens, _MAX_DEAD_WINDOW)
    silence = Silence(dictionary.n_latents, limit=limit, device=device)
    n_counted = min(stream.tokens.n_tokens, math.ceil(n_tokens / 2))
    history = History(dictionary.n_latents, device, n_steps=n_steps, n_tokens=n_tokens, n_counted=n_counted)
    for rows in stream.batches(settings.batch_tokens, epochs=settings.epochs):
        batch = scaled.apply(torch.from_numpy(rows).to(device))
        dead = silence.dead()
        seen = _gather_gradients(dictionary, variant, batch, dead=dead, aux_weight=settings.aux_weight)
        history.add(seen, n_dead=len(dead), learning_rate=optimiser.learning_rate)
        silence.add(seen.fired, len(batch))
        optimiser.step()
    return history


def _gather_gradients(
    dictionary: Dictionary, variant: Variant, batch: torch.Tensor, *, dead: torch.Tensor, aux_weight: float
) -> Seen:
    """The gradients of a batch (n,D), centred and scaled."""
    seen = Seen.nothing(dictionary.n_latents, batch.device)
    for part in batch.split(max(1, _MAX_PREACTIVATIONS // dictionary.n_latents)):
        n = len(part)
        loss, error, fired = variant(dictionary, part)
        revival = 0.0
        if aux_weight and len(dead):
            extra = revival_loss(dictionary, part, error, dead)
            loss = loss + aux_weight * extra
            revival = n * extra.item()
        (loss * (n / len(batch))).backward()
        seen.add(Seen(fired, n, _squares(part), _squares(error), revival))
    return seen


def _squares(values: torch.Tensor) -> float:
    """Their sum, without a copy of them."""
    return torch.linalg.vector_norm(values).item() ** 2
