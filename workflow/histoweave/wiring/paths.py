"""Where results lie, each path once: patterns with the wildcards of the rules.

Rules state them as they are; what a rule asks for is filled in by `at`. A mapping holds the tables of one rule by their names.
"""

from __future__ import annotations

from collections.abc import Iterable


def at(pattern: str, **wildcards: object) -> str:
    """A pattern with wildcards filled in; those that are not named stay as they are."""
    for name, value in wildcards.items():
        pattern = pattern.replace(f"{{{name}}}", str(value))
    return pattern


def all_at(patterns: dict[str, str], **wildcards: object) -> dict[str, str]:
    """Every pattern of a mapping, filled in as by `at`."""
    return {name: at(pattern, **wildcards) for name, pattern in patterns.items()}


def _tables(folder: str, names: Iterable[str]) -> dict[str, str]:
    return {name: f"{folder}/{name}.parquet" for name in names}


ROOT = "results/{cohort}"

# What a cohort is made of: tiles, features and RNA, then its patients and their folds.
TILES = f"{ROOT}/tiles/shards/{{shard}}.json"
FEATURES = f"{ROOT}/features/{{encoder}}/shards/{{shard}}.json"
EXPORTS = f"{ROOT}/exports/{{form}}/shards/{{shard}}.json"
EXPRESSION = _tables(f"{ROOT}/expression", ("expression", "samples", "genes"))
EXPRESSION_REPORT = f"{ROOT}/expression/report.json"
COHORT = _tables(f"{ROOT}/cohort", ("patients", "slides", "flow", "read"))
PATIENTS, SLIDES = COHORT["patients"], COHORT["slides"]
TILE_SUMMARY = f"{ROOT}/cohort/tile_summary.h5"
FOLDS, HOW_FOLDED = f"{ROOT}/folds.parquet", f"{ROOT}/folds.json"
SIMULATED = f"{ROOT}/simulated"
SIMULATED_SLIDES, TRUTH = f"{SIMULATED}/shards/{{shard}}.json", f"{SIMULATED}/truth.parquet"

# Fitted models, and what they are worth.
FOLD = f"{ROOT}/{{arm}}/{{model}}/fold{{k}}"
FITTED = {"model": f"{FOLD}/model.safetensors", "config": f"{FOLD}/config.json"} | _tables(
    FOLD, ("transforms", "history", "predictions", "modality_use", "attention")
)
FITTED_MODEL = ("model", "config", "transforms")  # what a fitted model is read from
# The tiles that the models of a fold read; `arm`: fusion, sites or control/shuffle<n>.
PROJECTED = f"{ROOT}/{{arm}}/projected/fold{{k}}.h5"
EVALUATION = _tables(
    ROOT,
    (
        "predictions", "metrics", "comparisons", "modality_use", "confusion", "reliability", "curves", "choice", "roc",
        "operating", "operating_thresholds",
    ),
)  # fmt: skip
CONFOUNDING = f"{ROOT}/confounding.parquet"
SITE_FOLDS, SITES_HOW_FOLDED = f"{ROOT}/sites/folds.parquet", f"{ROOT}/sites/folds.json"
SITE_METRICS = f"{ROOT}/sites/metrics.parquet"
CONTROL_LABELS = {"labels": f"{ROOT}/control/labels.parquet", "folds": f"{ROOT}/control/folds.parquet"}
CONTROL_HOW = f"{ROOT}/control/shuffles.json"
CONTROL_REFERENCE = f"{ROOT}/control/{{model}}/predictions.parquet"
CONTROL_NETWORK = f"{ROOT}/control/{{model}}/shuffle{{n}}/predictions.parquet"
CONTROL = _tables(f"{ROOT}/control", ("null", "summary"))
DECIDE = _tables(
    f"{ROOT}/decide",
    (
        "temperatures", "calibrated", "calibration", "reliability", "conformal_scores", "conformal", "sets",
        "risk_coverage", "selective", "decision_curve", "subgroups", "subgroup_differences", "findings",
    ),
)  # fmt: skip
LEARNING = _tables(f"{ROOT}/decide", ("learning", "learning_fit"))
LEARNING_FOLD = f"{ROOT}/decide/learning/{{model}}/fold{{k}}.parquet"

# Why a model predicts what it does.
EXPLAINED = f"{ROOT}/explain/{{model}}"
EXPLAIN_FOLD = _tables(f"{EXPLAINED}/fold{{k}}", ("tiles", "genes", "faithfulness", "stability"))
EXPLAIN = _tables(EXPLAINED, ("genes", "gene_sets", "tests", "patients"))
EXPLAIN_SLIDES = {kind: f"{EXPLAINED}/{kind}/shards/{{shard}}.json" for kind in ("overlays", "geojson", "morphology")}
EXPLAIN_MORPHOLOGY = _tables(EXPLAINED, ("morphology", "class_tiles"))
EXPLAIN_CONCEPTS = _tables(EXPLAINED, ("concepts", "concept_gene_sets"))

# Frozen models on an external cohort, `target`.
BUNDLE = f"{ROOT}/bundle.zip"
APPLIED_TO = "results/{target}/applied/{trained}"
COMPARED = {"compatibility": f"{APPLIED_TO}/compatibility.json"} | _tables(APPLIED_TO, ("drift", "plausible"))
APPLIED = _tables(APPLIED_TO, ("predictions", "members", "metrics", "coverage"))
APPLIED_PAGE = f"{APPLIED_TO}/report.html"

# Cells (or tiles, `source`), dictionaries of a cohort, and what they find `on` a cohort.
TOKENS, ALL_USABLE = f"{ROOT}/cells/{{encoder}}/{{shard}}.h5", f"{ROOT}/cells/{{encoder}}/all_usable.json"
SAE = f"{ROOT}/sae/{{source}}"
IMAGES, SAE_FOLDS = f"{SAE}/images.parquet", f"{SAE}/folds.parquet"
DICTIONARY = {
    "weights": f"{SAE}/{{fit}}/sae_weights.safetensors",
    "config": f"{SAE}/{{fit}}/cfg.json",
    "training": f"{SAE}/{{fit}}/training.safetensors",
}  # `fit`: seed<n> or fold<k>
DICTIONARY_HISTORY = f"{SAE}/{{fit}}/history.parquet"
ON = f"{SAE}/on/{{target}}"
ACTIVATIONS, FOLD_ACTIVATIONS = f"{ON}/activations.h5", f"{SAE}/fold{{k}}/activations.h5"
DESCRIBED = _tables(ON, ("concepts", "top_images", "associations", "patients", "classes"))
TRANSFER = _tables(
    ON, ("transfer", "transfer_predictions", "transfer_comparisons", "transfer_classes", "shift", "shift_concepts")
)
SCORES = _tables(f"{SAE}/scores", ("predictions", "metrics", "comparisons", "probes", "levels", "classes"))
STABILITY = {"stability": f"{SAE}/stability.parquet", "concepts": f"{SAE}/stability_concepts.parquet"}

# Pages, and what programs read in their place.
REPORT, REPORT_JSON, METRICS_TSV = f"{ROOT}/report.html", f"{ROOT}/report.json", f"{ROOT}/metrics.tsv"
CONCEPTS_PAGE, CONCEPTS_JSON = f"{ROOT}/concepts.html", f"{ROOT}/concepts.json"
CRATE = f"{ROOT}/ro-crate-metadata.json"
