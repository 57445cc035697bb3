"""Numbers and intervals as they are printed: digits that never say something else than the sentence around them.

An interval that leaves 0 out must not be printed as one that ends at 0. Where the usual digits would do that, more are
printed; a value that rounds to zero has no minus sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from decimal import Decimal

MAX_DIGITS = 6  # beyond them, the shortest text that gives the number back

Against = float | Iterable[float]


def value_text(
    value: float, *, digits: int = 2, signed: bool = False, percent: bool = False, against: Against = ()
) -> str:
    """A number with so many decimals, with more where those would put it on another side of `against`, or on it.

    Parameters
    ----------
    value : NaN and infinity are a dash. signed : whether a plus is printed. percent : 0.25 as `25%`.
    against : values that the sentence around compares the number with.
    """
    marks = _marks(against)
    value = float(value)
    return _least_digits(
        value, lambda text: all(_side(_read(text), mark) == _side(value, mark) for mark in marks),
        digits=digits, signed=signed, percent=percent,
    )  # fmt: skip


def interval_text(
    low: float, high: float, *, signed: bool = False, against: Against = 0.0, digits: int = 2, percent: bool = False,
    form: str = "[{}, {}]",
) -> str:  # fmt: skip
    """An interval whose printed bounds leave out of `against` what the bounds leave out, and nothing else.

    Parameters
    ----------
    low, high : low <= high; where one is not finite, the text is empty. against : such as 0, 0.5 or a promise.
    form : where the two bounds stand.
    """
    low, high, marks = float(low), float(high), _marks(against)
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""

    def bound(value: float) -> str:
        def fits(text: str) -> bool:
            shown = _read(text)
            return all(
                (not low > mark or shown > _exact(mark))
                and (not high < mark or shown < _exact(mark))
                # A bound that reaches the mark is not printed as one that falls short of it.
                and (value != low or low > mark or shown <= _exact(mark))
                and (value != high or high < mark or shown >= _exact(mark))
                for mark in marks
            )

        return _least_digits(value, fits, digits=digits, signed=signed, percent=percent)

    return form.format(bound(low), bound(high))


def estimate_text(
    value: float, low: float, high: float, *, signed: bool = False, against: Against = 0.0, digits: int = 2,
    percent: bool = False, form: str = "[{}, {}]",
) -> str:  # fmt: skip
    """A number and its interval; where the interval leaves a mark out, the number is not printed as that mark either."""
    left_out = [mark for mark in _marks(against) if low > mark or high < mark]
    number = value_text(value, digits=digits, signed=signed, percent=percent, against=left_out)
    interval = interval_text(
        low, high, signed=signed, against=against, digits=digits, percent=percent, form=form
    )  # fmt: skip
    return f"{number} {interval}".strip()


def promise_text(share: float) -> str:
    """A share that was asked for, in per cent and with all its digits: 0.975 as `97.5%`."""
    return f"{100 * share:g}%"


def _marks(against: Against) -> tuple[float, ...]:
    return (float(against),) if isinstance(against, int | float) else tuple(float(mark) for mark in against)


def _least_digits(
    value: float, fits: Callable[[str], bool], *, digits: int, signed: bool, percent: bool
) -> str:  # fmt: skip
    if not math.isfinite(value):
        return "–"
    sign, unit = "+" if signed else "", "%" if percent else "f"
    for more in range(digits, max(digits, MAX_DIGITS) + 1):
        text = _without_minus_zero(f"{value:{sign},.{more}{unit}}", signed=signed)
        if fits(text):
            return text
    exact = _exact(value) * (100 if percent else 1)
    return f"{exact.normalize():{sign}}" + ("%" if percent else "")


def _without_minus_zero(text: str, *, signed: bool) -> str:
    if text.startswith("-") and not _read(text):
        return ("+" if signed else "") + text[1:]
    return text


def _exact(value: float) -> Decimal:
    return Decimal(repr(value))


def _read(text: str) -> Decimal:
    """The number that a printed text stands for."""
    number = Decimal(text.rstrip("%").replace(",", ""))
    return number / 100 if text.endswith("%") else number


def _side(value: float | Decimal, mark: float) -> int:
    exact = _exact(value) if isinstance(value, float) else value
    return (exact > _exact(mark)) - (exact < _exact(mark))
