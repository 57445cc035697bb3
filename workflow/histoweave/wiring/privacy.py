"""What rules of shared artefacts are told of the pseudonyms, and whether the columns that are to be hidden are there."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from histoweave.errors import InputError, nearest
from histoweave.privacy.content import ID_COLUMNS, VOCABULARY
from histoweave.privacy.key import read_key
from histoweave.settings.privacy import Privacy
from histoweave.wiring.cells import CellWiring
from histoweave.wiring.fingerprint import code_hash
from histoweave.wiring.validation import CohortTables

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


def privacy_params(settings: Privacy, *, required: bool = True) -> dict[str, str | list[str]]:
    """What a rule of a shared artefact is told: nothing without pseudonyms, or `key_env`, `key` (a fingerprint),
    `columns` and `code` (of what finds the names of files).

    Another key makes shared artefacts anew, and the fingerprint does not tell the key.

    Parameters
    ----------
    required : refuse a missing key. A job that shares nothing may run where the key is unknown.

    Raises
    ------
    InputError
        see `read_key`.
    """
    if not settings.pseudonyms:
        return {}
    told: dict[str, str | list[str]] = {
        "key_env": settings.key_env,
        "columns": list(settings.columns),
        "code": code_hash("histoweave.privacy.user_files"),
    }
    try:
        key = read_key(settings.key_env)
    except InputError:
        if required:
            raise
        return told | {"key": ""}
    fingerprint = hmac.digest(key, b"histoweave: fingerprint of the key", "sha256").hex()
    return told | {"key": fingerprint[:16]}
