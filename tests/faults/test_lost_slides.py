"""What a run does with slides that vanish while it runs, and with tiles that cannot be read."""

import subprocess
import sys
import threading

import h5py
import numpy as np
from eight_slides import FEATURES, IDS, assert_whole, cohort, configure, done, prints, run, said, statuses
from running import ROOT
from slide_scenes import destroy_tile

from histoweave.slides.store import read_tiles
from histoweave.storage.files import read_json


def shards(folder):
    """Shard → its slides, by the finished indexes of tiles."""
    return {
        path.stem: [record["slide"] for record in read_json(path)]
        for path in (folder / "results/c/tiles/shards").glob("[!.]*.json")
    }


def run_while_slides_vanish(folder):
    """As soon as a shard is tiled, its last slide vanishes and, while the shard waits, the first of the others.

    Returns exit code, terminal, the slide that was tiled and the one that was not.
    """
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder)]
    gone = []

    def remove(finished):
        while not (first := shards(folder)):
            if finished.wait(0.01):
                return
        (tiled,) = first.values()
        gone.extend([tiled[-1], next(slide for slide in IDS if slide not in tiled)])
        for slide in gone:
            (folder / f"slides/{slide}.tiff").rename(folder / f"{slide}.away")

    finished = threading.Event()
    thread = threading.Thread(target=remove, args=[finished])
    thread.start()
    try:
        found = subprocess.run(
            [*command, "prepare", "--cores", "2", "--configfile", "config.yaml"],
            cwd=folder, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    finally:
        finished.set()
        thread.join()
    assert len(gone) == 2, found.stderr[-4000:]
    return found.returncode, found.stdout + found.stderr, *gone


def test_slides_that_vanish_during_the_run(tmp_path):
    folder = cohort(tmp_path / "run", slides_per_shard=4)
    code, terminal, tiled, waiting = run_while_slides_vanish(folder)
    assert code == 0 and said(terminal) == [], terminal[-4000:]
    table = statuses(folder)
    assert table.loc[tiled, ["status", "stage"]].to_list() == ["missing_file", "features"]
    assert table.loc[waiting, ["status", "stage"]].to_list() == ["missing_file", "tiles"]
    assert table.loc[tiled, "reason"] == f"slides/{tiled}.tiff does not exist"
    others = [slide for slide in IDS if slide not in (tiled, waiting)]
    assert (table.loc[others, "status"] == "ok").all() and (table.loc[others, "n_tiles"] > 0).all()
    assert_whole(folder)

    finished = prints(folder, "features", others)
    for slide in (tiled, waiting):
        (folder / f"{slide}.away").rename(folder / f"slides/{slide}.tiff")
    code, terminal = run(folder)
    assert code == 0, terminal[-4000:]
    assert (statuses(folder)["status"] == "ok").all() and prints(folder, "features", others) == finished


def test_slides_that_vanish_stop_a_strict_run(tmp_path):
    folder = cohort(tmp_path / "run", slides_per_shard=4, on_error="stop")
    code, terminal, tiled, waiting = run_while_slides_vanish(folder)
    assert code == 1
    one, other = sorted(said(terminal), key=lambda error: f"'{tiled}'" not in error)
    assert one.startswith(f"error: slide '{tiled}' (slides/{tiled}.tiff): missing_file: ")
    assert other.startswith(f"error: slide '{waiting}' (slides/{waiting}.tiff): missing_file: ")
    (shard,) = (slides for slides in shards(folder).values() if tiled in slides)
    assert done(folder, "features") == set(shard) - {tiled}
    assert_whole(folder)


def test_a_tile_that_cannot_be_read(tmp_path):
    folder = cohort(tmp_path / "run", large="P2")
    destroy_tile(folder / "slides/P2.tiff", column=5, row=4)
    code, terminal = run(folder)
    assert code == 0, terminal[-4000:]
    tiles = read_tiles(folder / "results/c/tiles/P2.h5").coords
    touched = tiles[(np.abs(tiles - [5 * 64, 4 * 64]) < 64).all(axis=1)]
    assert 1 <= len(touched) <= 4 and len(tiles) > 10 * len(touched)
    with h5py.File(folder / FEATURES / "P2.h5") as file:
        kept, failed, features = (file[name][()] for name in ("coords", "failed_coords", "features"))
    assert (failed == touched).all() and len(kept) == len(features) == len(tiles) - len(touched)
    assert not {tuple(corner) for corner in touched} & {tuple(corner) for corner in kept}
    table = statuses(folder)
    assert (table["status"] == "ok").all()
    assert table["n_failed_tiles"].to_dict() == {slide: len(touched) * (slide == "P2") for slide in IDS}

    # A lower limit refuses that slide; the features of the others stay, and so do all tiles.
    others = [slide for slide in IDS if slide != "P2"]
    finished = prints(folder, "features", others) | prints(folder, "tiles", IDS)
    configure(folder, max_failed_share=0.001)
    code, terminal = run(folder)
    assert code == 0 and "tile_slides" not in terminal, terminal[-4000:]
    assert prints(folder, "features", others) | prints(folder, "tiles", IDS) == finished
    table = statuses(folder)
    assert table.loc["P2", ["status", "stage", "n_tiles"]].to_list() == ["unreadable_tiles", "features", 0]
    assert table.loc["P2", "reason"].startswith(f"{len(touched)} of {len(tiles)} tiles cannot be read")
    assert table.loc["P2", "n_failed_tiles"] == len(touched)
    assert (table.loc[others, "status"] == "ok").all()
