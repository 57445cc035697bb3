"""What a run does when the machine fails: full and read-only disks, slides that vanish, tiles that cannot be read."""

import contextlib
import os
import re
import subprocess
import sys
import threading

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from cohorts import hashes
from running import ROOT, snakemake
from slide_scenes import SMALL_TILES, destroy_tile, tissue_scene, write_slide

from histoweave.io import read_json, read_table
from histoweave.slides.store import read_tiles

IDS = [f"P{number}" for number in range(8)]
FEATURES = "results/c/features/efficientnet_lite0"
RECORDS = {"tiles": "results/c/tiles/records", "features": f"{FEATURES}/records"}
# Of about 1 MiB is a slide's feature file, of 250 kB are its three tile files.
MIB = 2**20


def cohort(folder, *, large=None, without_mpp=None, **changes):
    """Eight patients, a slide each. `large` is so big that its overview is not read from its finest level."""
    (folder / "slides").mkdir(parents=True)
    for slide in IDS:
        scene = tissue_scene(0.5, field_um=(1200.0, 256.0)) if slide == large else tissue_scene(0.5)
        write_slide(folder / f"slides/{slide}.tiff", scene, mpp=None if slide == without_mpp else 0.5, levels=3)
    patients = pd.DataFrame({"patient": IDS, "label": ["a", "b"] * 4})
    patients.to_csv(folder / "patients.tsv", sep="\t", index=False)
    slides = pd.DataFrame({"slide": IDS, "patient": IDS, "path": [f"slides/{slide}.tiff" for slide in IDS]})
    slides.to_csv(folder / "slides.tsv", sep="\t", index=False)
    configure(folder, **changes)
    return folder


def configure(folder, *, max_failed_share=0.1, slides_per_shard=8, on_error="continue"):
    raw = {
        "cohorts": {"c": {"patients": "patients.tsv", "slides": "slides.tsv"}},
        "on_error": on_error,
        "tiles": SMALL_TILES.model_dump() | {"max_failed_share": max_failed_share},
        "features": {"encoder": {"name": "efficientnet_lite0", "input_px": 64}},
        "folds": {"n_folds": 2},
        "fusion": {"models": ["majority", "image"], "members": 1, "epochs": 2, "width": 16},
        "control": {"permuted_labels": False},
        "mechanics": {"slides_per_shard": slides_per_shard, "device": "cpu"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))


def run(folder, *arguments):
    """Exit code and terminal of a run that ends after the features."""
    found = snakemake("prepare", *arguments, "--cores", 2, "--configfile", "config.yaml", directory=folder, check=False)
    return found.returncode, found.stdout + found.stderr


def said(terminal):
    """The errors that our side put on the terminal; asserts that there was no traceback and no crash."""
    assert "Traceback" not in terminal and "died with" not in terminal, terminal[-4000:]
    # Snakemake shows the log of a failed job besides, between lines of "=".
    own = re.sub(r"^=+\n.*?^=+$", "", terminal, flags=re.M | re.S)
    return re.findall(r"^error: .*", own, flags=re.M)


def statuses(folder):
    return read_table(folder / "results/c/cohort/slides.parquet").set_index("slide")


def done(folder, stage):
    return {path.stem for path in (folder / RECORDS[stage]).glob("*.json")}


