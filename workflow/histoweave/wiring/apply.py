"""What the rules of bundles and external cohorts ask: paths and parameters, as plain ordered values."""

from __future__ import annotations

import functools

from histoweave.apply import units
from histoweave.apply.align import units_may_differ
from histoweave.apply.manifest import Manifest
from histoweave.apply.read import bundle_file, read_manifest
from histoweave.errors import InputError
from histoweave.fusion import catalog
from histoweave.settings.config import Config
from histoweave.wiring import paths
from histoweave.wiring.paths import all_at, at
from histoweave.wiring.tissue import Wiring
from histoweave.wiring.validation import CohortTables


class ApplyWiring:
    """Paths and parameters of bundles and of the cohorts that they are applied to.

    Parameters
    ----------
    config : the whole configuration. Its bundle is not read before something asks for it.
    wiring : of the cohorts with slides or RNA.
    """

    def __init__(self, config: Config, wiring: Wiring):
        self.config = config
        self.wiring = wiring

    @functools.cached_property
    def _given(self) -> Manifest | None:
        """What the bundle that the configuration names says of itself."""
        return read_manifest(self.config.apply.bundle) if self.config.apply.bundle else None

    def check(self) -> None:
        """Refuse what cannot be applied.

        Raises
        ------
        InputError
            if the bundle that the configuration names cannot be read or contradicts it, or no model fits an external
            cohort.
        """
        for target in self.externals():
            if self._given is not None:
                check_settings(self._given, self.config, self.wiring.tables[target])
            if not self._bundles_of(target):
                raise InputError(
                    f"config: cohort '{target}' is external, but no model of {', '.join(self.bundles())} can read what "
                    "it has; add its slides or RNA, or name another bundle in 'apply.bundle'"
                )

    # ------------------------------------------------------------ making a bundle

    def bundle_inputs(self, cohort: str) -> dict[str, str | list[str]]:
        """What the bundle of a training cohort is made of."""
        wiring = self.wiring
        inputs: dict[str, str | list[str]] = {
            "models": [path for name in paths.FITTED_MODEL for path in wiring.fold_files(cohort, "fusion", name)],
            "patients": at(paths.PATIENTS, cohort=cohort),
            "slides": at(paths.SLIDES, cohort=cohort),
            "metrics": at(paths.EVALUATION["metrics"], cohort=cohort),
            "folds": at(paths.HOW_FOLDED, cohort=cohort),
        }
        cohort_of = wiring.tables[cohort].cohort
        if cohort_of.expression:
            inputs |= {name: at(paths.EXPRESSION[name], cohort=cohort) for name in ("expression", "samples")}
        if self.config.sae.source == "tiles" and cohort_of.slides:
            files = paths.all_at(paths.DICTIONARY, cohort=cohort, source="tiles", fit="seed0")
            inputs["dictionary"] = list(files.values())
        return inputs | self.decide_tables(cohort)

    def decide_tables(self, cohort: str) -> dict[str, str]:
        """What calibrates a training cohort's probabilities and sets."""
        tables = {"temperatures": paths.DECIDE["temperatures"], "scores": paths.DECIDE["conformal_scores"]}
        return all_at(tables, cohort=cohort)

    def bundle_parameters(self, cohort: str) -> dict:
        """What the bundle says of its training."""
        table = self.wiring.tables[cohort]
        return {
            "cohort": cohort,
            "classes": table.classes,
            "positive": table.classes[-1] if len(table.classes) == 2 else None,
            "models": self.wiring.models(cohort),
            "n_folds": self.config.folds.n_folds,
            "repeats": self.config.folds.repeats,
            "tiles": self.config.tiles.model_dump(),
            "unit": table.cohort.expression.unit if table.cohort.expression else None,
        }

    def own_bundles(self) -> list[str]:
        """The bundles of all training cohorts of this run."""
        return [at(paths.BUNDLE, cohort=cohort) for cohort in self.wiring.trained()]

    # ------------------------------------------------------------ applying it

    def bundles(self) -> dict[str, str]:
        """Training cohort → the file of its bundle: the one that the configuration names, or all of this run."""
        if self._given is not None and self.config.apply.bundle is not None:
            return {self._given.cohort: str(bundle_file(self.config.apply.bundle))}
        return dict(zip(self.wiring.trained(), self.own_bundles(), strict=True))

    def externals(self) -> list[str]:
        """Cohorts with slides or RNA that frozen models are applied to."""
        return [name for name in self.wiring.tables if name not in self.wiring.trained()]

    def _bundles_of(self, target: str) -> list[str]:
        """Training cohorts of which some model can read what an external cohort was given."""
        cohort = self.wiring.tables[target].cohort
        has = {"has_image": cohort.slides is not None, "has_expression": cohort.expression is not None}
        return [
            name
            for name in self.bundles()
            if any(catalog.get(model).handles(**has) for model in self._models(name) if catalog.get(model).modalities)
        ]

    def _models(self, trained: str) -> list[str]:
        if self._given is not None:
            return [model.name for model in self._given.models]
        return self.wiring.models(trained)

    def pairs(self) -> list[tuple[str, str]]:
        """(external cohort, training cohort) of every application."""
        return [(target, name) for target in self.externals() for name in self._bundles_of(target)]

    def apply_inputs(self, target: str, trained: str) -> dict[str, str]:
        """What an application reads: the bundle, and the external cohort's own stages."""
        inputs = {
            "bundle": self.bundles()[trained],
            "patients": at(paths.PATIENTS, cohort=target),
            "slides": at(paths.SLIDES, cohort=target),
        }
        if self.wiring.tables[target].cohort.expression:
            inputs |= {name: at(paths.EXPRESSION[name], cohort=target) for name in ("expression", "samples")}
        return inputs

    def bundle_of(self, target: str, trained: str) -> str:
        """The bundle that an application reads."""
        return self.apply_inputs(target, trained)["bundle"]

    def unit(self, target: str) -> str | None:
        """The unit of an external cohort's RNA."""
        expression = self.wiring.tables[target].cohort.expression
        return expression.unit if expression else None

    def targets(self) -> list[str]:
        """The tables of every application."""
        return [
            at(path, target=target, trained=trained)
            for target, trained in self.pairs()
            for path in (*paths.COMPARED.values(), *paths.APPLIED.values())
        ]

    def pages(self) -> list[str]:
        """The page of every application."""
        return [at(paths.APPLIED_PAGE, target=target, trained=trained) for target, trained in self.pairs()]

    def shown_config(self, target: str) -> dict:
        """What decides an application, of the configuration with its defaults, for its page."""
        read: dict = dict.fromkeys(("seed", "on_error", "tiles", "features", "apply"), True)
        read |= {"cohorts": {target: True}, "evaluation": {"bootstrap", "confidence"}}
        return self.config.model_dump(mode="json", include=read)

    def trained_pattern(self) -> str:
        """A pattern of the names of training cohorts, of this run or of its bundle; of any, if that cannot be read."""
        try:
            return "|".join(self.bundles()) or "-"
        except InputError:
            return "[A-Za-z0-9._-]+"


