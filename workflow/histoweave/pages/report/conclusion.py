"""The conclusion on the page: its sentences, the cards beside it, and what has to stand over the parts below."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from histoweave.evaluation import conclusion_wording as wording
from histoweave.evaluation.choice import MODELS
from histoweave.evaluation.chosen_scores import CHANCE
from histoweave.evaluation.conclusion import MARGIN
from histoweave.pages.kit.tables import KeyNumber
from histoweave.pages.report.inputs import ReportTables


def content(tables: ReportTables) -> dict[str, Any]:
    """What the section shows: `sentences`, `cards`, and over what was `resampled`."""
    by_site = tables.folds_how["group_by"] == "site"
    return {
        "sentences": sentences(tables),
        "cards": cards(tables),
        "resampled": "whole sites, because the folds keep sites together" if by_site else "patients",
    }


def programs(tables: ReportTables) -> dict[str, Any]:
    """`conclusion` and `key_numbers` of `report.json`."""
    return {
        "conclusion": for_programs(tables),
        "key_numbers": [dataclasses.asdict(card) for card in cards(tables)],
    }


def sentences(tables: ReportTables) -> list[str]:
    """The conclusion in words, the headline first."""
    return wording.sentences(tables.conclusion, tables.models)


def cautions(tables: ReportTables, names: Iterable[str | None]) -> list[str]:
    """What stands over a part that is about the named models; empty where the skill of each is a finding."""
    asked = set(names)
    return wording.cautions(tables.conclusion, [model for model in tables.models if model.name in asked])


def cards(tables: ReportTables) -> list[KeyNumber]:
    """The numbers on top of the page: one modality, both, their difference, models looked at, patients per class."""
    found, titles = tables.conclusion, tables.titles
    shown = [
        (_one_modality(tables), "single", titles.get(found.single, ""), (CHANCE,)),
        ("Image and RNA together, AUROC", "fused", titles.get(found.fused, ""), (CHANCE,)),
        ("Difference, same patients", "difference", _minus(tables), (0.0, MARGIN)),
    ]
    numbers = [
        _card(label, wording.shown(found.numbers[role], against=against, signed=role == "difference"), note)
        for label, role, note, against in shown
        if role in found.numbers
    ]
    together = "simultaneous intervals: they take the choice among the models into account"
    return [
        *numbers,
        KeyNumber("Models evaluated", str(found.looked_at), "", together if found.looked_at > 1 else ""),
        KeyNumber(
            "Scored patients per class", " · ".join(map(str, found.counts.values())), "", " · ".join(found.counts)
        ),
    ]


def _one_modality(tables: ReportTables) -> str:
    """The label of the model of one modality: it is not the best one where models of both beat that one only."""
    rows = tables.choice[tables.choice["family"] == MODELS].set_index("model_a")["estimate"].dropna()
    single = [model.name for model in tables.models if len(model.modalities) == 1 and model.name in rows.index]
    best = rows.reindex(single).idxmax() if single else ""
    return f"{'Best of one' if tables.conclusion.single == best else 'One'} modality, AUROC"


def _minus(tables: ReportTables) -> str:
    found, titles = tables.conclusion, tables.titles
    return f"{titles.get(found.fused, '')} − {titles.get(found.single, '')}"


def _card(label: str, text: str, note: str) -> KeyNumber:
    value, _, interval = text.partition(" ")
    return KeyNumber(label, value, interval, note)


def for_programs(tables: ReportTables) -> dict[str, Any]:
    """The conclusion as plain values for `report.json`; a model that it does not name is None."""
    found = tables.conclusion
    roles = ("best", "single", "fused", "rival", "simplest", "column_model")
    return {
        "kind": found.kind,
        "reason": found.reason or None,
        "sentences": sentences(tables),
        "patients": found.n,
        "classes": dict(found.counts),
        "looked_at": found.looked_at,
        "better_than_chance": list(found.better),
        "models": {role: getattr(found, role) or None for role in roles},
        "column": found.column or None,
        "leaking": list(found.leaking),
        "numbers": wording.known_numbers(found.numbers),
    }
