"""Units of RNA: which declared units mean the same values, and what is said where they do not.

A unit states what a file holds. No answer here asks for another name of it: the values would stay what they are.
"""

from __future__ import annotations

# What the values of a unit become (`expression.normalise.FORMULAS`). Units of one quantity can be compared.
_QUANTITY = {
    "counts": "log2(1 + counts per million)",
    "tpm": "log2(1 + TPM)",
    "fpkm": "log2(1 + TPM)",
    "rsem": "log2(1 + RSEM)",
}
FIX = (
    "get the values of the same samples in {trained}, or train a bundle with fusion.expression_transform: ranks, or "
    "state in apply.align how the two are to be aligned"
)


def comparable(given: str | None, trained: str) -> bool:
    """Whether values of two declared units are of one quantity: the same unit, or FPKM and TPM (both become TPM)."""
    return given is not None and _QUANTITY.get(given, given) == _QUANTITY.get(trained, trained)


def difference(given: str | None, trained: str, *, formula: str) -> str:
    """Why RNA in unit `given` cannot be read by models fitted on `trained`, and what can be done; empty if it can.

    Parameters
    ----------
    formula : what the training's values are, as the bundle says.
    """
    if comparable(given, trained):
        return ""
    what = f"{trained} ({formula})" if formula else trained
    return (
        f"the RNA is given as {given}, but the models were fitted on {what}; the two cannot be compared, because they differ "
        f"gene by gene; {FIX.format(trained=trained)}"
    )


def agreement(given: str, trained: str) -> tuple[str, bool]:
    """What is said of two units that can be compared, and whether it is a reservation."""
    if given != trained:
        return f"{given} here and {trained} in training: both become TPM, provided that the tables hold all genes", True
    if trained == "log2":
        return "log2, as in training; log2 of which values is not stated, so they are compared with training", False
    return f"{trained}, as in training", False