def check_settings(manifest: Manifest, config: Config, table: CohortTables) -> None:
    """Refuse a configuration that contradicts a bundle before hours of work show it.

    Raises
    ------
    InputError
        naming the key: another encoder, other tiles, another unit of RNA.
    """
    cohort = table.cohort
    expected: list[tuple[str, object, object]] = []
    if manifest.encoder and manifest.tiles and (table.slides["features"] == "").any():
        expected += [("features.encoder", config.features.encoder.name, manifest.encoder.name)]
        expected += [("tiles.tile_px", config.tiles.tile_px, manifest.tiles.settings["tile_px"])]
        expected += [("tiles.target_mpp", config.tiles.target_mpp, manifest.tiles.settings["target_mpp"])]
    may_differ = manifest.expression and units_may_differ(config.apply.align, transform=manifest.expression.transform)
    if manifest.expression and cohort.expression and not may_differ:
        ours, given = manifest.expression, cohort.expression.unit
        if against := units.difference(given, ours.unit, formula=ours.formula):
            raise InputError(
                f"config: cohorts.{table.name}.expression and the bundle of '{manifest.cohort}': {against}"
            )
    for key, found, needed in expected:
        if found != needed:
            raise InputError(
                f"config: key '{key}' is {found!r}, but the bundle of '{manifest.cohort}' was made with {needed!r}; "
                f"set it to {needed!r}"
            )
