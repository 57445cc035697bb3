"""Seconds and peak memory of the tiling stage on a large slide, with and without a pyramid.

python benchmarks/tiling.py [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from common import SOURCE, alone, machine, make_slide, seconds_of, show

REPEATS = 3


def measure(slide: str, folder: str) -> dict[str, Any]:
    from histoweave.settings.tiles import Tiles
    from histoweave.slides.store import read_tiles
    from histoweave.tiles.slide import tile_slide

    place = Path(folder)
    out = {"out_h5": place / "t.h5", "out_geojson": place / "t.geojson", "out_png": place / "t.png"}
    settings = {"mpp": None, "settings": Tiles(), "on_error": "stop"}
    taken = [seconds_of(lambda: tile_slide(slide="S", path=slide, **settings, **out)) for _ in range(REPEATS)]
    return {"first_s": taken[0], "seconds": statistics.median(taken), "n_tiles": len(read_tiles(out["out_h5"]).coords)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=SOURCE, help="a real slide that is mirrored")
    parser.add_argument("--edge-px", type=int, default=12_000)
    parser.add_argument("--work", type=Path, help="folder that keeps the slides between runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    about = machine()
    figures: dict[str, Any] = {"machine": about}
    rows = [*about.items()]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        edge = options.edge_px
        for key, edge_px, levels in (("", edge, 3), ("half_edge_", edge // 2, 3), ("flat_", edge, 1)):
            name = folder / (f"mirrored-{edge_px}.tiff" if levels == 3 else f"mirrored-{edge_px}-flat.tiff")
            slide = make_slide(name, edge_px=edge_px, source=options.source, levels=levels)
            found = alone(measure, str(slide), temporary)
            figures |= {f"{key}{what}": value for what, value in found.items()}
            rows.append(
                (
                    f"{edge_px} px, {levels} level{'s' if levels > 1 else ''}",
                    f"{found['seconds']:.2f} s (first {found['first_s']:.2f} s), {found['n_tiles']} tiles, "
                    f"peak {found['peak_mb']:.0f} MB",
                )
            )
    show("tiling", rows, figures, options.json)


if __name__ == "__main__":
    main()
