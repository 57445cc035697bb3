"""A cohort of eight slides, run as far as its features, and what of it has to stay whole whatever fails."""

import re

import h5py
import pandas as pd
import yaml
from running import snakemake
from slide_scenes import SMALL_TILES, tissue_scene, write_slide

from histoweave.storage.files import read_json, read_table

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
