"""Cohorts with a known truth for `coverage.py`: predictions drawn directly, no model is fitted.

A patient of class y has, for each modality m, evidence x_m = mu_m e_y + noise, one standard normal number per class. Each
model sees the evidence of the modalities that it reads with noise of its own (variance `OWN`), so models of one modality
are correlated. Its probabilities are softmax(sum_m w_m x_m + log prevalence) with w_m = mu_m / (1 + OWN), which are
calibrated (linear discriminant) where mu_m >= `LEAST_WEIGHT` and no site interferes. Sites add an intercept to the evidence
(per class), have shares of the classes of their own, and differ in size.

What is left out: models of different folds are the same here, so what the fitting adds to the spread is not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import norm

from histoweave.evaluation.clusters import with_clusters
from histoweave.evaluation.held_out import own_folds
from histoweave.fusion import catalog

MODELS = ("logistic_expression", "logistic_image", "image", "expression", "late_mean", "cross_attention")
MAIN, BESIDE = "cross_attention", "expression"
OWN = 0.25
LEAST_WEIGHT = 0.3
LEAST_PER_SITE, LEAST_PER_CLASS = 3, 5
N_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of cohort.

    Attributes
    ----------
    n : patients. prevalence : of each class. mu : signal of each modality (0: none).
    sites : number of sites, 0: none. whole : whether folds keep sites whole, so that sites are the clusters.
    intercept : standard deviation of a site's intercept. spread : that of the log odds of its classes.
    site_only : two classes; the share of the last differs widely between sites, and the evidence knows that share only.
    measures : names in `coverage_measures.MEASURES`.
    """

    name: str
    n: int
    measures: tuple[str, ...]
    prevalence: tuple[float, ...] = (0.5, 0.5)
    mu: Mapping[str, float] = field(default_factory=lambda: {"image": 0.6, "expression": 0.9})
    sites: int = 0
    whole: bool = False
    intercept: float = 0.0
    spread: float = 0.0
    site_only: bool = False

    @property
    def classes(self) -> list[str]:
        return [f"c{i}" for i in range(len(self.prevalence))]

    @property
    def weights(self) -> dict[str, float]:
        return {modality: max(mu, LEAST_WEIGHT) / (1 + OWN) for modality, mu in self.mu.items()}

    def auroc(self, model: str, *, within_site: bool = False) -> float:
        """Closed form for two classes: AUROC over pairs of different sites, or of the same site."""
        read = sorted(catalog.get(model).modalities)
        w, mu = np.array([self.weights[m] for m in read]), np.array([self.mu[m] for m in read])
        spread = 1 + OWN + (0 if within_site else self.intercept**2)
        return float(norm.cdf((w * mu).sum() / np.sqrt(spread * (w**2).sum())))


