"""The demo's tables, its hidden factors and its RNA."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from running import ROOT
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from histoweave.expression.genes import PAM50
from histoweave.expression.samples import choose_samples
from histoweave.ids import check_ids, is_tcga, tcga_patient
from histoweave.settings.cohorts import Simulate
from histoweave.simulate import demo_tables as demo
from histoweave.simulate.expression import (
    LOWERED,
    RAISED,
    _counts,
    _Genes,
    gene_names,
    write_expression,
    write_truth,
)
from histoweave.simulate.factors import Factors, factors, rng_for
from histoweave.simulate.scene import SITES
from histoweave.storage.files import read_table

DEMO = ROOT / "config" / "demo"
GOLDEN_DIGEST = "aaa8be88bd4afa32f5b8af336bd22184"
SETTINGS = Simulate(seed=6, without_rna=[demo.WITHOUT_RNA], duplicate_aliquot=[demo.DUPLICATE_ALIQUOT])


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    table, _ = demo.demo_tables()
    return table.assign(positive=table["label"] == demo.POSITIVE)


@pytest.fixture(scope="module")
def counts(patients, tmp_path_factory) -> pd.DataFrame:
    path = tmp_path_factory.mktemp("rna") / "expression.tsv.gz"
    write_expression(path, patients=patients, settings=SETTINGS)
    return pd.read_csv(path, sep="\t", index_col="gene")


@pytest.mark.parametrize("which, name", [(0, "patients.tsv"), (1, "slides.tsv")])
def test_the_committed_tables_are_those_of_the_code(which, name):
    table = demo.demo_tables()[which]
    assert (DEMO / name).read_text(encoding="utf-8") == table.to_csv(sep="\t", index=False, lineterminator="\n")


def test_the_demo_holds_the_cases_it_is_meant_to_hold():
    patients, slides = demo.demo_tables()
    check_ids(patients["patient"], file="patients", column="patient")
    check_ids(slides["slide"], file="slides", column="slide")
    assert patients["label"].value_counts().to_dict() == {"Luminal": 36, "Basal_Her2": 24}
    assert patients["site"].value_counts().to_dict() == {"ZA": 20, "ZB": 16, "ZC": 14, "ZD": 10}
    assert patients["patient"].map(is_tcga).all()
    assert (slides["slide"].map(tcga_patient) == slides["patient"]).all()
    per_patient = slides["patient"].value_counts()
    two = {*demo.SECOND_SLIDE, demo.EXTRA_NO_TISSUE, demo.EXTRA_TRUNCATED}
    assert set(per_patient[per_patient == 2].index) == two and per_patient.max() == 2
    assert set(patients["patient"]) - set(slides["patient"]) == {demo.WITHOUT_SLIDE}
    override = slides[slides["mpp"] != ""]
    assert override["patient"].tolist() == [demo.NO_MPP]
    assert float(override["mpp"].item()) == SITES[demo.NO_MPP[5:7]].mpp
    special = [demo.NO_MPP, *two, demo.WITHOUT_SLIDE, demo.WITHOUT_RNA, demo.DUPLICATE_ALIQUOT]
    assert len(special) == len(set(special)) and set(special) <= set(patients["patient"])


def test_a_label_is_positive_exactly_if_both_factors_are_there():
    assert factors("p", positive=True, seed=1) == Factors(image=True, rna=True)
    drawn = [factors(f"p{i}", positive=False, seed=1) for i in range(4000)]
    assert Factors(True, True) not in drawn
    for kind, share in (
        (Factors(True, False), 0.4),
        (Factors(False, True), 0.4),
        (Factors(False, False), 0.2),
    ):
        assert drawn.count(kind) / len(drawn) == pytest.approx(share, abs=0.03)


def test_generators_depend_on_their_names_alone():
    assert rng_for(1, "a").integers(2**62) == rng_for(1, "a").integers(2**62)
    # The parts are kept apart: ("ab", "c") is not ("a", "bc").
    seeds = [(1, "a"), (1, "b"), (2, "a"), ("ab", "c"), ("a", "bc"), ("a", "b", "c")]
    assert len({int(rng_for(*parts).integers(2**62)) for parts in seeds}) == len(seeds)
    # SHA-256 of b"1\x1fa", first 16 bytes, little endian: the same on every machine.
    golden = np.random.default_rng(int.from_bytes(bytes.fromhex(GOLDEN_DIGEST), "little"))
    assert rng_for(1, "a").integers(2**62) == golden.integers(2**62)


def test_the_truth_table_agrees_with_the_labels(patients, tmp_path):
    write_truth(tmp_path / "truth.parquet", patients=patients, settings=SETTINGS)
    truth = read_table(tmp_path / "truth.parquet")
    assert list(truth) == ["patient", "label", "image_factor", "rna_factor"]
    assert truth["patient"].tolist() == sorted(patients["patient"])
    assert ((truth["image_factor"] & truth["rna_factor"]) == (truth["label"] == "Basal_Her2")).all()


def test_the_matrix_holds_counts_of_the_named_genes(counts):
    assert counts.shape[0] == SETTINGS.n_genes and counts.index.is_unique
    assert set(PAM50) <= set(counts.index) and {*RAISED, *LOWERED} <= set(PAM50)
    assert not set(RAISED) & set(LOWERED)
    assert (counts.dtypes == "int64").all() and (counts >= 0).all(axis=None)
    libraries = counts.sum()
    assert 2 < libraries.max() / libraries.min() < 5
    assert len(gene_names(100)) == 100


def test_every_patient_with_rna_keeps_one_primary_tumour_aliquot(counts, patients):
    samples = choose_samples(counts.columns, patients=set(patients["patient"]), tcga=True)
    kept = samples[samples["kept"]]
    assert set(patients["patient"]) - set(kept["patient"]) == {demo.WITHOUT_RNA}
    assert kept["patient"].is_unique and kept["sample"].str.contains("-01A-").all()
    lost = samples[~samples["kept"]]["sample"].tolist()
    assert lost == ["TCGA-ZA-0001-11A-11R-A001-07", f"{demo.DUPLICATE_ALIQUOT}-01B-11R-A001-07"]


def test_counts_are_negative_binomial():
    """Of many replicates of one profile: variance = mean + dispersion × mean², gene by gene."""
    genes = _Genes(Simulate(n_genes=100))
    flat = np.zeros(100)
    rng = np.random.default_rng(0)
    draws = np.stack([_counts(genes, log2_profile=flat, rng=rng) for _ in range(6000)])
    # The library is log-uniform on [3^-0.5, 3^0.5] times 500: first two moments in closed form.
    log_fold = np.log(3)
    first = (3**0.5 - 3**-0.5) / log_fold
    second = (3 - 1 / 3) / (2 * log_fold)
    mean = 500 * first
    variance = mean + 500**2 * ((1 + genes.dispersion) * second - first**2)
    assert draws.mean(axis=0) == pytest.approx(np.full(100, mean), rel=0.05)
    assert draws.var(axis=0) == pytest.approx(variance, rel=0.2)


def test_logistic_regression_reads_the_rna_factor_and_not_the_image_factor(counts, patients, tmp_path):
    write_truth(tmp_path / "truth.parquet", patients=patients, settings=SETTINGS)
    truth = read_table(tmp_path / "truth.parquet").set_index("patient")
    primary = counts[[c for c in counts if "-01A-" in c]]
    x = np.log2(primary / primary.sum() * 1e6 + 1).T.to_numpy()
    truth = truth.loc[[c[:12] for c in primary]]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=5000))

    def auroc(x: np.ndarray, y: np.ndarray) -> float:
        folds = StratifiedKFold(4, shuffle=True, random_state=0)
        return roc_auc_score(y, cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1])

    assert auroc(x, truth["rna_factor"].to_numpy()) >= 0.97
    # RNA alone cannot tell a negative patient with the RNA factor from a positive one.
    both = truth["rna_factor"].to_numpy()
    assert 0.2 < auroc(x[both], truth["image_factor"].to_numpy()[both]) < 0.8


def test_equal_arguments_give_equal_bytes_and_a_new_patient_changes_no_other(counts, patients, tmp_path):
    write_expression(tmp_path / "a.tsv.gz", patients=patients, settings=SETTINGS)
    write_expression(tmp_path / "b.tsv.gz", patients=patients.sample(frac=1, random_state=0), settings=SETTINGS)
    assert (tmp_path / "a.tsv.gz").read_bytes() == (tmp_path / "b.tsv.gz").read_bytes()
    new = pd.DataFrame({"patient": ["TCGA-ZD-0011"], "site": ["ZD"], "positive": [False]})
    write_expression(tmp_path / "c.tsv.gz", patients=pd.concat([patients, new]), settings=SETTINGS)
    grown = pd.read_csv(tmp_path / "c.tsv.gz", sep="\t", index_col="gene")
    assert grown.shape[1] == counts.shape[1] + 1
    pd.testing.assert_frame_equal(grown[counts.columns], counts)
