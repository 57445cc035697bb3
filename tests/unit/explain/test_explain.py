"""What drives the classes, what was tested, and what is shown of each patient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from histoweave.errors import InputError
from histoweave.explain.classes import class_means, gene_set_sums, gene_set_table, gene_table, learned_sets, matrix
from histoweave.explain.concepts import concept_table, contributions, interactions
from histoweave.explain.explain import chosen_sets
from histoweave.explain.patients import calls, patient_table, token_leaders
from histoweave.explain.truth import planted_genes
from histoweave.explain.verdicts import over_patients, table_of_tests, verdict
from histoweave.sae.model import SparseAutoencoder
from histoweave.sae.tokens import Tokens, slide_blocks
from histoweave.simulate.expression import LOWERED, RAISED

HOW = {"draws": 500, "confidence": 0.95, "seed": 1}


def attributions(n: int = 24, *, genes=("A", "B", "C", "D"), seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """`patient`, `gene`, `token`, `a_neg`, `a_pos`; the first half of the patients are negative."""
    rng = np.random.default_rng(seed)
    ids = [f"p{i:02d}" for i in range(n)]
    index = pd.MultiIndex.from_product([ids, genes])
    table = index.to_frame(index=False, name=["patient", "gene"])
    table["token"] = table["gene"].map({gene: i // 2 for i, gene in enumerate(genes)})
    table["a_pos"] = rng.normal(size=len(table)) + table["gene"].map({gene: -float(i) for i, gene in enumerate(genes)})
    table["a_neg"] = -table["a_pos"]
    return table, pd.Series(["neg"] * (n // 2) + ["pos"] * (n - n // 2), index=ids)


# ---------------------------------------------------------------- classes


def test_means_are_over_the_patients_of_the_class_ranked_by_magnitude():
    genes, labels = attributions()
    table = gene_table(genes, labels, ["neg", "pos"], **HOW)
    assert list(table) == ["class", "gene", "mean", "ci_low", "ci_high", "rank", "n"]
    own = genes[genes["patient"].map(labels) == "pos"].groupby("gene")["a_pos"].mean()
    found = table[table["class"] == "pos"].set_index("gene")
    pd.testing.assert_series_equal(found["mean"], own, check_names=False, check_like=True)
    assert found["rank"].tolist() == [1, 2, 3, 4] and found["mean"].abs().is_monotonic_decreasing
    assert (found["ci_low"] < found["mean"]).all() and (found["mean"] < found["ci_high"]).all()
    assert (found["n"] == 12).all()


def test_intervals_are_those_of_drawing_patients():
    values = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 1)), columns=["A"])
    row = class_means(values, draws=4000, confidence=0.95, seed=1).loc["A"]
    half = 1.96 * values["A"].std() / np.sqrt(40)
    assert row["ci_high"] - row["mean"] == pytest.approx(half, rel=0.15)
    few = class_means(values.head(9), **HOW).loc["A"]
    assert np.isnan(few["ci_low"]) and few["mean"] == pytest.approx(values["A"].head(9).mean())


def test_a_gene_that_reached_few_patients_is_not_ranked():
    values = pd.DataFrame({"A": np.ones(20), "B": [5.0] * 9 + [np.nan] * 11, "C": [2.0] * 10 + [np.nan] * 10})
    table = class_means(values, **HOW)
    assert table.index.tolist() == ["C", "A"] and table["n"].tolist() == [10, 20]
    assert table["mean"].tolist() == [2, 1]
    assert class_means(values[[]], **HOW).empty


def test_gene_sets_are_sums_and_name_their_leading_genes():
    genes, labels = attributions()
    sets = {"both": ["A", "D", "unknown"], "one": ["B"], "none": ["unknown"]}
    means = gene_table(genes, labels, ["neg", "pos"], **HOW)
    table = gene_set_table(genes, means, labels, sets, ["neg", "pos"], **HOW)
    assert list(table) == ["class", "gene_set", "genes", "mean", "ci_low", "ci_high", "rank", "n_genes", "n"]
    found = table[table["class"] == "pos"].set_index("gene_set")
    wide = matrix(genes, "a_pos").loc[labels.index[labels == "pos"]]
    assert set(found.index) == {"both", "one"} and found.loc["both", "n_genes"] == 2
    assert found.loc["both", "mean"] == pytest.approx((wide["A"] + wide["D"]).mean())
    assert found.loc["both", "genes"] == "D; A"


def test_learned_groups_are_the_tokens_of_the_genes():
    genes, _ = attributions()
    assert learned_sets(genes) == {"group 0": ["A", "B"], "group 1": ["C", "D"]}
    assert learned_sets(genes.head(0)) == {}


def test_gene_sets_that_hold_none_of_the_genes_are_refused(tmp_path):
    """Otherwise the table of gene sets would be empty, and nobody would know why."""
    genes, _ = attributions()
    (tmp_path / "sets.gmt").write_text("one\t\tENSG00000141510.18\n")
    with pytest.raises(InputError, match=r"sets.gmt: none of its genes .*the gene sets Ensembl gene ids"):
        chosen_sets(str(tmp_path / "sets.gmt"), genes, pd.DataFrame())
    (tmp_path / "sets.gmt").write_text("one\t\tENSG00000141510.18\tA\n")
    assert chosen_sets(str(tmp_path / "sets.gmt"), genes, pd.DataFrame()) == {"one": ["ENSG00000141510", "A"]}


# ---------------------------------------------------------------- the truth and the verdicts


def test_recall_counts_planted_genes_among_the_first_twenty():
    planted, others = [*RAISED, *LOWERED][:10], [f"SIM{i}" for i in range(90)]
    genes, labels = attributions(genes=(*planted, *others))
    genes["a_pos"] = np.where(genes["gene"].isin(planted[:8]), 3.0, 0.0)
    genes["a_pos"] += genes["gene"].map({gene: i / 1000 for i, gene in enumerate([*planted, *others])})
    found = planted_genes(genes, labels, positive="pos", **HOW)
    assert found["estimate"] == pytest.approx(0.8) and found["n_planted"] == 10 and found["n"] == 12
    assert found["chance"] == pytest.approx(0.2) and found["ci_low"] == found["ci_high"] == pytest.approx(0.8)
    none = planted_genes(genes[genes["gene"].isin(others)], labels, positive="pos", **HOW)
    assert np.isnan(none["estimate"]) and none["n_planted"] == 0


def test_a_verdict_is_passed_if_the_whole_interval_beats_chance():
    numbers = {"estimate": 0.6, "ci_low": 0.55, "ci_high": 0.65, "n": 30}
    row = verdict("planted_tiles_auroc", "image", "attention", **numbers, chance=0.5)
    assert row["passed"] and "AUROC 0.60 (0.55 to 0.65, 30 patients)" in row["says"]
    row = verdict("planted_tiles_auroc", "image", "attention", **numbers, chance=0.56)
    assert not row["passed"] and "is not shown to" in row["says"]
    row = verdict("deletion_gain", "image", "attention", estimate=0.01, ci_low=-0.1, ci_high=0.1, n=30)
    assert not row["passed"] and "attention is not faithful" in row["says"]
    row = verdict("stability", "image", "attribution", estimate=0.9, ci_low=np.nan, ci_high=np.nan, n=5)
    assert not row["passed"] and "too few patients (5)" in row["says"]


def test_the_table_of_tests():
    rng = np.random.default_rng(0)
    ids = [f"p{i}" for i in range(30)]
    gains = pd.concat(
        [
            pd.DataFrame({"patient": ids, "modality": "image", "direction": "deletion", "order": order, "gain": gain})
            for order, gain in (("attribution", rng.normal(0.3, 0.1, 30)), ("attention", rng.normal(0, 0.1, 30)))
        ]
    )
    stability = pd.DataFrame({"patient": ids, "modality": "expression", "spearman": [np.nan, *np.full(29, 0.5)]})
    table = table_of_tests(gains, stability, [], **HOW).set_index(["test", "modality", "order"])
    assert table.loc[("deletion_gain", "image", "attribution"), "passed"]
    assert not table.loc[("deletion_gain", "image", "attention"), "passed"]
    assert table.loc[("stability", "expression", "attribution"), "n"] == 29
    assert over_patients(np.array([np.nan]), **HOW)["n"] == 0
    empty = table_of_tests(gains.head(0), stability.head(0), [], **HOW)
    assert empty.empty and list(empty)[-1] == "says"


# ---------------------------------------------------------------- patients


def test_calls_and_what_is_shown_of_a_patient():
    predictions = pd.DataFrame(
        {
            "patient": ["p1", "p0", "p2"], "fold": [0, 1, 1], "role": ["test", "test", "val"],
            "y_true": ["neg", "pos", "neg"], "p_neg": [0.3, 0.1, 0.5], "p_pos": [0.7, 0.9, 0.5],
        }
    )  # fmt: skip
    called = calls(predictions, ["neg", "pos"])
    assert called.index.tolist() == ["p0", "p1"] and called["called"].tolist() == ["pos", "pos"]
    assert called["p_called"].tolist() == [0.9, 0.7]
    tiles = pd.DataFrame(
        {
            "patient": "p0", "slide": "s", "x_lv0": [0, 1, 2], "y_lv0": 0, "attention": 0.3,
            "a_neg": [1.0, 2, 3], "a_pos": [5.0, 7, 6], "cross_0": [0.1, 0.2, 0.7], "cross_1": [0.3, 0.3, 0.4],
        }
    )  # fmt: skip
    genes, _ = attributions(2)
    table = patient_table(tiles, genes[genes["patient"] == "p00"].assign(patient="p0"), called, top_tiles=2)
    row = table.iloc[0]
    assert [t["x_lv0"] for t in row["top_tiles"]] == [1, 2] and row["top_tiles"][0]["score"] == 7
    assert row["bottom_tiles"] == []  # the last by rank speak for the call as well
    assert row["cross"] == [[0.2, 0.7], [0.3, 0.4]] and len(row["token_genes"]) == 2
    sizes = [abs(gene["attribution"]) for gene in row["top_genes"]]
    assert len(sizes) == 4 and sizes == sorted(sizes, reverse=True)
    other = table.iloc[1]
    assert not (other["top_tiles"] or other["top_genes"] or other["cross"] or other["token_genes"])


@pytest.mark.parametrize(
    ("scores", "top", "bottom"),
    [
        ([3.0, 2, 1, -1], [0, 1], [3]),
        ([-3.0, -2, -1, 0], [], [0, 1]),
        ([0.0, 0, 0, 0], [], []),
        ([1.0, 2, 3, 4], [3, 2], []),
        ([-1.0, 5, -2, -3], [1], [3, 2]),
    ],
)
def test_tiles_stand_on_the_side_of_their_sign(scores, top, bottom):
    called = pd.DataFrame(
        {"y_true": ["pos"], "called": ["pos"], "p_called": [0.9], "fold": [0]}, index=pd.Index(["p"], name="patient")
    )
    tiles = pd.DataFrame({"patient": "p", "slide": "s", "x_lv0": range(4), "y_lv0": 0, "a_pos": scores})
    tiles = tiles.assign(a_neg=-tiles["a_pos"], cross_0=[0.1, 0.2, 0.3, 0.4])
    row = patient_table(tiles, attributions(2)[0], called, top_tiles=2).iloc[0]
    assert [tile["x_lv0"] for tile in row["top_tiles"]] == top
    assert [tile["x_lv0"] for tile in row["bottom_tiles"]] == bottom
    assert row["cross"] == ([[tiles["cross_0"][i] for i in top]] if top else [])


def test_leading_genes_of_a_token():
    genes, _ = attributions(genes=("A", "B", "C", "D", "E", "F", "G", "H", "I", "J"))
    genes["token"] = (genes["gene"] > "E").astype(int)
    assert token_leaders(genes) == ["E, D, C", "J, I, H"]


# ---------------------------------------------------------------- concepts


def dictionary(dim: int) -> SparseAutoencoder:
    """One concept per feature: it fires where the feature is positive."""
    eye, zero = torch.eye(dim), torch.zeros(dim)
    return SparseAutoencoder(architecture="standard", w_enc=eye, b_enc=zero, w_dec=eye, b_dec=zero)


@pytest.fixture
def slides(tmp_path):
    """Six features per tile, of which the last never fires; two slides of the first patient."""
    import h5py

    rng = np.random.default_rng(0)
    features, rows, files = {}, [], {}
    for i in range(30):
        for number in range(2 if i == 0 else 1):
            slide = f"s{i:02d}-{number}"
            values = np.maximum(rng.normal(size=(8, 6)), 0).astype(np.float32)
            values[:, 5] = -1
            files[slide] = str(tmp_path / f"{slide}.h5")
            with h5py.File(files[slide], "w") as file:
                file["features"] = values
            features[slide] = values
            part = pd.DataFrame({"patient": f"p{i:02d}", "slide": slide, "x_lv0": np.arange(8), "y_lv0": 0})
            rows.append(part.assign(a_pos=rng.normal(size=8)))
    tiles = pd.concat(rows, ignore_index=True)
    return tiles.assign(a_neg=-tiles["a_pos"]), features, Tokens(slide_blocks(files))


def found_in(slides):
    tiles, _, tokens = slides
    return contributions(tiles, tokens=tokens, sae=dictionary(6), classes=["neg", "pos"], device=torch.device("cpu"))


def test_a_tiles_attribution_is_shared_out_among_its_active_concepts(slides):
    tiles, features, _ = slides
    found = found_in(slides)
    assert found["pos"].columns.tolist() == [0, 1, 2, 3, 4] and len(found["pos"]) == 30
    own = tiles[tiles["patient"] == "p00"]
    f = np.maximum(np.concatenate([features[slide] for slide in own["slide"].unique()]), 0)
    sums = f.sum(axis=1, keepdims=True)
    shares = np.divide(f, sums, out=np.zeros_like(f), where=sums > 0)
    np.testing.assert_allclose(found["pos"].loc["p00"], (own["a_pos"].to_numpy() @ shares)[:5], rtol=1e-6)
    np.testing.assert_allclose(found["neg"], -found["pos"])
    active = own["a_pos"][sums[:, 0] > 0].sum()
    assert found["pos"].loc["p00"].sum() == pytest.approx(active)


def test_features_that_changed_since_are_refused(slides):
    tiles, _, tokens = slides
    with pytest.raises(InputError, match=r"s00-0.*explain the folds again"):
        contributions(tiles.iloc[1:], tokens=tokens, sae=dictionary(6), classes=["pos"], device=torch.device("cpu"))


def test_concepts_of_a_class_and_their_interaction_with_gene_sets(slides):
    found = found_in(slides)
    labels = pd.Series(["neg"] * 15 + ["pos"] * 15, index=found["pos"].index)
    concepts = concept_table(found, labels, **HOW)
    assert list(concepts) == ["class", "concept", "mean", "ci_low", "ci_high", "rank", "n"]
    assert concepts["concept"].dtype == np.int64 and (concepts["n"] == 15).all()
    genes, _ = attributions(25)  # five patients have no RNA
    sets = {"ab": ["A", "B"], "c": ["C"]}
    table = interactions(found, concepts, genes, sets, **HOW)
    assert list(table) == ["class", "concept", "gene_set", "interaction", "ci_low", "ci_high", "n"]
    assert (table["n"] == 25).all() and len(table) == 2 * 5 * 2
    row = table[(table["class"] == "pos") & (table["concept"] == 3) & (table["gene_set"] == "ab")].iloc[0]
    sums = gene_set_sums(genes, sets, "a_pos")["ab"]
    assert row["interaction"] == pytest.approx(np.corrcoef(found["pos"].loc[sums.index, 3], sums)[0, 1])
    assert row["ci_low"] < row["interaction"] < row["ci_high"]
    assert interactions(found, concepts, genes.head(0), {}, **HOW).empty


def test_an_interaction_that_is_there_is_found(slides):
    found = found_in(slides)
    concepts = concept_table(found, pd.Series("pos", index=found["pos"].index), **HOW)
    genes, _ = attributions(30)
    genes.loc[genes["gene"] == "C", "a_pos"] = 2 * found["pos"][1].to_numpy() * 1e-6
    table = interactions(found, concepts, genes, {"c": ["C"]}, **HOW)
    row = table[(table["class"] == "pos") & (table["concept"] == 1)].iloc[0]
    assert row["interaction"] == pytest.approx(1) and row["ci_low"] == pytest.approx(1)
