"""The demo cohort, whole: what it must find, what must rerun and what must not, and what a reader sees."""

import json
import re
import shutil

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from browsing import check_page
from running import ROOT, planned, snakemake
from sklearn.metrics import average_precision_score, roc_auc_score

from histoweave.storage.files import read_json, read_table

CONFIG = ("--configfile", "config/demo/config.yaml")
MODELS = [
    "majority", "best_gene", "top_pairs", "centroid", "logistic_expression", "logistic_image", "logistic_both",
    "image", "expression", "concat", "late_mean", "cross_attention",
]  # fmt: skip


def pooled(table, metric):
    rows = table[(table["metric"] == metric) & (table["scope"] == "pooled")]
    return rows.set_index("model")


# ---------------------------------------------------------------- what it must find


def test_cross_attention_finds_what_needs_both_modalities(results):
    auroc = pooled(read_table(results / "metrics.parquet"), "auroc")["estimate"]
    assert auroc["cross_attention"] >= 0.90
    comparisons = read_table(results / "comparisons.parquet")
    for single in ("image", "expression"):
        rows = comparisons[comparisons["metric"].eq("auroc")].set_index(["model_a", "model_b"])
        row = rows.loc[("cross_attention", single)]
        assert row["difference"] >= 0.10 and row["ci_low"] > 0, single
        assert auroc["cross_attention"] - auroc[single] == pytest.approx(row["difference"])


def test_the_conclusion_is_that_fusion_adds(results):
    found, choice = read_json(results / "report.json")["conclusion"], read_table(results / "choice.parquet")
    assert found["kind"] == "fusion" and found["models"]["fused"] in ("concat", "cross_attention")
    single = choice[(choice["family"] == "fusion_single") & (choice["model_a"] == found["models"]["fused"])]
    assert len(single) and (single["ci_low"] > 0).all()
    assert found["numbers"]["difference"]["ci_low"] == pytest.approx(
        single.set_index("model_b").loc[found["models"]["single"], "ci_low"]
    )


def test_both_modalities_are_used_at_inference(results):
    use = read_table(results / "modality_use.parquet")
    rows = use[(use["metric"] == "auroc") & (use["model"] == "cross_attention")].set_index("modality")
    assert rows.loc["image", "drop"] >= 0.10 and rows.loc["expression", "drop"] >= 0.10
    for model, modality in (("image", "expression"), ("expression", "image"), ("logistic_expression", "image")):
        row = use[(use["model"] == model) & (use["modality"] == modality) & (use["metric"] == "auroc")].iloc[0]
        assert row["drop"] == 0


def test_attention_ranks_planted_tiles(results):
    truth = read_table(results / "simulated" / "truth.parquet").set_index("model")
    assert truth.loc["cross_attention", "estimate"] >= 0.80
    assert truth.loc["cross_attention", "n"] >= 20


def test_shuffled_labels_give_chance(results):
    summary = read_table(results / "control" / "summary.parquet")
    assert set(summary["model"]) == set(MODELS) - {"majority"} and not summary["leak"].any()
    plain = summary[summary["metric"] == "auroc"].set_index("model")
    assert (plain["null_mean"] - 0.5).abs().max() < 0.25
    assert plain.loc["best_gene", "shuffles"] == 20 and plain.loc["cross_attention", "shuffles"] == 1
    null = read_table(results / "control" / "null.parquet")
    assert len(null) == 2 * plain["shuffles"].sum()


def test_pooled_metrics_are_those_of_scikit_learn(results):
    metrics = read_table(results / "metrics.parquet")
    predictions = read_table(results / "predictions.parquet")
    both = predictions[predictions["has_image"] & predictions["has_expression"]]
    for model in MODELS:
        part = both[both["model"] == model]
        y, p = (part["y_true"] == "Basal_Her2"), part["p_Basal_Her2"]
        ranked = p * (model != "majority")  # the prevalence of a fold ranks nobody
        assert part["patient"].is_unique
        assert pooled(metrics, "auroc").loc[model, "estimate"] == pytest.approx(roc_auc_score(y, ranked))
        assert pooled(metrics, "average_precision").loc[model, "estimate"] == pytest.approx(
            average_precision_score(y, ranked)
        )
        assert pooled(metrics, "accuracy").loc[model, "estimate"] == pytest.approx(((p > 0.5) == y).mean())


# ---------------------------------------------------------------- nothing lost, nothing hidden


