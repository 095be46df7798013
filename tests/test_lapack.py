"""Factorizations keep a threaded BLAS from spinning: small ones run on one of its threads, and leave no trace."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import ncfast
from ncfast import _lapack


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()}


@pytest.mark.parametrize(("size", "threads"), [(64, {1}), (1024, {1}), (1025, {2})])
def test_small_matrices_are_factorized_on_one_blas_thread(monkeypatch, size, threads):
    seen = []
    monkeypatch.setattr(np.linalg, "eigvalsh", lambda matrix: (seen.append(blas_threads()), matrix[0])[1])
    with threadpool_limits(2, user_api="blas"):
        _lapack.eigvalsh(np.zeros((size, size)))
        assert seen == [threads]
        assert blas_threads() == {2}


def test_the_limit_is_lifted_after_errors_and_after_several_threads(rng):
    matrix = rng.standard_normal((150, 150))
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(np.linalg.LinAlgError):
            _lapack.eigh(np.zeros((3, 2)))
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(_lapack.singular_values, [matrix] * 40))
        assert blas_threads() == {2}
    assert all(np.array_equal(values, found[0]) for values in found)


def test_any_thread_sets_the_limit_and_the_last_one_lifts_it(monkeypatch):
    """Whoever holds another limit meanwhile: threadpoolctl lets one thread control a BLAS, and ignores others."""
    seen, entered, leave = [], threading.Event(), threading.Event()

    def slow(matrix):
        seen.append(blas_threads())
        entered.set()
        assert leave.wait(60)
        return matrix[0]

    monkeypatch.setattr(np.linalg, "eigvalsh", slow)
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: (seen.append(blas_threads()), (matrix[0], matrix))[1])
    with threadpool_limits(2, user_api="blas"), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_lapack.eigvalsh, np.zeros((64, 64)))
        assert entered.wait(60)
        _lapack.eigh(np.zeros((64, 64)))
        assert blas_threads() == {1}
        leave.set()
        waiting.result()
        assert seen == [{1}, {1}]
        assert blas_threads() == {2}


def test_a_factorization_leaves_limits_to_other_threads(rng):
    _lapack.eigvalsh(rng.standard_normal((70, 70)))

    def limited():
        with threadpool_limits(1, user_api="blas"):
            return blas_threads()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(limited).result() == {1}


def test_reports_have_the_same_bits_for_any_number_of_blas_threads(rng):
    labels = np.arange(6000) % 300
    features = (rng.standard_normal((300, 400))[labels] + 0.1 * rng.standard_normal((6000, 400))).astype(np.float32)
    head, reports = rng.standard_normal((300, 400)), []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="blas"):
            reports.append(ncfast.measure(features, labels, head))
    for report in reports[1:]:
        assert report.metrics == reports[0].metrics
        assert all(np.array_equal(report.spectra[name], reports[0].spectra[name]) for name in report.spectra)
