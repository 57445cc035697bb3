"""What the rules of the explanations ask: which models are explained, and which files that takes."""

from __future__ import annotations

from pathlib import Path

from histoweave.errors import InputError, nearest
from histoweave.fusion import catalog
from histoweave.storage.records import untrue_indexes
from histoweave.wiring import paths
from histoweave.wiring.cells import CellWiring
from histoweave.wiring.paths import all_at, at
from histoweave.wiring.tissue import Wiring


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

    def fold_inputs(self, cohort: str, model: str, k: str) -> dict[str, str | list[str]]:
        """What explaining a fold reads: its model, that of the next fold of the repeat, and the cohort."""
        other = (int(k) + 1) % self.config.folds.n_folds
        fitted = all_at(paths.FITTED, cohort=cohort, arm="fusion", model=model)
        inputs: dict[str, str | list[str]] = {
            "model": [at(fitted[name], k=k) for name in paths.FITTED_MODEL],
            "other": [at(fitted[name], k=other) for name in paths.FITTED_MODEL],
            "patients": at(paths.PATIENTS, cohort=cohort),
            "folds": at(paths.FOLDS, cohort=cohort),
            "slides": at(paths.SLIDES, cohort=cohort),
        }
        if self.wiring.tables[cohort].cohort.expression:
            inputs["expression"] = at(paths.EXPRESSION["expression"], cohort=cohort)
        if self.wiring.projection.reads_tiles(cohort, model):
            tiles = at(paths.PROJECTED, cohort=cohort, arm="fusion")
            inputs |= {"projected": at(tiles, k=k), "other_projected": at(tiles, k=other)}
        return inputs

    def fold_tables(self, cohort: str, model: str, name: str) -> list[str]:
        """A table of every fold of the first repeat: each patient is explained once."""
        path = at(paths.EXPLAIN_FOLD[name], cohort=cohort, model=model)
        return [at(path, k=k) for k in range(self.config.folds.n_folds)]

    def predictions(self, cohort: str, model: str) -> list[str]:
        """The predictions of the folds that are explained."""
        path = at(paths.FITTED["predictions"], cohort=cohort, arm="fusion", model=model)
        return [at(path, k=k) for k in range(self.config.folds.n_folds)]

    def gene_sets(self) -> dict[str, str]:
        """The file of gene sets, if there is one."""
        path = self.config.explain.gene_sets or self.config.fusion.gene_sets
        return {"gene_sets": path} if path else {}

    def inputs(self, cohort: str, model: str) -> dict[str, str | list[str]]:
        """What the summary of a model reads."""
        inputs: dict[str, str | list[str]] = {
            name: self.fold_tables(cohort, model, name) for name in paths.EXPLAIN_FOLD
        }
        inputs |= {"predictions": self.predictions(cohort, model), **self.gene_sets()}
        if self.wiring.tables[cohort].cohort.simulate:
            inputs |= {"slides": at(paths.SLIDES, cohort=cohort), "simulated": self.wiring.simulated_indexes(cohort)}
        return inputs

    def concept_inputs(self, cohort: str, model: str) -> dict[str, str | list[str]]:
        """What the explanation in concepts reads."""
        return {
            "tiles": self.fold_tables(cohort, model, "tiles"),
            "genes": self.fold_tables(cohort, model, "genes"),
            "predictions": self.predictions(cohort, model),
            "sae": self.cells.dictionary(cohort),
            "tokens": self.cells.token_files(cohort),
            **self.gene_sets(),
        }

    def slide_inputs(self, cohort: str, model: str, shard: str) -> dict[str, str | list[str]]:
        """What everything that is drawn and measured on a shard of slides reads."""
        return {
            "index": at(paths.TILES, cohort=cohort, shard=shard),
            "tiles": self.fold_tables(cohort, model, "tiles"),
            "patients": at(paths.EXPLAIN["patients"], cohort=cohort, model=model),
        }

    def slide_paths(self, cohort: str, shard: str) -> dict[str, str]:
        """The file of each slide of a shard; empty for features without a slide."""
        return {row["slide"]: row["path"] for row in self.wiring.shard(cohort, shard)}

    def overlay_indexes(self, cohort: str, model: str, kind: str = "overlays") -> list[str]:
        """The indexes of a model's overlays (or `geojson`, `morphology`); none for one that reads no image."""
        if not model or catalog.IMAGE not in catalog.get(model).modalities:
            return []
        path = at(paths.EXPLAIN_SLIDES[kind], cohort=cohort, model=model)
        return [at(path, shard=shard) for shard in self.wiring.shards(cohort)]

    def morphology_inputs(self, cohort: str, model: str) -> dict[str, str | list[str]]:
        """What the morphology of the classes reads."""
        return {
            "indexes": self.overlay_indexes(cohort, model, "morphology"),
            "slides": at(paths.SLIDES, cohort=cohort),
            "patients": at(paths.EXPLAIN["patients"], cohort=cohort, model=model),
        }

    def morphology_tables(self, cohort: str, model: str) -> list[str]:
        """The morphology of the classes, where the model reads slides."""
        if not self.overlay_indexes(cohort, model):
            return []
        return list(all_at(paths.EXPLAIN_MORPHOLOGY, cohort=cohort, model=model).values())

    def shown_tables(self, cohort: str, model: str) -> dict[str, list[str]]:
        """Name of a table that the report shows: its files."""
        tables = {name: [path] for name, path in all_at(paths.EXPLAIN, cohort=cohort, model=model).items()}
        tables |= {name: self.fold_tables(cohort, model, name) for name in ("faithfulness", "stability")}
        others = (*self.morphology_tables(cohort, model), *self.concept_tables(cohort, model))
        return tables | {Path(path).stem: [path] for path in others}

    def _slide_indexes(self) -> list[str]:
        """The indexes of everything that is drawn on slides."""
        return [
            index
            for cohort in self.wiring.trained()
            for model in self.models(cohort)
            for kind in paths.EXPLAIN_SLIDES
            for index in self.overlay_indexes(cohort, model, kind)
        ]

    def concept_tables(self, cohort: str, model: str) -> list[str]:
        """The explanation in concepts, where a dictionary of tile features exists and the model reads the image."""
        known = self.cells.source == "tiles" and cohort in self.cells.trained()
        if not known or catalog.IMAGE not in catalog.get(model).modalities:
            return []
        return list(all_at(paths.EXPLAIN_CONCEPTS, cohort=cohort, model=model).values())

    def targets(self) -> list[str]:
        """Everything that a whole run explains."""
        tables = [
            path
            for cohort in self.wiring.trained()
            for model in self.models(cohort)
            for path in (
                *all_at(paths.EXPLAIN, cohort=cohort, model=model).values(),
                *self.morphology_tables(cohort, model),
                *self.concept_tables(cohort, model),
            )
        ]
        return tables + self._slide_indexes()

    def untrue_indexes(self) -> dict[Path, list[str]]:
        """The indexes of shards whose overlays, GeoJSON or morphology files have gone, and those slides."""
        return untrue_indexes(map(Path, self._slide_indexes()))
