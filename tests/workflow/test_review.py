"""The review, once around: an expert answers in the page's form, and the next run knows the answers."""

import csv
import re
import shutil

import numpy as np
import pandas as pd
import yaml
from gallery_pages import answer, save, shown
from running import planned, snakemake

from histoweave.concepts.activations import ImageActivations
from histoweave.concepts.review import COLUMNS
from histoweave.storage.files import read_table

NAME = "granules, 'coarse' & pink"
SAE = "results/lab_a/sae/cells"


def copy_of(run, folder):
    """The laboratories of a finished run, without its slides."""
    for part in (".snakemake", "config", "results/lab_a", "results/lab_b"):
        shutil.copytree(run / part, folder / part, copy_function=shutil.copy2)
    return folder


def configure(folder, config, **sections):
    raw = yaml.safe_load((folder / config).read_text())
    for section, values in sections.items():
        raw[section] = {**raw.get(section, {}), **values}
    (folder / "reviewed.yaml").write_text(yaml.safe_dump(raw))


def concepts(folder, *more, check=True):
    return snakemake("concepts", *more, "--cores", 2, "--configfile", "reviewed.yaml", directory=folder, check=check)


def test_answers_given_in_the_page_are_in_the_next_one(demo, tmp_path, open_page):
    folder = copy_of(demo, tmp_path / "run")
    page = open_page(folder / "results/lab_a/concepts.html")
    first, second, *_ = shown(page)
    answer(page, first, name=NAME, verdict="accepted", comment="seen in eosinophils")
    answer(page, second, verdict="rejected")
    save(page, folder / "review.csv")

    configure(folder, "config/demo/config.yaml", concepts={"review": "review.csv"})
    expected = {"describe_concepts": 2, "concept_report": 1, "concepts_json": 2, "concepts": 1}
    assert planned(concepts(folder, "-n")) == expected
    concepts(folder)
    for laboratory in ("lab_a", "lab_b"):
        table = read_table(folder / SAE / f"on/{laboratory}/concepts.parquet").set_index("concept")
        said = table[["name", "verdict", "comment"]]
        assert said.loc[first].tolist() == [NAME, "accepted", "seen in eosinophils"]
        assert said.loc[second].tolist() == ["", "rejected", ""]
        assert (said.drop(index=[first, second]) == "").all(axis=None)
    page = open_page(folder / "results/lab_a/concepts.html")
    assert page.locator(f"#concept-{first} h3").text_content() == NAME
    assert page.locator(f"#concept-{first} .verdict").text_content() == "accepted"
    assert page.locator(f"#concept-{first} [name=comment]").input_value() == "seen in eosinophils"
    assert page.locator(f"#concept-{second} .verdict").text_content() == "rejected"
    assert planned(concepts(folder, "-n")) == {}

    review = (folder / "review.csv").read_text(encoding="utf-8-sig")
    sha256 = ImageActivations.load(folder / SAE / "on/lab_a/activations.h5").attributes["sae_sha256"]
    assert review.count(sha256) == 2
    (folder / "review.csv").write_text(review.replace(sha256, "0" * 64))
    run = concepts(folder, check=False)
    said = re.findall(r"^error: (.*?)(?: \(log: .*\))?$", run.stdout + run.stderr, flags=re.M)
    assert run.returncode and "Traceback" not in run.stdout + run.stderr
    (error,) = set(said)  # of the one job for each laboratory
    assert error.startswith("review.csv, row 2: the answer is about another sparse autoencoder")


def test_rejected_concepts_are_not_classified_with(small, tmp_path):
    """All concepts but one are rejected: what does not show that one cannot be told apart."""
    folder = copy_of(small.folder, tmp_path / "run")
    found = {name: ImageActivations.load(folder / SAE / f"on/{name}/activations.h5") for name in ("lab_a", "lab_b")}
    fires = {name: (each.mean > 0).toarray() for name, each in found.items()}
    # In both laboratories some images show the one that is kept, and some do not.
    kept = int(np.max([np.abs(each.mean(axis=0) - 0.5) for each in fires.values()], axis=0).argmin())
    assert all(0.1 < each[:, kept].mean() < 0.9 for each in fires.values())
    with (folder / "review.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        sha256 = found["lab_a"].attributes["sae_sha256"]
        others = (concept for concept in range(found["lab_a"].n_latents) if concept != kept)
        rows.writerows([concept, "", "rejected", "", sha256] for concept in others)

    configure(
        folder, "config/config.yaml",
        sae={"scoring": "global"}, concepts={"review": "review.csv", "leave_out_rejected": True},
    )  # fmt: skip
    jobs = planned(concepts(folder, "-n"))
    assert not {"fit_sae", "fit_sae_fold", "encode_concepts"} & set(jobs)
    assert {"score_concepts", "transfer_concepts", "describe_concepts", "concept_report"} <= set(jobs)
    concepts(folder)
    assert (read_table(folder / SAE / "scores/metrics.parquet")["dictionary"] == "global").all()
    for name, path in (("lab_a", "scores/predictions.parquet"), ("lab_b", "on/lab_b/transfer_predictions.parquet")):
        rows = read_table(folder / SAE / path).query("level == 'image'")
        shows = pd.Series(fires[name][:, kept], index=found[name].images)
        for representation, one_value in (("concepts", True), ("raw", False)):
            part = rows[rows["representation"] == representation]
            without = part[~shows[part["image"]].to_numpy()].filter(regex="^p_|^fold$").dropna(axis=1)
            assert len(without) > without["fold"].nunique()
            assert (without.groupby("fold").nunique().max(axis=None) == 1) == one_value, (name, representation)
    assert (folder / "results/lab_a/concepts.html").is_file()
