"""Everything about a user's input that can be refused before any job starts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from histoweave.cohort.folds import check_classes
from histoweave.cohort.tables import NO_SLIDES, read_patients, read_slides, uses_tcga
from histoweave.encoders import registry as encoders
from histoweave.errors import InputError
from histoweave.expression.readers import read_expression
from histoweave.expression.samples import choose_samples
from histoweave.expression.star import files_under
from histoweave.fusion import catalog
from histoweave.settings.cohorts import Cohort, ExpressionInput, Simulate
from histoweave.settings.config import Config
from histoweave.storage.files import write_json
from histoweave.wiring.fingerprint import code_hash

_CACHE = Path(".snakemake/histoweave-checked.json")


@dataclass(frozen=True)
class CohortTables:
    """A cohort's tables as the Snakefile needs them. `classes` of an external cohort are the labels that it has."""

    name: str
    cohort: Cohort
    patients: pd.DataFrame
    slides: pd.DataFrame
    tcga: bool
    classes: list[str]

    @property
    def patients_file(self) -> str:
        """The table of patients, which every cohort with slides or RNA has."""
        assert self.cohort.patients is not None
        return self.cohort.patients

    @property
    def expression(self) -> ExpressionInput:
        """The RNA of a cohort that has some."""
        assert self.cohort.expression is not None
        return self.cohort.expression

    @property
    def simulate(self) -> Simulate:
        """How a simulated cohort is made."""
        assert self.cohort.simulate is not None
        return self.cohort.simulate


def check_inputs(config: Config, *, check_paths: bool = True) -> dict[str, CohortTables]:
    """Check encoder, tables, labels and expression of every cohort that has slides or RNA: what preparing them needs.

    check_paths: refuse slides that do not exist. Jobs that read the tables once more do not: a slide that vanishes
    while the run goes on gets a status.

    Raises
    ------
    InputError
        one line naming file, row or key, what is wrong and how to mend it.
    """
    if any(cohort.slides for cohort in config.cohorts.values()):
        encoder = config.features.encoder
        _once("encoder", encoder.model_dump_json(), encoder.files, lambda: encoders.check(encoder))
    return {
        name: _check_cohort(name, cohort, check_paths) for name, cohort in config.cohorts.items() if cohort.has_tissue
    }


def check_training(config: Config, tables: Mapping[str, CohortTables]) -> None:
    """Check what fitting models needs besides: the models, gene sets, centroids, and enough patients for the folds.

    Raises
    ------
    InputError
        as `check_inputs`.
    """
    _check_models(config)
    for table in tables.values():
        if table.cohort.role == "train":
            labelled = table.patients[table.patients["label"].notna()]
            sites = labelled["site"].to_list()
            check_classes(labelled["label"].to_list(), sites, settings=config.folds, where=table.patients_file)
            if "centroid" in models_of(table.cohort, config) and config.fusion.centroids is not None:
                from histoweave.fusion.centroids import read_centroids

                read_centroids(config.fusion.centroids, table.classes)


def class_order(labels: pd.Series, positive: str | None, *, where: str) -> list[str]:
    """Classes in order of name; of two classes the positive one is last.

    Raises
    ------
    InputError
        if `positive` is not one of them, or given for more than two.
    """
    classes = sorted(set(labels.dropna()))
    if positive is None:
        return classes
    if positive not in classes:
        raise InputError(f"{where}: positive class '{positive}' is no label; the labels are {', '.join(classes)}")
    if len(classes) != 2:
        raise InputError(f"{where}: 'positive' is for two classes, and there are {len(classes)}; remove the key")
    return [*(name for name in classes if name != positive), positive]


def _check_models(config: Config) -> None:
    names = config.fusion.models
    for name in names:
        info = catalog.get(name)
        for needed in info.needs:
            if needed not in names:
                raise InputError(
                    f"config: fusion.models has '{name}', which needs '{needed}'; add '{needed}' to the list"
                )
    if len(set(names)) < len(names):
        raise InputError(f"config: fusion.models lists '{max(names, key=names.count)}' twice; keep it once")
    if config.fusion.gene_sets is not None:
        # Imported here because it takes scikit-learn along, a second that most runs need not wait.
        from histoweave.fusion.genes import read_gmt

        read_gmt(config.fusion.gene_sets)
    for info in map(catalog.get, catalog.names()):
        for key in info.own_settings:
            if (given := getattr(config.fusion, key)) is not None and info.name not in names:
                raise InputError(
                    f"config: key 'fusion.{key}' names {given}, and fusion.models does not have '{info.name}'; add it, or "
                    "remove the key"
                )


