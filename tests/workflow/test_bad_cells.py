"""Small runs of the cell arm on what real cohorts hold: broken pictures, one class, foreign embeddings, slides."""

import json
import re
import shutil
import zipfile

import h5py
import numpy as np
import pandas as pd
import yaml
from running import planned, snakemake

from histoweave.settings.cohorts import SimulateCells
from histoweave.settings.sae import CYTOSAE
from histoweave.simulate.cells import ATTRIBUTES, write_cells
from histoweave.storage.files import read_json, read_table

N_CELLS = 12


def run(folder, *more, check=True):
    return snakemake("concepts", *more, "--cores", 2, "--configfile", "config.yaml", directory=folder, check=check)


def said(finished):
    """The errors that our side put on the terminal; asserts that there was no traceback."""
    text = finished.stdout + finished.stderr
    assert "Traceback" not in text, text[-4000:]
    own = re.sub(r"^=+\n.*?^=+$", "", text, flags=re.M | re.S)  # Snakemake shows the log of a failed job besides
    return re.findall(r"^error: .*", own, flags=re.M)


def configure(folder, cohorts, *, sae):
    raw = {
        "cohorts": cohorts,
        "cells": {"encoder": "efficientnet_lite0", "block": -1},
        "sae": sae,
        "folds": {"n_folds": 2},
        "evaluation": {"bootstrap": 1000},
        "mechanics": {"device": "cpu"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))


def page_data(path):
    """The page, and what its gallery is drawn from."""
    page = path.read_text(encoding="utf-8")
    return page, json.loads(re.search(r'<script[^>]*id="data"[^>]*>(.*?)</script>', page, re.S)[1])


def pictures(folder):
    """Cells of six patients and one type, drawn; of the last three one is torn, one no picture, one not there."""
    rng = np.random.default_rng(5)
    cells = pd.DataFrame({name: rng.choice(values, N_CELLS) for name, values in ATTRIBUTES.items()})
    cells.insert(0, "cell", [f"C{n:02d}" for n in range(N_CELLS)])
    cells = cells.assign(patient=[f"P{n % 6}" for n in range(N_CELLS)], label="blast")
    write_cells(folder / "drawn.zip", cells=cells.assign(member=cells["cell"] + ".jpg"), settings=SimulateCells())
    with zipfile.ZipFile(folder / "drawn.zip") as archive:
        archive.extractall(folder / "pictures")
    torn, none, missing = (folder / f"pictures/{cell}.jpg" for cell in cells["cell"][-3:])
    torn.write_bytes(torn.read_bytes()[:400])
    none.write_text("not a picture")
    missing.unlink()
    cells["path"] = "pictures/" + cells["cell"] + ".jpg"
    cells.to_csv(folder / "cells.tsv", sep="\t", index=False)
    return cells["cell"].to_list()


def test_broken_pictures_and_one_class_with_a_published_recipe(tmp_path):
    cells = pictures(tmp_path)
    recipe = {"preset": "cytosae", "expansion": 1, "epochs": 1, "batch_tokens": 128, "seeds": 1}
    configure(tmp_path, {"one": {"cells": {"table": "cells.tsv", "attributes": ["size"]}}}, sae=recipe)
    run(tmp_path)
    results = tmp_path / "results/one"

    images = read_table(results / "sae/cells/images.parquet").set_index("image")
    assert images.index.to_list() == cells and (images.loc[cells[:-3], "status"] == "ok").all()
    refused = images.loc[cells[-3:]]
    assert (refused["status"] != "ok").all() and (refused["reason"].str.len() > 10).all()
    levels = read_table(results / "sae/cells/scores/levels.parquet").set_index("level")
    assert (levels["status"] == "not_scored").all()
    assert "fewer than two classes" in levels.loc["image", "reason"] and "blast" in levels.loc["image", "reason"]
    assert len(read_table(results / "sae/cells/scores/metrics.parquet")) == 0
    page, data = page_data(results / "concepts.html")
    assert all(cell in page for cell in cells[-3:]) and levels.loc["image", "reason"] in page
    assert data["cards"]

    config = read_json(results / "sae/cells/seed0/cfg.json")
    assert config["architecture"] == "standard" and config["d_sae"] == config["d_in"]
    said = config["metadata"]["histoweave"]
    assert {key: said[key] for key in CYTOSAE} == CYTOSAE | {key: recipe[key] for key in set(CYTOSAE) & set(recipe)}
    assert planned(run(tmp_path, "-n")) == {}


