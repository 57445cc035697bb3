"""What the sections of the configuration have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, WrapValidator

OnError = Literal["continue", "stop"]
MAX_SEED = 2**32 - 1  # of NumPy's and scikit-learn's generators
Share = Annotated[float, Field(ge=0, le=1)]


def number_or_auto(least: int) -> WrapValidator:
    """For a key that is a whole number of at least `least`, or `auto`: what is neither gets one message."""

    def check(value: Any, handler: pydantic.ValidatorFunctionWrapHandler) -> int | str:
        try:
            if isinstance(value, bool):
                raise ValueError("yes and no are no numbers")
            return handler(value)
        except ValueError:
            raise ValueError(f"a whole number of at least {least}, or auto, is expected") from None

    return WrapValidator(check)


class Section(BaseModel):
    """A part of the configuration in which unknown keys, numbers that are none, and yes or no for a number are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _no_bool_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and {int, float} & {kinds, *get_args(kinds)}:
            raise ValueError("a number is expected; yes, no, true and false are none")
        return value

    @classmethod
    def handed_over(cls, values: Mapping[str, Any]) -> Self:
        """The section as a rule hands it to a job: these keys and no others.

        A key that the rule does not declare has no value, not that of its default: reading it is an AttributeError that names
        it, so what a job reads is what its rule is run again for.

        Raises
        ------
        pydantic.ValidationError
            for a value or key that the section does not allow.
        """
        section = cls.model_validate(values)
        for name in cls.model_fields.keys() - values.keys():
            del section.__dict__[name]
        return section

    def __getattr__(self, name: str) -> Any:
        if name in type(self).model_fields:
            raise AttributeError(
                f"'{name}' of {type(self).__name__} was not handed over; add it to the settings in the rule's params"
            )
        return super().__getattr__(name)  # type: ignore[misc]  # pydantic hides its own from type checkers