def test_every_slide_and_patient_is_accounted_for(results):
    slides = read_table(results / "cohort" / "slides.parquet").set_index("slide")
    config = yaml.safe_load((ROOT / "config/demo/config.yaml").read_text())["cohorts"]["demo"]["simulate"]
    assert len(slides) == 63
    assert slides.loc[config["no_tissue"], "status"].eq("no_tissue").all()
    assert slides.loc[config["truncated"], "status"].isin(["unreadable", "unreadable_tiles"]).all()
    assert slides.loc[config["no_mpp"], "mpp_source"].eq("override").all()
    refused = slides[slides["status"] != "ok"]
    assert set(refused.index) == {*config["no_tissue"], *config["truncated"]} and refused["reason"].str.len().min() > 10
    assert slides.loc[slides["status"] == "ok", "n_tiles"].between(20, 80).all()
    patients = read_table(results / "cohort" / "patients.parquet").set_index("patient")
    assert len(patients) == 60 and patients["included"].all()
    assert not patients.loc[config["without_rna"], "has_expression"].any()
    assert (~patients["has_image"]).sum() == 1 and (patients["n_slides"] == 2).sum() == 2
    samples = read_table(results / "expression" / "samples.parquet")
    again = samples[samples["patient"].isin(config["duplicate_aliquot"])]
    assert len(again) == 2 and again["kept"].sum() == 1
    flow = read_table(results / "cohort" / "flow.parquet")
    assert set(config["without_rna"]) <= set("; ".join(flow["ids"]).split("; "))


def test_tiles_of_all_scanners_have_one_physical_size(results):
    sizes = {}
    for path in sorted((results / "tiles").glob("*.h5")):
        with h5py.File(path) as file:
            if file.attrs["status"] == "ok":
                attributes = file["coords"].attrs
                sizes[path.stem] = attributes["patch_size_level0"] * attributes["level0_mpp"]
    assert len(sizes) == 61
    np.testing.assert_allclose(list(sizes.values()), 112.0, rtol=0.003)


def test_every_fold_is_whole_and_patients_do_not_leak(results):
    folds = read_table(results / "folds.parquet")
    for model in MODELS:
        seen = []
        for k in range(5):
            folder = results / "fusion" / model / f"fold{k}"
            record = read_json(folder / "config.json")
            rows = folds[folds["fold"] == k].set_index("patient")["role"]
            test = set(rows.index[rows == "test"])
            assert not test & {*record["train"], *record["val"]}
            predictions = read_table(folder / "predictions.parquet")
            seen += predictions.loc[predictions["role"] == "test", "patient"].to_list()
        assert len(seen) == len(set(seen)) >= 58


# ---------------------------------------------------------------- what reruns


def dry(demo, *more, config=CONFIG):
    return planned(snakemake("-n", *config, *more, directory=demo))


def test_nothing_to_do_afterwards(demo):
    assert dry(demo) == {}


def test_mechanics_rerun_nothing(demo):
    raw = yaml.safe_load((demo / "config/demo/config.yaml").read_text())
    raw["mechanics"] = {"tile_batch": 8, "read_workers": 1, "device": "cpu"}
    (demo / "mechanics.yaml").write_text(yaml.safe_dump(raw))
    assert dry(demo, "--cores", 1, config=("--configfile", "mechanics.yaml")) == {}


@pytest.mark.parametrize(
    ("path", "value", "first"),
    [
        ("evaluation.bootstrap", 1500, {"evaluate", "score_truth"}),
        ("fusion.width", 32, {"fusion_fold"}),
        ("folds.val_share", 0.25, {"folds", "control_folds"}),
        ("features.precision", "float32", {"extract_features"}),
        ("tiles.min_tissue", 0.6, {"tile_slides"}),
    ],
)
def test_a_changed_key_reruns_its_stage_and_what_follows(demo, path, value, first):
    raw = yaml.safe_load((demo / "config/demo/config.yaml").read_text())
    section, key = path.split(".")
    raw.setdefault(section, {})[key] = value
    (demo / "changed.yaml").write_text(yaml.safe_dump(raw))
    planned_jobs = dry(demo, config=("--configfile", "changed.yaml"))
    order = [
        "simulate_slides", "simulate_expression", "tile_slides", "extract_features", "expression", "cohort",
        "folds", "control_folds", "fusion_fold", "control_reference", "control_network", "evaluate", "evaluate_control",
        "score_truth", "report",
    ]  # fmt: skip
    # Rules of cells and concepts, some of which read `evaluation` too, have a test of their own (test_reruns_cells).
    jobs = [job for job in planned_jobs if job in order]
    assert first <= set(jobs)
    assert min(order.index(job) for job in jobs) == min(order.index(job) for job in first)
    assert "simulate_slides" not in jobs and "report" in jobs


