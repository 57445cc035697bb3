"""What the report is made of: the paths of a run's tables, and the tables read from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from histoweave.evaluation.choice import class_counts
from histoweave.evaluation.conclusion import Conclusion, conclude
from histoweave.evaluation.evaluate import pooled_scope
from histoweave.fusion import catalog
from histoweave.fusion.catalog import ModelInfo
from histoweave.privacy.content import pseudonymised
from histoweave.privacy.pseudonyms import Pseudonyms
from histoweave.storage.files import read_json, read_table
from histoweave.storage.records import read_index


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Paths and plain values of one run; content of the files as in docs/artefacts.md.

    Attributes
    ----------
    cohort, models, classes
        name of the cohort, names of the fusion models in order of display, class labels (positive last).
    patients ... predictions
        the tables every run has.
    read
        what was read of the user's tables (`tabular.reading.Reading`).
    slides, expression_report, genes, control_null, control_summary, control_how, truth
        None where the run has no slides, no RNA, no negative control, no known truth.
    confounding
        what sites and other columns can tell; None where it was not asked.
    explained
        the model whose explanations `explain` holds; empty without.
    histories
        model: its `history.parquet` files in order of the folds.
    thumbnails
        slide: the PNG of its thumbnail; its contours (`.geojson`) and tiles (`.h5`) lie beside it.
    benchmarks
        folder of Snakemake's benchmark files (`<stage>/<job>.tsv`).
    slide_indexes
        the indexes of all shards (see `histoweave.storage.records`).
    overlays
        slide: the PNG of its attribution, in the frame of its thumbnail.
    explain, decide
        name of a table (`why.tables.TABLES`, `decisions.tables.TABLES`): its files, whose rows are joined. Empty where
        the run has no explanations, or no decisions.
    more
        name of a table that only one section reads (`Section.reads`): its file.
    links
        title: address of another page of the run, relative to the report.
    figures
        folder of the SVG files that `draw_figures` wrote.
    config
        the configuration with its defaults.
    input_sha256, code
        SHA-256 per input file; code fingerprint per stage.
    pseudonyms
        replace every id in the tables (see `histoweave.privacy`); None: ids are shown.
    """

    cohort: str
    models: Sequence[str]
    classes: Sequence[str]
    config: Mapping[str, Any]
    figures: Path
    patients: Path
    flow: Path
    folds: Path
    folds_json: Path
    metrics: Path
    comparisons: Path
    modality_use: Path
    confusion: Path
    reliability: Path
    curves: Path
    predictions: Path
    choice: Path
    roc: Path | None = None
    operating: Path | None = None
    operating_thresholds: Path | None = None
    read: Path | None = None
    slides: Path | None = None
    expression_report: Path | None = None
    genes: Path | None = None
    control_null: Path | None = None
    control_summary: Path | None = None
    control_how: Path | None = None
    confounding: Path | None = None
    truth: Path | None = None
    explained: str = ""
    benchmarks: Path | None = None
    slide_indexes: Sequence[Path] = ()
    histories: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    thumbnails: Mapping[str, Path] = field(default_factory=dict)
    overlays: Mapping[str, Path] = field(default_factory=dict)
    explain: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    decide: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    more: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    input_sha256: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    pseudonyms: Pseudonyms | None = None


@dataclass(frozen=True, kw_only=True)
class ReportTables:
    """The tables behind the figures and the page. A table that a run does not have is None."""

    models: tuple[ModelInfo, ...]
    classes: tuple[str, ...]
    patients: pd.DataFrame
    flow: pd.DataFrame
    folds: pd.DataFrame
    metrics: pd.DataFrame
    comparisons: pd.DataFrame
    modality_use: pd.DataFrame
    confusion: pd.DataFrame
    reliability: pd.DataFrame
    curves: pd.DataFrame
    predictions: pd.DataFrame
    choice: pd.DataFrame
    confidence: float
    folds_how: dict[str, Any]
    histories: dict[str, tuple[pd.DataFrame, ...]]
    benchmarks: pd.DataFrame
    slide_speed: pd.DataFrame
    roc: pd.DataFrame | None = None
    operating: pd.DataFrame | None = None
    operating_thresholds: pd.DataFrame | None = None
    read: pd.DataFrame | None = None
    slides: pd.DataFrame | None = None
    expression: dict[str, Any] | None = None
    genes: pd.DataFrame | None = None
    control_null: pd.DataFrame | None = None
    control_summary: pd.DataFrame | None = None
    control_how: dict[str, Any] | None = None
    confounding: pd.DataFrame | None = None
    truth: pd.DataFrame | None = None
    explained: str = ""
    explain: dict[str, pd.DataFrame] = field(default_factory=dict)
    decide: dict[str, pd.DataFrame] = field(default_factory=dict)
    more: dict[str, pd.DataFrame] = field(default_factory=dict)

    def named(self, name: str) -> pd.DataFrame | None:
        """A table by the name of its field, or of `more`; None where the run does not have it."""
        return self.more[name] if name in self.more else getattr(self, name, None)

    @property
    def titles(self) -> dict[str, str]:
        """Title of each model in plain words, in order of display."""
        return {model.name: model.title for model in self.models}

    @property
    def modalities(self) -> frozenset[str]:
        """The modalities that any model of this run uses."""
        return frozenset().union(*(model.modalities for model in self.models))

    @cached_property
    def conclusion(self) -> Conclusion:
        """What the run comes down to (docs/conclusion.md)."""
        scored = self.predictions[pooled_scope(self.predictions, self.modalities)]
        return conclude(
            self.choice,
            models=self.models,
            counts=class_counts(scored, self.classes),
            confidence=self.confidence,
            group_by=self.folds_how["group_by"],
            confounding=self.confounding,
            control=self.control_summary,
        )

    def estimates(self, metric: str, *, scope: str = "pooled") -> pd.DataFrame:
        """Rows of one metric and scope, indexed by model in order of display."""
        table = self.metrics
        rows = table[(table["metric"] == metric) & (table["scope"] == scope)].set_index("model")
        return rows.reindex([model.name for model in self.models if model.name in rows.index])


