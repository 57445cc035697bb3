"""Privacy's part of the configuration: whether shared files name patients."""

from __future__ import annotations

from pydantic import Field

from histoweave.settings.base import Section


class Privacy(Section):
    """Keyed pseudonyms in shared files. The key itself is never part of a configuration."""

    pseudonyms: bool = Field(
        False, description="Replace ids of patients, slides, cells and samples in all shared files by pseudonyms."
    )
    key_env: str = Field(
        "HISTOWEAVE_PSEUDONYM_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable with the key of the pseudonyms, at least 16 characters.",
    )
    columns: list[str] = Field(
        ["site"], description="Columns to replace as well: site, covariates, attributes of cells."
    )
