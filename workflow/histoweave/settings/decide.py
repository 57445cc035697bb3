"""The decision part of the configuration: levels of the sets, subgroups, the learning curve."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from histoweave.settings.base import Section

Inside = Annotated[float, Field(gt=0, lt=1)]


class LearningCurve(Section):
    """Models fitted again on fewer patients, to estimate the gain from more patients."""

    models: list[str] | None = Field(
        None,
        description="null: the last trained model with the most modalities, and logistic regression; []: no curve.",
    )
    shares: list[Inside] = Field(
        [0.25, 0.5, 0.75],
        description="Shares of a fold's training and validation patients; the full number is always included.",
    )
    more_patients: int = Field(50, ge=1, description="Number of additional patients for which the gain is estimated.")


class Decide(Section):
    """Calibration, prediction sets, net benefit, subgroups and the learning curve."""

    levels: list[Inside] = Field([0.8, 0.9], min_length=1, description="Stated coverage of the prediction sets.")
    subgroups: list[str] = Field(
        [], description="Columns of the patients table to score by group; sites are always scored."
    )
    learning_curve: LearningCurve = LearningCurve()