def read_benchmarks(folder: Path | None) -> pd.DataFrame:
    """Snakemake's benchmark files as one table, sorted by path: `stage`, `job`, `seconds`, `max_rss_mb`.

    The stage is the folder of a file relative to `folder`; a file that lies in `folder` itself is a stage of
    one job. Snakemake writes `-` or `NA` for a job too short to be measured: NaN here.
    """
    rows: list[dict[str, Any]] = []
    for path in [] if folder is None else sorted(folder.rglob("*.tsv")):
        assert folder is not None
        relative = path.relative_to(folder)
        stage = relative.parent.as_posix() if len(relative.parts) > 1 else path.stem
        table = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        rows.extend(
            {"stage": stage, "job": path.stem, "seconds": row["s"], "max_rss_mb": row["max_rss"]}
            for row in table.to_dict("records")
        )
    return pd.DataFrame(rows, columns=["stage", "job", "seconds", "max_rss_mb"])


def read_slide_speed(indexes: Sequence[Path]) -> pd.DataFrame:
    """How fast the slide stages were: `stage`, `slides`, `tiles`, `seconds`, `tiles_per_s`, from the slides' records.

    Slides without tiles count with their time; loading a network and starting a job are not part of it.
    """
    rows = [
        {
            "stage": index.parents[1].name
            if index.parents[1].name == "tiles"
            else f"features: {index.parents[1].name}",
            "slides": 1,
            "tiles": record.outcome.n_tiles,
            "seconds": record.seconds,
        }
        for index in indexes
        for record in read_index(index)
    ]
    table = pd.DataFrame(rows, columns=["stage", "slides", "tiles", "seconds"]).groupby("stage", as_index=False).sum()
    return table.assign(tiles_per_s=table["tiles"] / table["seconds"].where(table["seconds"] > 0))


def of_part(prefix: str, inputs: Mapping[str, Sequence[str]]) -> dict[str, list[Path]]:
    """The files of a part of the run by the names of their tables, of a rule's inputs `<prefix>_<name>`."""
    start = f"{prefix}_"
    return {
        name.removeprefix(start): list(map(Path, files)) for name, files in inputs.items() if name.startswith(start)
    }


def _joined(tables: Mapping[str, Sequence[Path]]) -> dict[str, pd.DataFrame]:
    return {name: pd.concat([read_table(path) for path in paths], ignore_index=True) for name, paths in tables.items()}


def read_tables(inputs: ReportInputs) -> ReportTables:
    """Read every table that `inputs` names, with pseudonyms in place of ids where `inputs` has them.

    Raises
    ------
    InputError
        for a model that is not in the catalogue.
    """

    def optional(path: Path | None) -> pd.DataFrame | None:
        return None if path is None else read_table(path)

    tables = ReportTables(
        models=tuple(catalog.get(name) for name in inputs.models),
        classes=tuple(inputs.classes),
        patients=read_table(inputs.patients),
        flow=read_table(inputs.flow),
        folds=read_table(inputs.folds),
        metrics=read_table(inputs.metrics),
        comparisons=read_table(inputs.comparisons),
        modality_use=read_table(inputs.modality_use),
        confusion=read_table(inputs.confusion),
        reliability=read_table(inputs.reliability),
        curves=read_table(inputs.curves),
        predictions=read_table(inputs.predictions),
        choice=read_table(inputs.choice),
        confidence=inputs.config.get("evaluation", {}).get("confidence", 0.95),
        folds_how=read_json(inputs.folds_json),
        histories={model: tuple(read_table(path) for path in paths) for model, paths in inputs.histories.items()},
        benchmarks=read_benchmarks(inputs.benchmarks),
        slide_speed=read_slide_speed(inputs.slide_indexes),
        roc=optional(inputs.roc),
        operating=optional(inputs.operating),
        operating_thresholds=optional(inputs.operating_thresholds),
        read=optional(inputs.read),
        slides=optional(inputs.slides),
        expression=None if inputs.expression_report is None else read_json(inputs.expression_report),
        genes=optional(inputs.genes),
        control_null=optional(inputs.control_null),
        control_summary=optional(inputs.control_summary),
        control_how=None if inputs.control_how is None else read_json(inputs.control_how),
        confounding=optional(inputs.confounding),
        truth=optional(inputs.truth),
        explained=inputs.explained,
        explain=_joined(inputs.explain),
        decide=_joined(inputs.decide),
        more=_joined(inputs.more),
    )
    return tables if inputs.pseudonyms is None else pseudonymised(tables, inputs.pseudonyms)
