"""The negative control from the cohort's tables to its summary, through the scripts of its rules."""

from types import SimpleNamespace

import pandas as pd
import pytest
from fusion_cohort import FAST, tile_files
from fusion_cohort import make_cohort as with_truth
from script_runs import Named, run
from stubs import COHORT, base_config, make_cohort, wiring_in

from histoweave.evaluation.evaluate import evaluate, pool
from histoweave.evaluation.null import NULL_TYPES, SUMMARY_TYPES
from histoweave.fusion.null import refit
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.folds import Folds
from histoweave.storage.files import read_json, read_table, write_json, write_table
from histoweave.wiring.control import ControlWiring

MODELS = ["majority", "best_gene", "image", "expression", "late_mean"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a finished control: 3 shuffles for references, one for networks."""
    folder = tmp_path_factory.mktemp("control")
    cohort = with_truth(folder / "features", seed=3, n=32, n_features=8, n_genes=40, n_folds=2)
    given = {"patients": cohort.patients, "slides": cohort.slides, "expression": cohort.expression}
    for name, table in given.items():
        write_table(folder / f"{name}.parquet", table)
    write_json(folder / "folds.json", {"group_by": "patient"})

    def job(script, inputs, outputs, **more):
        run(
            script,
            log=[str(folder / f"{script}.log")],
            input=Named({name: path if isinstance(path, list) else folder / path for name, path in inputs.items()}),
            output=Named({name: folder / path for name, path in outputs.items()}),
            **more,
        )

    outputs = {"labels": "labels.parquet", "folds": "folds.parquet", "how": "shuffles.json"}
    params = SimpleNamespace(settings=Folds(n_folds=2).model_dump(), seed=1, shuffles=3)
    job("control_folds", {"patients": "patients.parquet", "how": "folds.json"}, outputs, params=params)

    inputs = {name: f"{name}.parquet" for name in ("patients", "slides", "expression", "labels", "folds")}
    params = SimpleNamespace(classes=cohort.classes, settings=FAST.model_dump(), seed=1, shuffles=3)
    folds = read_table(folder / "folds.parquet")
    tables = {"patients": cohort.patients, "slides": cohort.slides}
    of_shuffle = folds[folds["shuffle"] == 0].drop(columns="shuffle")
    shuffled = tile_files(folder / "shuffled", **tables, folds=of_shuffle, seed=1, settings=FAST)
    true_tiles = tile_files(folder / "true", **tables, folds=cohort.folds, seed=1, settings=FAST)
    files = []
    for model in MODELS:
        network = model not in ("majority", "best_gene")
        needs = {"needs_image": "image.parquet", "needs_expression": "expression_model.parquet"}
        out = "expression_model.parquet" if model == "expression" else f"{model}.parquet"
        job(
            "control_network" if network else "control_reference",
            inputs | (needs if model == "late_mean" else {}) | (shuffled if model == "image" else {}),
            {"predictions": out},
            params=params,
            wildcards=SimpleNamespace(model=model, n="0"),
            resources=SimpleNamespace(gpu=0, jobs_per_gpu=1, device="cpu"),
        )
        files.append(folder / out)

    how = {"classes": cohort.classes, "settings": FAST, "seed": 1, "device": "cpu"}
    true = [
        (model, refit(model, folds=cohort.folds, **given, **how, **(true_tiles if model == "image" else {})))
        for model in MODELS[:-1]
    ]
    predictions = pool([*true, ("late_mean", true[-1][1])])
    tables = evaluate(
        predictions, patients=cohort.patients, classes=cohort.classes, order=MODELS, modalities=["image", "expression"],
        settings=Evaluation(bootstrap=1000), seed=1,
    )  # fmt: skip
    write_table(folder / "true.parquet", predictions)
    write_table(folder / "metrics.parquet", tables["metrics"])
    run(
        "evaluate_control",
        log=[str(folder / "evaluate.log")],
        input=SimpleNamespace(
            refits=files, labels=folder / "labels.parquet", predictions=folder / "true.parquet",
            metrics=folder / "metrics.parquet",
        ),
        output=SimpleNamespace(null=folder / "null.parquet", summary=folder / "summary.parquet"),
        params=SimpleNamespace(
            refitted=MODELS, models=MODELS, classes=cohort.classes, modalities=["image", "expression"], confidence=0.95
        ),
    )  # fmt: skip
    return folder


def test_every_model_and_shuffle_has_a_score(done):
    null = read_table(done / "null.parquet")
    assert list(null) == list(NULL_TYPES)
    counts = null.groupby("model")["shuffle"].nunique()
    assert counts.to_dict() == {"majority": 3, "best_gene": 3, "image": 1, "expression": 1, "late_mean": 1}
    assert read_json(done / "shuffles.json") == {
        "within": "site", "patients": 32, "sites": 4, "one_class_sites": 0, "fixed": 0, "shuffles": 3
    }  # fmt: skip


def test_the_summary_holds_the_scores_of_the_true_labels(done):
    summary = read_table(done / "summary.parquet")
    assert list(summary) == list(SUMMARY_TYPES) and list(summary["model"].unique()) == MODELS
    plain = summary[summary["metric"] == "auroc"].set_index("model")
    metrics = read_table(done / "metrics.parquet")
    pooled = metrics[(metrics["scope"] == "pooled") & (metrics["metric"] == "auroc")].set_index("model")["estimate"]
    pd.testing.assert_series_equal(plain["score"], pooled.rename("score"))
    assert plain["p"].between(1 / 4, 1).all() and not summary["leak"].any()


def test_files_of_the_control(tmp_path):
    make_cohort(tmp_path / "run")
    raw = base_config(simulated=False)
    raw["fusion"]["models"] = ["majority", "best_gene", "image", "expression", "late_mean"]  # majority reads nothing
    raw["control"] = {"network_shuffles": 2}
    wiring = wiring_in(tmp_path / "run", raw)
    control, root = ControlWiring(wiring.config, wiring), f"results/{COHORT}/control"
    assert control.shuffles() == 20
    assert control.refitted(COHORT) == [
        "best_gene",
        *(m for m in ("image", "expression", "late_mean") for _ in range(2)),
    ]
    assert control.refits(COHORT)[:3] == [
        f"{root}/best_gene/predictions.parquet",
        *(f"{root}/image/shuffle{n}/predictions.parquet" for n in range(2)),
    ]
    tiles = [f"{root}/shuffle1/projected/fold{k}.h5" for k in range(wiring.n_splits())]
    assert control.inputs(COHORT, "image", "1")["projected"] == tiles
    assert "projected" not in control.inputs(COHORT, "best_gene") | control.inputs(COHORT, "late_mean", "1")
    inputs = control.inputs(COHORT, "late_mean", "1")
    assert inputs["needs_image"] == f"{root}/image/shuffle1/predictions.parquet"
    assert (
        inputs["folds"] == f"{root}/folds.parquet" and inputs["patients"] == f"results/{COHORT}/cohort/patients.parquet"
    )
