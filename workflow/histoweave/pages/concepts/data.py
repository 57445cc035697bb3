"""What the page's scripts work on: pictures, maps, what cards sort and filter by, and the review so far."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from histoweave.pages.concepts.cards import Card
from histoweave.pages.concepts.inputs import CohortFiles, ConceptTables
from histoweave.pages.concepts.maps import TokenMap, as_bytes, token_maps
from histoweave.pages.concepts.thumbnails import Thumbnails
from histoweave.sae.model import SparseAutoencoder


def page_data(
    cards: Sequence[Card],
    tables: ConceptTables,
    *,
    files: Sequence[CohortFiles],
    sae: SparseAutoencoder,
    sae_sha256: str,
    thumbnails: Thumbnails,
) -> dict[str, Any]:
    """Plain values for JSON; see gallery.js for how they are read.

    Parameters
    ----------
    files: of the cohorts of a card's groups, in their order.
    thumbnails: takes the pictures; its `encoded` becomes `pictures`.
    """
    maps = _maps(cards, files, sae)
    layouts: dict[str, int] = {}
    values = association_keys(cards)
    places = {key: place for place, key in enumerate(values)}
    shown = [_card(card, places) | {"cells": _cells(card, files, maps, thumbnails, layouts)} for card in cards]
    concepts = tables.training.concepts
    answered = concepts[(concepts[["name", "verdict", "comment"]] != "").any(axis=1)]
    review = {
        str(concept): {"name": row["name"], "verdict": row["verdict"], "comment": row["comment"]}
        for concept, row in answered.iterrows()
    }
    return {
        "sae_sha256": sae_sha256,
        "n_latents": len(concepts),
        "review": review,
        "review_key": hashlib.sha256(json.dumps(review, sort_keys=True).encode()).hexdigest(),
        "pictures": thumbnails.encoded,
        "layouts": [json.loads(layout) for layout in layouts],
        "cards": shown,
    }


def association_keys(cards: Sequence[Card]) -> list[tuple[str, str]]:
    """Every (target, value) that some card is significantly associated with, sorted."""
    return sorted({found.key for card in cards for found in card.associations if found.significant})


def _card(card: Card, places: dict[tuple[str, str], int]) -> dict[str, Any]:
    significant = [found for found in card.associations if found.significant]
    return {
        "concept": card.concept,
        "order": card.order,
        "alive": list(card.alive_in),
        "associated": [places[found.key] for found in significant],
        "text": " ".join([f"concept {card.concept}", *(found.value for found in significant)]).lower(),
    }


def _maps(
    cards: Sequence[Card], files: Sequence[CohortFiles], sae: SparseAutoencoder
) -> list[dict[tuple[str, int], TokenMap]]:
    """The maps of all images on all cards, one mapping per cohort."""
    found = []
    for place, cohort in enumerate(files):
        latents: dict[str, set[int]] = defaultdict(set)
        for card in cards:
            for image in card.groups[place].images:
                latents[image.image].add(card.concept)
        drawn = cohort.picture is not None and (cohort.shards or cohort.features)
        found.append(token_maps(sae, cohort, latents) if drawn else {})
    return found


def _cells(
    card: Card,
    files: Sequence[CohortFiles],
    maps: Sequence[dict[tuple[str, int], TokenMap]],
    thumbnails: Thumbnails,
    layouts: dict[str, int],
) -> list[list[Any]]:
    """Per image of the card, in order: place of its picture, its map (base64), place of its layout; or None each."""
    pictures, found = [], []
    for cohort, group, of_cohort in zip(files, card.groups, maps, strict=True):
        for image in group.images:
            pictures.append(thumbnails.place(cohort.name, image.image, cohort.picture))
            found.append(of_cohort.get((image.image, card.concept)) if pictures[-1] is not None else None)
    encoded = iter(as_bytes([each for each in found if each is not None]))
    cells: list[list[Any]] = []
    for picture, each in zip(pictures, found, strict=True):
        if each is None:
            cells.append([picture, None, None])
        else:
            layout = layouts.setdefault(json.dumps(dict(each.layout), sort_keys=True), len(layouts))
            cells.append([picture, next(encoded), layout])
    return cells
