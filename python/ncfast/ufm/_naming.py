"""Problems as plain values that JSON can hold, and back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from . import problems
from ._problem import Problem


def described(problem: Problem) -> dict[str, Any]:
    """Class and fields of a problem."""
    values = {field.name: getattr(problem, field.name) for field in fields(problem)}
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
    return {"problem": type(problem).__name__, **plain}


def problem_of(description: dict[str, Any]) -> Problem:
    """Make the problem that was described."""
    values = dict(description)
    kinds = {kind.__name__: kind for kind in (problems.MSE, problems.ExtendedMSE, problems.CrossEntropy)}
    name = values.pop("problem")
    if name not in kinds:
        raise ValueError(f"{name!r} is no problem this ncfast can descend")
    problem: Problem = kinds[name](**values)
    return problem
