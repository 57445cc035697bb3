"""What `coverage.py` asks of intervals: does that of a drawn cohort hold the truth?

Each function returns measure → 1 or 0 (NaN: the project gives no interval).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from coverage_cohorts import BESIDE, MAIN, MODELS, N_FOLDS, Drawn, Kind, draw

from histoweave.decide.conformal import conformal_scores, coverage, cross_sets, threshold
from histoweave.evaluation.choice import FUSION_SINGLE, PAIRS, choose
from histoweave.evaluation.choice import MODELS as OF_MODELS
from histoweave.evaluation.evaluate import evaluate
from histoweave.evaluation.held_out import own_folds
from histoweave.evaluation.metrics import METRICS
from histoweave.evaluation.modality import modality_use
from histoweave.evaluation.operating import operating_points
from histoweave.evaluation.wording import finding
from histoweave.fusion import catalog
from histoweave.settings.evaluation import Evaluation

BOTH = list(catalog.MODALITIES)
SETTINGS = Evaluation(bootstrap=1000)
SCORED = ("auroc", "average_precision", "accuracy", "balanced_accuracy", "f1_macro", "brier")
LEVEL, PERMUTATIONS = 0.9, 20
HUGE, PER_SITE = 200_000, 20
TITLES = {model: catalog.get(model).title for model in MODELS}
Found = dict[str, float]


@dataclass(frozen=True)
class Truth:
    """What is true in the population of a kind: metrics of each model, and the huge draw behind them."""

    metrics: dict[str, dict[str, float]]
    y: np.ndarray
    p: np.ndarray  # of MAIN
    drop: dict[str, float]  # of the AUROC of MAIN by a modality of somebody else

    def auroc(self, model: str) -> float:
        return self.metrics[model]["auroc"]


def truth_of(kind: Kind, *, seed: int) -> Truth:
    """By one huge draw of 200,000 patients (20 per site where there are sites); AUROCs of two classes by their closed form."""
    rng = np.random.default_rng([seed, 0x7])
    huge = draw(kind, rng, n=HUGE, sites=HUGE // PER_SITE if kind.sites else None)
    once = np.ones((1, HUGE))
    metrics = {}
    for model in MODELS:
        names = SCORED if model in (MAIN, BESIDE) else ("auroc",)
        p = huge.p(model)
        metrics[model] = {name: float(METRICS[name](huge.y, p, once)[0]) for name in names}
        if len(kind.prevalence) == 2 and not kind.site_only:
            metrics[model]["auroc"] = kind.auroc(model)
    drop = {}
    if "use" in kind.measures:
        # Exchanged among as many as a test fold has.
        size = kind.n // N_FOLDS
        for modality in BOTH:
            donor = np.concatenate([at + _exchanged(rng, min(size, HUGE - at)) for at in range(0, HUGE, size)])
            p = huge.p(MAIN, {modality: donor})
            intact = METRICS["auroc"](huge.y, huge.p(MAIN), once)[0]
            drop[modality] = float(intact) - float(METRICS["auroc"](huge.y, p, once)[0])
    return Truth(metrics, huge.y, huge.p(MAIN), drop)


def _exchanged(rng: np.random.Generator, n: int) -> np.ndarray:
    """A random cycle, as that of the modality use: nobody keeps the own."""
    cycle, other = rng.permutation(n), np.empty(n, dtype=int)
    other[cycle] = np.roll(cycle, 1)
    return other


def holds(low: float, high: float, true: float) -> float:
    return np.nan if np.isnan(low) else float(low - 1e-9 <= true <= high + 1e-9)


def metrics(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """Intervals of `evaluate`: six metrics of the main model, and its differences to a model of one modality."""
    kind = drawn.kind
    found = evaluate(
        drawn.table((BESIDE, MAIN)), patients=drawn.patients()[["patient"]], classes=kind.classes, order=[BESIDE, MAIN],
        modalities=BOTH, settings=SETTINGS, seed=seed,
    )  # fmt: skip
    table = found["metrics"]
    own = table[(table["model"] == MAIN) & (table["scope"] == "pooled")].set_index("metric")
    out = {}
    for name in SCORED:
        row = own.loc[name]
        out[f"interval: {name}"] = holds(row["ci_low"], row["ci_high"], truth.metrics[MAIN][name])
    for row in found["comparisons"].to_dict("records"):
        true = truth.metrics[row["model_a"]][row["metric"]] - truth.metrics[row["model_b"]][row["metric"]]
        out[f"interval: difference of {row['metric']}"] = holds(row["ci_low"], row["ci_high"], true)
    return out


def chosen(drawn: Drawn, seed: int) -> pd.DataFrame:
    return choose(
        drawn.table(), classes=drawn.kind.classes, order=MODELS, modalities=BOTH, settings=SETTINGS, seed=seed
    )


def families(table: pd.DataFrame, truth: Truth) -> Found:
    """Whether all intervals of a family hold at once."""
    true = [
        truth.auroc(a) - (truth.auroc(b) if b else 0.0) for a, b in zip(table["model_a"], table["model_b"], strict=True)
    ]
    ok = np.array([holds(*row) for row in zip(table["ci_low"], table["ci_high"], true, strict=True)])
    names = {
        OF_MODELS: "simultaneous AUROCs",
        FUSION_SINGLE: "simultaneous, fusion - single",
        PAIRS: "simultaneous, pairs",
    }
    return {
        f"interval: {name}": float(ok[(table["family"] == family).to_numpy()].min()) for family, name in names.items()
    }


def choice(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """Simultaneous intervals; models that are equally good are called different."""
    table = chosen(drawn, seed)
    return families(table, truth) | equals(table)


def equals(table: pd.DataFrame) -> Found:
    """A sentence says better or worse of two models that read the same, which are equally good here."""
    reads = {model: catalog.get(model).modalities for model in MODELS} | {"": None}
    same = table["model_a"].map(reads) == table["model_b"].map(reads)
    said = says(table[same].rename(columns={"estimate": "difference"}))
    return {"false: better or worse among equal models (simultaneous)": said}


def says(differences: pd.DataFrame) -> float:
    """Whether a sentence on any of the differences of AUROCs, or of their `metric`, says better or worse."""
    said = [finding({"metric": "auroc"} | row, TITLES) for row in differences.to_dict("records")]
    return float(any(" improves " in one or " worse, " in one for one in said))


def operating(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """Sensitivity and specificity at the folds' thresholds, against those of the population at the same thresholds."""
    kind = drawn.kind
    rows, folds = drawn.table((MAIN,)), []
    for fold in range(N_FOLDS):
        rest = rows[rows["fold"] != fold]
        val = rest[own_folds(drawn.y[drawn.fold != fold], seed=seed + fold) == 0]
        folds.append((MAIN, pd.concat([rows[rows["fold"] == fold], val.assign(fold=fold, role="val")])))
    tables = operating_points(folds, classes=kind.classes, modalities=BOTH, confidence=SETTINGS.confidence)
    label = tables["operating"]["class"].iloc[-1]
    code = kind.classes.index(label)
    points = tables["operating"].set_index(["class", "measure"]).loc[label]
    thresholds = tables["operating_thresholds"]
    thresholds = thresholds[(thresholds["class"] == label) & (thresholds["reason"] == "")]
    out = {}
    for measure, is_side in (("sensitivity", drawn.y == code), ("specificity", drawn.y != code)):
        of = truth.p[(truth.y == code) == (measure == "sensitivity"), code]
        called = np.array(
            [(of >= t).mean() if measure == "sensitivity" else (of < t).mean() for t in thresholds["threshold"]]
        )
        sizes = np.array([(is_side & (drawn.fold == fold)).sum() for fold in thresholds["fold"]])
        row = points.loc[measure]
        true = (called * sizes).sum() / sizes.sum() if sizes.sum() else np.nan
        out[f"interval: {measure}"] = holds(row["ci_low"], row["ci_high"], true)
    return out


