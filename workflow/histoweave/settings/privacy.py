"""Privacy's part of the configuration: whether what leaves the house names patients."""

from __future__ import annotations

from pydantic import Field

from histoweave.settings.base import Section


class Privacy(Section):
    """Keyed pseudonyms in what is shared. The key itself is never part of a configuration."""

    pseudonyms: bool = Field(
        False, description="Replace ids of patients, slides, cells and samples in every shared artefact by pseudonyms."
    )
    key_env: str = Field(
        "HISTOWEAVE_PSEUDONYM_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the pseudonyms' key, at least 16 characters.",
    )
    columns: list[str] = Field(
        ["site"], description="Columns whose values are replaced too: site, covariates, attributes of cells."
    )
