"""What the rules ask: which files a job needs, as plain ordered values. No rule decides anything itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.settings.config import Config
from histoweave.storage.records import untrue_indexes
from histoweave.storage.shards import shards_of
from histoweave.wiring import paths
from histoweave.wiring.fingerprint import code_hash
from histoweave.wiring.paths import all_at, at
from histoweave.wiring.projection import ProjectionWiring, folds_of
from histoweave.wiring.validation import CohortTables, models_of

STAGES = {
    "tiles": "tiles.tile_slides", "features": "features.extract_features", "expression": "expression.prepare", "cohort": "cohort.join",
    "folds": "cohort.folds", "fusion": "fusion.fusion_fold", "control": "fusion.null", "evaluation": "evaluation.evaluate", "report": "pages.report.page",
}  # fmt: skip


class Wiring:
    """Paths and parameters of one run.

    Parameters
    ----------
    config, tables : as `load` returns them.
    """

    def __init__(self, config: Config, tables: dict[str, CohortTables]):
        self.config = config
        self.tables = tables
        self.projection = ProjectionWiring(config, tables)
        self._slides = {
            name: {row.slide: row for row in table.slides.itertuples(index=False)} for name, table in tables.items()
        }
        per_shard = config.mechanics.slides_per_shard
        self._shards = {name: shards_of(slides, slides_per_shard=per_shard) for name, slides in self._slides.items()}

    def classes(self, cohort: str) -> list[str]:
        """The classes of a cohort's label, the positive one last."""
        return self.tables[cohort].classes

    def patient_ids(self, cohort: str) -> list[str]:
        """The ids of the patients table, sorted."""
        return sorted(self.tables[cohort].patients["patient"])

    def is_tcga(self, cohort: str) -> bool:
        """Whether the rules of TCGA barcodes hold."""
        return self.tables[cohort].tcga

    def expression_source(self, cohort: str) -> dict:
        """The section `expression` of a cohort."""
        return self.tables[cohort].expression.model_dump()

    def shard(self, cohort: str, shard: str) -> list[dict[str, Any]]:
        """The slides of a shard: `slide`, `path`, `mpp` (the override, None without one), `coords`, `features`."""
        rows = [self._slide(cohort, slide) for slide in self._shards[cohort][shard]]
        return [
            {
                "slide": row.slide,
                "path": row.path,
                "mpp": None if row.mpp != row.mpp else row.mpp,
                "coords": row.coords,
                "features": row.features,
            }
            for row in rows
        ]

    def simulated_index(self, cohort: str, shard: str) -> list[str]:
        """The index of a shard's slides that a rule makes; none of a real cohort.

        The user's own are no inputs: a job whose input has vanished would end the run, and whether they changed is
        known from the records (`untrue_indexes`).
        """
        simulated = self.tables[cohort].cohort.simulate
        return [at(paths.SIMULATED_SLIDES, cohort=cohort, shard=shard)] if simulated else []

    def simulated_indexes(self, cohort: str) -> list[str]:
        """The indexes of all simulated slides of a cohort."""
        return [index for shard in self._shards[cohort] for index in self.simulated_index(cohort, shard)]

    def shard_minutes(self, per_slide: int) -> int:
        """Minutes that a shard's job may take at `per_slide` minutes a slide, and half an hour to be sure."""
        return 30 + per_slide * self.config.mechanics.slides_per_shard

    def _slide(self, cohort: str, slide: str) -> Any:
        try:
            return self._slides[cohort][slide]
        except KeyError:
            raise InputError(f"slide '{slide}' is not in the slides table of cohort '{cohort}'") from None

    def tile_indexes(self, cohort: str) -> list[str]:
        """The index of every shard's tiles."""
        return [at(paths.TILES, cohort=cohort, shard=shard) for shard in self._shards[cohort]]

    def shards(self, cohort: str) -> list[str]:
        """The names of the shards, in the order of `tile_indexes`."""
        return list(self._shards[cohort])

    def feature_indexes(self, cohort: str) -> list[str]:
        """The index of every shard's features, in the order of `tile_indexes`."""
        return [self.feature_index(cohort, shard) for shard in self._shards[cohort]]

    def feature_index(self, cohort: str, shard: str) -> str:
        """The index of a shard's features."""
        return at(paths.FEATURES, cohort=cohort, encoder=self.config.features.encoder.folder, shard=shard)

    def encoder_weights(self) -> list[str]:
        """The user's files that the encoder is made of: its weights, or the plugin."""
        return self.config.features.encoder.files

    def export_indexes(self) -> list[str]:
        """The indexes of all exports of all cohorts."""
        return [
            at(paths.EXPORTS, cohort=cohort, form=form, shard=shard)
            for cohort, shards in self._shards.items()
            for form in self.config.exports.forms
            for shard in shards
        ]

    def patients_of(self, cohort: str, shard: str) -> dict[str, str]:
        """The patient of each slide of a shard."""
        return {slide: self._slide(cohort, slide).patient for slide in self._shards[cohort][shard]}

    def indexes(self) -> list[str]:
        """The indexes of all shards of all cohorts."""
        kinds = (self.simulated_indexes, self.tile_indexes, self.feature_indexes)
        return [path for name in self.tables for kind in kinds for path in kind(name)]

    def untrue_indexes(self) -> dict[Path, list[str]]:
        """The indexes of shards whose files have gone or whose slides have changed, and those slides.

        With `on_error: stop` also of shards that hold a slide that cannot be used, so that their jobs end the run.
        """
        return untrue_indexes(map(Path, self.indexes()), on_error=self.config.on_error)

    def folders(self) -> list[Path]:
        """Folders that a run writes to, as far as they are there: each cohort's, and those directly in it."""
        roots = [Path("results", name) for name in self.tables]
        return [folder for root in roots for folder in (root, *sorted(root.glob("*/")))]

    def expression_sources(self, cohort: str) -> dict[str, str]:
        """The user's RNA files."""
        source = self.tables[cohort].expression
        return {"matrix": source.path} | ({"sample_sheet": source.sample_sheet} if source.sample_sheet else {})

    def cohort_inputs(self, cohort: str) -> dict[str, str | list[str]]:
        """What the join reads."""
        table = self.tables[cohort]
        inputs: dict[str, str | list[str]] = {"patients": table.patients_file}
        if table.cohort.slides:
            inputs |= {
                "slides": table.cohort.slides,
                "tiles": self.tile_indexes(cohort),
                "features": self.feature_indexes(cohort),
            }
        if table.cohort.expression:
            inputs["samples"] = at(paths.EXPRESSION["samples"], cohort=cohort)
        return inputs

    def join_settings(self, cohort: str) -> dict:
        """The keys of a cohort that its join reads. `ids` as it was decided: `auto` is no change from what it means."""
        table = self.tables[cohort]
        external = table.cohort.role == "external"
        read = table.cohort.model_dump(include={"patients", "slides", "label_map"} | ({"role"} if external else set()))
        # A label column that the user did not name may be missing in an external cohort.
        read |= table.cohort.model_dump(include={"label"}, exclude_unset=external)
        return read | {"ids": "tcga" if table.tcga else "plain"}

    def trained(self) -> list[str]:
        """Cohorts that models are fitted on."""
        return [name for name, table in self.tables.items() if table.cohort.role == "train"]

    def models(self, cohort: str) -> list[str]:
        """Models that are fitted for a cohort."""
        return models_of(self.tables[cohort].cohort, self.config)

    def n_splits(self) -> int:
        """Number of folds over all repeats."""
        return self.config.folds.n_folds * self.config.folds.repeats

    def fold_inputs(self, cohort: str, arm: str, model: str, k: str) -> dict[str, str]:
        """What fitting one model on one fold reads."""
        inputs = self.fit_inputs(cohort, arm, model)
        if self.projection.reads_tiles(cohort, model):
            inputs["projected"] = at(paths.PROJECTED, cohort=cohort, arm=arm, k=k)
        for needed in catalog.get(model).needs:
            inputs[f"needs_{needed}"] = at(paths.FITTED["model"], cohort=cohort, arm=arm, model=needed, k=k)
        return inputs

    def fit_inputs(self, cohort: str, arm: str, model: str) -> dict[str, str]:
        """What fitting a model reads on any fold of an arm."""
        inputs = {
            "patients": at(paths.PATIENTS, cohort=cohort),
            "folds": folds_of(cohort, arm),
            "slides": at(paths.SLIDES, cohort=cohort),
        }
        if catalog.IMAGE in catalog.get(model).modalities:
            inputs |= self.projection.summary(cohort)
        if self.tables[cohort].cohort.expression:
            inputs["expression"] = at(paths.EXPRESSION["expression"], cohort=cohort)
        if self.config.fusion.gene_sets:
            inputs["gene_sets"] = self.config.fusion.gene_sets
        for key in catalog.get(model).own_settings:
            if given := getattr(self.config.fusion, key):
                inputs[key] = given
        return inputs

    def fold_settings(self, model: str) -> dict:
        """The settings that fitting a model reads."""
        others = {key for name in catalog.names() if name != model for key in catalog.get(name).own_settings}
        return self.config.fusion.model_dump(exclude={"models", *others})

    def fold_files(self, cohort: str, arm: str, name: str, models: list[str] | None = None) -> list[str]:
        """One of `paths.FITTED` of every fold of `models` (default: all models of the cohort), by model, then k."""
        return [
            at(paths.FITTED[name], cohort=cohort, arm=arm, model=model, k=k)
            for model in (models or self.models(cohort))
            for k in range(self.n_splits())
        ]

    def fold_models(self, cohort: str) -> list[str]:
        """The model of each file that `fold_files` lists."""
        return [model for model in self.models(cohort) for _ in range(self.n_splits())]

    def modalities(self, cohort: str) -> list[str]:
        """The modalities that any model of the cohort reads."""
        return sorted(frozenset().union(*(catalog.get(model).modalities for model in self.models(cohort))))

    def gpus(self, model: str) -> int:
        """GPUs that fitting a model asks for: one for the neural models unless the config says cpu."""
        return int(catalog.get(model).neural and self.config.mechanics.device != "cpu")

    def attention_models(self, cohort: str) -> list[str]:
        """Models that pool tiles by attention: the trained ones that read the image."""
        infos = [catalog.get(model) for model in self.models(cohort)]
        return [info.name for info in infos if info.neural and catalog.IMAGE in info.modalities]

    def report_inputs(self, cohort: str) -> dict[str, str | list[str]]:
        """What the report reads: tables by the names of `pages.report.inputs.ReportInputs`, and lists of files."""
        table = self.tables[cohort]
        shown = {name: paths.COHORT[name] for name in ("patients", "flow", "read")}
        shown |= {"folds": paths.FOLDS, "folds_json": paths.HOW_FOLDED, **paths.EVALUATION}
        inputs: dict[str, str | list[str]] = dict(all_at(shown, cohort=cohort))
        sources = [table.patients_file]
        if table.cohort.slides:
            sources.append(table.cohort.slides)
            inputs["slides"] = at(paths.SLIDES, cohort=cohort)
            inputs["slide_indexes"] = [*self.tile_indexes(cohort), *self.feature_indexes(cohort)]
        if table.cohort.expression:
            sources += self.expression_sources(cohort).values()
            inputs["expression_report"] = at(paths.EXPRESSION_REPORT, cohort=cohort)
            inputs["genes"] = at(paths.EXPRESSION["genes"], cohort=cohort)
        if self.config.control.permuted_labels:
            control = {f"control_{name}": path for name, path in paths.CONTROL.items()}
            inputs |= all_at(control | {"control_how": paths.CONTROL_HOW}, cohort=cohort)
        if table.cohort.simulate and self.attention_models(cohort):
            inputs["truth"] = at(paths.TRUTH, cohort=cohort)
        neural = [model for model in self.models(cohort) if catalog.get(model).neural]
        inputs["histories"] = self.fold_files(cohort, "fusion", "history", neural) if neural else []
        return inputs | {"sources": sources}

    def shown_config(self, cohort: str) -> dict:
        """The configuration of one cohort with its defaults, without what changes no result."""
        others = {"mechanics", "exports", "cells", "sae", "concepts", "apply"}
        shown = self.config.model_dump(mode="json", exclude=others)
        return shown | {"cohorts": {cohort: shown["cohorts"][cohort]}}

    def code_of_stages(self) -> dict[str, str]:
        """The code fingerprint of every stage."""
        models = {"fusion": catalog.modules(), "control": catalog.modules()}
        return {stage: code_hash(f"histoweave.{module}", *models.get(stage, ())) for stage, module in STAGES.items()}
