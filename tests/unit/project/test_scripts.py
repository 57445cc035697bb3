"""The adapters' `main`, called as Snakemake calls it but without Snakemake."""

from types import SimpleNamespace

import pandas as pd
import pytest
from script_runs import Named, run

from histoweave.settings.cohorts import Cohort, ExpressionInput
from histoweave.settings.folds import Folds
from histoweave.storage.files import read_json, read_table


@pytest.fixture
def folder(tmp_path):
    ids = [f"p{i:02d}" for i in range(20)]
    pd.DataFrame({"patient": ids, "label": ["a", "b"] * 10}).to_csv(tmp_path / "patients.tsv", sep="\t", index=False)
    pd.DataFrame({i: [1, 2, 3] for i in ids[:-1]}, index=["G1", "G2", "G3"]).to_csv(tmp_path / "rna.tsv", sep="\t")
    return tmp_path


def test_expression_cohort_and_folds(folder):
    ids = [f"p{i:02d}" for i in range(20)]
    source = ExpressionInput(path=str(folder / "rna.tsv"), unit="counts")
    out = Named(
        {name: folder / f"{name}.parquet" for name in ("expression", "samples", "genes")}
        | {"report": folder / "r.json"}
    )
    run(
        "expression", log=[str(folder / "e.log")], output=out,
        params=SimpleNamespace(source=source.model_dump(), patients=ids, tcga=False),
    )  # fmt: skip
    assert len(read_table(folder / "expression.parquet")) == 19 and read_json(folder / "r.json")["unit"] == "counts"

    joined = Named({name: folder / f"c_{name}.parquet" for name in ("patients", "slides", "flow", "read")})
    cohort = Cohort(patients=str(folder / "patients.tsv"), expression=source)
    run(
        "cohort", log=[str(folder / "c.log")], output=joined, input=Named(samples=folder / "samples.parquet"),
        params=SimpleNamespace(cohort=cohort.model_dump()),
    )  # fmt: skip
    patients = read_table(joined.patients)
    assert patients["included"].sum() == 19 and read_table(joined.slides).empty
    assert patients.set_index("patient").loc["p19", "reason"] == "no usable slide and no RNA"

    settings = SimpleNamespace(settings=Folds(n_folds=3).model_dump(), seed=1)
    plain = Named(folds=folder / "folds.parquet", how=folder / "folds.json")
    run("folds", log=[str(folder / "f.log")], input=Named(patients=joined.patients), output=plain, params=settings)
    control = Named(folds=folder / "k.parquet", how=folder / "k.json", labels=folder / "k_labels.parquet")
    settings.shuffles = 2
    run(
        "control_folds", log=[str(folder / "k.log")], input=Named(patients=joined.patients, how=plain.how), output=control,
        params=settings,
    )  # fmt: skip
    assert set(read_table(plain.folds)["patient"]) == set(ids[:-1]) == set(read_table(control.folds)["patient"])
    labels = read_table(control.labels)
    assert sorted(labels["shuffle"].unique()) == [0, 1] and read_json(control.how)["within"] == "all"
    assert list(labels.loc[labels["shuffle"] == 0, "label"]) != list(patients.loc[patients["included"], "label"])
    assert (folder / "f.log").is_file()


def test_a_users_mistake_is_one_line_and_a_failure(folder):
    job = {
        "log": [str(folder / "x.log")],
        "output": Named({name: folder / name for name in ("expression", "samples", "genes", "report")}),
        "params": SimpleNamespace(
            source=ExpressionInput(path=str(folder / "gone.tsv"), unit="tpm").model_dump(), patients=["p00"], tcga=False
        ),
    }
    with pytest.raises(SystemExit, match="does not exist") as caught:
        run("expression", **job)
    assert caught.value.code != 0 and not (folder / "expression").exists()
