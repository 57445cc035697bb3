"""Whether the columns that are to be hidden are there."""

from __future__ import annotations

from collections.abc import Mapping

from histoweave.cell_wiring import CellWiring
from histoweave.errors import InputError, nearest
from histoweave.privacy.content import ID_COLUMNS, VOCABULARY
from histoweave.privacy_config import Privacy
from histoweave.validation import CohortTables

ALWAYS = "site"
_NOT_VALUES = {"patient", "label", "label_source"}


def check_columns(settings: Privacy, tables: Mapping[str, CohortTables], cells: CellWiring) -> None:
    """Refuse to hide a column that nobody has: its values would stand in the clear where nobody expects them.

    Raises
    ------
    InputError
        naming the column, also for one whose name columns of results have too.
    """
    if not settings.pseudonyms:
        return
    covariates = {column for table in tables.values() for column in table.patients.columns} - _NOT_VALUES
    attributes = {column for cohort in cells.cohorts for column in cells.attributes(cohort)}
    known = sorted({ALWAYS} | covariates | attributes)
    taken = ({"scope", "column", "group", "target", "value"} | set(VOCABULARY) | set(ID_COLUMNS)) - {ALWAYS}
    for column in settings.columns:
        if column not in known:
            raise InputError(
                f"config: privacy.columns names '{column}'{nearest(column, known)}, which is no site, covariate or "
                f"attribute of any cohort; there are {', '.join(known)}"
            )
        if column in taken:
            raise InputError(
                f"config: privacy.columns names '{column}', which tables of results have too; rename the column of yours"
            )
