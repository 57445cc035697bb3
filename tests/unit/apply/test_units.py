"""Which units of RNA can be compared, and that nobody is told to write another one over the same values."""

import itertools
import re

import pytest

from histoweave.apply.units import agreement, comparable, difference
from histoweave.expression.normalise import FORMULAS

UNITS = sorted(FORMULAS)
SAME = {frozenset({"fpkm", "tpm"})}


@pytest.mark.parametrize(("given", "trained"), list(itertools.product(UNITS, UNITS)))
def test_units_compare_if_they_become_the_same_quantity(given, trained):
    """FPKM becomes TPM; counts, RSEM and log2 values stay what they are."""
    expected = given == trained or frozenset({given, trained}) in SAME
    assert comparable(given, trained) == expected
    says = difference(given, trained, formula=FORMULAS[trained])
    assert (says == "") == expected
    if expected:
        words, reservation = agreement(given, trained)
        assert trained in words and reservation == (given != trained)


@pytest.mark.parametrize(("given", "trained"), list(itertools.permutations(UNITS, 2)))
def test_a_refusal_says_what_can_be_done_and_never_to_rename(given, trained):
    says = difference(given, trained, formula=FORMULAS[trained])
    if says:
        assert "\n" not in says and f"given as {given}" in says and f"fitted on {trained} (" in says
        assert "fusion.expression_transform: ranks" in says and "apply.align" in says
        assert f"get the values of the same samples in {trained}" in says
        assert not re.search(r"\b(set|change|rename|state|declare)\b[^,;]*\bunit\b", says)
        assert not re.search(rf"set [^,;]* to '?{trained}", says)


def test_a_cohort_without_a_unit_and_a_unit_of_another_version_do_not_compare():
    assert not comparable(None, "counts") and not comparable("counts", "vst") and comparable("vst", "vst")
    assert "fitted on vst; the two" in difference("counts", "vst", formula="")