@dataclass(frozen=True)
class Drawn:
    """One cohort: class and site (n,) int, evidence (n, C) of each modality, own noise (n, C) of each model and modality."""

    kind: Kind
    y: np.ndarray
    site: np.ndarray
    fold: np.ndarray
    evidence: dict[str, np.ndarray]
    own: dict[tuple[str, str], np.ndarray]

    def p(self, model: str, donor: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Probabilities (n, C). donor : modality → whose evidence each patient gets, (n,) int."""
        logits = np.log(self.kind.prevalence)[None]
        for modality in sorted(catalog.get(model).modalities):
            seen = self.evidence[modality] + self.own[model, modality]
            seen = seen[donor[modality]] if donor and modality in donor else seen
            logits = logits + self.kind.weights[modality] * seen
        return np.exp(logits - logsumexp(logits, axis=1, keepdims=True))

    @property
    def ids(self) -> np.ndarray:
        return np.array([f"P{i:04d}" for i in range(len(self.y))])

    def patients(self) -> pd.DataFrame:
        """`patient`, `label`, `included` and `site` where there are any."""
        table = pd.DataFrame({"patient": self.ids, "label": np.array(self.kind.classes)[self.y], "included": True})
        return table.assign(site=[f"S{s}" for s in self.site]) if self.kind.sites else table

    def table(self, models: tuple[str, ...] = MODELS, p: Mapping[str, np.ndarray] | None = None) -> pd.DataFrame:
        """Pooled test rows, as of `evaluate.pool`, with clusters. p : probabilities of each model, default `self.p`."""
        tables = []
        for model in models:
            values = self.p(model) if p is None else p[model]
            columns = {f"p_{label}": values[:, c] for c, label in enumerate(self.kind.classes)}
            head = {"model": model, "patient": self.ids, "repeat": 0, "fold": self.fold, "role": "test"}
            truth = np.array(self.kind.classes)[self.y]
            tables.append(pd.DataFrame(head | {"y_true": truth, "has_image": True, "has_expression": True} | columns))
        how = {"group_by": "site" if self.kind.whole else "patient"}
        return with_clusters(pd.concat(tables, ignore_index=True), patients=self.patients(), how=how)


def draw(
    kind: Kind, rng: np.random.Generator, *, n: int | None = None, sites: int | None = None, known: bool = True
) -> Drawn:
    """One cohort, or one huge draw of the same population (`n` patients of `sites` sites).

    A cohort with fewer than five patients of a class is drawn again: a run refuses it.

    Parameters
    ----------
    known : of `site_only`: whether the evidence knows the site's share; else it is that of some other site, as of models
        that were fitted without the site.
    """
    n, n_classes, n_sites = n or kind.n, len(kind.prevalence), sites or max(kind.sites, 1)
    log_odds = np.log(kind.prevalence) + kind.spread * rng.normal(size=(n_sites, n_classes))
    if kind.site_only:
        last = np.resize([0.2, 0.3, 0.4, 0.6, 0.7, 0.8], n_sites)
        log_odds = np.log(np.column_stack([1 - last, last]))
    share = np.exp(log_odds - logsumexp(log_odds, axis=1, keepdims=True))
    while True:
        start = np.repeat(np.arange(n_sites), LEAST_PER_SITE)[: n if n_sites > 1 else 0]
        site = np.append(start, rng.choice(n_sites, size=n - len(start), p=rng.dirichlet(np.full(n_sites, 5.0))))
        y = (rng.random(n)[:, None] > np.cumsum(share, axis=1)[site]).sum(axis=1).clip(max=n_classes - 1)
        if np.bincount(y, minlength=n_classes).min() >= LEAST_PER_CLASS:
            break
    shifts = {m: kind.intercept * rng.normal(size=(n_sites, n_classes)) for m in kind.mu}
    if kind.site_only:
        of = log_odds if known else log_odds[rng.permutation(n_sites)] * rng.choice([-1, 1], size=(n_sites, 1))
        shifts = dict.fromkeys(kind.mu, 2 * of)
    evidence = {
        m: mu * np.eye(n_classes)[y] + rng.normal(size=(n, n_classes)) + shifts[m][site] for m, mu in kind.mu.items()
    }
    own = own_noise(rng, n, n_classes)
    fold = site % N_FOLDS if kind.whole else own_folds(y, seed=int(rng.integers(2**31)))
    return Drawn(kind, y, site, fold, evidence, own)


def own_noise(rng: np.random.Generator, n: int, n_classes: int) -> dict[tuple[str, str], np.ndarray]:
    """What each model adds to the evidence of each modality that it reads, (n, C) of variance `OWN`."""
    reads = [(model, modality) for model in MODELS for modality in sorted(catalog.get(model).modalities)]
    return {key: np.sqrt(OWN) * rng.normal(size=(n, n_classes)) for key in reads}


_WHOLE = {"whole": True, "intercept": 0.5, "spread": 0.4}
_NONE, _RNA = {"image": 0.0, "expression": 0.0}, {"image": 0.0, "expression": 0.9}
_ALL = ("metrics", "choice", "operating", "conformal")
KINDS = (
    Kind(name="two classes, n 40", n=40, measures=(*_ALL, "subgroups")),
    Kind(name="two classes, n 72", n=72, measures=(*_ALL, "subgroups", "use")),
    Kind(name="two classes, n 150", n=150, measures=_ALL),
    Kind(name="two classes, n 400", n=400, measures=_ALL),
    Kind(name="rare class (10 %), n 150", n=150, prevalence=(0.9, 0.1), measures=(*_ALL, "subgroups")),
    Kind(name="three classes, n 150", n=150, prevalence=(0.5, 0.3, 0.2), measures=_ALL),
    Kind(name="6 sites kept whole, n 150", n=150, sites=6, **_WHOLE, measures=_ALL),
    Kind(name="20 sites kept whole, n 150", n=150, sites=20, **_WHOLE, measures=(*_ALL, "subgroups")),
    Kind(name="no signal, n 40", n=40, mu=_NONE, measures=("nothing",)),
    Kind(name="no signal, n 72", n=72, mu=_NONE, measures=("nothing", "null", "even")),
    Kind(name="no signal, rare class (10 %), n 150", n=150, prevalence=(0.9, 0.1), mu=_NONE, measures=("nothing",)),
    Kind(name="no signal, 6 sites kept whole, n 72", n=72, mu=_NONE, sites=6, **_WHOLE, measures=("nothing",)),
    Kind(name="no signal, 20 sites kept whole, n 150", n=150, mu=_NONE, sites=20, **_WHOLE, measures=("nothing",)),
    Kind(name="RNA alone carries it, n 72", n=72, mu=_RNA, measures=("one_modality",)),
    Kind(name="RNA alone carries it, n 150", n=150, mu=_RNA, measures=("one_modality",)),
    Kind(
        name="the site alone carries it, n 72", n=72, mu=_NONE, sites=6, site_only=True, measures=("site_only", "null")
    ),
    Kind(name="sites without a say, n 72", n=72, sites=6, measures=("sites",)),
    Kind(name="sites shift scores, not labels, n 150", n=150, sites=6, intercept=0.7, measures=("sites",)),
)
