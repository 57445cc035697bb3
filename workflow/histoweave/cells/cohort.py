"""The cells of one cohort: the tables read, and what of them can be refused before any job starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from histoweave.cells.given import embedding_files
from histoweave.cells.table import BOX, read_cells_table
from histoweave.cohort.tables import read_patients_table
from histoweave.errors import InputError
from histoweave.storage.shards import shards_of
from histoweave.tabular.reading import Reading

if TYPE_CHECKING:
    from histoweave.settings.cohorts import CellInput, Cohort

PLACE = ["path", "member", *BOX]


@dataclass(frozen=True)
class CellCohort:
    """One cohort's cells.

    Attributes
    ----------
    rows: as `cells.table.read_cells` returns them, indexed by cell; of embeddings made elsewhere the files (`path`),
        indexed by patient.
    patients: as `cohort.tables.read_patients` returns them, None without such a table.
    readings: what was read of the tables.
    """

    name: str
    cohort: Cohort
    rows: pd.DataFrame
    patients: pd.DataFrame | None
    readings: tuple[Reading, ...] = ()

    @property
    def input(self) -> CellInput:
        """What the configuration says of the cells."""
        assert self.cohort.cells is not None
        return self.cohort.cells

    @property
    def simulated(self) -> bool:
        """Whether a rule draws the pictures."""
        return self.input.simulate is not None

    @property
    def items(self) -> list[str]:
        """Ids of what is worked on: cells, or patients of embeddings made elsewhere."""
        return self.rows.index.to_list()

    def shards(self, cells_per_shard: int) -> dict[str, list[str]]:
        """The items of each shard; embeddings made elsewhere count a patient as one."""
        return shards_of(self.items, slides_per_shard=cells_per_shard)

    def places_of(self, items: Iterable[str]) -> pd.DataFrame:
        """Where some items lie, one row each; whose they are and what is known of them does not count."""
        return self.rows.loc[list(items), [column for column in PLACE if column in self.rows]]

    @property
    def known(self) -> pd.DataFrame:
        """Whose the items are and what is known of them, one row each; where they lie does not count."""
        return self.rows.drop(columns=PLACE, errors="ignore")

    def files(self, items: Iterable[str]) -> list[str]:
        """The files that some items lie in."""
        return sorted(set(self.rows.loc[list(items), "path"]))


def read_cohorts(cohorts: Mapping[str, Cohort], *, check_paths: bool = True) -> dict[str, CellCohort]:
    """Read the cells of every cohort that has some.

    check_paths: as of `wiring.validation.check_inputs`.

    Raises
    ------
    InputError
        one line naming file, row or key, what is wrong and how to mend it.
    """
    return {name: _read(name, cohort, check_paths=check_paths) for name, cohort in cohorts.items() if cohort.cells}


def _read(name: str, cohort: Cohort, *, check_paths: bool) -> CellCohort:
    given = cohort.cells
    assert given is not None
    patients: pd.DataFrame | None = None
    readings: tuple[Reading, ...] = ()
    known: dict[str, Any] = {}
    if cohort.patients is not None:
        patients, reading = read_patients_table(cohort)
        readings = (reading,)
        known = {"patients": set(patients["patient"]), "patients_file": cohort.patients}
    if given.embeddings:
        files = embedding_files(given, **known)
        rows = pd.DataFrame({"path": list(files.values())}, index=pd.Index(files, name="patient"))
        return CellCohort(name, cohort, rows, patients, readings)
    assert given.table is not None  # a cohort has cells in files or in a table
    simulated = given.simulate is not None
    rows, reading = read_cells_table(
        given.table,
        attributes=given.attributes,
        label_map=given.label_map,
        check_paths=check_paths and not simulated,
        **known,
    )
    if simulated:
        _check_simulated(name, given.table, rows)
    return CellCohort(name, cohort, rows.set_index("cell", drop=False), patients, (*readings, reading))


def _check_simulated(name: str, table: str, rows: pd.DataFrame) -> None:
    made = f"results/{name}/simulated/cells.zip"
    for path in rows["path"].unique():
        if path != made:
            raise InputError(f"{table}: path '{path}' of simulated cells must be {made}")
