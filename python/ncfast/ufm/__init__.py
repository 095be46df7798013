"""The unconstrained-features models of neural collapse: problems, their theory, their minimisation.

A problem is a small frozen value with its objective and gradient; a `State` holds the weights, features and bias it
speaks of. `minimizer` and `thresholds` know its minimum in closed form, `minimise` looks for it.
"""

from ._checks import NoClosedFormError
from ._problem import Problem, State
from ._reduction import ReducedState
from ._regularised import Penalties
from .constrained import layer_peeled, seli
from .descend import Stop, descend
from .minimise import Minima, minimise
from .minimizer import Grams, Minimizer, minimizer
from .networks import NetworkRun, train_network
from .problems import MSE, CrossEntropy, ExtendedMSE, SphereCrossEntropy
from .reproduce import Reproduction, reproduce
from .sweep import Grid, Sweep, sweep
from .thresholds import Thresholds, thresholds
from .trajectory import Trajectory, asymptotic_slopes

__all__ = [
    "MSE",
    "CrossEntropy",
    "ExtendedMSE",
    "Grams",
    "Grid",
    "Minima",
    "Minimizer",
    "NetworkRun",
    "NoClosedFormError",
    "Penalties",
    "Problem",
    "ReducedState",
    "Reproduction",
    "SphereCrossEntropy",
    "State",
    "Stop",
    "Sweep",
    "Thresholds",
    "Trajectory",
    "asymptotic_slopes",
    "descend",
    "layer_peeled",
    "minimise",
    "minimizer",
    "reproduce",
    "seli",
    "sweep",
    "thresholds",
    "train_network",
]
