"""Frozen models on real cohorts that they never saw: another part of one study, RNA-seq in another unit, microarrays.

`pytest -s tests/real/test_apply.py` prints the figures of docs/apply.md.
"""

import numpy as np
import pandas as pd
import pytest
import yaml
from running import SHARED, needs_shared_data, snakemake

from histoweave.apply.drift import OUTSIDE_HALF
from histoweave.evaluation.bootstrap import bootstrap, interval
from histoweave.evaluation.metrics import auroc
from histoweave.storage.files import read_json, read_table

pytestmark = needs_shared_data
MODELS = ["majority", "logistic_expression"]
FAST = {
    "folds": {"n_folds": 3, "group_by": "patient"},
    "fusion": {"models": MODELS},
    "control": {"permuted_labels": False},
}


def run(folder, name, config, *more, check=True):
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return snakemake("apply", "--cores", 1, "--configfile", f"{name}.yaml", *more, directory=folder, check=check)


def rna(path, unit):
    return {"expression": {"path": str(path), "unit": unit}}


def refusal(process):
    """The one line that a refused run ends with."""
    assert process.returncode
    text = process.stdout + process.stderr
    lines = [line for line in text.splitlines() if line.startswith("error: ") or "InputError" in line]
    return " ".join(lines), "Traceback" in text


def association(score, positive):
    """AUROC of a score for a status, with its bootstrap interval over patients."""
    y, p = np.asarray(positive, dtype=int), np.column_stack([-np.asarray(score), np.asarray(score)])
    estimate, draws = bootstrap(lambda w: auroc(y, p, w)[:, None], len(y), draws=2000, seed=1)
    (low,), (high,) = interval(draws, confidence=0.95)
    return float(estimate[0]), float(low), float(high)


# ---------------------------------------------------------------- mixOmics: 150 to 70