def models_of(cohort: Cohort, config: Config) -> list[str]:
    """The configured models that can be fitted with the modalities this cohort has, in order of the config.

    Raises
    ------
    InputError
        if none is left.
    """
    has = {name for name, given in (("image", cohort.slides), ("expression", cohort.expression)) if given}
    names = [name for name in config.fusion.models if catalog.get(name).modalities <= has]
    if not names:
        raise InputError(f"config: none of fusion.models can be fitted with {' and '.join(sorted(has))} alone")
    return names


def _check_cohort(name: str, cohort: Cohort, check_paths: bool) -> CohortTables:
    patients = read_patients(cohort)
    ids = patients["patient"].to_list()
    tcga = uses_tcga(cohort, ids)
    slides = read_slides(cohort, patients=set(ids), check_paths=check_paths) if cohort.slides else NO_SLIDES
    labelled = patients[patients["label"].notna()]
    external = cohort.role == "external"
    if external and cohort.simulate is None:
        classes = sorted(set(labelled["label"]))  # of which a bundle may know more, or fewer
    else:
        assert cohort.patients is not None
        classes = class_order(labelled["label"], cohort.positive, where=cohort.patients)
    if cohort.simulate:
        _check_simulated(name, cohort, patients, slides, classes)
    elif cohort.expression:
        source = cohort.expression
        files = [source.path, *([source.sample_sheet] if source.sample_sheet else [])]
        key = source.model_dump_json() + json.dumps([sorted(ids), tcga])
        _once(f"expression of {name}", key, files, lambda: _check_expression(cohort, source, set(ids), tcga))
    return CohortTables(name, cohort, patients, slides, tcga, classes)


def _check_expression(cohort: Cohort, source: ExpressionInput, patients: set[str], tcga: bool) -> None:
    matrix = read_expression(source, patients=patients, tcga=tcga)
    if not choose_samples(matrix.values.index, patients=patients, tcga=tcga)["kept"].any():
        raise InputError(
            f"{matrix.file}: no sample is a primary tumour of a patient of {cohort.patients}; check the ids"
        )


def _check_simulated(
    name: str, cohort: Cohort, patients: pd.DataFrame, slides: pd.DataFrame, classes: list[str]
) -> None:
    if len(classes) != 2:
        raise InputError(f"{cohort.patients}: a simulated cohort needs two classes, and there are {len(classes)}")
    known = {"slide": set(slides["slide"]), "patient": set(patients["patient"])}
    settings = cohort.simulate
    for key, kind in (
        ("no_mpp", "slide"), ("no_tissue", "slide"), ("truncated", "slide"),
        ("without_rna", "patient"), ("duplicate_aliquot", "patient"),
    ):  # fmt: skip
        for identifier in getattr(settings, key):
            if identifier not in known[kind]:
                raise InputError(
                    f"config: cohorts.{name}.simulate.{key} names unknown {kind} '{identifier}'; fix the id"
                )
    made = f"results/{name}/simulated"
    for slide, path in zip(slides["slide"], slides["path"], strict=True):
        if path != f"{made}/slides/{slide}.tiff":
            raise InputError(
                f"{cohort.slides}: path '{path}' of simulated slide '{slide}' must be {made}/slides/{slide}.tiff"
            )
    assert cohort.expression is not None  # checked with the configuration
    if cohort.expression.path != f"{made}/expression.tsv.gz":
        raise InputError(
            f"config: cohorts.{name}.expression.path of a simulated cohort must be {made}/expression.tsv.gz"
        )


def _once(what: str, key: str, files: list[str], check: Callable[[], None]) -> None:
    """Run a slow check only if its key, its files (size and time) or its code changed since it last passed."""
    stamps = []
    for name in files:
        path = Path(name)
        members = (
            [member for found in files_under(path).values() for member in found] if os.path.isdir(path) else [path]
        )
        stamps += [(str(m), m.stat().st_size, m.stat().st_mtime_ns) for m in sorted(members) if os.path.isfile(m)]
    text = json.dumps([key, stamps, code_hash("histoweave.expression.prepare", "histoweave.encoders.registry")])
    digest = hashlib.sha256(text.encode()).hexdigest()
    try:
        passed = json.loads(_CACHE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        passed = {}
    if passed.get(what) != digest:
        check()
        write_json(_CACHE, {**passed, what: digest})
