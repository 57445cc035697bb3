"""Section exports: what is written for other software."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from histoweave.settings.base import Section

ExportForm = Literal["anndata", "clam", "stamp"]


EXPORT_SUFFIX = {"anndata": "h5ad", "clam": "h5", "stamp": "h5"}


class Exports(Section):
    """What `snakemake export` writes."""

    forms: list[ExportForm] = Field(["anndata"], description="Forms of the exported files.")