@pytest.fixture(scope="module")
def mixomics(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixomics")
    cohorts = {}
    for part, role in (("train", "train"), ("test", "external")):
        source = SHARED / "mixomics_breast_tcga"
        labels = pd.read_csv(source / f"data.{part}.subtype.csv")
        table = labels.rename(columns={"sample": "patient", "subtype": "label"})[["patient", "label"]]
        table.to_csv(folder / f"{part}.tsv", sep="\t", index=False)
        cohorts[part] = {"role": role, "patients": f"{part}.tsv", "ids": "plain"}
        cohorts[part] |= rna(source / f"data.{part}.mrna.csv.gz", "log2")
    run(folder, "run", FAST | {"cohorts": cohorts})
    return folder / "results" / "test" / "applied" / "train"


def test_70_patients_of_the_same_study_are_told_apart(mixomics):
    metrics = read_table(mixomics / "metrics.parquet").set_index(["model", "scope", "metric"])
    row = metrics.loc[("logistic_expression", "pooled", "accuracy")]
    print("70 patients, accuracy:", (row["estimate"], row["ci_low"], row["ci_high"]))
    assert row["n"] == 70 and row["estimate"] >= 0.95 and row["ci_low"] >= 0.9
    assert metrics.loc[("logistic_expression", "pooled", "auroc"), "estimate"] >= 0.99
    predictions = read_table(mixomics / "predictions.parquet")
    assert predictions["status"].eq("ok").all() and len(predictions) == 2 * 70
    judged = read_table(mixomics / "plausible.parquet")
    print("70 patients, genes outside:", judged["share"].quantile([0.5, 1]).to_list(), judged["share_medians"].max())
    assert judged["share_medians"].max() < 0.1 and judged["share"].max() < 0.4


def test_their_medians_lie_in_the_training_range(mixomics):
    """Their smallest values do not (−3.97 against 0.008), which a comparison of medians does not see."""
    content, drift = read_json(mixomics / "compatibility.json"), read_table(mixomics / "drift.parquet")
    assert not [check for check in content["checks"] if check["status"] == "refused"]
    assert content["missing_genes"] == []
    assert set(drift["modality"]) == {"expression"} and drift["site"].eq("all").all() and not drift["flagged"].any()


# ---------------------------------------------------------------- TCGA RSEM to other platforms


@pytest.fixture(scope="module")
def counts():
    """60 tumours × genes, raw counts, and their clinical ER and HER2 status."""
    table = pd.read_csv(SHARED / "pathanalyser_tcga_counts" / "ER_TCGA_RNAseq.csv.gz", index_col="gene").T
    table.index = table.index.str.replace(".", "-")
    status = pd.read_csv(
        SHARED / "tcga_brca_pam50_rsem" / "pathanalyser_Sample_labels.txt", sep="\t", index_col="sample"
    )
    return table, status[~status.index.duplicated()].reindex(table.index)


@pytest.fixture(scope="module")
def tcga(tmp_path_factory, counts):
    """Models of RSEM values, none of them of the 60 tumours; these as an external cohort in the same unit."""
    folder = tmp_path_factory.mktemp("tcga")
    source = SHARED / "tcga_brca_pam50_rsem"
    clinical = pd.read_csv(source / "xena_BRCA_clinicalMatrix_columns.tsv", sep="\t", dtype=str)
    clinical = clinical[(clinical["sample_type"] == "Primary Tumor") & clinical["PAM50Call_RNAseq"].notna()]
    clinical = clinical.assign(patient=clinical["sampleID"].str[:12], label=clinical["PAM50Call_RNAseq"])
    known = pd.read_csv(source / "pam50_gene_expression.csv", usecols=["PATIENT_ID"])["PATIENT_ID"]
    table = counts[0]
    clinical = clinical[clinical["patient"].isin(known) & ~clinical["patient"].isin(table.index)]
    clinical[["patient", "label"]].to_csv(folder / "tcga.tsv", sep="\t", index=False)
    # TCGA's normalised RSEM values: the upper quartile of a sample's non-zero genes becomes 1000.
    quartile = table.where(table > 0).quantile(0.75, axis=1)
    table.div(quartile, axis=0).mul(1000).to_csv(folder / "er.csv", index_label="sample")
    pd.DataFrame({"patient": table.index}).to_csv(folder / "er.tsv", sep="\t", index=False)
    cohorts = {
        "tcga": {"patients": "tcga.tsv"} | rna(source / "pam50_gene_expression.csv", "rsem"),
        "er": {"role": "external", "patients": "er.tsv"} | rna("er.csv", "rsem"),
    }
    run(folder, "run", FAST | {"cohorts": cohorts})
    return folder


def test_predictions_go_with_er_and_her2_of_tumours_without_subtype(tcga, counts):
    root = tcga / "results" / "er" / "applied" / "tcga"
    table = read_table(root / "predictions.parquet").set_index("patient")
    found = table[table["model"] == "logistic_expression"]
    assert len(found) == 60 and found["y_true"].isna().all() and read_table(root / "metrics.parquet").empty
    status = counts[1].loc[found.index]
    er = status["ER"].isin(["Positive", "Negative"])
    estimate, low, high = association(1 - found.loc[er, "p_Basal"], status.loc[er, "ER"] == "Positive")
    print("ER of RNA-seq:", er.sum(), (estimate, low, high))
    assert estimate >= 0.9 and low > 0.8
    her2 = status["HER2"].isin(["Positive", "Negative"])
    estimate, low, high = association(found.loc[her2, "p_Her2"], status.loc[her2, "HER2"] == "Positive")
    print("HER2 of RNA-seq:", her2.sum(), (estimate, low, high))
    assert estimate >= 0.6


def test_raw_counts_are_refused_by_models_of_rsem_values(tcga):
    raw = SHARED / "pathanalyser_tcga_counts" / "ER_TCGA_RNAseq.csv.gz"
    cohorts = {"er": {"role": "external", "patients": "er.tsv"} | rna(raw, "counts")}
    process = run(tcga, "counts", {"cohorts": cohorts, "apply": {"bundle": "results/tcga/bundle.zip"}}, check=False)
    says, traceback = refusal(process)
    assert "cohorts.er.expression" in says and "given as counts, but the models were fitted on rsem" in says
    assert "set it to" not in says and "in rsem, or train a bundle" in says
    assert not traceback


# ---------------------------------------------------------------- FPKM under the name of RSEM

KB = 2  # one length for all genes
FORMS = {"linear": lambda fpkm: fpkm, "log2": lambda fpkm: np.log2(1 + fpkm)}


@pytest.fixture(scope="module")
def fpkm(tcga, counts):
    """The 60 tumours in FPKM, with the PAM50 calls of those that have one."""
    table = counts[0]
    clinical = pd.read_csv(
        SHARED / "tcga_brca_pam50_rsem" / "xena_BRCA_clinicalMatrix_columns.tsv", sep="\t", dtype=str
    )
    clinical = clinical[clinical["sample_type"] == "Primary Tumor"]
    label = clinical.assign(patient=clinical["sampleID"].str[:12]).drop_duplicates("patient")
    label = label.set_index("patient")["PAM50Call_RNAseq"].reindex(table.index)
    label.rename("label").rename_axis("patient").reset_index().to_csv(tcga / "fpkm.tsv", sep="\t", index=False)
    values = table.div(table.sum(axis=1), axis=0) * 1e6 / KB
    for name, form in FORMS.items():
        form(values).to_csv(tcga / f"fpkm_{name}.csv", index_label="sample")
    return label


def renamed(form, unit, **settings):
    cohorts = {form: {"role": "external", "patients": "fpkm.tsv"} | rna(f"fpkm_{form}.csv", unit)}
    return {"cohorts": cohorts, "apply": {"bundle": "results/tcga/bundle.zip"} | settings}


def test_fpkm_is_refused_and_nobody_is_told_to_call_it_rsem(tcga, fpkm):
    says, traceback = refusal(run(tcga, "fpkm", renamed("linear", "fpkm"), check=False))
    assert "given as fpkm, but the models were fitted on rsem" in says and not traceback
    assert "fusion.expression_transform: ranks" in says and "apply.align" in says and "set it to" not in says


@pytest.mark.parametrize("form", FORMS)
def test_fpkm_that_is_called_rsem_is_withheld(tcga, fpkm, form):
    """The 60 tumours are predicted well in the training's unit (above); in this one nobody is."""
    run(tcga, f"renamed_{form}", renamed(form, "rsem"))
    root = tcga / "results" / form / "applied" / "tcga"
    found = read_table(root / "predictions.parquet").set_index("model").loc["logistic_expression"]
    assert len(found) == 60 and found["status"].eq("abstained").all() and found["called"].isna().all()
    assert found[[column for column in found if column.startswith("p_")]].isna().all().all()
    assert set(read_table(root / "metrics.parquet")["model"]) == {"majority"}
    judged = read_table(root / "plausible.parquet")
    print(f"FPKM ({form}) as RSEM, genes outside:", judged["share_medians"].max(), judged["share"].median())
    assert judged["share_medians"].min() > 0.55, "of every site"
    content = read_json(root / "report.json")
    assert content["patients"] == {
        "given": 60, "predicted": 0, "insisted": 0, "withheld": 60, "unable": 0, "partly": 0,
    }  # fmt: skip
    assert content["warnings"][0].startswith(
        "0 of 60 patients have a prediction, 60 withheld: RNA: the medians of 50% or more of the genes"
    )


def test_who_insists_is_told_how_wrong_it_is(tcga, fpkm):
    run(tcga, "insisted", renamed("log2", "rsem", insist=True))
    root = tcga / "results" / "log2" / "applied" / "tcga"
    found = read_table(root / "predictions.parquet").set_index("model").loc["logistic_expression"]
    assert found["status"].eq("insisted").all() and found["set"].isna().all() and found["called"].notna().all()
    content = read_json(root / "report.json")
    assert content["patients"]["insisted"] == 60 and content["warnings"][0].startswith("apply.insist is set")
    numbers = {card["label"]: (card["value"], card["interval"]) for card in content["key_numbers"]}
    print("log2 FPKM as RSEM, insisted on:", fpkm.notna().sum(), numbers)
    accuracy = read_table(root / "metrics.parquet").set_index(["model", "scope", "metric"])["estimate"]
    assert accuracy["logistic_expression", "pooled", "accuracy"] < 0.6


@pytest.fixture(scope="module")
def arrays(tcga):
    """150 tumours on microarrays (VDX): symbols in place of probes, the brightest probe of a gene."""
    source = SHARED / "genefu_breast"
    data = pd.read_csv(source / "data.vdxs.csv.gz", index_col="sample")
    symbols = pd.read_csv(source / "annot.vdxs.csv").set_index("probe")["HUGO.gene.symbol"].dropna()
    order = data[[probe for probe in data if probe in symbols.index]].mean().sort_values(ascending=False).index
    chosen = symbols.loc[order].drop_duplicates()
    log2 = data[chosen.index].set_axis(chosen.to_list(), axis=1)
    log2.to_csv(tcga / "vdx_log2.csv")
    (2**log2).to_csv(tcga / "vdx_linear.csv")
    pd.DataFrame({"patient": log2.index}).to_csv(tcga / "vdx.tsv", sep="\t", index=False)
    return pd.read_csv(source / "demo.vdxs.csv", index_col="row")["er"]


def vdx(file, unit, **settings):
    cohorts = {"vdx": {"role": "external", "patients": "vdx.tsv"} | rna(file, unit)}
    return {"cohorts": cohorts, "apply": {"bundle": "results/tcga/bundle.zip"} | settings}


def test_microarrays_are_refused_for_their_unit_and_for_their_genes(tcga, arrays):
    says, traceback = refusal(run(tcga, "log2", vdx("vdx_log2.csv", "log2"), check=False))
    assert "cohorts.vdx.expression" in says and "given as log2, but the models" in says and not traceback
    process = run(tcga, "linear", vdx("vdx_linear.csv", "rsem"), check=False)
    log = (tcga / "results/vdx/logs/applied/tcga/apply.log").read_text()
    assert process.returncode and "genes used by the models are missing" in log and "missing_genes_limit (20%)" in log
    content = read_json(tcga / "results/vdx/applied/tcga/compatibility.json")
    assert 0.3 < content["missing_genes_share"] < 0.5 and "MIA" not in content["missing_genes"][:1]


def test_microarrays_that_are_forced_through_are_warned_about(tcga, arrays):
    run(tcga, "forced", vdx("vdx_linear.csv", "rsem", missing_genes_limit=0.5))
    root = tcga / "results" / "vdx" / "applied" / "tcga"
    checks = {check["what"]: check for check in read_json(root / "compatibility.json")["checks"]}
    assert checks["genes"]["status"] == "warn"
    drift = read_table(root / "drift.parquet")
    assert drift.set_index("feature").loc[OUTSIDE_HALF, "flagged"] and checks["expression values"]["status"] == "warn"
    table = read_table(root / "predictions.parquet").set_index("patient")
    found = table[table["model"] == "logistic_expression"]
    estimate, low, high = association(1 - found["p_Basal"], arrays.loc[found.index] == 1)
    print("ER of microarrays:", len(found), (estimate, low, high), sorted(drift.loc[drift["flagged"], "feature"]))
    assert estimate >= 0.8 and low > 0.7
