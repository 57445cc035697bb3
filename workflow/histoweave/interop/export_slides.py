"""Exports of many slides: one process, each slide its own file and record."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from histoweave.errors import InputError
from histoweave.interop.export import export_anndata, export_clam, export_stamp
from histoweave.settings.exports import EXPORT_SUFFIX, ExportForm
from histoweave.storage.records import Outcome, Record, read_index
from histoweave.storage.shards import SlideWork, run_shard


def export_shard(
    form: ExportForm,
    *,
    index: Path,
    tiles_index: Path,
    features_index: Path,
    patients: Mapping[str, str],
    code: str,
) -> list[Record]:
    """Export the slides of a shard that are not exported yet, and write its index.

    Parameters
    ----------
    form: of the files.
    index: `exports/<form>/shards/<shard>.json`; the slides' files go to `exports/<form>/`.
    tiles_index, features_index: of the same shard.
    patients: slide → patient.
    code: fingerprint of the code that decides the result.

    Raises
    ------
    InputError
        as `storage.shards.run_shard`.
    """
    folder, tiles, features = index.parents[1], tiles_index.parents[1], features_index.parents[1]
    tiled = {record.slide: record.outcome for record in read_index(tiles_index)}

    def work(record: Record) -> SlideWork:
        slide, outcome = record.slide, record.outcome
        out = folder / f"{slide}.{EXPORT_SUFFIX[form]}"
        tiles_h5, features_h5 = tiles / f"{slide}.h5", features / f"{slide}.h5"
        export = {
            "anndata": partial(export_anndata, tiles_h5, features_h5, out, patient=patients[slide]),
            "clam": partial(export_clam, tiles_h5, out),
            "stamp": partial(export_stamp, features_h5, out),
        }[form]

        def run() -> Outcome:
            export()
            return outcome

        def refuse(status: str, reason: str) -> Outcome:
            raise InputError(f"slide '{slide}' cannot be exported: {reason}")

        return SlideWork(
            slide=slide,
            inputs={
                "patient": patients[slide], "tiles": tiled[slide].content, "features": outcome.content, "code": code,
                "status": outcome.status, "reason": outcome.reason,
            },
            sources=(),
            files=(out,),
            run=run,
            refuse=refuse,
        )  # fmt: skip

    # A refused slide is exported too, without tiles: its status was a reason to stop, or not, in an earlier stage.
    return run_shard([work(record) for record in read_index(features_index)], index=index, on_error="continue")
