"""Cohorts of cells with everything done, as `stubs` makes one of slides: artefacts of a few bytes, records of a real run.

Four cohorts in one configuration: `stub` of pictures, `other` the external one, `drawn` simulated, `given` of
embeddings made elsewhere.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import yaml
from stubs import COHORT, record_as_made, write_outputs

from histoweave.cells import seen
from histoweave.settings.config import parse_config
from histoweave.wiring.cells import CellWiring, check_cells

EXTERNAL, DRAWN, GIVEN = "other", "drawn", "given"
PATIENTS = [f"P{number}" for number in range(6)]
N_CELLS = 24


def cell_row(cohort: str, number: int) -> str:
    """A line of a cells table: the first half of the cells lie in an archive, the others are pictures of their own."""
    cell, patient = f"c{number:02d}", PATIENTS[number % len(PATIENTS)]
    archive = f"results/{DRAWN}/simulated/cells.zip" if cohort == DRAWN else f"{cohort}.zip"
    place = f"{archive}\t{cell}.png" if cohort == DRAWN or number < N_CELLS // 2 else f"{cohort}/{cell}.png\t"
    return f"{cell}\t{place}\t0\t0\t40\t40\t{patient}\t{'AB'[number % 2]}\tround\tblue\n"


def patient_row(number: int, label: str) -> str:
    """A line of a patients table; `grade` is a second column that can serve as label."""
    return f"{PATIENTS[number]}\t{label}\t{'low' if label == 'A' else 'high'}\n"


def base_config() -> dict:
    """Two folds, two seeds, two shards of cells; every file that a key can name is named."""
    of_table = {"attributes": ["shape"]}
    cells = {
        COHORT: {"table": f"{COHORT}.tsv", **of_table},
        EXTERNAL: {"table": f"{EXTERNAL}.tsv", **of_table},
        DRAWN: {"table": f"{DRAWN}.tsv", **of_table, "simulate": {"seed": 6}},
        GIVEN: {"embeddings": GIVEN},
    }
    return {
        "cohorts": {
            name: {
                "role": "external" if name == EXTERNAL else "train",
                "patients": f"{name}_patients.tsv",
                "label": "subtype",
                "cells": value,
            }
            for name, value in cells.items()
        },
        "cells": {"encoder": {"name": "resnet50", "weights": "weights.safetensors"}},
        "folds": {"n_folds": 2},
        "sae": {"seeds": 2},
        "mechanics": {"cells_per_shard": 16},
    }


def make_cohorts(folder: Path) -> None:
    """Tables, configuration, stub pictures and stub embeddings."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(base_config()))
    (folder / "weights.safetensors").write_bytes(b"stub")
    for cohort in (COHORT, EXTERNAL, DRAWN, GIVEN):
        rows = [patient_row(number, "AB"[number % 2]) for number in range(len(PATIENTS))]
        (folder / f"{cohort}_patients.tsv").write_text("patient\tsubtype\tgrade\n" + "".join(rows))
        (folder / cohort).mkdir()
        if cohort == GIVEN:
            for patient in PATIENTS:
                (folder / cohort / f"{patient}.h5").write_bytes(b"stub")
            continue
        head = "cell\tpath\tmember\txmin\tymin\txmax\tymax\tpatient\tlabel\tshape\tcolour\n"
        (folder / f"{cohort}.tsv").write_text(head + "".join(cell_row(cohort, number) for number in range(N_CELLS)))
        (folder / f"{cohort}.zip").write_bytes(b"stub")
        for number in range(N_CELLS // 2, N_CELLS):
            (folder / cohort / f"c{number:02d}.png").write_bytes(b"stub")


def pretend_done(folder: Path) -> None:
    """Stub artefacts of everything that a run would make, with the records of having made them."""
    write_outputs(folder)
    record_as_made(folder)
    config = parse_config(base_config())
    with contextlib.chdir(folder):
        wiring = CellWiring(config, check_cells(config), {})
        for name in (COHORT, EXTERNAL, GIVEN):
            for path in wiring.shard_files(name):
                seen.note(path, seen.look_at(wiring.cohorts[name].files(wiring.shard_items(name, Path(path).stem))))
