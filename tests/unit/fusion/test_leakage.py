"""Nothing that is scored is seen in fitting: test patients' data may be garbage, and nothing fitted changes by a bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
from fusion_cohort import Cohort, make_cohort

from histoweave.fusion import catalog
from histoweave.storage.files import read_table

FITTED = ("model.safetensors", "transforms.parquet", "history.parquet", "config.json")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    return make_cohort(tmp_path_factory.mktemp("features"), seed=5, n=40, n_features=20, n_genes=60, n_folds=4)


def with_garbage(cohort: Cohort, *, role: str, folder: Path) -> Cohort:
    """The cohort with the data of fold 0's patients of one role replaced: huge features, missing and huge genes,
    and another number of tiles."""
    rng = np.random.default_rng(0)
    folds = cohort.folds[(cohort.folds["fold"] == 0) & (cohort.folds["role"] == role)]
    chosen = set(folds["patient"])
    slides, expression = cohort.slides.copy(), cohort.expression.copy()
    for row in slides[slides["patient"].isin(chosen)].itertuples():
        path = folder / f"{row.slide}.h5"
        with h5py.File(row.features) as source, h5py.File(path, "w") as file:
            n, width = len(source["features"]) // 2, source["features"].shape[1]
            file["features"] = rng.choice([-1e6, 1e6], (n, width)).astype(np.float32)
            file["coords"] = source["coords"][:n]
        slides.loc[row.Index, "features"] = str(path)
    rows = expression["patient"].isin(chosen)
    genes = [column for column in expression if column != "patient"]
    expression.loc[rows, genes] = rng.choice([np.nan, 1e6, -1e6], (rows.sum(), len(genes)))
    return dataclasses.replace(cohort, slides=slides, expression=expression)


def run_all(cohort: Cohort, folder: Path) -> dict[str, Path]:
    """Fold 0 of every model of the catalog, in its order."""
    done: dict[str, Path] = {}
    for model in catalog.names():
        needs = {name: done[name] for name in catalog.get(model).needs}
        done[model] = cohort.run(model, 0, folder / model, needs=needs)
    return done


@pytest.fixture(scope="module")
def intact(cohort, tmp_path_factory) -> dict[str, Path]:
    return run_all(cohort, tmp_path_factory.mktemp("intact"))


@pytest.fixture(scope="module")
def spoilt(cohort, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("spoilt")
    return run_all(with_garbage(cohort, role="test", folder=folder), folder)


@pytest.mark.parametrize("model", catalog.names())
@pytest.mark.parametrize("file", FITTED)
def test_fitted_files_do_not_depend_on_test_patients(intact, spoilt, model, file):
    assert (intact[model] / file).read_bytes() == (spoilt[model] / file).read_bytes()


@pytest.mark.parametrize("model", catalog.names())
def test_train_and_val_predictions_do_not_depend_on_test_patients(intact, spoilt, model):
    before, after = (read_table(run[model] / "predictions.parquet") for run in (intact, spoilt))
    seen = before["role"] != "test"
    assert seen.any()
    assert before[seen].equals(after[seen])


@pytest.mark.parametrize("model", [name for name in catalog.names() if catalog.get(name).modalities])
def test_the_garbage_did_reach_the_test_predictions(intact, spoilt, model):
    before, after = (read_table(run[model] / "predictions.parquet") for run in (intact, spoilt))
    assert not before[before["role"] == "test"].equals(after[after["role"] == "test"])


@pytest.mark.parametrize("model", [name for name in catalog.names() if catalog.get(name).modalities])
def test_the_check_would_notice_a_leak(cohort, intact, spoilt, tmp_path, model):
    """The same garbage in training patients does change what is fitted: the comparison above can fail."""
    leaky = with_garbage(cohort, role="train", folder=tmp_path)
    needs = {name: leaky.run(name, 0, tmp_path / name) for name in catalog.get(model).needs}
    out = leaky.run(model, 0, tmp_path / model, needs=needs)
    assert (out / "transforms.parquet").read_bytes() != (intact[model] / "transforms.parquet").read_bytes()


@pytest.mark.parametrize("model", catalog.names())
def test_transforms_do_not_depend_on_validation_patients(cohort, intact, tmp_path, model):
    changed = with_garbage(cohort, role="val", folder=tmp_path)
    needs = {name: changed.run(name, 0, tmp_path / name) for name in catalog.get(model).needs}
    out = changed.run(model, 0, tmp_path / model, needs=needs)
    assert (out / "transforms.parquet").read_bytes() == (intact[model] / "transforms.parquet").read_bytes()
