"""What a run does when the disk fails: full and read-only ones, of results, logs and the working directory."""

import contextlib
import os
import re
import shutil
import subprocess

import pytest
from cohorts import hashes
from eight_slides import FEATURES, IDS, MIB, assert_whole, cohort, configure, done, prints, run, said, statuses


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
    line = "error: results/c cannot be written: Read-only file system; fix this and run again"
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
    # A changed slide has its shard made again.
    os.utime(folder / "slides/P0.tiff")
    code, terminal = run(folder)
    assert code == 1 and said(terminal) == [line], terminal[-4000:]

    # So have results of other settings of which Snakemake has no record.
    results.remount("rw")
    code, terminal = run(folder)
    assert code == 0, terminal[-4000:]
    results.remount("ro")
    shutil.rmtree(folder / ".snakemake/metadata")
    configure(folder, max_failed_share=0.2)
    code, terminal = run(folder)
    assert code == 1 and said(terminal) == [line], terminal[-4000:]
    assert "will be computed again" in terminal


def test_a_read_only_or_full_working_directory(tmp_path, disk):
    place = disk(tmp_path / "run", 20 * MIB)
    cohort(place.folder / "c")
    place.remount("ro")
    code, terminal = run(place.folder / "c")
    assert code == 1
    assert said(terminal) == ["error: .snakemake cannot be written: Read-only file system; fix this and run again"]
    place.remount("rw")
    place.fill()
    code, terminal = run(place.folder / "c")
    assert code == 1
    assert said(terminal) == ["error: .snakemake cannot be written: No space left on device; fix this and run again"]
