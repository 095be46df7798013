"""The unconstrained-features models of neural collapse: problems, their theory, their minimisation.

A problem is a small frozen value with its objective and gradient; a `State` holds the weights, features and bias it
speaks of.
"""

from ._problem import Problem, State
from ._regularised import Penalties
from .problems import MSE, CrossEntropy, ExtendedMSE, SphereCrossEntropy

__all__ = ["MSE", "CrossEntropy", "ExtendedMSE", "Penalties", "Problem", "SphereCrossEntropy", "State"]
