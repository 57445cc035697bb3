"""From fitted folds to the tables of a model, through the scripts that the rules call; and what the rules ask."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fusion_cohort import FAST, Cohort, make_cohort, tile_files
from script_runs import Named, run

from histoweave.errors import InputError
from histoweave.settings.config import parse_config
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.explain import Explain
from histoweave.simulate.expression import LOWERED, RAISED
from histoweave.storage.files import read_table, sha256_of, write_json, write_table
from histoweave.storage.records import Outcome, Record
from histoweave.wiring.cells import CellWiring
from histoweave.wiring.explain import ExplainWiring
from histoweave.wiring.paths import EXPLAIN_MORPHOLOGY
from histoweave.wiring.tissue import Wiring
from histoweave.wiring.validation import CohortTables

FOLD_TABLES = ("tiles", "genes", "faithfulness", "stability")
TABLES = ("genes", "gene_sets", "tests", "patients")
SETTINGS = FAST.model_copy(update={"epochs": 40, "patience": 40})
N_FOLDS = 2


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    """Two classes, planted tiles and genes; P000 has no image, P001 no expression, P002 two slides."""
    whole = make_cohort(
        tmp_path_factory.mktemp("f"), seed=4, n=48, n_features=20, n_genes=60, effect=10.0, n_folds=N_FOLDS
    )
    patients = whole.patients.set_index("patient")
    patients.loc["P000", "has_image"] = patients.loc["P001", "has_expression"] = False
    slides = whole.slides[whole.slides["patient"] != "P000"].assign(level0_mpp=0.5)
    second = slides[slides["patient"] == "P002"].assign(slide="P002-2")
    planted = dict(zip([f"G{i}" for i in range(26)], [*RAISED, *LOWERED][:26], strict=True))
    expression = whole.expression[whole.expression["patient"] != "P001"].rename(columns=planted)
    return dataclasses.replace(
        whole,
        patients=patients.reset_index(),
        slides=pd.concat([slides, second], ignore_index=True),
        expression=expression.reset_index(drop=True),
    )


def squares(cohort: Cohort) -> pd.DataFrame:
    """The planted tiles as a regular grid of squares of a tile's size, for every slide."""
    parts = []
    for row in cohort.slides.itertuples():
        mask = cohort.planted[row.patient]
        grid = pd.DataFrame({"slide": row.slide, "edge_um": 112.0, "planted_share": np.resize(mask, 56).astype(float)})
        grid.loc[len(mask) :, "planted_share"] = 0.0
        parts.append(grid.assign(x_um=grid.index % 7 * 112.0, y_um=grid.index // 7 * 112.0))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def inputs(cohort, tmp_path_factory):
    """The files that the rules name."""
    folder = tmp_path_factory.mktemp("inputs")
    tables = {name: getattr(cohort, name) for name in ("patients", "folds", "slides", "expression")}
    for name, table in (tables | {"truth/S": squares(cohort)}).items():
        write_table(folder / f"{name}.parquet", table)
    drawn = Record("S", Outcome("ok"), sources={}, files={"truth/S.parquet": 0})
    write_json(folder / "shards/0-of-1.json", [dataclasses.asdict(drawn)])
    for model in ("cross_attention", "expression", "image"):
        for k in range(N_FOLDS):
            settings = SETTINGS if model == "cross_attention" else FAST
            cohort.run(model, k, folder / model / f"fold{k}", settings=settings)
    for name, settings in (("cross_attention", SETTINGS), ("image", FAST)):
        known = {table: tables[table] for table in ("patients", "slides", "folds")}
        tile_files(folder / "tiles" / name, **known, seed=1, settings=settings)
    return folder


def model_files(folder, k):
    return [folder / f"fold{k}" / name for name in ("model.safetensors", "config.json", "transforms.parquet")]


def explain_fold(inputs, out, k, *, model="cross_attention"):
    given = {name: inputs / f"{name}.parquet" for name in ("patients", "folds", "slides", "expression")}
    given |= {"model": model_files(inputs / model, k), "other": model_files(inputs / model, (k + 1) % N_FOLDS)}
    if model != "expression":
        tiles = inputs / "tiles" / model
        given |= {"projected": tiles / f"fold{k}.h5", "other_projected": tiles / f"fold{(k + 1) % N_FOLDS}.h5"}
    run(
        "explain_fold",
        log=[str(out / f"{k}.log")],
        wildcards=SimpleNamespace(k=str(k), model=model),
        input=Named(given),
        output=Named({name: out / f"fold{k}" / f"{name}.parquet" for name in FOLD_TABLES}),
        resources=SimpleNamespace(gpu=0, jobs_per_gpu=1, device="cpu"),
        params=SimpleNamespace(settings=Explain(steps=16, random_orders=3).model_dump(), seed=1),
    )


def explain(inputs, out, *, model="cross_attention", truth=True):
    for k in range(N_FOLDS):
        explain_fold(inputs, out, k, model=model)
    given = {name: [out / f"fold{k}" / f"{name}.parquet" for k in range(N_FOLDS)] for name in FOLD_TABLES}
    given["predictions"] = [inputs / model / f"fold{k}" / "predictions.parquet" for k in range(N_FOLDS)]
    if truth:
        given |= {"slides": inputs / "slides.parquet", "simulated": [inputs / "shards/0-of-1.json"]}
    run(
        "explain",
        log=[str(out / "summary.log")],
        input=Named(given),
        output=Named({name: out / f"{name}.parquet" for name in TABLES}),
        params=SimpleNamespace(
            classes=["neg", "pos"], settings=Explain(top_tiles=3).model_dump(), tile_um=112.0, seed=1,
            evaluation=Evaluation(bootstrap=1000).model_dump(include={"bootstrap", "confidence"}),
        ),
    )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def explained(inputs, tmp_path_factory):
    return explain(inputs, tmp_path_factory.mktemp("explained"))


def test_every_patient_is_explained_once_as_a_test_patient(cohort, explained):
    tiles, genes = (
        pd.concat([read_table(explained / f"fold{k}/{name}.parquet").assign(k=k) for k in range(N_FOLDS)])
        for name in ("tiles", "genes")
    )
    assert set(cohort.patients["patient"]) - set(tiles["patient"]) == {"P000"}
    assert set(cohort.patients["patient"]) - set(genes["patient"]) == {"P001"}
    test = cohort.folds[cohort.folds["role"] == "test"].set_index("patient")["fold"]
    for table in (tiles, genes):
        assert (table["k"] == table["patient"].map(test)).all()
    assert list(tiles) == [
        "patient", "slide", "x_lv0", "y_lv0", "attention", "a_neg", "a_pos", *(f"cross_{t}" for t in range(4)), "k",
    ]  # fmt: skip
    assert list(genes) == ["patient", "gene", "value", "token", "a_neg", "a_pos", "k"]
    assert len(tiles[tiles["patient"] == "P002"]) == 2 * len(cohort.planted["P002"])
    attention = tiles.groupby("patient")["attention"].sum()
    assert attention.to_numpy() == pytest.approx(1, abs=1e-5)
    assert tiles.loc[tiles["patient"] == "P001", "cross_0"].isna().all()


def test_the_tables_of_a_model(cohort, explained):
    genes, sets, tests, patients = (read_table(explained / f"{name}.parquet") for name in TABLES)
    assert set(genes["class"]) == {"neg", "pos"} and set(sets["gene_set"]) <= {f"group {t}" for t in range(4)}
    assert set(zip(tests["test"], tests["modality"], tests["order"], strict=True)) == {
        *((f"{d}_gain", "image", o) for d in ("deletion", "insertion") for o in ("attribution", "attention")),
        *((f"{d}_gain", "expression", "attribution") for d in ("deletion", "insertion")),
        ("stability", "image", "attribution"), ("stability", "expression", "attribution"),
        ("planted_tiles_auroc", "image", "attribution"), ("planted_tiles_auroc", "image", "attention"),
        ("planted_genes_recall", "expression", "attribution"),
    }  # fmt: skip
    assert (
        tests["says"].str.endswith(".").all()
        and (tests.loc[tests["order"] == "attention", "modality"] == "image").all()
    )
    assert patients["patient"].tolist() == cohort.patients["patient"].tolist()
    row = patients.set_index("patient").loc["P003"]
    assert 1 <= len(row["top_tiles"]) <= 3 and len(row["bottom_tiles"]) <= 3 and len(row["top_genes"]) == 10
    assert np.array(row["cross"].tolist()).shape == (4, len(row["top_tiles"])) and len(row["token_genes"]) == 4
    scores = [tile["score"] for tile in row["top_tiles"]]
    assert scores == sorted(scores, reverse=True)


def test_planted_tiles_and_faithfulness_are_found(explained):
    tests = read_table(explained / "tests.parquet").set_index(["test", "modality", "order"])
    assert tests.loc[("planted_tiles_auroc", "image", "attribution"), "estimate"] > 0.8
    for at in (("deletion_gain", "image"), ("deletion_gain", "expression"), ("planted_tiles_auroc", "image")):
        assert tests.loc[(*at, "attribution"), "passed"], tests.loc[(*at, "attribution"), "says"]


def test_the_same_run_gives_the_same_bytes(inputs, explained, tmp_path):
    explain_fold(inputs, tmp_path, 1)
    for path in sorted((tmp_path / "fold1").iterdir()):
        assert sha256_of(path) == sha256_of(explained / "fold1" / path.name), path.name


@pytest.mark.parametrize("model", ["expression", "image"])
def test_models_of_one_modality(inputs, tmp_path, model):
    out = explain(inputs, tmp_path, model=model, truth=False)
    tests = read_table(out / "tests.parquet")
    assert set(tests["modality"]) == {model}
    patients = read_table(out / "patients.parquet")
    assert all(len(tiles) == 0 for tiles in patients["top_tiles"]) == (model == "expression")
    assert all(len(genes) == 0 for genes in patients["top_genes"]) == (model == "image")
    assert read_table(out / "genes.parquet").empty == (model == "image")
    assert "cross_0" not in read_table(out / "fold0/tiles.parquet")


# ---------------------------------------------------------------- what the rules ask


def wiring(*, explain=None, fusion=None, cohorts=None, **sections):
    cohorts = cohorts or {"c": {"patients": "p.tsv", "slides": "s.tsv", "expression": {"path": "e.tsv", "unit": "tpm"}}}
    raw = {"cohorts": cohorts, "explain": explain or {}, "fusion": fusion or {}, **sections}
    config = parse_config(raw)
    patients = pd.DataFrame({"patient": ["p0"], "label": ["a"], "site": ["x"]})
    slides = pd.DataFrame(
        {"slide": ["s0"], "patient": ["p0"], "path": ["s0.svs"], "mpp": [np.nan], "coords": "", "features": ""}
    )
    tables = {
        name: CohortTables(name, cohort, patients, slides if cohort.slides else slides.head(0), False, ["a", "b"])
        for name, cohort in config.cohorts.items()
    }
    fused = Wiring(config, tables)
    return ExplainWiring(fused, CellWiring(config, {}, {name: fused.feature_indexes(name) for name in tables}))


def test_the_last_fused_network_is_explained_unless_told_otherwise():
    assert wiring().models("c") == ["cross_attention"]
    assert wiring(fusion={"models": ["image", "concat", "expression"]}).models("c") == ["concat"]
    assert wiring(fusion={"models": ["image", "expression", "majority"]}).models("c") == ["image", "expression"]
    assert wiring(fusion={"models": ["majority"]}).models("c") == []
    assert wiring(explain={"models": ["image", "concat"]}).models("c") == ["image", "concat"]
    assert wiring(explain={"models": []}).targets() == []
    rna = {"c": {"patients": "p.tsv", "expression": {"path": "e.tsv", "unit": "tpm"}}}
    alone = wiring(cohorts=rna)
    assert alone.models("c") == ["expression"]
    assert alone.targets() == [f"results/c/explain/expression/{name}.parquet" for name in TABLES]


def test_what_cannot_be_explained_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"explain.models: 'crossattention' is not in fusion.models.*cross_attention"):
        wiring(explain={"models": ["crossattention"]})
    with pytest.raises(InputError, match=r"'best_gene' is not a trained network.*name one of image"):
        wiring(explain={"models": ["best_gene"]})
    with pytest.raises(InputError, match=r"explain.gene_sets '.*none.gmt' does not exist"):
        wiring(explain={"gene_sets": str(tmp_path / "none.gmt")}).check()


def test_files_of_a_fold_and_its_neighbour():
    asked = wiring(folds={"n_folds": 3, "repeats": 2})
    found = asked.fold_inputs("c", "cross_attention", "2")
    assert found["model"][0] == "results/c/fusion/cross_attention/fold2/model.safetensors"
    assert found["other"][0] == "results/c/fusion/cross_attention/fold0/model.safetensors"
    assert found["projected"] == "results/c/fusion/projected/fold2.h5"
    assert found["other_projected"] == "results/c/fusion/projected/fold0.h5"
    assert "projected" not in asked.fold_inputs("c", "expression", "2")
    assert len(asked.fold_tables("c", "cross_attention", "tiles")) == 3
    root = "results/c/explain/cross_attention"
    assert asked.targets() == [
        *(f"{root}/{name}.parquet" for name in (*TABLES, *EXPLAIN_MORPHOLOGY)),
        *(f"{root}/{kind}/shards/0-of-1.json" for kind in ("overlays", "geojson", "morphology")),
    ]


def test_morphology_is_asked_for_where_slides_are_read():
    asked = wiring()
    assert asked.morphology_tables("c", "expression") == []
    read = asked.morphology_inputs("c", "cross_attention")
    assert read["indexes"] == ["results/c/explain/cross_attention/morphology/shards/0-of-1.json"]


def test_concepts_are_asked_for_where_tiles_have_a_dictionary():
    asked = wiring(sae={"source": "tiles"})
    root = "results/c/explain/cross_attention"
    assert {f"{root}/concepts.parquet", f"{root}/concept_gene_sets.parquet"} <= set(asked.targets())
    assert asked.concept_inputs("c", "cross_attention")["sae"][0].startswith("results/c/sae/tiles/seed0/")
