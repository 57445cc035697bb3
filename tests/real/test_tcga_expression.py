"""Real TCGA-BRCA primary tumours, RNA only: the pipeline's expression arms against plain logistic regression.

References (stratified 5-fold logistic regression on log2(1 + RSEM) of the 50 PAM50 genes): five classes, n 581: accuracy
0.931, macro-F1 0.872, macro AUROC 0.986; Luminal against Basal/Her2: F1 0.958, AP 0.997.
"""

import pandas as pd
import pytest
import yaml
from running import SHARED, needs_shared_data, snakemake

from histoweave.storage.files import read_json, read_table

pytestmark = needs_shared_data
BELOW = 0.02
FIVE = {"accuracy": 0.931, "f1_macro": 0.872, "auroc": 0.986}
PAPER = {"f1": 0.958, "average_precision": 0.997}
ARMS = ["logistic_expression", "expression"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with the patients table: `PAM50Call_RNAseq` of primary tumours only."""
    folder = tmp_path_factory.mktemp("tcga")
    source = SHARED / "tcga_brca_pam50_rsem"
    clinical = pd.read_csv(source / "xena_BRCA_clinicalMatrix_columns.tsv", sep="\t", dtype=str)
    clinical = clinical[clinical["sample_type"] == "Primary Tumor"]
    clinical = clinical.assign(patient=clinical["sampleID"].str[:12])
    expression = pd.read_csv(source / "pam50_gene_expression.csv", usecols=["PATIENT_ID"])["PATIENT_ID"]
    clinical = clinical[clinical["patient"].isin(expression) & clinical["PAM50Call_RNAseq"].notna()]
    table = clinical.rename(columns={"PAM50Call_RNAseq": "label"})[["patient", "label", "gender"]]
    table.to_csv(folder / "patients.tsv", sep="\t", index=False)
    tiles = SHARED / "hist2rna_tcga_tiles"
    slides = [(f"{p.name}-tiles", p.name, str(p)) for p in sorted(tiles.iterdir()) if p.is_dir()]
    pd.DataFrame(slides, columns=["slide", "patient", "path"]).to_csv(folder / "slides.tsv", sep="\t", index=False)
    return folder


def run(folder, name, *, whole=False, cohort=None, **sections):
    """One cross-validated run of the expression arms, as far as their metrics unless `whole`; returns its results."""
    matrix = SHARED / "tcga_brca_pam50_rsem" / "pam50_gene_expression.csv"
    config = {
        "cohorts": {
            name: {"patients": "patients.tsv", "expression": {"path": str(matrix), "unit": "rsem"}} | (cohort or {})
        },
        "fusion": {"models": ARMS},
        "control": {"permuted_labels": False},
        "folds": {"group_by": "patient"},
    } | sections
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    targets = [] if whole else [f"results/{name}/metrics.parquet"]
    snakemake(*targets, "--cores", 2, "--configfile", f"{name}.yaml", directory=folder)
    return folder / "results" / name


def estimates(results, scope="pooled"):
    table = read_table(results / "metrics.parquet")
    return table[table["scope"] == scope].set_index(["model", "metric"])["estimate"]


def test_five_classes(folder):
    results = run(folder, "five", whole=True)
    assert read_table(results / "cohort" / "patients.parquet")["included"].sum() == 581
    found = estimates(results)
    for arm in ARMS:
        for metric, reference in FIVE.items():
            assert found[arm, metric] >= reference - BELOW, (arm, metric)


def test_the_papers_task(folder):
    merge = {"LumA": "Luminal", "LumB": "Luminal", "Basal": "Basal_Her2", "Her2": "Basal_Her2", "Normal": None}
    results = run(folder, "paper", cohort={"label_map": merge, "positive": "Basal_Her2"})
    found, by_class = estimates(results), estimates(results, "class:Basal_Her2")
    for arm in ARMS:
        assert by_class[arm, "f1"] >= PAPER["f1"] - BELOW, arm
        assert found[arm, "average_precision"] >= PAPER["average_precision"] - BELOW, arm


def test_site_preserved_folds_and_ready_made_tiles(folder):
    """Whole sites stay together, reported beside; three of the patients have folders of ready-made tiles."""
    results = run(
        folder, "sites",
        cohort={"slides": "slides.tsv"},
        folds={"group_by": "site"},
        features={"encoder": "efficientnet_lite0"},
    )  # fmt: skip
    how = read_json(results / "folds.json")
    assert how["sites_shared_between_test_and_train"] == 0 and how["largest_class_share_deviation"] < 0.2
    patients = read_table(results / "cohort" / "patients.parquet").set_index("patient")
    assert patients["site"].nunique() == 19 and patients["has_image"].sum() == 3
    slides = read_table(results / "cohort" / "slides.parquet").set_index("slide")
    assert slides["status"].eq("ok").all() and sorted(slides["n_tiles"]) == [6, 6, 7]
    predictions = read_table(results / "predictions.parquet")
    assert predictions.groupby("model")["patient"].nunique().eq(581).all()
    metrics = read_table(results / "metrics.parquet")
    everyone = metrics[(metrics["metric"] == "accuracy") & metrics["scope"].str.startswith("fold")]
    assert everyone["estimate"].min() > 0.75
