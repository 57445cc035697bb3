"""Two runs of one configuration give the same bytes, whatever the number of readers; other paths of the config work too."""

import pandas as pd
import yaml
from running import ROOT, snakemake

from histoweave.io import read_json, sha256_of

# Durations and times of files differ from run to run.
MECHANICS = {"benchmarks", "logs", "records", "shards"}
SAME = {".parquet", ".safetensors", ".h5", ".geojson", ".tsv", ".json"}


def small_cohort(folder, *, readers):
    """15 patients of the demo's tables on small slides, three folds, most models."""
    (folder / "config").mkdir(parents=True)
    raw = yaml.safe_load((ROOT / "config/demo/config.yaml").read_text())
    demo = raw["cohorts"]["demo"]
    patients = pd.read_csv(ROOT / "config/demo/patients.tsv", sep="\t", dtype=str)
    chosen = patients.groupby("label").head(8).iloc[:-1]
    slides = pd.read_csv(ROOT / "config/demo/slides.tsv", sep="\t", dtype=str)
    chosen.to_csv(folder / "config/patients.tsv", sep="\t", index=False)
    slides[slides["patient"].isin(chosen["patient"])].to_csv(folder / "config/slides.tsv", sep="\t", index=False)
    demo |= {"patients": "config/patients.tsv", "slides": "config/slides.tsv"}
    demo["simulate"] = {"seed": 6, "field_um": 700.0}
    raw["folds"] = {"n_folds": 3, "repeats": 2}
    raw["fusion"] |= {
        "models": ["logistic_expression", "image", "expression", "late_mean", "cross_attention"],
        "members": 2,
        "epochs": 8,
        "width": 16,
    }
    raw["control"] = {"permuted_labels": False}
    raw["mechanics"] = {"read_workers": readers}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(raw))
    snakemake("--cores", 2, "--configfile", "config/config.yaml", directory=folder)
    results = folder / "results/demo"
    return {
        str(path.relative_to(results)): sha256_of(path)
        for path in sorted(results.rglob("*"))
        if path.suffix in SAME and not MECHANICS & set(path.relative_to(results).parts)
    }


def test_two_runs_are_byte_identical(tmp_path):
    first = small_cohort(tmp_path / "one", readers=2)
    second = small_cohort(tmp_path / "two", readers=1)
    assert len(first) > 100 and any(name.endswith("model.safetensors") for name in first)
    assert first == second
    record = read_json(tmp_path / "one/results/demo/fusion/image/fold5/config.json")
    assert (record["repeat"], record["fold"]) == (1, 2)
    assert not (tmp_path / "one/results/demo/control").exists()
