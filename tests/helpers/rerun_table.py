"""The tables of docs/reruns.md, and what a dry run says of their columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel
from running import ROOT

from histoweave.settings.cohorts import Cohort

TISSUE_PAGE, _, CELL_PAGE = (ROOT / "docs" / "reruns.md").read_text(encoding="utf-8").partition("## Cells and concepts")
ITSELF = re.compile(
    r"Missing output files|Forced execution|Incomplete output files|Updated input files: \S|Set of input files has changed"
    r"|Params have changed|Code has changed|Software environment definition has changed"
)
AFTER = "Input files updated by another job"
# Without a key a run with pseudonyms ends before its first job.
KEY = {"HISTOWEAVE_PSEUDONYM_KEY": "a key of the tests"}
# Keys that no rule of slides and RNA reads.
CELL_KEYS = re.compile(r"(cohorts\.<name>\.)?(cells|sae|concepts)\.|cohorts\.<name>\.role|mechanics\.cells_per_shard")
TISSUE_RULES = {
    "simulation": ("simulate_slides", "simulate_expression"),
    "tiles": ("tile_slides",),
    "features": ("extract_features",),
    "expression": ("expression",),
    "cohort": ("cohort",),
    "folds": ("folds", "control_folds", "site_folds"),
    "fusion": ("summarise_tiles", "project_tiles", "fusion_fold", "control_reference", "control_network", "site_fold"),
    "evaluation": ("evaluate", "evaluate_control", "evaluate_sites", "score_truth", "confounding"),
    "explain": ("explain_fold", "explain", "explain_slides", "explain_morphology", "explain_concepts"),
    "decide": ("decide", "learning_fold", "learning_curve"),
    "bundle": ("bundle",),
    "apply": ("compare_with_bundle", "apply_bundle", "applied_report"),
    "report": ("report", "provenance"),
}
CELL_RULES = {
    "cells": ("simulate_cells", "embed_cells", "check_cells"),
    "images": ("concept_images",),
    "folds": ("concept_folds",),
    "fit": ("fit_sae", "fit_sae_fold"),
    "encode": ("encode_concepts", "encode_fold"),
    "concepts": ("describe_concepts",),
    "scores": ("score_concepts", "transfer_concepts"),
    "stability": ("sae_stability",),
    "page": ("concept_report", "concepts_json"),
    "crate": ("provenance",),
}


def rows(page: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Change and cells by column of every row of the tables whose first column is called `change`."""
    columns: list[str] = []
    for line in page.splitlines():
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "change":
            columns = cells
        elif columns and not set(cells[0]) <= {"-", ":"}:
            yield cells[0], dict(zip(columns[1:], cells[1:], strict=True))


def change_of(row: str) -> str:
    """The key that a row is about, or its text for what is no key."""
    key = re.fullmatch(r"`([\w.<>]+)`", row)
    return key[1] if key else row


def keys_of(table: Collection[str]) -> set[str]:
    """The keys that rows of a table are about."""
    return {change_of(row) for row in table if change_of(row) != row}


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted paths of all keys that hold no further section."""
    for name, field in model.model_fields.items():
        if name == "cohorts":
            yield from leaves(Cohort, "cohorts.<name>.")
            continue
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if sections:
            yield from leaves(sections[0], f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def planned_jobs(output: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """Rule, wildcards and `●` or `○` of every job of a dry run, from the reasons that it states."""
    jobs = re.findall(r"^rule (\w+):\n((?:    .*\n)+)", output, re.MULTILINE)
    assert jobs or "Nothing to be done" in output, output
    for rule, job in jobs:
        wildcards = dict(
            re.findall(r"(\w+)=([^,\s]+)", (re.search(r"^    wildcards: .*$", job, re.MULTILINE) or [""])[0])
        )
        # Of a bundle and of what it is applied to, the row is about the cohort that it was made of.
        wildcards.setdefault("cohort", wildcards.get("trained", ""))
        if not wildcards["cohort"]:
            continue
        reason = re.search(r"^    reason: (.*)$", job, re.MULTILINE)[1]
        itself = ITSELF.search(reason)
        assert itself or AFTER in reason, f"{rule}: a reason that this test does not know: {reason}"
        yield rule, wildcards, "●" if itself else "○"


def planned_stages(output: str, rules: Mapping[str, Collection[str]], cohorts: Collection[str]) -> dict[str, str]:
    """Stage → `●` or `○`, of the jobs of some cohorts. rules: stage → its rules."""
    stage_of = {rule: stage for stage, names in rules.items() for rule in names}
    cells: dict[str, str] = {}
    for rule, wildcards, mark in planned_jobs(output):
        if wildcards["cohort"] in cohorts:
            stage = stage_of[rule]
            cells[stage] = "●" if "●" in (mark, cells.get(stage)) else "○"
    return cells


def n_planned(output: str, rule: str, cohort: str) -> int:
    """Jobs of a rule that are planned for a cohort."""
    return Counter((name, wildcards["cohort"]) for name, wildcards, _ in planned_jobs(output))[rule, cohort]


@contextmanager
def observed_rows(
    request: Any, table: Collection[str], observe: Callable[[int, str], Any]
) -> Iterator[dict[str, Future]]:
    """Row → future of `observe(number, change)`, of the rows whose tests were asked for; two at a time."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    asked = [row for row in dict.fromkeys(item.callspec.params.get("row") for item in items) if row in table]
    with ThreadPoolExecutor(2) as pool:
        yield {row: pool.submit(observe, number, change_of(row)) for number, row in enumerate(asked)}
        pool.shutdown(cancel_futures=True)
