"""What the page of concepts is made of: the paths of the cell arm's files, and the tables read from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from histoweave.concepts.activations import ImageActivations
from histoweave.privacy.content import pseudonymised
from histoweave.privacy.pseudonyms import Pseudonyms
from histoweave.settings.concepts import Concepts
from histoweave.settings.sae import Sae
from histoweave.storage.files import read_table
from histoweave.tabular.reading import Reading

# The picture of an image as the encoder saw it, any size; None where there is none.
Picture = Callable[[str], Image.Image | None]


@dataclass(frozen=True, kw_only=True)
class CohortFiles:
    """The files of one cohort, as docs/artefacts.md describes them.

    Attributes
    ----------
    name: of the cohort.
    images, concepts, top_images, associations: parquet tables. activations: HDF5 of `ImageActivations`.
    shards: shard files of cells; features: slide → feature file, for a dictionary of tiles. They give the maps on the
        pictures; both empty: no maps.
    picture: image → its picture, with exactly the field that the encoder saw. None: the cohort has none.
    transfer, transfer_classes, shift, shift_concepts: of an external cohort, where they were computed: metrics of the
        classifiers applied to it, the classes that were scored, and how it differs as a whole and per concept.
    """

    name: str
    images: Path
    activations: Path
    concepts: Path
    top_images: Path
    associations: Path
    shards: Sequence[Path] = ()
    features: Mapping[str, Path] = field(default_factory=dict)
    picture: Picture | None = None
    transfer: Path | None = None
    transfer_classes: Path | None = None
    shift: Path | None = None
    shift_concepts: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ConceptReportInputs:
    """Paths and plain values of one run.

    Attributes
    ----------
    cohort: name of the training cohort. training, externals: the files of it and of the other laboratories.
    config: the configuration with its defaults. settings, sae_settings: the two sections of it that the page explains.
    sae: folder of the dictionary whose concepts are shown.
    figures: folder that the figures are written to.
    metrics, comparisons, levels, classes, probes: scores of the concepts beside the baselines. stability: pairs of dictionaries from
        different seeds; stability_concepts: per concept. None where they were not computed.
    readings: what was read of the tables of all cohorts on the page.
    input_sha256, code: SHA-256 per input file; code fingerprint per stage.
    pseudonyms: stand for every id on the page; None: ids are shown.
    """

    cohort: str
    config: Mapping[str, Any]
    settings: Concepts
    sae_settings: Sae
    sae: Path
    figures: Path
    training: CohortFiles
    externals: Sequence[CohortFiles] = ()
    metrics: Path | None = None
    comparisons: Path | None = None
    levels: Path | None = None
    classes: Path | None = None
    probes: Path | None = None
    stability: Path | None = None
    stability_concepts: Path | None = None
    readings: Sequence[Reading] = ()
    input_sha256: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    pseudonyms: Pseudonyms | None = None


@dataclass(frozen=True, kw_only=True)
class CohortTables:
    """The tables of one cohort; `concepts` and `shift_concepts` are indexed by concept, `images` by image."""

    name: str
    images: pd.DataFrame
    concepts: pd.DataFrame
    top_images: pd.DataFrame
    associations: pd.DataFrame
    explained_variance: float
    l0: float
    transfer: pd.DataFrame | None
    transfer_classes: pd.DataFrame | None
    shift: pd.DataFrame | None
    shift_concepts: pd.DataFrame | None

    @property
    def alive(self) -> pd.Index:
        """Concepts that are not dead by either test."""
        return self.concepts.index[~(self.concepts["dead"] | self.concepts["dead_by_magnitude"])]

    @property
    def refused(self) -> pd.DataFrame:
        """Images without tokens, with status and reason."""
        return self.images[self.images["status"] != "ok"].reset_index()


@dataclass(frozen=True, kw_only=True)
class ConceptTables:
    """The tables behind the page. A table that a run does not have is None."""

    training: CohortTables
    externals: tuple[CohortTables, ...]
    metrics: pd.DataFrame | None
    comparisons: pd.DataFrame | None
    levels: pd.DataFrame | None
    classes: pd.DataFrame | None
    probes: pd.DataFrame | None
    stability: pd.DataFrame | None
    stability_of: pd.Series

    @property
    def cohorts(self) -> tuple[CohortTables, ...]:
        """The training cohort, then the external ones."""
        return (self.training, *self.externals)


def _optional(path: Path | None) -> pd.DataFrame | None:
    return None if path is None else read_table(path)


def _by_concept(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index("concept").sort_index()


def _read_cohort(files: CohortFiles) -> CohortTables:
    activations = ImageActivations.load(files.activations)
    concepts = _by_concept(read_table(files.concepts))
    for column in ("name", "verdict", "comment"):  # there after a review only
        answers = concepts[column] if column in concepts else pd.Series("", concepts.index)
        concepts[column] = answers.fillna("").astype(str)
    shift_concepts = _optional(files.shift_concepts)
    return CohortTables(
        name=files.name,
        images=read_table(files.images).set_index("image"),
        concepts=concepts,
        top_images=read_table(files.top_images).sort_values(["concept", "rank"]),
        associations=read_table(files.associations),
        explained_variance=activations.explained_variance,
        l0=activations.l0,
        transfer=_optional(files.transfer),
        transfer_classes=_optional(files.transfer_classes),
        shift=_optional(files.shift),
        shift_concepts=None if shift_concepts is None else _by_concept(shift_concepts),
    )


def read_tables(inputs: ConceptReportInputs) -> ConceptTables:
    """Read every table that `inputs` names, with hidden values in words where `inputs` has them.

    Ids stay as they are: pictures and maps are still to be looked up by them.
    """
    training = _read_cohort(inputs.training)
    stability_of = _optional(inputs.stability_concepts)
    tables = ConceptTables(
        training=training,
        externals=tuple(map(_read_cohort, inputs.externals)),
        metrics=_optional(inputs.metrics),
        comparisons=_optional(inputs.comparisons),
        levels=_optional(inputs.levels),
        classes=_optional(inputs.classes),
        probes=_optional(inputs.probes),
        stability=_optional(inputs.stability),
        stability_of=pd.Series(dtype=float) if stability_of is None else _by_concept(stability_of)["stability"],
    )
    return tables if inputs.pseudonyms is None else pseudonymised(tables, inputs.pseudonyms.for_values())
