"""The configuration: science only, never the machine (threads, memory, devices are `mechanics`, and rerun nothing).

These models are the one source of defaults, of the JSON schema in `workflow/schemas/` and of the messages that a
wrong configuration gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic
from pydantic import Field

from histoweave.errors import InputError
from histoweave.ids import ID
from histoweave.settings.apply import Apply
from histoweave.settings.base import MAX_SEED, OnError, Section
from histoweave.settings.cells import Cells
from histoweave.settings.cohorts import Cohort
from histoweave.settings.concepts import Concepts
from histoweave.settings.control import Control
from histoweave.settings.decide import Decide
from histoweave.settings.errors import check_form, explain
from histoweave.settings.evaluation import Evaluation
from histoweave.settings.explain import Explain
from histoweave.settings.exports import Exports
from histoweave.settings.features import Features
from histoweave.settings.folds import Folds
from histoweave.settings.fusion import Fusion
from histoweave.settings.mechanics import Mechanics
from histoweave.settings.privacy import Privacy
from histoweave.settings.sae import Sae
from histoweave.settings.tiles import Tiles


class Config(Section):
    """The whole configuration of a run."""

    cohorts: dict[str, Cohort] = Field(min_length=1)
    seed: int = Field(1, ge=0, le=MAX_SEED)
    on_error: OnError = Field(
        "continue", description="continue: exclude slides that cannot be used; stop: end the run."
    )
    tiles: Tiles = Tiles()
    features: Features = Features()
    folds: Folds = Folds()
    fusion: Fusion = Fusion()
    evaluation: Evaluation = Evaluation()
    control: Control = Control()
    decide: Decide = Decide()
    cells: Cells = Cells()
    sae: Sae = Sae()
    concepts: Concepts = Concepts()
    explain: Explain = Explain()
    apply: Apply = Apply()
    exports: Exports = Exports()
    privacy: Privacy = Privacy()
    mechanics: Mechanics = Mechanics()


def parse_config(raw: Any, *, file: str = "config") -> Config:
    """Check a configuration and fill its defaults.

    Raises
    ------
    InputError
        one line with the file, the key, what is wrong and (for a typo) the nearest known key.
    """
    if not isinstance(raw, dict) or not raw:
        raise InputError(f"{file}: the configuration is empty; start from config/config.yaml")
    check_form(raw, file=file)
    try:
        config = Config.model_validate(raw)
    except pydantic.ValidationError as error:
        raise explain(error, Config, file=file) from None
    for name, cohort in config.cohorts.items():
        _check_cohort(name, cohort, file=file)
    _check_sae(config, file=file)
    check_apply(config.apply, config.cohorts, file=file)
    if config.fusion.width % config.fusion.heads:
        raise InputError(
            f"{file}: key 'fusion.heads' is {config.fusion.heads}, which does not divide "
            f"fusion.width {config.fusion.width}"
        )
    if config.tiles.overlap_px >= config.tiles.tile_px:
        raise InputError(
            f"{file}: key 'tiles.overlap_px' is {config.tiles.overlap_px}; it must be below tiles.tile_px "
            f"{config.tiles.tile_px}"
        )
    return config


def _check_cohort(name: str, cohort: Cohort, *, file: str) -> None:
    where = f"{file}: cohort '{name}'"
    if not ID.fullmatch(name):
        raise InputError(f"{file}: cohort name '{name}' is not a valid id; use letters, digits, '.', '_' and '-' only")
    if not cohort.has_tissue and cohort.cells is None:
        raise InputError(f"{where} has neither 'slides' nor 'expression' nor 'cells'; give at least one")
    if cohort.has_tissue and cohort.patients is None:
        raise InputError(f"{file}: key 'cohorts.{name}.patients' is missing; add it (see config/README.md)")
    if cohort.simulate and (cohort.slides is None or cohort.expression is None):
        raise InputError(f"{where} is simulated, so it needs both 'slides' and 'expression'")
    if cohort.cells:
        if (cohort.cells.table is None) == (cohort.cells.embeddings is None):
            raise InputError(
                f"{file}: key 'cohorts.{name}.cells' needs either 'table' or 'embeddings'; give one of them"
            )
        if cohort.cells.embeddings and (cohort.cells.simulate or cohort.cells.attributes or cohort.cells.crop != 1):
            raise InputError(
                f"{file}: key 'cohorts.{name}.cells' has embeddings made elsewhere, so 'simulate', 'attributes' and "
                "'crop' mean nothing; remove them"
            )


def _check_sae(config: Config, *, file: str) -> None:
    with_cells = {name: cohort.role for name, cohort in config.cohorts.items() if cohort.cells}
    if "external" in with_cells.values() and "train" not in with_cells.values():
        external = next(iter(with_cells))
        raise InputError(f"{file}: cohort '{external}' is external, and no cohort of cells has role: train; name one")
    if config.sae.source == "tiles" and not any(
        cohort.slides and cohort.role == "train" for cohort in config.cohorts.values()
    ):
        raise InputError(f"{file}: key 'sae.source' is 'tiles', and no cohort of role train has slides; use 'cells'")
    if config.concepts.leave_out_rejected and config.sae.scoring != "global":
        raise InputError(
            f"{file}: key 'concepts.leave_out_rejected' needs sae.scoring: global, because each fold's own dictionary "
            "has other concepts than the one that was reviewed"
        )


def check_apply(settings: Apply, cohorts: Mapping[str, Cohort], *, file: str) -> None:
    """
    Raises
    ------
    InputError
        if an external cohort has slides or RNA, and there are no models to apply to it.
    """
    tissue = {name: cohort.role for name, cohort in cohorts.items() if cohort.has_tissue}
    external = [name for name, role in tissue.items() if role == "external"]
    if external and settings.bundle is None and "train" not in tissue.values():
        raise InputError(
            f"{file}: cohort '{external[0]}' is external, and there are no models for it; name a bundle in "
            "'apply.bundle', or a cohort of role train with slides or RNA"
        )