def conformal(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """The interval of the coverage of 90 % sets, against that of the same thresholds in the population."""
    kind, rows = drawn.kind, drawn.table((MAIN,))
    found = coverage(
        cross_sets(rows, kind.classes, [LEVEL]), patients=rows[["patient"]], classes=kind.classes,
        confidence=SETTINGS.confidence,
    )  # fmt: skip
    row = found[(found["kind"] == "marginal") & (found["scope"] == "pooled")].iloc[0]
    own = conformal_scores(rows, kind.classes)
    population = 1 - truth.p[np.arange(len(truth.y)), truth.y]
    limits = [threshold(own.loc[own["fold"] != fold, "score"].to_numpy(), LEVEL) for fold in range(N_FOLDS)]
    sizes = np.bincount(drawn.fold, minlength=N_FOLDS)
    true = float(np.average([(population <= limit + 1e-12).mean() for limit in limits], weights=sizes))
    return {
        "interval: coverage of 90 % sets": holds(row["ci_low"], row["ci_high"], true),
        "mean: true coverage of 90 % sets": true,
    }


def use(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """What the main model loses with a modality of another patient."""
    rng, ids = np.random.default_rng([seed, 0x5]), drawn.ids
    parts = []
    for modality in BOTH:
        for permutation in range(PERMUTATIONS):
            donor = np.arange(len(ids))
            for fold in range(N_FOLDS):
                of = np.flatnonzero(drawn.fold == fold)
                donor[of] = of[_exchanged(rng, len(of))]
            part = drawn.table((MAIN,), {MAIN: drawn.p(MAIN, {modality: donor})})
            parts.append(part.assign(modality=modality, permutation=permutation))
    table = modality_use(
        drawn.table((MAIN,)),
        pd.concat(parts, ignore_index=True),
        classes=drawn.kind.classes,
        settings=SETTINGS,
        seed=seed,
    )
    rows = table[table["metric"] == "auroc"].set_index("modality")
    return {
        f"interval: drop without {m}": holds(rows.loc[m, "ci_low"], rows.loc[m, "ci_high"], truth.drop[m]) for m in BOTH
    }
