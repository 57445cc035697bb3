"""The concepts of a dictionary that classifiers leave out, because the experts' review rejects them."""

from __future__ import annotations

from pathlib import Path

from histoweave.concepts.review import rejected_concepts
from histoweave.sae.format import load, sae_sha256


def rejected_of(review: str | None, dictionary: Path) -> list[int]:
    """The concepts of the dictionary in a folder that a review rejects; none without a review.

    Raises
    ------
    InputError
        as `review.rejected_concepts`, and if the dictionary cannot be read.
    """
    if review is None:
        return []
    sae = load(dictionary)
    return rejected_concepts(review, sae_sha256=sae_sha256(sae), n_latents=sae.n_latents)
