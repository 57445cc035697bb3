"""What `coverage.py` asks of sentences: is something said of a drawn cohort that is not true?

Functions as those of `coverage_measures.py`; names that begin with `false: ` are findings that are not true.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from coverage_cohorts import BESIDE, MAIN, MODELS, Drawn, draw, own_noise
from coverage_measures import BOTH, SETTINGS, TITLES, Found, Truth, chosen, equals, families, holds, says

from histoweave.cohort.shuffles import exchange_groups, shuffle_labels
from histoweave.decide.subgroups import subgroups
from histoweave.decide.wording import subgroup_finding
from histoweave.evaluation.choice import MODELS as OF_MODELS
from histoweave.evaluation.choice import class_counts
from histoweave.evaluation.conclusion import AT_CHANCE, FUSION, ONE_MODALITY, SITE, TOO_FEW, UNDECIDED, conclude
from histoweave.evaluation.confounding import confounding
from histoweave.evaluation.confounding_wording import verdicts
from histoweave.evaluation.evaluate import COMPARED, evaluate
from histoweave.evaluation.held_out import own_folds
from histoweave.evaluation.null import MATCHED, PLAIN, null_table, scores, summarise
from histoweave.evaluation.site_check import evaluate_sites
from histoweave.fusion import catalog
from histoweave.settings.evaluation import Evaluation

SHUFFLES = 20
# Intervals of many groups at once end in tails that 1000 draws hardly reach: as many as the configuration's default.
MANY_DRAWS = SETTINGS.model_copy(update={"bootstrap": Evaluation().bootstrap})
ONE_OF_EACH = ("image", "expression", "cross_attention")


def _conclusion(drawn: Drawn, table: pd.DataFrame, **more) -> str:
    counts = class_counts(drawn.table(MODELS[:1]), drawn.kind.classes)
    models = [catalog.get(model) for model in MODELS]
    whole = "site" if drawn.kind.whole else "patient"
    return conclude(table, models=models, counts=counts, confidence=SETTINGS.confidence, group_by=whole, **more).kind


def nothing(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """No model knows anything."""
    table = chosen(drawn, seed)
    kind = _conclusion(drawn, table)
    return (
        families(table, truth)
        | equals(table)
        | {"false: conclusion finds something": float(kind not in (AT_CHANCE, TOO_FEW))}
    )


def even(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """Comparisons of models without a difference, each by itself."""
    found = evaluate(
        drawn.table((BESIDE, MAIN)), patients=drawn.patients()[["patient"]], classes=drawn.kind.classes,
        order=[BESIDE, MAIN], modalities=BOTH, settings=SETTINGS, seed=seed,
    )  # fmt: skip
    rows = found["comparisons"]
    # Of calls at a threshold the truth differs a little between models, so only rankings have no difference.
    return {f"false: better or worse, {m}": says(rows[rows["metric"] == m]) for m in COMPARED[:2]}


def one_modality(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """RNA carries everything that there is to know."""
    table = chosen(drawn, seed)
    kind = _conclusion(drawn, table)
    return families(table, truth) | {"false: conclusion says fusion": float(kind == FUSION)}


def groups(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """Groups that have nothing to do with anything."""
    rng = np.random.default_rng([seed, 0x6])
    patients = drawn.patients().assign(sex=rng.choice(["f", "m"], len(drawn.y)), age=rng.normal(60, 10, len(drawn.y)))
    _, differences = subgroups(
        drawn.table((MAIN,)), patients=patients, columns=["sex", "age"], classes=drawn.kind.classes, settings=MANY_DRAWS,
        seed=seed,
    )  # fmt: skip
    said = subgroup_finding(differences, TITLES[MAIN])
    return {"false: a subgroup differs": float("exclude 0; the largest" in said)}


def _confounding(drawn: Drawn, seed: int, whole_sites: pd.DataFrame | None = None) -> pd.DataFrame:
    rows = drawn.table(ONE_OF_EACH)
    return confounding(
        rows, patients=drawn.patients(), folds=rows[["patient", "repeat", "fold", "role"]].drop_duplicates(),
        by_patient=True, slides=None, expression=None, whole_sites=whole_sites, classes=drawn.kind.classes,
        models=list(ONE_OF_EACH), modalities=BOTH, settings=SETTINGS, seed=seed,
    )  # fmt: skip


def sites(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """Sites that have nothing to do with the label; scores know the site where it shifts them."""
    kind, table = drawn.kind, _confounding(drawn, seed)
    rows = table[table["model"].isin(["", MAIN])].set_index("question")
    within = rows.loc["label_within_column"]
    table_of_choice = chosen(drawn, seed)
    pooled = (
        table_of_choice[table_of_choice["family"] == OF_MODELS]
        .rename(columns={"model_a": "model"})
        .assign(metric="auroc", scope="pooled")
    )
    status = verdicts(table, pooled, titles={m: TITLES[m] for m in ONE_OF_EACH}, by_patient=True)[0].status
    out = {
        "interval: AUROC within sites": holds(within["ci_low"], within["ci_high"], kind.auroc(MAIN, within_site=True)),
        "interval: label from site": holds(*rows.loc["label_from_column", ["ci_low", "ci_high"]], 0.5),
        "false: the site predicts the label": float(status in ("explained", "associated")),
        "false: conclusion says site": float(_conclusion(drawn, table_of_choice, confounding=table) == SITE),
    }
    return out if kind.intercept else out | {"false: predictions tell the site": float(status == "told")}


def site_only(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """Nothing but the site is known, and the label depends on it."""
    kind = drawn.kind
    # Whole sites left out: another cohort of the kind, by models that do not know its sites.
    other = draw(kind, np.random.default_rng([seed, 0x8]), known=False)
    scored = [(model, other.table((model,)).drop(columns="model")) for model in (BESIDE, MAIN)]
    checked = evaluate_sites(
        scored, patients=other.patients(), how_folded={"group_by": "site", "feasible": True, "why": ""},
        classes=kind.classes, modalities=BOTH, settings=SETTINGS, seed=seed,
    )  # fmt: skip
    table = _confounding(drawn, seed, checked)
    within = table[(table["question"] == "label_within_column") & (table["model"] == MAIN)].iloc[0]
    concluded = _conclusion(drawn, chosen(drawn, seed), confounding=table)
    return {
        "interval: AUROC within sites": holds(within["ci_low"], within["ci_high"], 0.5),
        "false: conclusion claims more than the site": float(concluded in (FUSION, ONE_MODALITY, UNDECIDED)),
    }


def null(drawn: Drawn, truth: Truth, seed: int) -> Found:
    """The negative control: labels shuffled as the project does it, evidence kept, the models' own noise drawn anew."""
    kind, models = drawn.kind, (BESIDE, MAIN)
    patients = drawn.patients().assign(site=[f"S{s}" for s in drawn.site] if kind.sites else None)
    groups_of, _ = exchange_groups(patients)
    of = dict(zip(patients["patient"], groups_of, strict=True))
    true = pd.concat([scores(drawn.table((m,)), groups=of, classes=kind.classes).assign(model=m) for m in models])
    refits = []
    for shuffle in range(SHUFFLES):
        labels = shuffle_labels(patients["label"].to_numpy(), groups_of.to_numpy(), seed=seed, shuffle=shuffle)
        y, rng = pd.Index(kind.classes).get_indexer(labels), np.random.default_rng([seed, 0x9, shuffle])
        fold = own_folds(y, seed=int(rng.integers(2**31)))
        one = Drawn(kind, y, drawn.site, fold, drawn.evidence, own_noise(rng, *drawn.evidence["image"].shape))
        refits += [(m, one.table((m,)).assign(shuffle=shuffle)) for m in models]
    made = null_table(refits, groups=of, classes=kind.classes, modalities=BOTH)
    summary = summarise(made, true, order=list(models), confidence=SETTINGS.confidence).set_index(["metric", "model"])
    ok = [holds(*row, 0.5) for row in summary.loc[MATCHED][["mean_low", "mean_high"]].to_numpy()]
    return {
        "interval: control's means (simultaneous)": min(ok),
        "false: a leak": float(summary["leak"].any()),
        "false: control's p of 0.05 or less": float(summary.loc[(PLAIN, MAIN), "p"] <= 0.05),
    }
