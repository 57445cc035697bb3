"""Training of a neural model: on training patients, stopped by validation patients, deterministic."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from histoweave.fusion.batcher import Batcher
from histoweave.mechanics.eager import eager
from histoweave.settings.fusion import Fusion

HISTORY = {"member": "int64", "epoch": "int64", "train_loss": "float64", "val_loss": "float64", "best": "bool"}
_MAX_GRADIENT_NORM = 1.0
_WARM_UP = 0.05


def class_weights(codes: Tensor, n_classes: int) -> Tensor:
    """Square root of n / (C · n_c) for each class, 0 for absent ones: halfway between none and "balanced" weights."""
    counts = torch.bincount(codes, minlength=n_classes).float()
    balanced = torch.where(counts > 0, len(codes) / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)
    return balanced.sqrt()


def train(
    module: nn.Module,
    *,
    train: Batcher,
    val: Batcher,
    n_classes: int,
    settings: Fusion,
    seed: int,
    device: str,
    member: int = 0,
) -> pd.DataFrame:
    """Fit `module` in place and leave it with the weights of the best validation loss.

    AdamW, class-weighted cross-entropy, a cosine schedule with a short warm-up, clipped gradients. On CUDA the
    forward pass runs in bfloat16, or in float16 with loss scaling where there is no bfloat16.

    Returns
    -------
    History: `member`, `epoch`, `train_loss`, `val_loss`, `best` (the row whose weights are kept).
    """
    rng = np.random.default_rng([seed, member])
    torch.manual_seed(seed + member)
    half = torch.bfloat16 if device != "cuda" or torch.cuda.is_bf16_supported() else torch.float16
    scaler = torch.amp.GradScaler(device, enabled=device == "cuda" and half == torch.float16)
    steps = math.ceil(len(train.ids) / settings.batch_patients)
    optimiser = eager(torch.optim.AdamW)(
        module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _cosine(steps * settings.epochs))
    weight = class_weights(train.codes, n_classes).to(device)
    rows: list[dict] = []
    best_loss, best_epoch, best_state = math.inf, 0, copy.deepcopy(module.state_dict())
    for epoch in range(1, settings.epochs + 1):
        module.train()
        losses = []
        for chosen in np.array_split(rng.permutation(len(train.ids)), steps):
            ids = [train.ids[i] for i in chosen]
            batch = train.batch(ids, ids, rng=rng, max_tiles=settings.max_tiles)
            with torch.autocast(device, dtype=half, enabled=device == "cuda"):
                logits = module(*batch).logits
            loss = nn.functional.cross_entropy(logits.float(), train.codes[chosen].to(device), weight=weight)
            optimiser.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(module.parameters(), _MAX_GRADIENT_NORM)
            scaler.step(optimiser)
            scaler.update()
            schedule.step()
            losses.append(loss.item())
        val_loss = _loss(module, val, weight=weight, device=device, at_once=settings.batch_patients)
        rows.append({"member": member, "epoch": epoch, "train_loss": float(np.mean(losses)), "val_loss": val_loss})
        if val_loss < best_loss:
            best_loss, best_epoch, best_state = val_loss, epoch, copy.deepcopy(module.state_dict())
        elif epoch - best_epoch >= settings.patience:
            break
    module.load_state_dict(best_state)
    history = pd.DataFrame(rows)
    return history.assign(best=history["epoch"] == best_epoch).astype(HISTORY)


def _cosine(total: int) -> Callable[[int], float]:
    """Learning-rate factor by step: linear warm-up, then half a cosine to zero."""
    warm_up = max(1, round(_WARM_UP * total))

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))

    return factor


@torch.no_grad()
def _loss(module: nn.Module, patients: Batcher, *, weight: Tensor, device: str, at_once: int) -> float:
    """Class-weighted cross-entropy on the fixed sample of tiles; as many patients at a time as in training."""
    module.eval()
    parts = [patients.ids[first : first + at_once] for first in range(0, len(patients.ids), at_once)]
    logits = torch.cat([module(*patients.batch(part, part, sample=True)).logits for part in parts])
    return nn.functional.cross_entropy(logits.float(), patients.codes.to(device), weight=weight).item()
