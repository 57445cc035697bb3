"""Top-scoring pairs: which of two genes is higher, for a few pairs, as votes.

Geman et al., Stat Appl Genet Mol Biol 2004;3:19 (one pair); Tan et al., Bioinformatics 2005;21:3896 (k disjoint pairs, ties of
the score broken by the difference of ranks). Several classes: one against the rest. Only the order of the genes within a
patient counts, so any change that is monotone within a patient, such as that of a platform's scale, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from histoweave.errors import InputError
from histoweave.fusion.layers import normal
from histoweave.fusion.models.base import Output, Shape
from histoweave.fusion.models.best_gene import auroc
from histoweave.fusion.models.linear import logistic, validation_loss
from histoweave.fusion.task import Fit, Task
from histoweave.fusion.transforms import Transforms
from histoweave.settings.fusion import Fusion

MOST_PAIRS = 9
CANDIDATES = 100
_PATIENTS_AT_ONCE = 256


class TopPairs(nn.Module):
    """Logits linear in each class's share of votes.

    `pairs` (C,9,2) int64: a class's pairs of genes; `counts` (C,9): 1 for those that vote. A pair votes for its class if the
    first gene is lower than the second one, by half if they are equal.
    """

    pairs: Tensor
    counts: Tensor

    def __init__(self, shape: Shape, settings: Fusion):
        super().__init__()
        n_classes = shape.n_classes
        self.register_buffer("pairs", torch.zeros(n_classes, MOST_PAIRS, 2, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(n_classes, MOST_PAIRS))
        self.weight = nn.Parameter(normal(n_classes, n_classes))
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def forward(
        self, tiles: Tensor, tile_mask: Tensor, genes: Tensor, has_image: Tensor, has_expression: Tensor
    ) -> Output:
        return Output(self.shares(genes) @ self.weight.T + self.bias)

    def shares(self, genes: Tensor) -> Tensor:
        """(B,G) values to (B,C): each class's share of its pairs that vote for it; 0 for a class without pairs."""
        first, second = genes[:, self.pairs[..., 0]], genes[:, self.pairs[..., 1]]
        votes = 0.5 * (torch.sign(second - first) + 1)
        return (votes * self.counts).sum(dim=-1) / self.counts.sum(dim=-1).clamp(min=1)

    def set(self, pairs: np.ndarray, counts: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
        """Take over pairs (C,9,2), which of them vote (C,9), weights (C,C) and biases (C,)."""
        with torch.no_grad():
            for own, value in ((self.pairs, pairs), (self.counts, counts), (self.weight, weight), (self.bias, bias)):
                own.copy_(torch.from_numpy(value))


build = TopPairs


def fit(task: Task) -> Fit:
    """Pairs and weights come from the training patients, the number of pairs from the validation patients."""
    transforms = Transforms(None, task.fit_expression())
    module = task.build(transforms)
    train, val = task.genes(transforms)
    fit_top_pairs(module, train=train, val=val)
    return Fit(transforms, module)


def check_weights(weights: Mapping[str, Tensor], shape: Shape) -> None:
    """
    Raises
    ------
    ValueError
        if a pair names a gene that is not there.
    """
    if not ((weights["pairs"] >= 0) & (weights["pairs"] < len(shape.gene_tokens))).all():
        raise ValueError("'pairs' names a gene that is not there")


def candidates(ranks: np.ndarray, is_class: np.ndarray) -> np.ndarray:
    """The genes whose rank within a patient differs most between a class and the rest: at most 100, in table order.

    By the rank-sum statistic (Wilcoxon, 1945) over patients.

    ranks : (n,G). is_class : (n,) bool.
    """
    statistic = np.abs(auroc(pd.DataFrame(ranks).rank().to_numpy(), is_class) - 0.5)
    return np.sort(np.argsort(-statistic, kind="stable")[:CANDIDATES])


def lower_shares(values: np.ndarray) -> np.ndarray:
    """Share of patients (n,A) in whom gene i is lower than gene j, (A,A); equal values count half."""
    total = np.zeros((values.shape[1], values.shape[1]))
    for at in range(0, len(values), _PATIENTS_AT_ONCE):
        part = values[at : at + _PATIENTS_AT_ONCE]
        total += 0.5 * (np.sign(part[:, None, :] - part[:, :, None]) + 1).sum(axis=0)
    return total / len(values)


def best_pairs(ranks: np.ndarray, is_class: np.ndarray) -> np.ndarray:
    """At most nine disjoint pairs (K,2) of genes, the best first, each turned so that "first lower" speaks for the class.

    A pair's score is the difference of its share between class and rest; ties go to the larger difference of mean rank
    differences, then to the first genes.

    ranks : (n,G) ranks within each patient. is_class : (n,) bool, with patients on both sides.
    """
    chosen = candidates(ranks, is_class)
    own = ranks[:, chosen]
    score = lower_shares(own[is_class]) - lower_shares(own[~is_class])
    means = own[is_class].mean(axis=0) - own[~is_class].mean(axis=0)
    spread = np.abs(means[None, :] - means[:, None])
    first, second = np.triu_indices(len(chosen), k=1)
    # Rounded, so that ties are ties whatever the order of the sums.
    keys = (-spread[first, second].round(9), -np.abs(score[first, second]).round(9))
    found: list[tuple[int, int]] = []
    used: set[int] = set()
    for at in np.lexsort(keys):
        i, j = int(first[at]), int(second[at])
        if len(found) == MOST_PAIRS:
            break
        if not used & {i, j}:
            used |= {i, j}
            found.append((chosen[i], chosen[j]) if score[i, j] >= 0 else (chosen[j], chosen[i]))
    return np.array(found, dtype=np.int64)


def fit_top_pairs(
    module: TopPairs, *, train: tuple[np.ndarray, np.ndarray], val: tuple[np.ndarray, np.ndarray]
) -> None:
    """Pairs and weights of training patients; how many pairs vote (1, 3, 5, 7 or 9) has the least log loss on validation
    patients, the fewest in a tie.

    The shares of votes become probabilities by logistic regression on the training patients.

    train, val : genes (n,G), log2 and not standardised, and label codes (n,).

    Raises
    ------
    InputError
        if there are fewer than two genes to compare.
    """
    if train[0].shape[1] < 2:
        raise InputError("fusion.models: 'top_pairs' compares genes, and only one varies between the training patients")
    n_classes, labels = len(module.bias), train[1]
    pairs = np.zeros((n_classes, MOST_PAIRS, 2), dtype=np.int64)
    most, there = 0, np.zeros((n_classes, MOST_PAIRS))
    present = np.unique(labels)
    ranks = pd.DataFrame(train[0]).rank(axis=1).to_numpy()
    # With two classes the pairs against the one are those for the other.
    for code in present[-1:] if len(present) == 2 else present:
        found = best_pairs(ranks, labels == code)
        most = len(found)  # the same for every class: half as many as candidates, or nine
        pairs[code, :most], there[code, :most] = found, 1.0
    best_loss, best = np.inf, None
    for k in range(1, most + 1, 2):
        counts = there * (np.arange(MOST_PAIRS) < k)
        module.set(pairs, counts, np.zeros((n_classes, n_classes)), np.zeros(n_classes))
        with torch.no_grad():
            train_shares, val_shares = (
                module.shares(torch.from_numpy(part[0])).double().numpy() for part in (train, val)
            )
        weight, bias = logistic(train_shares, labels, inverse=1.0, n_classes=n_classes)
        loss = validation_loss(val_shares @ weight.T + bias, val[1])
        if loss < best_loss:
            best_loss, best = loss, (counts, weight, bias)
    assert best is not None
    module.set(pairs, *best)
