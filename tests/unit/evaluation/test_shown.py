"""Printed digits agree with the sentence around them."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from histoweave.evaluation.shown import estimate_text, interval_text, promise_text, value_text

NUMBERS = st.floats(-3, 3) | st.floats(-0.02, 0.02) | st.floats(0.48, 0.52) | st.floats(0.89, 0.91)
MARKS = st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.125, 0.975])


def read(text):
    number = Decimal(text.rstrip("%").replace(",", ""))
    return number / 100 if text.endswith("%") else number


def side(low, high, mark):
    """1: the interval lies above the mark, -1: below it, 0: it covers the mark."""
    return int(low > mark) - int(high < mark)


@given(NUMBERS, NUMBERS, MARKS, st.booleans(), st.booleans(), st.integers(0, 3))
def test_a_printed_interval_leaves_out_what_the_interval_leaves_out(a, b, mark, signed, percent, digits):
    low, high = min(a, b), max(a, b)
    text = interval_text(low, high, signed=signed, against=mark, percent=percent, digits=digits)
    first, second = map(read, text.strip("[]").split(", "))
    assert side(first, second, Decimal(repr(mark))) == side(low, high, mark)
    assert first <= second
    # Rounding, not another number.
    step = Decimal(10) ** -digits / (100 if percent else 1)
    assert abs(first - Decimal(repr(low))) <= step and abs(second - Decimal(repr(high))) <= step


@given(NUMBERS, st.lists(MARKS, max_size=2), st.booleans(), st.booleans())
def test_a_printed_number_stands_where_the_number_stands(value, marks, signed, percent):
    text = value_text(value, signed=signed, percent=percent, against=marks)
    for mark in marks:
        shown, exact = read(text), Decimal(repr(mark))
        assert (shown > exact, shown < exact) == (value > mark, value < mark)
    if signed:
        assert text[0] in "+-"
    if read(text) == 0:
        assert "-" not in text


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_number_is_not_printed_as_what_its_interval_leaves_out(value, a, b):
    low, high = min(a, b), max(a, b)
    assume(low > 0 or high < 0)
    text = estimate_text(value, low, high, signed=True, against=0.0)
    shown = read(text.split(" ")[0])
    assert (shown > 0, shown < 0) == (value > 0, value < 0)


@pytest.mark.parametrize(
    ("low", "high", "more", "text"),
    [
        (-0.05, -0.004, {"signed": True}, "[-0.05, -0.004]"),
        (0.004, 0.0049, {"signed": True}, "[+0.004, +0.005]"),
        (-0.001, 0.05, {"signed": True}, "[+0.00, +0.05]"),
        (-0.001, 0.05, {}, "[0.00, 0.05]"),
        (0.503, 0.61, {"against": 0.5}, "[0.503, 0.61]"),
        (0.497, 0.61, {"against": 0.5}, "[0.50, 0.61]"),
        (0.81, 0.896, {"against": 0.9, "percent": True, "digits": 0}, "[81%, 89.6%]"),
        (0.81, 0.904, {"against": 0.9, "percent": True, "digits": 0}, "[81%, 90%]"),
        (0.1, 0.2, {"form": "{} to {}"}, "0.10 to 0.20"),
        (1e-17, 0.2, {"signed": True}, "[+1E-17, +0.20]"),
        (math.nan, 0.2, {}, ""),
        (-1234.5, -3.0, {"digits": 1}, "[-1,234.5, -3.0]"),
        (np.float64(0.0), np.float64(0.0), {"signed": True}, "[+0.00, +0.00]"),
    ],
)
def test_examples(low, high, more, text):
    assert interval_text(low, high, **more) == text


def test_numbers():
    assert value_text(-0.001) == "0.00" and value_text(-0.001, signed=True) == "+0.00"
    assert value_text(-0.001, signed=True, against=0) == "-0.001"
    assert value_text(math.nan) == "–"
    assert estimate_text(0.001, 0.0004, 0.02, signed=True) == "+0.001 [+0.0004, +0.02]"
    assert estimate_text(0.3, math.nan, math.nan) == "0.30"
    assert [promise_text(share) for share in (0.9, 0.975, 0.99)] == ["90%", "97.5%", "99%"]
