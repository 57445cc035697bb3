"""How long Snakemake takes to plan a cohort of ten thousand slides, and what it plans when one slide is added.

    python benchmarks/dag.py [--slides 10000] [--json FILE]

Slides and artefacts are stubs of a few bytes; tables, records and Snakemake's own bookkeeping are real.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from common import ROOT, machine, show

COHORT = "large"
CONFIG = {
    "cohorts": {
        COHORT: {
            "patients": "patients.tsv",
            "slides": "slides.tsv",
            "expression": {"path": "expression.tsv", "unit": "tpm"},
        }
    },
    "features": {"encoder": "efficientnet_lite0"},
}
GENES = 60


def add_slides(folder: Path, numbers: range) -> None:
    """Append stub slides, two to a patient, to the cohort's table."""
    table = folder / "slides.tsv"
    new = not table.exists()
    with table.open("a", encoding="utf-8") as file:
        if new:
            file.write("slide\tpatient\tpath\n")
        for number in numbers:
            slide = folder / "slides" / f"S{number:05d}.svs"
            slide.write_bytes(b"stub")
            file.write(f"S{number:05d}\tP{number // 2:05d}\tslides/{slide.name}\n")


def make_cohort(folder: Path, *, n_slides: int) -> None:
    """Tables, stub slides, a small RNA matrix and the configuration of a cohort."""
    (folder / "slides").mkdir(parents=True)
    patients = [f"P{number:05d}" for number in range(n_slides // 2 + 1)]
    rows = [f"{patient}\t{'AB'[number % 2]}\tsite{number % 7}\n" for number, patient in enumerate(patients)]
    (folder / "patients.tsv").write_text("patient\tlabel\tsite\n" + "".join(rows), encoding="utf-8")
    values = "\t".join(["1.0"] * len(patients))
    genes = [f"GENE{number}\t{values}\n" for number in range(GENES)]
    (folder / "expression.tsv").write_text("gene\t" + "\t".join(patients) + "\n" + "".join(genes), encoding="utf-8")
    add_slides(folder, range(n_slides))
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    """One Snakemake call: its output, wall seconds and peak resident memory in MB."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder)]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [*command, "--configfile", "config.yaml", *arguments], cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise RuntimeError(f"snakemake {' '.join(arguments)}:\n{text[-3000:]}")
    return {"text": text, "seconds": seconds, "peak_mb": usage.ru_maxrss / 1024}


def planned(text: str) -> dict[str, int]:
    """Rule → number of planned jobs, from the job table of a dry run."""
    if "Nothing to be done" in text:
        return {}
    rows = re.findall(r"^(\w+) +(\d+)$", text.split("Job stats:")[1].split("\n\n")[0], re.MULTILINE)
    return {rule: int(number) for rule, number in rows if rule not in ("total", "all")}


def pretend_done(folder: Path) -> None:
    """Stub artefacts for everything that the cohort's run would make, with Snakemake's records of having made them."""
    from histoweave.storage.files import write_json
    from histoweave.storage.records import Outcome, Record
    from histoweave.storage.shards import shards_of
    from histoweave.storage.sources import source_stamp

    slides = [path.stem for path in sorted((folder / "slides").iterdir())]
    shards = shards_of(slides, slides_per_shard=32)
    results = folder / "results" / COHORT
    for stage, suffixes in (("tiles", ("h5", "geojson", "png")), ("features/efficientnet_lite0", ("h5",))):
        place = results / stage
        place.mkdir(parents=True, exist_ok=True)
        for shard, members in shards.items():
            records = []
            for slide in members:
                files = [place / f"{slide}.{suffix}" for suffix in suffixes]
                for file in files:
                    file.write_bytes(b"stub")
                source = f"slides/{slide}.svs"
                stamp = source_stamp(folder / source)
                sizes = {file.name: 4 for file in files}
                records.append(asdict(Record(slide, Outcome("ok", content=slide), {source: stamp}, sizes)))
            write_json(place / "shards" / f"{shard}.json", records)
    summary = run(folder, "--summary")["text"]
    table = summary[summary.index("output_file\t") :]
    for row in csv.DictReader(io.StringIO(table), delimiter="\t"):
        output = folder / row["output_file"]
        if not output.exists():
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(b"[]" if output.parent.name == "shards" else b"stub")
    run(folder, "--cores", "1", "--touch", "--forceall", "--quiet", "all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=10_000)
    parser.add_argument("--json")
    options = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_cohort(folder, n_slides=options.slides)
        first = run(folder, "-n", "--quiet", "rules")
        everything = run(folder, "-n")
        pretend_done(folder)
        nothing = run(folder, "-n")
        add_slides(folder, range(options.slides, options.slides + 1))
        one_more = run(folder, "-n")
    runs = {"first call": first, "nothing done": everything, "all done": nothing, "one slide added": one_more}
    dry_runs = [everything, nothing, one_more]
    figures = {
        "slides": options.slides,
        "dry_run_s": max(found["seconds"] for found in dry_runs),
        "first_call_s": first["seconds"],
        "peak_mb": max(found["peak_mb"] for found in runs.values()),
        "planned": {name: planned(found["text"]) for name, found in runs.items() if found is not first},
        "machine": about,
    }
    rows = [*about.items(), ("slides", str(options.slides))]
    for name, found in runs.items():
        jobs = planned(found["text"]) if found is not first else {}
        shown = ", ".join(f"{rule} {number}" for rule, number in jobs.items()) or "no jobs"
        shown = "reads and checks the tables, cached after" if found is first else shown
        rows.append((name, f"{found['seconds']:.1f} s, {found['peak_mb']:.0f} MB; {shown}"))
    show("dry run", rows, figures, options.json)


if __name__ == "__main__":
    main()
