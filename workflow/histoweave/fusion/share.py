"""How much of the answer a model of both modalities takes from its products: chosen on the validation patients."""

from __future__ import annotations

import copy

import numpy as np
import torch

from histoweave.fusion.batcher import Batcher
from histoweave.fusion.models.joint import Joint, mixed
from histoweave.fusion.models.linear import validation_loss
from histoweave.fusion.models.products import fit_products

# Never all: a class that the products rule out keeps a probability, and the attention a model that it belongs to.
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)


@torch.no_grad()
def fit_share(module: Joint, *, train: Batcher, val: Batcher, device: str) -> None:
    """Fit the products to the training patients with both modalities; then set the share with the least log loss on the
    validation patients with both. The networks are fitted already and stay as they are.

    Where no fit is possible (training patients with both modalities are of one class, or no such validation patient), the
    share is 0.
    """
    known_ids, asked_ids = train.complete(), val.complete()
    if not asked_ids or not known_ids:
        return
    known, asked = train.pooled(known_ids), val.pooled(asked_ids)
    if len(np.unique(known[2])) < 2:
        return
    module.cpu().eval()
    fit_products(copy.deepcopy(module.products), module.products, train=known, val=asked)
    module.to(device)
    logits, others = _logits(module, val)
    losses = [validation_loss(mixed(logits, others, torch.tensor([[share]])).numpy(), asked[2]) for share in SHARES]
    module.share.fill_(SHARES[int(np.argmin(losses))])


def _logits(module: Joint, patients: Batcher) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the networks and of the products, (n,C) each, for the patients with both modalities."""
    pairs = []
    for patient in patients.complete():
        batch = patients.batch([patient], [patient])
        pairs.append([part(*batch).logits.double().cpu() for part in (module.networks, module.products)])
    logits, others = zip(*pairs, strict=True)
    return torch.cat(logits), torch.cat(others)
