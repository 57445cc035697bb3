"""Settings as a rule hands them to a job: what is not declared has no value."""

import pydantic
import pytest

from histoweave.settings.evaluation import Evaluation
from histoweave.settings.tiles import Tiles


def test_a_key_that_is_not_handed_over_is_an_error_and_no_default():
    given = Tiles().model_dump(exclude={"max_failed_share"})
    settings = Tiles.handed_over(given | {"tile_px": 96})
    assert settings.tile_px == 96 and settings.model_dump() == given | {"tile_px": 96}
    with pytest.raises(AttributeError, match="'max_failed_share' of Tiles was not handed over; add it to the settings"):
        settings.max_failed_share  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        settings.nothing  # noqa: B018


def test_what_is_handed_over_is_checked():
    with pytest.raises(pydantic.ValidationError):
        Evaluation.handed_over({"confidence": 2})
    with pytest.raises(pydantic.ValidationError):
        Evaluation.handed_over({"trust": 0.9})
    assert Evaluation.handed_over({}) != Evaluation()
