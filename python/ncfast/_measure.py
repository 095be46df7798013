"""One call from a feature matrix to a report."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace

from numpy.typing import ArrayLike

from ._checkpoint import Checkpoint
from ._classifier import as_classifier, class_count
from ._conventions import as_conventions
from ._findings import findings
from ._measurement import Extras, Measurement, Options, Progress, require_progress, side_by_side
from ._plan import plan_statistics
from ._subject import Subject
from .details import describe_inputs, details_of
from .metrics.variability import require_two_classes
from .report import Report
from .statistics import ClassStatistics


def measure(
    features: object,
    labels: object = None,
    weights: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    metrics: str | Iterable[str] = "standard",
    num_classes: int | None = None,
    classes: ArrayLike | None = None,
    sample_weights: object = None,
    weighting: str = "papyan",
    conventions: str = "ncfast",
    precision: str = "feature",
    nonfinite: str = "raise",
    method: str = "auto",
    errors: bool = False,
    outliers: object = None,
    weight_decay: float | None = None,
    feature_decay: float | None = None,
    details: bool = False,
    progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
) -> Report:
    """Measure neural collapse of labelled features and a linear classifier.

    The features are read block by block, as few times as what is asked for needs: once for class statistics, a
    second time for what needs the class means first; ``report.plan`` says which. Memory beyond the input is
    O(K d) and, with a scatter, O(d^2).

    Parameters
    ----------
    features : array_like, shape (N, d), or FeatureFile
        float16, bfloat16, float32 or float64; numpy, memmap, torch on the CPU, DLPack, or what `open_features`
        returns. Rows are samples.
    labels : array_like of int, shape (N,)
        Classes in [0, K); by default those that features were opened with. Classes without samples are left out of
        every metric and listed in the report.
    weights : array_like, shape (K, d), optional
        Rows w_k of the classifier. Without it, NC3, NC4 and the geometry of weights are left out.
    bias : array_like, shape (K,), optional
        Bias of the classifier, zero by default; it matters for ``nc4_disagreement``.
    metrics : str or iterable of str, default "standard"
        ``"standard"``; ``"all"``, which adds what costs more; a group, one of ``"nc1"`` ... ``"nc5"``,
        ``"spectrum"``, ``"mse"``; a key, or a key without ``_means`` or ``_weights``; or several of these. Of
        groups, what does not apply or lacks an argument is left out; what is named must be possible.
    num_classes : int, optional
        K; by default the rows of `weights`, else the largest label plus one.
    classes : array_like of int, optional
        Labels of the classes to measure, at least two: samples of others are left out, whatever their label or
        features, and so are the other rows of `weights` and `bias`. By default all classes.
    sample_weights : array_like of float, shape (N,), optional
        How many times each sample counts: 0, which leaves it out, or a number in [1e-100, 1e100]; 1 by default.
        A weight of 2 is to every metric what a sample given twice is.
    weighting : {"papyan", "class", "sample"}, default "papyan"
        How samples and classes count, see `ncfast.metrics.nc1_pinv`.
    conventions : {"ncfast", "papyan", "zhu", "rhubarbwu"}, default "ncfast"
        Whose definitions to follow where codes differ; ``report.conventions`` lists them. ``"papyan"``: of
        Papyan, Han, Donoho (no 1/K in NC1, norms with ddof 1, squared self-duality). ``"zhu"``: of Zhu et al.
        (centred at the mean of all samples). ``"rhubarbwu"``: of the package ``neural_collapse``
        (``nc1_svd_ratio`` is Tr(S_W S_B^+)/K, UNC3 of inner products).
    precision : {"feature", "double"}, default "feature"
        Arithmetic of the large products; sums are float64 either way.
    nonfinite : {"raise", "skip"}, default "raise"
        Whether a row with NaN or infinity is an error or is left out and counted.
    method : {"auto", "projection", "scatter"}, default "auto"
        How ``nc1_pinv`` is computed: through the projection on the span of the class means, 2 N d (K-1)
        operations, or through the d * d scatter, N d^2. ``"auto"`` takes the cheaper.
    errors : bool, default False
        Whether to add jackknife standard errors over classes, ``report.errors``; that of ``nc1_pinv`` takes a
        scatter.
    outliers : array_like, shape (n, d), optional
        Features of samples of none of the classes, for ``nc5_orthogonality``.
    weight_decay, feature_decay : float, optional
        Decays of the squared loss: the first for ``mse_*``, zero by default, both for ``nc2_gof_*``.
    details : bool, default False
        Whether to add ``report.details``: values by class, pair and tile that `Report.to_html` and ``plot_*`` draw.
        It takes about the time of two more sweeps over the pairs of classes.
    progress : callable, optional
        Called with (rows done, rows in all) after each block; both passes count.
    checkpoint : path, optional
        File to keep the state in. If it is there, the same measurement goes on from it, after a crash say, and ends
        with the same bits; one that is damaged or of another measurement is refused. Removed at the end.
    checkpoint_every : float, default 60
        Seconds between two writings of it.

    Returns
    -------
    Report

    Raises
    ------
    ValueError, TypeError
        On input that does not fit, naming the argument.

    Examples
    --------
    >>> import numpy, ncfast
    >>> rng = numpy.random.default_rng(0)
    >>> labels = numpy.arange(300) % 3
    >>> features = numpy.eye(3, 8)[labels] + 1e-3 * rng.standard_normal((300, 8))
    >>> report = ncfast.measure(features, labels)
    >>> report["nc1_pinv"] < 1e-5, report["ncc_accuracy"]
    (True, 1.0)
    """
    require_progress(progress)
    options = Options(
        metrics=metrics,
        num_classes=num_classes,
        classes=classes,
        sample_weights=sample_weights,
        weighting=weighting,
        conventions=conventions,
        precision=precision,
        nonfinite=nonfinite,
        method=method,
        errors=errors,
        outliers=outliers,
        weight_decay=weight_decay,
        feature_decay=feature_decay,
        details=details,
    )
    measurement = Measurement.of(features, labels, weights, bias, options)
    keeping = None if checkpoint is None else Checkpoint(checkpoint, measurement.fingerprint(), checkpoint_every)
    run = measurement.run(measurement.samples.source.block_rows(), keeping)
    report = side_by_side([run], measurement.rows_to_read, progress)[0]
    if keeping is not None:
        keeping.finish()
    return report


def measure_statistics(
    stats: ClassStatistics,
    weights: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    *,
    metrics: str | Iterable[str] = "standard",
    weighting: str = "papyan",
    conventions: str = "ncfast",
    errors: bool = False,
    outliers: object = None,
    weight_decay: float | None = None,
    feature_decay: float | None = None,
    details: bool = False,
) -> Report:
    """Measure what class statistics alone can tell: everything but NC4.

    Parameters
    ----------
    stats : ClassStatistics
        Without a scatter, ``nc1_pinv`` and what else needs one is left out too.
    weights, bias, metrics, weighting, conventions, errors, outliers, weight_decay, feature_decay, details
        As in `measure`.

    Returns
    -------
    Report
    """
    if not isinstance(stats, ClassStatistics):
        raise TypeError(f"stats is a {type(stats).__name__}; wanted ClassStatistics")
    head = as_classifier(weights, bias, stats.num_features)
    class_count(stats.num_classes, head, None)
    definitions = as_conventions(conventions, weighting)
    extras = Extras(outliers, weight_decay, feature_decay, has_weights=head.weights is not None)
    held = {"scatter": stats.pooled is not None, "class_scatter": stats.class_pooled is not None}
    plan = plan_statistics(metrics, extras.available.union(name for name, there in held.items() if there))
    require_two_classes(stats)
    subject = Subject(stats, head, definitions, extras.decays, extras.outlier_mean(stats.num_features))
    begin = time.perf_counter()
    report = findings(subject, plan, {}, errors=errors, steps=("metrics of given class statistics",))
    if not details:
        return report
    inputs = describe_inputs(weights=weights, bias=bias) | {"statistics": _described(stats)}
    seconds = time.perf_counter() - begin
    return replace(report, details=details_of(subject, misses=None, confusion=None, inputs=inputs, seconds=seconds))


def _described(stats: ClassStatistics) -> str:
    return f"{stats.num_rows:,} rows, {stats.num_classes:,} classes, {stats.num_features:,} features"
