"""The decision part of the configuration: levels of the sets, subgroups, the learning curve."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from histoweave.settings.base import Section

Inside = Annotated[float, Field(gt=0, lt=1)]


class LearningCurve(Section):
    """Models fitted once more on fewer patients, to say what more patients would bring."""

    models: list[str] | None = Field(
        None, description="null: the last trained model that reads most, and logistic regression; []: no curve."
    )
    shares: list[Inside] = Field(
        [0.25, 0.5, 0.75], description="Shares of a fold's training and validation patients; the whole is there anyway."
    )
    more_patients: int = Field(50, ge=1, description="Patients more, of whom the expected gain is told.")


class Decide(Section):
    """What the predictions are good for."""

    levels: list[Inside] = Field([0.8, 0.9], min_length=1, description="Coverage that conformal sets are made for.")
    subgroups: list[str] = Field(
        [], description="Columns of the patients table that are scored by group; sites always are."
    )
    learning_curve: LearningCurve = LearningCurve()