def embeddings(folder, patients, *, dim, seed):
    """Eight cells of each patient; those of every second patient lean to one side."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number, patient in enumerate(patients):
        values = rng.normal(size=(8, dim)).astype(np.float32)
        values[:, 0] += 4 * (number % 2)
        with h5py.File(folder / f"{patient}.h5", "w") as file:
            file["features"] = values
    table = pd.DataFrame({"patient": patients, "label": ["healthy", "ill"] * (len(patients) // 2)})
    table.to_csv(f"{folder}.tsv", sep="\t", index=False)


def test_embeddings_made_elsewhere_with_gaps_and_of_another_encoder(tmp_path):
    here, there = [f"P{n}" for n in range(10)], [f"Q{n}" for n in range(4)]
    embeddings(tmp_path / "ours", here, dim=16, seed=0)
    embeddings(tmp_path / "theirs", there, dim=12, seed=1)
    with h5py.File(tmp_path / "ours/P3.h5", "r+") as file:
        file["features"][2:4, 5] = np.nan
    with h5py.File(tmp_path / "ours/P4.h5", "w") as file:
        file["features"] = np.zeros((0, 16), np.float32)
    cohorts = {
        "ours": {"patients": "ours.tsv", "cells": {"embeddings": "ours"}},
        "theirs": {"role": "external", "patients": "theirs.tsv", "cells": {"embeddings": "theirs"}},
    }
    small = {"expansion": 2, "k": 4, "epochs": 20, "batch_tokens": 32, "seeds": 1}
    configure(tmp_path, cohorts, sae=small)
    finished = run(tmp_path, "--keep-going", check=False)
    (error,) = set(said(finished))
    assert finished.returncode and "on/theirs" in error
    assert "tokens of 12 values do not fit a sparse autoencoder of 16" in error

    # All that does not need the other laboratory was done; without it, the page is all that is left to do.
    configure(tmp_path, {"ours": cohorts["ours"]}, sae=small)
    assert planned(run(tmp_path, "-n")) == {"concept_report": 1, "concepts_json": 1, "concepts": 1}
    run(tmp_path)
    images = read_table(tmp_path / "results/ours/sae/cells/images.parquet").set_index("image")
    assert images["status"].value_counts().to_dict() == {"ok": 70, "not_finite": 2, "empty_patient": 1}
    assert set(images.index[images["status"] == "not_finite"]) == {"P3-2", "P3-3"}
    levels = read_table(tmp_path / "results/ours/sae/cells/scores/levels.parquet").set_index("level")
    assert levels["status"].to_dict() == {"image": "not_scored", "patient": "scored"}
    assert levels.loc["patient", "n_patients"] == 9 and levels.loc["image", "reason"]
    page, data = page_data(tmp_path / "results/ours/concepts.html")
    assert "P3-2" in page and "P4-none" in page and data["cards"]
    assert all(cell == [None, None, None] for card in data["cards"] for cell in card["cells"])


def test_concepts_of_slides(small, tmp_path):
    """The small demo's slides, whose features are there already: their concepts, with maps of their tiles."""
    folder = tmp_path / "run"
    for part in (".snakemake", "config", "results/demo"):
        shutil.copytree(small.folder / part, folder / part, copy_function=shutil.copy2)
    raw = yaml.safe_load((folder / "config/config.yaml").read_text())
    raw["sae"] |= {"source": "tiles", "expansion": 1, "seeds": 1}
    raw["cohorts"] = {"demo": raw["cohorts"]["demo"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))
    jobs = planned(run(folder, "-n"))
    assert not {"tile_slides", "extract_features", "cohort", "fusion_fold"} & set(jobs)
    run(folder)
    results = folder / "results/demo"
    slides = read_table(results / "cohort/slides.parquet").set_index("slide")
    images = read_table(results / "sae/tiles/images.parquet").set_index("image")
    assert images["status"].to_dict() == slides["status"].to_dict() and (images["status"] == "ok").any()
    metrics = read_table(results / "sae/tiles/scores/metrics.parquet")
    assert set(metrics["level"]) == {"patient"} and "embedding" not in set(metrics["representation"])
    page, data = page_data(results / "concepts.html")
    cells = [cell for card in data["cards"] for cell in card["cells"]]
    assert cells and all(None not in cell for cell in cells)
    assert all({"places", "width", "height"} <= set(layout) for layout in data["layouts"])
    assert all(slide in page for slide in images.index)
