"""Modality use on tables in which each modality's effect is known."""

import numpy as np
import pandas as pd
import pytest
from evaluation_data import CLASSES, SETTINGS, predictions
from sklearn.metrics import roc_auc_score

from histoweave.evaluation.evaluate import pool
from histoweave.evaluation.modality import modality_use


def permuted_tables(table, *, uses, permutations=5):
    """Permuted predictions of one repeat; an unused modality leaves the prediction as it was."""
    columns = ["p_neg", "p_pos"]
    for modality in ("image", "expression"):
        for permutation in range(permutations):
            rows = table[["patient", "repeat", "y_true", *columns]].assign(modality=modality, permutation=permutation)
            if modality in uses:
                rows[columns] = np.roll(rows[columns].to_numpy(), permutation + 1, axis=0)
            yield rows


def use_of(tables, uses, *, drop=("repeat",)):
    permuted = [(m, rows) for m, table in tables.items() for rows in permuted_tables(table, uses=uses[m])]
    return modality_use(
        pool(tables.items()),
        pool(permuted).drop(columns=list(drop)),
        classes=CLASSES,
        settings=SETTINGS,
        seed=1,
    )


def test_modality_use():
    tables = {"a": predictions(signal=3), "b": predictions(signal=3, model_seed=1)}
    use = use_of(tables, {"a": ("image",), "b": ()}).set_index(["model", "modality", "metric"]).sort_index()
    assert len(use) == 2 * 2 * 5
    numbers = ["drop", "ci_low", "ci_high"]
    assert (use.loc[("a", "expression"), numbers] == 0).all(axis=None)
    assert (use.loc["b", numbers] == 0).all(axis=None)

    table, positive = tables["a"], tables["a"]["y_true"] == "pos"
    shuffled = [roc_auc_score(positive, np.roll(table["p_pos"], k + 1)) for k in range(5)]
    row = use.loc[("a", "image", "auroc")]
    assert row["intact"] == pytest.approx(roc_auc_score(positive, table["p_pos"]))
    assert row["permuted"] == pytest.approx(np.mean(shuffled))
    assert row["drop"] == pytest.approx(row["intact"] - row["permuted"])
    assert 0 < row["ci_low"] < row["drop"] < row["ci_high"]

    moved = np.mean([np.abs(np.roll(table["p_pos"], k + 1) - table["p_pos"]).mean() for k in range(5)])
    row = use.loc[("a", "image", "mean_abs_change")]
    assert row["intact"] == 0 and row["permuted"] == row["drop"] == pytest.approx(moved)
    calls = table["p_pos"] > table["p_neg"]
    changed = np.mean([(np.roll(calls, k + 1) != calls).mean() for k in range(5)])
    assert use.loc[("a", "image", "changed_calls"), "drop"] == pytest.approx(changed)


def test_rounding_of_another_batch_is_no_use():
    table = predictions().assign(p_pos=0.25, p_neg=0.75)  # all tied, so that the least change would rank them
    permuted = [("a", rows) for rows in permuted_tables(table, uses=())]
    noise = np.random.default_rng(0)
    for _, rows in permuted:
        rows["p_pos"] += noise.uniform(-5e-7, 5e-7, len(rows))
        rows["p_neg"] = 1 - rows["p_pos"]
    use = modality_use(pool([("a", table)]), pool(permuted), classes=CLASSES, settings=SETTINGS, seed=1)
    assert (use[["drop", "ci_low", "ci_high"]] == 0).all(axis=None)


def test_the_intact_predictions_are_those_on_the_same_tiles_where_there_are_such():
    """Without an exchange nothing is lost, even if the predictions from all tiles differ from those of the sample."""
    rng = np.random.default_rng(0)
    ids = [f"P{i}" for i in range(20)]
    truth = np.resize(CLASSES, 20)

    def table(p, **columns):
        rows = pd.DataFrame({"patient": ids, "y_true": truth, "p_neg": 1 - p, "p_pos": p}).assign(**columns)
        return rows.assign(role="test", repeat=0, fold=0)

    on_sample, on_all = rng.random(20), rng.random(20)
    permuted = pd.concat([table(on_sample, modality=m, permutation=0) for m in ("none", "image")], ignore_index=True)
    given = {"classes": CLASSES, "settings": SETTINGS, "seed": 1}
    with_own = modality_use(pool([("a", table(on_all))]), pool([("a", permuted)]), **given)
    assert set(with_own["modality"]) == {"image"} and (with_own["drop"] == 0).all()
    without = pool([("a", permuted[permuted["modality"] == "image"])])
    assert (modality_use(pool([("a", table(on_all))]), without, **given)["drop"] != 0).any()


def test_modality_use_of_the_complete_patients_alone():
    table = predictions(signal=2)
    use = modality_use(
        pool([("a", table)]),
        pool([("a", rows) for rows in permuted_tables(table.head(30), uses=("image",))]),
        classes=CLASSES,
        settings=SETTINGS,
        seed=1,
    )
    part = table.head(30)
    assert (use["n"] == 30).all()
    assert use["intact"].iloc[0] == pytest.approx(roc_auc_score(part["y_true"] == "pos", part["p_pos"]))


def test_modality_use_over_repeats():
    table = predictions(repeats=2, signal=2)
    with pytest.raises(ValueError, match="column 'repeat'"):
        use_of({"a": table}, {"a": ("image",)})
    use = use_of({"a": table}, {"a": ("image",)}, drop=()).iloc[0]
    each = [roc_auc_score(rows["y_true"] == "pos", rows["p_pos"]) for _, rows in table.groupby("repeat")]
    assert use["intact"] == pytest.approx(np.mean(each)) and use["n"] == 48


def test_modality_use_refuses_permutations_of_other_patients():
    table = predictions()
    permuted = pool([("a", rows) for rows in permuted_tables(table, uses=())])
    with pytest.raises(ValueError, match="same patients"):
        modality_use(pool([("a", table)]), permuted.iloc[1:], classes=CLASSES, settings=SETTINGS, seed=1)


def test_modality_use_of_nothing_is_an_empty_table():
    table = predictions()
    nothing = next(permuted_tables(table, uses=())).head(0)
    use = modality_use(pool([("a", table)]), pool([("a", nothing)]), classes=CLASSES, settings=SETTINGS, seed=1)
    assert use.empty and use["drop"].dtype == float and "ci_high" in use
