"""What fuzz tests share: how many examples they draw, and what a reader may do with a damaged file."""

import os
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, settings

from histoweave.errors import InputError

T = TypeVar("T")

# `make test-fuzz` sets it; CI draws each test's own number of examples.
TIMES = int(os.environ.get("HISTOWEAVE_FUZZ_TIMES", "1"))


def fuzz(n_examples: int):
    """Hypothesis settings of a fuzz test of `n_examples` examples (times `HISTOWEAVE_FUZZ_TIMES`).

    Examples are drawn anew from the same seed in each run of CI (`derandomize`), and from another with more examples.
    """
    return settings(
        max_examples=n_examples * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def answer(read: Callable[[], T], *refusals: type[Exception]) -> T | str:
    """What `read` returns, or the text of its refusal: an `InputError` of one line (or one of `refusals`).

    Anything else that leaves `read` fails the test.
    """
    try:
        return read()
    except (InputError, *refusals) as error:
        text = str(error)
        assert text and "\n" not in text, f"not one line: {text!r}"
        assert len(text) < 2000, f"a message of {len(text)} characters"
        assert " object at 0x" not in text, f"names an object in memory: {text}"
        return text