def test_one_more_patient(demo):
    backup = {name: (demo / "config/demo" / name).read_text() for name in ("patients.tsv", "slides.tsv")}
    try:
        with (demo / "config/demo/patients.tsv").open("a") as file:
            file.write("TCGA-ZD-0099\tLuminal\tZD\t61\n")
        with (demo / "config/demo/slides.tsv").open("a") as file:
            slide = "TCGA-ZD-0099-01Z-00-DX1"
            file.write(f"{slide}\tTCGA-ZD-0099\tresults/demo/simulated/slides/{slide}.tiff\t\n")
        jobs = dry(demo)
    finally:
        for name, text in backup.items():
            (demo / "config/demo" / name).write_text(text)
    assert (jobs["simulate_slides"], jobs["tile_slides"], jobs["extract_features"]) == (1, 1, 1)
    assert jobs["cohort"] == jobs["folds"] == 1 and jobs["fusion_fold"] == 5 * len(MODELS)
    assert dry(demo) == {}


def test_a_checkout_reruns_nothing_and_a_changed_function_its_rules(demo, tmp_path):
    copy = tmp_path / "checkout"
    copy.mkdir()
    shutil.copy(ROOT / "Snakefile", copy)
    for name in ("rules", "workflow", "profiles", "envs"):
        shutil.copytree(ROOT / name, copy / name, copy_function=shutil.copy)
    assert planned(snakemake("-n", *CONFIG, directory=demo, root=copy)) == {}
    source = copy / "workflow" / "histoweave" / "cohort" / "folds.py"
    text = source.read_text()
    source.write_text(text.replace('"""Cross-validation folds', '"""Other words for folds', 1))
    assert planned(snakemake("-n", *CONFIG, directory=demo, root=copy)) == {}
    changed = text.replace("seed + 1000 * repeat + fold", "seed + 1001 * repeat + fold", 1)
    assert changed != text
    source.write_text(changed)
    jobs = planned(snakemake("-n", *CONFIG, directory=demo, root=copy))
    assert {"folds", "control_folds", "fusion_fold", "report"} <= set(jobs)
    assert not {"tile_slides", "extract_features", "expression", "simulate_slides"} & set(jobs)


def test_bad_input_stops_before_any_job(demo):
    raw = yaml.safe_load((demo / "config/demo/config.yaml").read_text())
    raw["fusoin"] = {"width": 32}
    (demo / "typo.yaml").write_text(yaml.safe_dump(raw))
    run = snakemake("--cores", 1, "--configfile", "typo.yaml", directory=demo, check=False)
    assert run.returncode == 1
    message = [line for line in run.stderr.splitlines() if "fusoin" in line]
    assert len(message) == 1 and "did you mean 'fusion'?" in message[0]
    assert "Traceback" not in run.stderr and "Job stats" not in run.stdout + run.stderr


# ---------------------------------------------------------------- what a reader sees


def test_snakemakes_own_report_works_offline(demo):
    snakemake("--report", "provenance.html", *CONFIG, directory=demo)
    page = (demo / "provenance.html").read_text()
    assert "reliability" in page and "Cohort" in page
    assert not re.search(r"""(src|href)=["']https?://""", page)


def test_report_shows_the_numbers_of_the_tables(results):
    page = (results / "report.html").read_text()
    assert "PAM50" in page and "circular" in page.lower()
    estimate = pooled(read_table(results / "metrics.parquet"), "auroc").loc["cross_attention", "estimate"]
    assert f"{estimate:.3f}" in page or f"{estimate:.2f}" in page
    for slide in read_table(results / "cohort" / "slides.parquet").query("status != 'ok'")["slide"]:
        assert slide in page
    assert len(page) < 10e6


def test_report_opens_in_a_browser_without_network(results, new_browser):
    check_page(results / "report.html", new_browser)


def test_slides_are_exported_for_other_tools(demo, results):
    snakemake("export", "--cores", 2, *CONFIG, directory=demo)
    slides = read_table(results / "cohort" / "slides.parquet").set_index("slide")
    files = sorted((results / "exports" / "anndata").glob("*.h5ad"))
    assert [file.stem for file in files] == sorted(slides.index)
    data = anndata.read_h5ad(results / "exports" / "anndata" / f"{slides.index[slides['status'] == 'ok'][0]}.h5ad")
    assert data.n_obs == slides.loc[data.uns["histoweave"]["slide"], "n_tiles"] and data.obsm["spatial"].shape[1] == 2
    assert dry(demo) == {} and planned(snakemake("-n", "export", *CONFIG, directory=demo)) == {}


def test_contours_open_as_geojson(results):
    for path in sorted((results / "tiles").glob("*.geojson"))[:5]:
        content = json.loads(path.read_text())
        assert content["type"] == "FeatureCollection"
        assert all(f["properties"]["objectType"] == "annotation" for f in content["features"])


def test_metrics_are_also_plain_text(results):
    table = pd.read_csv(results / "metrics.tsv", sep="\t")
    assert set(table["model"]) == set(MODELS)
