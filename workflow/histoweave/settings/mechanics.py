"""Section mechanics: how the machine does it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from histoweave.settings.base import Section


class Mechanics(Section):
    """Technical settings. They change no result; another number of slides or cells per shard makes jobs run again."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    tile_batch: int = Field(32, ge=1, description="Tiles per forward pass.")
    read_workers: int = Field(2, ge=1, description="Threads that read tiles of a slide.")
    jobs_per_gpu: int = Field(1, ge=1, description="Jobs that may share one GPU of a workstation.")
    keep_projected: bool = Field(
        True,
        description="Keep the projected tiles of the folds; false: they are removed once no job needs them, and a later run "
        "that needs them fits all models of images again.",
    )
    slides_per_shard: int = Field(32, ge=1, description="Slides per job, about this many at most.")
    cells_per_shard: int = Field(4096, ge=1, description="Cells per job and file, about this many at most.")
