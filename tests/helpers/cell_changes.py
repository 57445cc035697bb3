"""What each row of the second table of docs/reruns.md, "Cells and concepts", does to the cohorts of cells."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cell_stubs import DRAWN, EXTERNAL, GIVEN, PATIENTS, base_config, cell_row, patient_row
from edits import (
    NOTHING,
    Run,
    append,
    arguments,
    code,
    delete,
    new_key,
    other_rights,
    profile,
    replace,
    swapped_unseen,
    touch,
)
from stubs import COHORT

# Sections of the configuration whose keys the cell arm reads, and one that it does not.
SECTIONS = ("cohorts", "cells", "sae", "concepts", "folds", "evaluation", "tiles")
# Keys of these cohorts, and all else of the first with the external one.
OF_DRAWN = "cohorts.<name>.cells.simulate."
OF_GIVEN = "cohorts.<name>.cells.embeddings"
REVIEWED = {"sae": {"seeds": 2, "scoring": "global"}, "concepts": {"review": "review.csv", "leave_out_rejected": True}}

# Every key that the cell arm reads.
KEYS: dict[str, Any] = {
    "cohorts.<name>.role": "train",
    "cohorts.<name>.patients": "copy/stub_patients.tsv",
    "cohorts.<name>.label": "grade",
    "cohorts.<name>.label_map": {"A": "Z"},
    "cohorts.<name>.cells.table": "copy/stub.tsv",
    "cohorts.<name>.cells.embeddings": "copy/given",
    "cohorts.<name>.cells.crop": 0.8,
    "cohorts.<name>.cells.attributes": ["shape", "colour"],
    "cohorts.<name>.cells.label_map": {"A": "Z"},
    "cohorts.<name>.cells.simulate.seed": 8,
    "cohorts.<name>.cells.simulate.laboratory": "b",
    "seed": 2,
    "on_error": "stop",
    "cells.encoder.name": "timm:vit_small_patch16_224",
    "cells.encoder.weights": "other.safetensors",
    "cells.encoder.input_px": 128,
    "cells.encoder.mean": [0.5, 0.5, 0.5],
    "cells.encoder.std": [0.5, 0.5, 0.5],
    "cells.block": -1,
    "cells.final_norm": True,
    "cells.precision": "float32",
    "folds.n_folds": 3,
    "folds.group_by": "site",
    "sae.preset": "cytosae",
    "sae.variant": "batchtopk",
    "sae.expansion": 4,
    "sae.k": 16,
    "sae.l1": 1e-4,
    "sae.epochs": 5.0,
    "sae.batch_tokens": 512,
    "sae.learning_rate": 1e-4,
    "sae.warmup_steps": 10,
    "sae.decay_share": 0.1,
    "sae.aux_weight": 0.0,
    "sae.dead_after_tokens": 1000,
    "sae.seeds": 3,
    "sae.scoring": "global",
    "concepts.token_threshold": 0.3,
    "concepts.dead_below": 1e-2,
    "concepts.top_images": 5,
    "concepts.pooling": "max",
    "concepts.gallery": 50,
    "concepts.review": "review.csv",
    "concepts.leave_out_rejected": False,
    "evaluation.bootstrap": 1500,
    "evaluation.confidence": 0.9,
    "privacy.pseudonyms": True,
    "mechanics.cells_per_shard": 4,
}


def changed_run(done: Path, folder: Path, change: str, *, config: dict | None = None) -> Run:
    """A copy of the finished cohorts after one change, a row of the table. config: further sections, made with it."""
    shutil.copytree(done, folder, copy_function=shutil.copy2)
    run = Run(folder, base_config() | copy.deepcopy(config or {}))
    (folder / "review.csv").touch()
    (folder / "copy").mkdir(exist_ok=True)
    if change in KEYS:
        for name in ("stub.tsv", "stub_patients.tsv"):
            shutil.copy2(folder / name, folder / "copy")
        shutil.copy2(folder / "weights.safetensors", folder / "other.safetensors")
        shutil.copytree(folder / GIVEN, folder / "copy" / GIVEN, copy_function=shutil.copy2, dirs_exist_ok=True)
        cohort = EXTERNAL if change == "cohorts.<name>.role" else cohorts_of(change)[0]
        run.set(change.replace("<name>", cohort), KEYS[change])
    elif change != NOTHING:
        EVENTS[change](run)
    run.write()
    return run


def cohorts_of(change: str) -> tuple[str, ...]:
    """The cohorts that a row is about."""
    if change.startswith(OF_DRAWN) or "drawn" in change:
        return (DRAWN,)
    if change.startswith(OF_GIVEN) or "embeddings" in change:
        return (GIVEN,)
    return (COHORT, EXTERNAL)


# ---------------------------------------------------------------- what is no key

_TABLE = f"{COHORT}.tsv"
_SAE = f"results/{COHORT}/sae/cells"


def _cell(number: int, old: str, new: str, cohort: str = COHORT) -> Callable[[Run], None]:
    """Another text in the row of a cell."""
    row = cell_row(cohort, number)
    assert row.count(old) == 1, row
    return replace(f"{cohort}.tsv", row, row.replace(old, new))


def _cell_added(run: Run) -> None:
    append(_TABLE, cell_row(COHORT, 99))(run)
    (run.folder / COHORT / "c99.png").write_bytes(b"stub")


def _patients_embeddings_added(run: Run) -> None:
    append(f"{GIVEN}_patients.tsv", "P9\tA\tlow\n")(run)
    (run.folder / GIVEN / "P9.h5").write_bytes(b"stub")


def _cohort_added(role: str) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        run.config["cohorts"]["another"] = copy.deepcopy(run.config["cohorts"][EXTERNAL]) | {"role": role}

    return change


def _external_removed(run: Run) -> None:
    del run.config["cohorts"][EXTERNAL]


def _embeddings_alone(run: Run) -> None:
    run.config["cohorts"] = {GIVEN: run.config["cohorts"][GIVEN]}
    run.set("cells.encoder.name", "timm:vit_small_patch16_224")


def _other_columns(run: Run) -> None:
    _cell(20, "blue", "pink")(run)
    row = patient_row(3, "B")
    replace(f"{COHORT}_patients.tsv", row, row.replace("high", "low"))(run)


def _deleted(run: Run) -> None:
    delete(next((run.folder / f"results/{COHORT}/cells").glob("*/*.h5")).relative_to(run.folder))(run)
    delete(f"{_SAE}/seed0/sae_weights.safetensors")(run)


def _mechanics(run: Run) -> None:
    profile(run)
    arguments("--cores", "1", "--set-threads", "fit_sae=2", "--set-resources", "embed_cells:mem_mb=9000")(run)


EVENTS: dict[str, Callable[[Run], None]] = {
    "a picture has other bytes": append(f"{COHORT}/c20.png", "more"),
    "a picture has a new time only": touch(f"{COHORT}/c20.png"),
    "a picture has other content, of the same size and time": swapped_unseen(f"{COHORT}/c20.png"),
    "a picture has other rights": other_rights(f"{COHORT}/c20.png"),
    "a picture deleted": delete(f"{COHORT}/c20.png"),
    "an archive of pictures has other bytes": append(f"{COHORT}.zip", "more"),
    "a cell added": _cell_added,
    "a cell's box": _cell(20, "\t40\t40\t", "\t50\t50\t"),
    "a cell's patient": _cell(20, PATIENTS[2], PATIENTS[3]),
    "a cell's label": _cell(20, "\tA\t", "\tB\t"),
    "a cell's attribute": _cell(20, "round", "oval"),
    "a column that no key names: another covariate, another colour of a cell": _other_columns,
    "a patient's label": replace(f"{COHORT}_patients.tsv", patient_row(3, "B"), patient_row(3, "B").replace("B", "A")),
    "the encoder's weights file has other bytes": append("weights.safetensors", "more"),
    "a patient's embeddings have other bytes": append(f"{GIVEN}/P3.h5", "more"),
    "embeddings of another patient": _patients_embeddings_added,
    "another `cells.encoder`, all cohorts being embeddings": _embeddings_alone,
    "an external cohort added": _cohort_added("external"),
    "an external cohort removed": _external_removed,
    "a training cohort added": _cohort_added("train"),
    "external: a picture has other bytes": append(f"{EXTERNAL}/c20.png", "more"),
    "external: a cell's label": _cell(20, "\tA\t", "\tB\t", cohort=EXTERNAL),
    "the review has other answers": append("review.csv", "more"),
    "tables and `images.parquet` have a new time only": touch(
        _TABLE, f"{COHORT}_patients.tsv", f"{_SAE}/images.parquet"
    ),
    "a file of tokens and a dictionary deleted": _deleted,
    "a fresh checkout with other comments": code("cells/pictures.py", "\n# another comment\n"),
    "code: `simulate/cells.py`, cells drawn by the workflow": code("simulate/cells.py"),
    "code: `cells/pictures.py`": code("cells/pictures.py"),
    "code: `cells/images.py`": code("cells/images.py"),
    "code: `concepts/concept_folds.py`": code("concepts/concept_folds.py"),
    "code: `sae/optimiser.py`": code("sae/optimiser.py"),
    "code: `concepts/activations.py`": code("concepts/activations.py"),
    "code: `concepts/association.py`": code("concepts/association.py"),
    "code: `concepts/probes.py`": code("concepts/probes.py"),
    "code: `sae/matching.py`": code("sae/matching.py"),
    "code: `pages/concepts/cards.py`": code("pages/concepts/cards.py"),
    **{f"code: a new key of `{section}`": new_key(section) for section in SECTIONS},
    "code: `fusion/layers.py`": code("fusion/layers.py"),
    "another profile, `--cores`, `--set-threads`, `--set-resources`": _mechanics,
}
# Rows about a run that has a review and leaves the rejected concepts out.
OF_REVIEWED = {"concepts.leave_out_rejected", "the review has other answers"}
