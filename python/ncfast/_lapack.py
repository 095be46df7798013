"""LAPACK through numpy, on one BLAS thread where more would not pay.

Workers of a threaded BLAS spin for tens of milliseconds after each call, on the processors that the kernels use
next. Smaller matrices lose more to that than a second thread gives, and on one thread their digits do not depend on
how many there are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
_SMALL = 1 << 20
"""Values of a matrix that is factorized on one thread."""
_LEAF = 32


def svd(matrix: Float, *, full_matrices: bool = True) -> tuple[Float, Float, Float]:
    """Left vectors, singular values, falling, and right vectors as rows."""
    with _threads_for(matrix):
        left, values, right = np.linalg.svd(matrix, full_matrices=full_matrices)
    return left, values, right


def singular_values(matrix: Float) -> Float:
    """Singular values, falling."""
    with _threads_for(matrix):
        return np.asarray(np.linalg.svd(matrix, compute_uv=False))


def eigh(matrix: Float) -> tuple[Float, Float]:
    """Eigenvalues of a symmetric matrix, rising, and eigenvectors as columns."""
    with _threads_for(matrix):
        values, vectors = np.linalg.eigh(matrix)
    return values, vectors


def eigvalsh(matrix: Float) -> Float:
    """Eigenvalues of a symmetric matrix, rising."""
    with _threads_for(matrix):
        return np.asarray(np.linalg.eigvalsh(matrix))


def inverse_root(matrix: Float) -> Float:
    """Return R, lower triangular, with ``R^T R`` the inverse of a positive definite matrix."""
    with _threads_for(matrix):
        lower: Float = np.asarray(np.linalg.cholesky(matrix))
        return _inverse_of_lower(lower)


def _inverse_of_lower(lower: Float) -> Float:
    """By halves: numpy has no triangular solve."""
    half = lower.shape[0] // 2
    if half < _LEAF:
        return np.tril(np.linalg.inv(lower))
    inverse = np.zeros_like(lower)
    inverse[:half, :half] = _inverse_of_lower(lower[:half, :half])
    inverse[half:, half:] = _inverse_of_lower(lower[half:, half:])
    inverse[half:, :half] = -inverse[half:, half:] @ (lower[half:, :half] @ inverse[:half, :half])
    return inverse


class _OneThread:
    """Holds the BLAS to one thread while anybody is inside; the limit is one of the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                _free_control()
                self._limit = _blas().limit(limits=1)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _free_control()
                self._limit.restore_original_limits()
                _free_control()


_one_thread = _OneThread()


@contextmanager
def _threads_for(matrix: Float) -> Iterator[None]:
    if matrix.size > _SMALL:
        yield
        return
    _one_thread.enter()
    try:
        yield
    finally:
        _one_thread.leave()


def _free_control() -> None:
    """Let whoever comes next set limits: threadpoolctl 3.8 and later heed one thread, and ignore all others."""
    for library in _blas().lib_controllers:
        clear = getattr(library, "clear_controlling_thread", None)
        if clear is not None:
            clear(force=True)


@cache
def _blas() -> Any:
    """Libraries loaded by now, numpy's among them."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
