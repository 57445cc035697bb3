"""What the rules of the explanations ask: which models are explained, and which files that takes."""

from __future__ import annotations

from pathlib import Path

from histoweave.errors import InputError, nearest
from histoweave.fusion import catalog
from histoweave.storage.records import untrue_indexes
from histoweave.wiring.cells import CellWiring
from histoweave.wiring.tissue import Wiring

FOLD_TABLES = ("tiles", "genes", "faithfulness", "stability")
TABLES = ("genes", "gene_sets", "tests", "patients")
SLIDE_KINDS = ("overlays", "geojson", "morphology")
MORPHOLOGY = ("morphology", "class_tiles")
_MODEL_FILES = ("model.safetensors", "config.json", "transforms.parquet")


class ExplainWiring:
    """Paths and parameters of the explanations of one run.

    Parameters
    ----------
    wiring, cells : of the same run.

    Raises
    ------
    InputError
        for a model in `explain.models` that is not fitted or cannot be explained.
    """

    def __init__(self, wiring: Wiring, cells: CellWiring):
        self.wiring, self.cells, self.config = wiring, cells, wiring.config
        for model in self.config.explain.models or []:
            self._check_model(model)

    def check(self) -> None:
        """Refuse a file of gene sets that does not exist.

        Raises
        ------
        InputError
            naming the key.
        """
        path = self.config.explain.gene_sets
        if path and not Path(path).is_file():
            raise InputError(f"explain.gene_sets '{path}' does not exist; give a GMT file, or leave the key out")

    def _check_model(self, model: str) -> None:
        fitted = self.config.fusion.models
        if model not in fitted:
            raise InputError(
                f"explain.models: '{model}' is not in fusion.models{nearest(model, fitted)}; add it there, or leave it out"
            )
        if not catalog.get(model).neural:
            raise InputError(
                f"explain.models: '{model}' is not a trained network, so it has no gradients to explain it by; name one of "
                f"{', '.join(name for name in catalog.names() if catalog.get(name).neural)}"
            )

    def models(self, cohort: str) -> list[str]:
        """The models that are explained, in the order of `fusion.models`; none if no neural one is fitted."""
        infos = [catalog.get(model) for model in self.wiring.models(cohort)]
        neural = [info for info in infos if info.neural]
        if self.config.explain.models is not None:
            return [info.name for info in neural if info.name in self.config.explain.models]
        both = [info for info in neural if info.modalities == set(catalog.MODALITIES)]
        return [info.name for info in (both[-1:] or neural)]

    def root(self, cohort: str, model: str) -> str:
        """The folder of a model's explanations."""
        return f"results/{cohort}/explain/{model}"

    def fold_inputs(self, cohort: str, model: str, k: str) -> dict[str, str | list[str]]:
        """What explaining a fold reads: its model, that of the next fold of the repeat, and the cohort."""
        root = f"results/{cohort}"
        other = (int(k) + 1) % self.config.folds.n_folds
        inputs: dict[str, str | list[str]] = {
            "model": [f"{root}/fusion/{model}/fold{k}/{name}" for name in _MODEL_FILES],
            "other": [f"{root}/fusion/{model}/fold{other}/{name}" for name in _MODEL_FILES],
            "patients": f"{root}/cohort/patients.parquet",
            "folds": f"{root}/folds.parquet",
            "slides": f"{root}/cohort/slides.parquet",
        }
        if self.wiring.tables[cohort].cohort.expression:
            inputs["expression"] = f"{root}/expression/expression.parquet"
        return inputs

    def fold_tables(self, cohort: str, model: str, name: str) -> list[str]:
        """A table of every fold of the first repeat: each patient is explained once."""
        return [f"{self.root(cohort, model)}/fold{k}/{name}.parquet" for k in range(self.config.folds.n_folds)]

    def predictions(self, cohort: str, model: str) -> list[str]:
        """The predictions of the folds that are explained."""
        n_folds = self.config.folds.n_folds
        return [f"results/{cohort}/fusion/{model}/fold{k}/predictions.parquet" for k in range(n_folds)]

    def gene_sets(self) -> dict[str, str]:
        """The file of gene sets, if there is one."""
        path = self.config.explain.gene_sets or self.config.fusion.gene_sets
        return {"gene_sets": path} if path else {}

    def inputs(self, cohort: str, model: str) -> dict[str, str | list[str]]:
        """What the summary of a model reads."""
        inputs: dict[str, str | list[str]] = {name: self.fold_tables(cohort, model, name) for name in FOLD_TABLES}
        inputs |= {"predictions": self.predictions(cohort, model), **self.gene_sets()}
        if self.wiring.tables[cohort].cohort.simulate:
            inputs |= {"slides": f"results/{cohort}/cohort/slides.parquet", "truth": self.wiring.truth_files(cohort)}
        return inputs

    def concept_inputs(self, cohort: str, model: str) -> dict[str, str | list[str]]:
        """What the explanation in concepts reads."""
        sae = f"{self.cells.root(cohort)}/seed0"
        return {
            "tiles": self.fold_tables(cohort, model, "tiles"),
            "genes": self.fold_tables(cohort, model, "genes"),
            "predictions": self.predictions(cohort, model),
            "sae": [f"{sae}/{name}" for name in ("sae_weights.safetensors", "cfg.json", "training.safetensors")],
            "tokens": self.cells.token_files(cohort),
            **self.gene_sets(),
        }

    def slide_inputs(self, cohort: str, model: str, shard: str) -> dict[str, str | list[str]]:
        """What everything that is drawn and measured on a shard of slides reads."""
        return {
            "index": f"results/{cohort}/tiles/shards/{shard}.json",
            "tiles": self.fold_tables(cohort, model, "tiles"),
            "patients": f"{self.root(cohort, model)}/patients.parquet",
        }

    def slide_paths(self, cohort: str, shard: str) -> dict[str, str]:
        """The file of each slide of a shard; empty for features without a slide."""
        return {row["slide"]: row["path"] for row in self.wiring.shard(cohort, shard)}

    def overlay_indexes(self, cohort: str, model: str, kind: str = "overlays") -> list[str]:
        """The indexes of a model's overlays (or another of `SLIDE_KINDS`); none for one that reads no image."""
        if not model or catalog.IMAGE not in catalog.get(model).modalities:
            return []
        folder = f"{self.root(cohort, model)}/{kind}/shards"
        return [f"{folder}/{Path(index).name}" for index in self.wiring.tile_indexes(cohort)]

    def morphology_inputs(self, cohort: str, model: str) -> dict[str, str | list[str]]:
        """What the morphology of the classes reads."""
        return {
            "indexes": self.overlay_indexes(cohort, model, "morphology"),
            "slides": f"results/{cohort}/cohort/slides.parquet",
            "patients": f"{self.root(cohort, model)}/patients.parquet",
        }

    def morphology_tables(self, cohort: str, model: str) -> list[str]:
        """The morphology of the classes, where the model reads slides."""
        if not self.overlay_indexes(cohort, model):
            return []
        return [f"{self.root(cohort, model)}/{name}.parquet" for name in MORPHOLOGY]

    def shown_tables(self, cohort: str, model: str) -> dict[str, list[str]]:
        """Name of a table that the report shows: its files."""
        root = self.root(cohort, model)
        tables = {name: [f"{root}/{name}.parquet"] for name in TABLES}
        tables |= {name: self.fold_tables(cohort, model, name) for name in ("faithfulness", "stability")}
        others = (*self.morphology_tables(cohort, model), *self.concept_tables(cohort, model))
        return tables | {Path(path).stem: [path] for path in others}

    def _slide_indexes(self) -> list[str]:
        """The indexes of everything that is drawn on slides."""
        return [
            index
            for cohort in self.wiring.trained()
            for model in self.models(cohort)
            for kind in SLIDE_KINDS
            for index in self.overlay_indexes(cohort, model, kind)
        ]

    def concept_tables(self, cohort: str, model: str) -> list[str]:
        """The explanation in concepts, where a dictionary of tile features exists and the model reads the image."""
        known = self.cells.source == "tiles" and cohort in self.cells.trained()
        if not known or catalog.IMAGE not in catalog.get(model).modalities:
            return []
        return [f"{self.root(cohort, model)}/{name}.parquet" for name in ("concepts", "concept_gene_sets")]

    def targets(self) -> list[str]:
        """Everything that a whole run explains."""
        tables = [
            path
            for cohort in self.wiring.trained()
            for model in self.models(cohort)
            for path in (
                *(f"{self.root(cohort, model)}/{name}.parquet" for name in TABLES),
                *self.morphology_tables(cohort, model),
                *self.concept_tables(cohort, model),
            )
        ]
        return tables + self._slide_indexes()

    def untrue_indexes(self) -> dict[Path, list[str]]:
        """The indexes of shards whose overlays, GeoJSON or morphology files have gone, and those slides."""
        return untrue_indexes(map(Path, self._slide_indexes()))
