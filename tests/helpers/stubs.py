"""A cohort of stubs with everything done: artefacts of a few bytes, with the records that a real run leaves.

Beside it an external cohort of RNA alone, which its bundle is applied to.

Tables, the slides' own records and Snakemake's bookkeeping are real, so a dry run plans what it would after a real run.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import yaml
from running import snakemake

from histoweave.apply.manifest import NAME, ExpressionIdentity, Manifest, ModelIdentity, needed_members
from histoweave.storage.files import write_json
from histoweave.storage.records import Outcome, Record
from histoweave.storage.sources import source
from histoweave.wiring.run import load
from histoweave.wiring.tissue import Wiring

COHORT, EXTERNAL = "stub", "beyond"
CONFIG = ("--configfile", "config.yaml")
N_PATIENTS, N_SLIDES, GENES = 12, 20, 60
PATIENTS = [f"TCGA-A{number % 6}-{number:04d}" for number in range(N_PATIENTS)]
SLIDES = {f"S{number:02d}": PATIENTS[number // 2] for number in range(N_SLIDES)}


def patient_row(patient: str, label: str) -> str:
    """A line of the patients table; `grade` is a second column that can serve as label."""
    return f"{patient}\t{label}\t{'low' if label == 'A' else 'high'}\t{patient[5:7]}\n"


def base_config(*, simulated: bool) -> dict:
    """Two folds, four models, two shards; every file that a key can name is named."""
    place = f"results/{COHORT}/simulated/expression.tsv.gz" if simulated else "expression.tsv"
    cohort = {
        "patients": "patients.tsv",
        "slides": "slides.tsv",
        "expression": {"path": place, "unit": "counts"},
        "label": "subtype",
    }
    external = {
        "role": "external",
        "patients": f"{EXTERNAL}.tsv",
        "expression": {"path": f"{EXTERNAL}_rna.tsv", "unit": "counts"},
        "label": "subtype",
    }
    return {
        "cohorts": {COHORT: cohort | ({"simulate": {"seed": 6}} if simulated else {}), EXTERNAL: external},
        "features": {"encoder": {"name": "resnet50", "weights": "weights.safetensors"}},
        "folds": {"n_folds": 2, "group_by": "patient"},
        "fusion": {"models": ["best_gene", "centroid", "image", "cross_attention"], "gene_sets": "sets.gmt"},
        "mechanics": {"slides_per_shard": 16},
    }


def make_cohort(folder: Path, *, simulated: bool = False) -> None:
    """Tables, configuration, stub slides and a small RNA matrix; those two are made later where `simulated`."""
    made = f"results/{COHORT}/simulated/slides"
    paths = {slide: f"{made}/{slide}.tiff" if simulated else f"slides/{slide}.svs" for slide in SLIDES}
    folder.mkdir(parents=True)
    rows = [patient_row(patient, "AB"[number % 2]) for number, patient in enumerate(PATIENTS)]
    (folder / "patients.tsv").write_text("patient\tsubtype\tgrade\tsite\n" + "".join(rows))
    rows = [f"{slide}\t{patient}\t{paths[slide]}\t\n" for slide, patient in SLIDES.items()]
    (folder / "slides.tsv").write_text("slide\tpatient\tpath\tmpp\n" + "".join(rows))
    (folder / "config.yaml").write_text(yaml.safe_dump(base_config(simulated=simulated)))
    (folder / f"{EXTERNAL}.tsv").write_text("patient\tsubtype\nX1\tA\nX2\tB\n")
    (folder / f"{EXTERNAL}_rna.tsv").write_text("gene\tX1\tX2\n" + "".join(f"GENE{n}\t1\t2\n" for n in range(GENES)))
    (folder / "weights.safetensors").write_bytes(b"stub")
    (folder / "sets.gmt").write_text("SET\tna\tGENE1\tGENE2\n")
    if not simulated:
        values = "\t".join(["1"] * N_PATIENTS)
        genes = [f"GENE{number}\t{values}\n" for number in range(GENES)]
        (folder / "expression.tsv").write_text("gene\t" + "\t".join(PATIENTS) + "\n" + "".join(genes))
        (folder / "slides").mkdir()
        for path in paths.values():
            (folder / path).write_bytes(b"stub")


def write_bundle(folder: Path) -> None:
    """A bundle that could have been made of the cohort of stubs: what is read of it before a job."""
    folder.mkdir()
    model = ModelIdentity(name="best_gene", title="single best gene", modalities=["expression"], folds=[0, 1])
    rna = ExpressionIdentity(unit="counts", formula="", n_genes=GENES, genes=["GENE1"])
    manifest = Manifest(
        version="0", cohort=COHORT, classes=["A", "B"], positive="B", n_folds=2, repeats=1, models=[model],
        encoder=None, tiles=None, expression=rna, concepts=False, files={},
    )  # fmt: skip
    listed = manifest.model_copy(update={"files": dict.fromkeys(needed_members(manifest), "0" * 64)})
    (folder / NAME).write_text(listed.text())


def wiring_in(folder: Path, raw: dict) -> Wiring:
    """What the rules would ask in that working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return Wiring(*load(raw))
    finally:
        os.chdir(before)


def write_outputs(folder: Path) -> None:
    """Stub files in place of everything that a run would make."""
    summary = snakemake("--summary", *CONFIG, directory=folder).stdout
    for row in csv.DictReader(io.StringIO(summary[summary.index("output_file\t") :]), delimiter="\t"):
        output = folder / row["output_file"]
        if output.name == "figures":
            output.mkdir(parents=True)
        elif not output.exists():
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(b"[]" if output.parent.name == "shards" else b"stub")


def pretend_done(folder: Path) -> None:
    """Stub artefacts of everything that a run would make, with the records of having made them."""
    write_outputs(folder)
    wiring = wiring_in(folder, yaml.safe_load((folder / "config.yaml").read_text()))
    stages = [
        (wiring.simulated_indexes(COHORT), ("slides/{}.tiff", "truth/{}.parquet")),
        (wiring.tile_indexes(COHORT), ("{}.h5", "{}.geojson", "{}.png")),
        (wiring.feature_indexes(COHORT), ("{}.h5",)),
    ]
    for indexes, names in stages:
        for index in map(Path, indexes):
            _pretend_shard(folder, index, wiring.shard(COHORT, index.stem), names)
    record_as_made(folder)


def record_as_made(folder: Path) -> None:
    """Let Snakemake note that all outputs were made by the present rules."""
    snakemake("--touch", "--forceall", "--cores", 1, "--quiet", "all", *CONFIG, directory=folder)


def _pretend_shard(folder: Path, index: Path, slides: list[dict], names: tuple[str, ...]) -> None:
    place = folder / index.parents[1]
    records = []
    for given in slides:
        sizes = {name.format(given["slide"]): 4 for name in names}
        for name in sizes:
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(b"stub")
        sources = {given["path"]} - {str(index.parents[1] / name) for name in sizes}  # what draws a slide reads none
        outcome = Outcome("ok", content=given["slide"])
        records.append(asdict(Record(given["slide"], outcome, files=sizes, **_seen(folder, sources))))
    write_json(folder / index, records)


def _seen(folder: Path, paths: Iterable[str]) -> dict[str, dict]:
    """What a record says of its sources."""
    found = {path: source(folder / path) for path in paths}
    return {
        "sources": {path: one.stamp for path, one in found.items()},
        "looks": {path: [one.changed_ns, one.look()] for path, one in found.items()},
    }
