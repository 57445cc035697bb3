"""What a run does with external cohorts: who is applied to whom, and what is refused before any job starts."""

import numpy as np
import pandas as pd
import pytest
from apply_data import made_home

from histoweave.cohort.join import join
from histoweave.cohort.tables import NO_SLIDES, read_patients
from histoweave.errors import InputError
from histoweave.settings.cohorts import Cohort
from histoweave.wiring import tissue as wiring
from histoweave.wiring.apply import ApplyWiring
from histoweave.wiring.run import load as load_run

N = 12


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A training cohort with slides and RNA, and an external one without labels."""
    monkeypatch.chdir(tmp_path)
    for name, letter in (("home", "p"), ("away", "q")):
        ids = [f"{letter}{i:02d}" for i in range(N)]
        columns = {"patient": ids} | ({"label": ["neg", "pos"] * (N // 2)} if name == "home" else {"site": "x"})
        pd.DataFrame(columns).to_csv(f"{name}.tsv", sep="\t", index=False)
        for one in ids:
            (tmp_path / f"{one}.tiff").write_bytes(b"not looked into here")
        slides = pd.DataFrame({"slide": ids, "patient": ids, "path": [f"{one}.tiff" for one in ids]})
        slides.to_csv(f"{name}_slides.tsv", sep="\t", index=False)
        counts = np.random.default_rng(0).poisson(20, (5, N))
        table = pd.DataFrame(counts, index=[f"G{i}" for i in range(5)], columns=ids)
        table.to_csv(f"{name}_rna.tsv", sep="\t", index_label="gene")
    cohorts = {
        name: {
            "patients": f"{name}.tsv",
            "slides": f"{name}_slides.tsv",
            "expression": {"path": f"{name}_rna.tsv", "unit": "counts"},
        }
        for name in ("home", "away")
    }
    cohorts["away"]["role"] = "external"
    return {"cohorts": cohorts, "folds": {"n_folds": 3}}


def load(raw):
    config, tables = load_run(raw)
    paths = wiring.Wiring(config, tables)
    return paths, ApplyWiring(config, paths)


def test_an_external_cohort_gets_every_training_cohorts_bundle_and_no_folds(run):
    run["cohorts"]["rna"] = {key: value for key, value in run["cohorts"]["home"].items() if key != "slides"}
    paths, apply = load(run)
    assert paths.trained() == ["home", "rna"] and apply.externals() == ["away"]
    assert apply.pairs() == [("away", "home"), ("away", "rna")]
    assert apply.own_bundles() == ["results/home/bundle.zip", "results/rna/bundle.zip"]
    assert apply.apply_inputs("away", "rna")["bundle"] == "results/rna/bundle.zip"
    assert not any("away" in path for path in apply.bundle_inputs("home")["models"])
    del run["cohorts"]["away"]["expression"]
    assert load(run)[1].pairs() == [("away", "home")]
    del run["cohorts"]["home"]
    with pytest.raises(InputError, match="no model of rna can read what it has"):
        load(run)[1].check()


def test_a_bundle_takes_the_place_of_training(run, tmp_path_factory):
    bundle = made_home(tmp_path_factory)[2]
    del run["cohorts"]["home"]
    run["apply"] = {"bundle": str(bundle)}
    run["features"] = {"encoder": "resnet50"}
    paths, apply = load(run)
    assert apply.pairs() == [("away", "home")] and apply.own_bundles() == [] and paths.trained() == []
    assert apply.trained_pattern() == "home" and all("/applied/home/" in path for path in apply.targets())


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("features", {"encoder": "resnet18"}, "'features.encoder' is 'resnet18', .* set it to 'resnet50'"),
        ("tiles", {"tile_px": 256}, "'tiles.tile_px' is 256"),
        ("tiles", {"target_mpp": 0.25}, "'tiles.target_mpp' is 0.25"),
        ("apply", {"bundle": "gone.zip"}, "apply.bundle 'gone.zip' is not there"),
    ],
)
def test_a_configuration_that_contradicts_the_bundle_is_refused(run, tmp_path_factory, monkeypatch, key, value, words):
    monkeypatch.setattr("histoweave.encoders.registry.check", lambda encoder: None)
    run |= {"apply": {"bundle": str(made_home(tmp_path_factory)[2])}, "features": {"encoder": "resnet50"}} | {
        key: value
    }
    with pytest.raises(InputError, match=words):
        load(run)[1].check()
    run["cohorts"].pop("away")
    load(run)[1].check()


def test_another_unit_is_refused_before_any_job(run, tmp_path_factory):
    run["apply"] = {"bundle": str(made_home(tmp_path_factory)[2])}
    run["cohorts"]["away"]["expression"]["unit"] = "tpm"
    with pytest.raises(InputError, match=r"cohorts.away.expression .*given as tpm.*fitted on counts") as caught:
        load(run)[1].check()
    assert "set it to" not in str(caught.value) and "'counts'" not in str(caught.value)
    run["apply"]["align"] = "median"
    load(run)[1].check()


def test_an_external_cohort_needs_no_label_column_but_one_that_is_named(run):
    given = Cohort.model_validate(run["cohorts"]["away"])
    table = read_patients(given)
    assert table["label"].isna().all() and len(table) == N
    with pytest.raises(InputError, match="column 'subtype' is missing"):
        read_patients(given.model_copy(update={"label": "subtype"}).model_validate(
            run["cohorts"]["away"] | {"label": "subtype"}))  # fmt: skip
    samples = pd.DataFrame({"sample": ["q00"], "patient": ["q00"], "kept": [True], "reason": [""]})
    slides = NO_SLIDES.assign(status="", reason="", stage="")
    joined, flow = join(table, slides, samples, modalities={"expression"}, needs_label=False)
    assert joined["included"].sum() == 1 and set(joined["reason"]) == {"", "no usable slide and no RNA"}
    assert "label" not in set(flow["step"])


def test_the_joins_settings_let_a_job_read_the_table_as_the_run_did(run):
    paths, _ = load(run)
    again = Cohort.model_validate(paths.join_settings("away"))
    assert read_patients(again).equals(read_patients(paths.tables["away"].cohort))
    assert "role" not in paths.join_settings("home")
