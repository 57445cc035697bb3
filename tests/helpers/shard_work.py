"""Which slides the jobs of the two slide stages work on: the stages as the rules call them, with stubs for a slide's work.

The stub's tiles come out different whenever a setting, the slide's row or the code is, so what is counted as encoded
is the most that can be.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from edits import Run
from stubs import COHORT, wiring_in

from histoweave.features import extract_features as feature_shard
from histoweave.settings.tiles import Tiles
from histoweave.storage.files import write_text
from histoweave.storage.records import Outcome
from histoweave.tiles import tile_slides as tile_stage
from histoweave.wiring.fingerprint import Library


def work_on(run: Run) -> dict[str, int]:
    """Stage → number of slides that its jobs work on, of all shards; they are done afterwards."""
    wiring = wiring_in(run.folder, run.config)
    config, counts = wiring.config, {"tiles": 0, "features": 0}
    library = Library(run.root / "workflow")
    code = {
        name: library.code_hash(name)
        for name in ("histoweave.tiles.tile_slides", "histoweave.features.extract_features")
    }
    with contextlib.chdir(run.folder), _stubs(counts, code["histoweave.tiles.tile_slides"]):
        for tiles_index, index in zip(wiring.tile_indexes(COHORT), wiring.feature_indexes(COHORT), strict=True):
            slides = wiring.shard(COHORT, Path(index).stem)
            tile_stage.tile_shard(
                slides,
                index=Path(tiles_index),
                settings=Tiles.model_validate(config.tiles.model_dump(exclude={"max_failed_share"})),
                on_error=config.on_error,
                code=code["histoweave.tiles.tile_slides"],
                workers=1,
            )
            feature_shard.extract_shard(
                slides,
                index=Path(index),
                tiles_index=Path(tiles_index),
                encoder=config.features.encoder,
                arithmetic=config.features.arithmetic,
                tiles=config.tiles,
                precision=config.features.precision,
                on_error=config.on_error,
                code=code["histoweave.features.extract_features"],
                device=config.mechanics.device,
                tile_batch=config.mechanics.tile_batch,
                read_workers=config.mechanics.read_workers,
            )
    return counts


@contextlib.contextmanager
def _stubs(counts: dict[str, int], code: str) -> Iterator[None]:
    def tile_slide(*, out_h5, out_geojson, out_png, on_error, settings, **given):
        counts["tiles"] += 1
        what = f"{sorted(given.items())}{settings}{code}"
        write_text(out_h5, hashlib.sha256(what.encode()).hexdigest())
        write_text(out_geojson, "stub")
        write_text(out_png, "stub")

    def extract(*, out_h5, **more):
        counts["features"] += 1
        write_text(out_h5, "stub")

    def outcome(path):
        return Outcome("ok", content=path.read_text(), n_tiles=9)

    with (
        mock.patch.multiple(tile_stage, tile_slide=tile_slide, _outcome=outcome),
        mock.patch.multiple(
            feature_shard, extract=extract, _outcome=outcome, load=mock.DEFAULT, TileEncoder=mock.DEFAULT
        ),
    ):
        yield