def prints(folder, stage, slides):
    """Inode and time of change of the files of finished slides and of their records."""
    records = folder / RECORDS[stage]
    files = [records / f"{slide}.json" for slide in slides] + [records.parent / f"{slide}.h5" for slide in slides]
    return {str(file): (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def assert_whole(folder):
    """Every record's files are there and readable, and nothing is half written."""
    for stage in RECORDS:
        for slide in done(folder, stage):
            record = read_json(folder / RECORDS[stage] / f"{slide}.json")
            place = (folder / RECORDS[stage]).parent
            assert {name: (place / name).stat().st_size for name in record["files"]} == record["files"]
            with h5py.File(place / f"{slide}.h5") as file:
                assert file.attrs["status"] == record["outcome"]["status"]
    assert not list((folder / "results").rglob(".partial*"))


class Disk:
    """A small disk of its own, mounted on a folder."""

    def __init__(self, folder, n_bytes):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._mount("-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs")

    def remount(self, options):
        self._mount("-o", f"remount,{options}")

    def _mount(self, *options):
        subprocess.run(["mount", *options, self.folder], check=True, capture_output=True, text=True)

    def fill(self):
        """Take every block that is left; returns the file that holds them."""
        filler = self.folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        return filler


@pytest.fixture
def disk():
    disks = []

    def make(folder, n_bytes):
        try:
            disks.append(Disk(folder, n_bytes))
        except (OSError, subprocess.CalledProcessError) as error:
            if "CI" in os.environ:
                raise
            pytest.skip(f"no disk can be mounted here: {getattr(error, 'stderr', None) or error}")
        return disks[-1]

    yield make
    for one in reversed(disks):
        subprocess.run(["umount", one.folder], check=True)


def test_a_full_disk_of_features(tmp_path, disk):
    folder = cohort(tmp_path / "run", without_mpp="P7")
    small = disk(folder / FEATURES, 7 * MIB // 2)
    code, terminal = run(folder)
    assert code == 1
    (error,) = said(terminal)
    assert re.search(rf"4 of 8 slides .*'P3': {FEATURES}/P3.h5 cannot be written: No space left on device", error)
    # The others were tried: the refused slide, whose file is small, comes after all that did not fit.
    log = (folder / "results/c/logs/features/efficientnet_lite0/0-of-1.log").read_text()
    assert re.findall(r"(P\d): not written: .* No space left on device", log) == ["P3", "P4", "P5", "P6"]
    assert done(folder, "features") == {"P0", "P1", "P2", "P7"}
    assert_whole(folder)
    finished = prints(folder, "features", ["P0", "P1", "P2", "P7"]) | prints(folder, "tiles", IDS)

    small.remount(f"size={20 * MIB}")
    code, terminal = run(folder)
    assert code == 0, terminal[-4000:]
    assert prints(folder, "features", ["P0", "P1", "P2", "P7"]) | prints(folder, "tiles", IDS) == finished
    assert_whole(folder)
    assert statuses(folder)["status"].to_dict() == {slide: "no_mpp" if slide == "P7" else "ok" for slide in IDS}


def test_a_full_disk_of_results_and_logs_stops_a_strict_run(tmp_path, disk):
    folder = cohort(tmp_path / "run", on_error="stop")
    small = disk(folder / "results", 9 * MIB // 2)
    code, terminal = run(folder)
    assert code == 1
    (error,) = said(terminal)
    assert re.match(rf"error: {FEATURES}/P2.h5 cannot be written: No space left on device", error)
    log = (folder / "results/c/logs/features/efficientnet_lite0/0-of-1.log").read_text()
    assert "P3" not in log and done(folder, "features") == {"P0", "P1"}
    assert_whole(folder)
    finished = prints(folder, "features", ["P0", "P1"]) | prints(folder, "tiles", IDS)

    # Not one block for the log either: the error is on the terminal all the same, and so is what became of the log.
    disk(folder / "results/c/logs/features", 4096).fill()
    no_log = "log results/c/logs/features/efficientnet_lite0/0-of-1.log is incomplete: No space left on device"
    code, terminal = run(folder)
    (error,) = said(terminal)
    assert code == 1 and re.match(rf"error: {FEATURES}/P2.h5 cannot be written: No space left on device", error)
    assert no_log in terminal and done(folder, "features") == {"P0", "P1"}

    # Not one block anywhere: no job begins.
    filler = small.fill()
    code, terminal = run(folder)
    (error,) = said(terminal)
    assert code == 1 and error.startswith("error: results/c cannot be written: No space left on device")

    # A log that cannot be written is no reason for a job to fail.
    filler.unlink()
    small.remount(f"size={20 * MIB}")
    code, terminal = run(folder)
    assert code == 0 and no_log in terminal, terminal[-4000:]
    assert prints(folder, "features", ["P0", "P1"]) | prints(folder, "tiles", IDS) == finished
    assert_whole(folder)
    assert (statuses(folder)["status"] == "ok").all()


def test_a_read_only_results_folder(tmp_path, disk):
    folder = cohort(tmp_path / "run")
    results = disk(folder / "results", 20 * MIB)
    line = "error: results/c cannot be written: Read-only file system; mend that and run again"
    code, terminal = run(folder, "--until", "tile_slides")
    assert code == 0, terminal[-4000:]
    finished, before = prints(folder, "tiles", IDS), hashes(folder / "results/c")

    results.remount("ro")
    code, terminal = run(folder)
    assert code == 1 and said(terminal) == [line]
    assert hashes(folder / "results/c") == before
    code, terminal = run(folder, "--dry-run")
    assert code == 0 and "extract_features" in terminal

    results.remount("rw")
    code, terminal = run(folder)
    assert code == 0, terminal[-4000:]
    assert prints(folder, "tiles", IDS) == finished
    assert (statuses(folder)["status"] == "ok").all()

    # A run with nothing to do asks for nothing.
    results.remount("ro")
    code, terminal = run(folder)
    assert code == 0 and "Nothing to be done" in terminal
    # A changed slide would have its shard's index removed.
    os.utime(folder / "slides/P0.tiff")
    code, terminal = run(folder)
    (error,) = said(terminal)
    assert code == 1 and "0-of-1.json is out of date and cannot be removed: Read-only file system" in error


def test_a_read_only_or_full_working_directory(tmp_path, disk):
    place = disk(tmp_path / "run", 20 * MIB)
    cohort(place.folder / "c")
    place.remount("ro")
    code, terminal = run(place.folder / "c")
    assert code == 1
    assert said(terminal) == ["error: .snakemake cannot be written: Read-only file system; mend that and run again"]
    place.remount("rw")
    place.fill()
    code, terminal = run(place.folder / "c")
    assert code == 1
    assert said(terminal) == ["error: .snakemake cannot be written: No space left on device; mend that and run again"]


def shards(folder):
    """Shard → its slides, by the indexes of tiles."""
    return {
        path.stem: [record["slide"] for record in read_json(path)]
        for path in (folder / "results/c/tiles/shards").glob("*.json")
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
