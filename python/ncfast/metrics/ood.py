"""Out-of-distribution detection by neural collapse: NC5, NECO, NCI, and how well scores tell two sets apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._choices import as_count
from .._classifier import as_classifier
from .._frame import as_frame, unit_power, warn_degenerate
from ._points import unit_rows
from ._samples import as_vector, principal_axes, read_samples, sample_blocks, sample_mean, sample_scatter

Float = NDArray[np.float64]


def nc5_orthogonality(means: ArrayLike, ood_mean: ArrayLike) -> float:
    """NC5: mean over classes of ``|cos(mu_k, mu_OOD)|``.

    Parameters
    ----------
    means : array_like, shape (K, d)
        Class means. In the paper as they are, not centred; to ignore a common offset, subtract the same
        centre from both arguments.
    ood_mean : array_like, shape (d,)
        Mean of the out-of-distribution features.

    Returns
    -------
    float
        0 when they are orthogonal to every class mean. nan, with a RuntimeWarning, if a vector is zero.

    References
    ----------
    Ben Ammar et al., "NECO: neural collapse based out-of-distribution detection", ICLR 2024.
    """
    frame = as_frame(means, "means")
    other = as_vector(ood_mean, "ood_mean", frame.shape[1])
    unit = unit_rows(frame)
    length = float(np.abs(other).max())
    if unit is None or length == 0:
        if length == 0:
            warn_degenerate("ood_mean is zero: it has no direction, NC5 is undefined")
        return np.nan
    other = other * unit_power(length)
    return float(np.mean(np.abs(np.einsum("kd,d->k", unit, other)))) / float(np.linalg.norm(other))


@dataclass(frozen=True)
class Neco:
    """NECO score: the share of a feature's length in the leading principal directions of the training set.

    ``||P z|| / ||z||`` with ``z = (h - centre) / scale``, times the largest logit if that is given.

    Attributes
    ----------
    centre : ndarray of float64, shape (d,)
    scale : ndarray of float64, shape (d,)
    axes : ndarray of float64, shape (num_components, d)
        Rows of P, orthonormal.

    References
    ----------
    Ben Ammar et al., "NECO: neural collapse based out-of-distribution detection", ICLR 2024.
    """

    centre: Float
    scale: Float
    axes: Float

    @classmethod
    def fit(cls, features: object, num_components: int, *, standardise: bool = True) -> Neco:
        """Find the principal directions of training features.

        Parameters
        ----------
        features : array_like, shape (N, d)
            float16, bfloat16, float32 or float64.
        num_components : int
            At most ``min(N - 1, d)``; K - 1 is the dimension of a simplex ETF.
        standardise : bool, default True
            Whether each coordinate is brought to mean 0 and variance 1 on the training set, as the authors'
            code does; one that is constant is only centred. Otherwise scores are of the features as they
            are (centre 0, scale 1), as the paper's formula reads.
        """
        source = read_samples(features)
        count = as_count("num_components", num_components, 1)
        if count > min(source.rows - 1, source.cols):
            raise ValueError(f"num_components is {count}; wanted at most {min(source.rows - 1, source.cols)}")
        mean = sample_mean(source)
        scatter = sample_scatter(source, mean)
        if not standardise:
            return cls(np.zeros(source.cols), np.ones(source.cols), principal_axes(scatter, count))
        deviations = np.sqrt(np.einsum("dd->d", scatter) / source.rows)
        scale = np.where(deviations > 0, deviations, 1.0)
        return cls(mean, scale, principal_axes(scatter / scale / scale[:, None], count))

    def score(self, features: object, max_logits: ArrayLike | None = None) -> Float:
        """Score samples; the lower, the likelier out of distribution.

        Parameters
        ----------
        features : array_like, shape (n, d)
        max_logits : array_like, shape (n,), optional
            Largest logit of each sample, which the authors multiply with for transformers.

        Returns
        -------
        ndarray of float64, shape (n,)
            In [0, 1] without `max_logits`. nan, with a RuntimeWarning, where z is zero.
        """
        source = read_samples(features, self.axes.shape[1])
        scores = np.full(source.rows, np.nan)
        for first, rows in sample_blocks(source):
            rows = (rows - self.centre) / self.scale
            lengths = np.linalg.norm(rows, axis=1)
            inside = np.linalg.norm(_core.cross_gram(rows, self.axes), axis=1)
            np.divide(inside, lengths, out=scores[first : first + lengths.size], where=lengths > 0)
        _warn_undefined(scores, "is zero after centring")
        return scores if max_logits is None else scores * as_vector(max_logits, "max_logits", source.rows)


@dataclass(frozen=True)
class Nci:
    """NCI score: how far a centred feature points along the weights of the class it is taken for.

    ``w_c . (h - mu_G) / ||h - mu_G||_2 + alpha ||h||_1`` with c the class of the largest logit.

    Attributes
    ----------
    weights : ndarray of float64, shape (K, d)
    bias : ndarray of float64, shape (K,)
    centre : ndarray of float64, shape (d,)
        mu_G, the mean of all training features.

    References
    ----------
    Liu, Qin, "Detecting out-of-distribution through the lens of neural collapse", CVPR 2025.
    """

    weights: Float
    bias: Float
    centre: Float

    @classmethod
    def fit(cls, features: object, weights: ArrayLike, bias: ArrayLike | None = None) -> Nci:
        """Find the mean of training features.

        Parameters
        ----------
        features : array_like, shape (N, d)
            float16, bfloat16, float32 or float64.
        weights : array_like, shape (K, d)
        bias : array_like, shape (K,), optional
            Zero by default.
        """
        source = read_samples(features)
        head = as_classifier(weights, bias, source.cols)
        assert head.weights is not None
        offsets = np.zeros(head.weights.shape[0]) if head.bias is None else head.bias
        return cls(head.weights, offsets, sample_mean(source))

    def score(self, features: object, *, alpha: float = 1e-4) -> Float:
        """Score samples; the lower, the likelier out of distribution.

        Parameters
        ----------
        features : array_like, shape (n, d)
        alpha : float, default 1e-4
            Weight of the norm, to be chosen on validation data (the authors try 1e-4 to 1e-1); 0 leaves
            the angle alone.

        Returns
        -------
        ndarray of float64, shape (n,)
            nan, with a RuntimeWarning, for a sample equal to mu_G.
        """
        if not (np.isfinite(alpha) and alpha >= 0):
            raise ValueError(f"alpha is {alpha}; wanted a number of at least 0")
        source = read_samples(features, self.weights.shape[1])
        scores = np.full(source.rows, np.nan)
        for first, rows in sample_blocks(source, self.weights.shape[0]):
            taken = np.argmax(_core.cross_gram(rows, self.weights) + self.bias, axis=1)
            part = scores[first : first + taken.size]
            norms = alpha * np.abs(rows).sum(axis=1)
            rows = rows - self.centre
            lengths = np.linalg.norm(rows, axis=1)
            np.divide(np.einsum("nd,nd->n", self.weights[taken], rows), lengths, out=part, where=lengths > 0)
            part += norms
        _warn_undefined(scores, "equals the global mean")
        return scores


def auroc(scores_in: ArrayLike, scores_out: ArrayLike) -> float:
    """Area under the ROC curve: how often an in-distribution sample scores above one that is out.

    ``P(in > out) + P(in = out) / 2`` over all pairs, counted exactly in integers.

    Parameters
    ----------
    scores_in : array_like, shape (n,)
        Scores of in-distribution samples, which should be the higher; infinite ones are ordered too.
    scores_out : array_like, shape (m,)
        Scores of the others.

    Returns
    -------
    float
        1 when all of `scores_in` lie above all of `scores_out`, 1/2 when they cannot be told apart.

    References
    ----------
    Hanley, McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 1982.
    """
    ours, theirs = _as_scores(scores_in, "scores_in"), np.sort(_as_scores(scores_out, "scores_out"))
    below = np.searchsorted(theirs, ours, side="left").astype(np.int64)
    below += np.searchsorted(theirs, ours, side="right")
    return int(below.sum()) / (2 * ours.size * theirs.size)


def _as_scores(scores: ArrayLike, name: str) -> NDArray[np.float64]:
    values = np.asarray(scores)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name} has dtype {values.dtype}; wanted real numbers")
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name} has shape {values.shape}; wanted (n,), at least one score")
    if np.isnan(values).any():
        raise ValueError(f"{name} holds nan at {int(np.flatnonzero(np.isnan(values))[0])}; wanted ordered numbers")
    return values.astype(np.float64)


def _warn_undefined(scores: Float, why: str) -> None:
    undefined = np.flatnonzero(np.isnan(scores))
    if undefined.size:
        warn_degenerate(f"the sample at row {undefined[0]} {why} ({undefined.size} such): its score is undefined")
