"""Global minimisers in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _chain
from ._checks import NoClosedFormError
from ._linear import linear_factors
from ._problem import Problem, State
from ._regularised import Squared
from ._symmetric import cross_entropy, sphere
from .problems import CrossEntropy, SphereCrossEntropy

Float = NDArray[np.float64]


class Grams(NamedTuple):
    """At one level of features: Gram matrices of what follows and of the class means, and their product, all (K, K).

    For class means M (K, d') at the level and V the product of the weights above it, in the linear sense:
    ``V V^T``, ``M M^T`` and ``V M^T``.
    """

    weights: Float
    means: Float
    product: Float


@dataclass(frozen=True, eq=False)
class Minimizer:
    """A global minimum of a problem, and one state that reaches it.

    Attributes
    ----------
    value : float
        The minimum of the objective.
    weights : tuple of ndarray
        ``(W_M, ..., W_1)``, outermost first, as in a `State`.
    rows : ndarray, shape (K, d) or (N, d)
        Features: one per class, which all its samples share; one per sample where samples have their own targets.
    bias : ndarray, shape (K,), or None
    singular_values : tuple of ndarray, shape (r,) each
        Of every weight matrix and last of all N features, along r common directions; zeros where nothing is learned.
    counts : ndarray of int, shape (K,)
        Samples per class.
    relu : bool
        Whether a ReLU follows every weight matrix but the outermost.
    """

    value: float
    weights: tuple[Float, ...]
    rows: Float
    bias: Float | None
    singular_values: tuple[Float, ...]
    counts: NDArray[np.int64]
    relu: bool = False

    @property
    def means(self) -> Float:
        """Class means of the features, shape (K, d)."""
        return self._class_means(self.rows)

    @property
    def grams(self) -> tuple[Grams, ...]:
        """Of each level of features, from what enters the outermost matrix down to the free features."""
        found, product = [], np.eye(self.weights[0].shape[0])
        levels = _chain.forward(self.weights, self.rows, relu=self.relu)
        for weight, level in zip(self.weights, reversed(levels[:-1]), strict=True):
            product, means = product @ weight, self._class_means(level)
            found.append(Grams(product @ product.T, means @ means.T, product @ means.T))
        return tuple(found)

    def state(self) -> State:
        """Return the minimiser as a state of the problem, with a row for each sample."""
        state = State(self.weights, self.rows, self.bias)
        return state.expanded(self.counts) if self.rows.shape[0] == self.counts.size else state

    def _class_means(self, rows: Float) -> Float:
        if rows.shape[0] == self.counts.size:
            return rows
        sums = np.add.reduceat(rows, np.concatenate([[0], np.cumsum(self.counts)[:-1]]), axis=0)
        return np.asarray(sums / self.counts[:, None])


def minimizer(problem: Problem, seed: int = 0) -> Minimizer:
    """Return the global minimum of a problem in closed form.

    Minimisers are unique up to rotations of the layers (of the frames' axes for a ReLU), but for a free bias of two
    classes with nonnegative features, which may trade with their lengths; `seed` draws one.

    Parameters
    ----------
    problem : Problem
        Solved are: the squared loss of linear chains of any depth and widths, for any class counts and targets, without
        a bias or with an unregularised one, and with a regularised one where the mean target is orthogonal to the
        deviations from it (equal counts); one hidden ReLU layer, or any number of them for two classes, without bias,
        for equal counts and one-hot targets; the cross-entropy, smoothed, focal, with nonnegative features and on the
        sphere, for equal counts.
    seed : int, default 0
        Of the rotations.

    Raises
    ------
    NoClosedFormError
        Where none is known; it says why. `minimise` looks for the minimum then.

    Notes
    -----
    For the ReLU the value, the outermost weights and the features they see are those of every minimiser; the features
    before the ReLU are not determined. That it is the minimum rests, for more than two classes, on the literature's
    assumption that a ReLU leaves the nuclear norm alone, and on agreement with optimisation.

    References
    ----------
    Tirer, Bruna, "Extended unconstrained features model for exploring deep neural collapse", ICML 2022.
    Zhu et al., "A geometric analysis of neural collapse with unconstrained features", NeurIPS 2021.
    Zhou et al., "Are all losses created equal: a neural collapse perspective", NeurIPS 2022.
    Yaras et al., "Neural collapse with normalized features", NeurIPS 2022.
    Dang et al., "Neural collapse in deep linear networks: from balanced to imbalanced data", ICML 2023.
    Sukenik et al., "Deep neural collapse is provably optimal for the deep unconstrained features model", NeurIPS 2023.
    Andriopoulos et al., "The prevalence of neural collapse in neural multivariate regression", NeurIPS 2024.
    """
    if isinstance(problem, Squared):
        if problem.relu:
            _check_relu(problem)
        found = linear_factors(problem, seed, aligned=problem.relu)
        *weights, rows = found.factors
        return Minimizer(
            found.value, tuple(weights), rows, found.bias, found.singular_values, problem.counts, problem.relu
        )
    if isinstance(problem, CrossEntropy | SphereCrossEntropy):
        sym = cross_entropy(problem, seed) if isinstance(problem, CrossEntropy) else sphere(problem, seed)
        bias = np.zeros(problem.num_classes) if problem.has_bias else None
        features = np.sqrt(problem.counts)[:, None] * sym.means
        spectra = tuple(np.asarray(np.linalg.svd(matrix)[1]) for matrix in (sym.weights, features))
        return Minimizer(sym.value, (sym.weights,), sym.means, bias, spectra, problem.counts)
    raise TypeError(f"problem is {problem!r}; wanted a problem of ncfast.ufm")


def _check_relu(problem: Squared) -> None:
    """Raise unless the ReLU model is one whose minimum is that of the linear model."""
    k, depth = problem.num_classes, len(problem.weight_shapes)
    if problem.has_bias:
        why = "a ReLU with an output bias has no symmetric minimum: one class may live in the bias alone"
    elif not (problem.balanced and problem.one_hot):
        why = "with a ReLU only equal class counts and one-hot targets have one"
    elif depth > 2 and k > 2:
        why = f"{depth} matrices with ReLUs and {k} classes: frames of low rank can lie below the orthogonal one"
    elif min(cols for _, cols in problem.weight_shapes) < k:
        why = f"a layer is narrower than the {k} orthogonal class means it has to hold"
    else:
        return
    raise NoClosedFormError(f"there is no closed form: {why}; use ufm.minimise")
