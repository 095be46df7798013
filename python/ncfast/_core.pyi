# The compiled kernels. Private: shapes and dtypes are asserted, not explained.
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Features = NDArray[np.float32] | NDArray[np.float64]
_Float = NDArray[np.float64]
_Int = NDArray[np.int64]

def request_threads(threads: int) -> None: ...
def effective_threads() -> int: ...
def level_in_use() -> str: ...
def available_levels() -> list[str]: ...
def build_info() -> dict[str, Any]: ...
def screen(features: _Features) -> NDArray[np.uint8]: ...
def accumulate(
    features: _Features,
    labels: _Int,
    weights: _Float | None,
    counts: _Int,
    masses: _Float | None,
    pivots: _Float,
    sums: _Float,
    squares: _Float,
    pooled: _Float | None,
    class_pooled: _Float | None,
    double_products: bool,
) -> None: ...
def rank_update(vectors: _Features, sign: float, scatter: _Float, factors: _Float | None = None) -> None: ...
def gram(vectors: _Float) -> _Float: ...
def row_products(left: _Float, right: _Float) -> _Float: ...
def cross_gram(left: _Float, right: _Float) -> _Float: ...
def row_distances(left: _Float, right: _Float, factor: float) -> _Float: ...
def frame_mean(vectors: _Float, shares: _Float) -> _Float: ...
def centre(vectors: _Float, centre: _Float) -> tuple[_Float, _Float]: ...
def mirror(lower: _Float) -> _Float: ...
def rounded(vectors: _Float) -> NDArray[np.float32]: ...
def rounding(means: _Float, spreads: _Float, shares: _Float, least: float, unit: float) -> tuple[_Float, _Float]: ...
def project(
    features: _Features,
    labels: _Int,
    weights: _Float | None,
    pivots: _Features,
    scale: float,
    basis: _Features,
    class_weights: _Float,
    column_squares: _Float,
    norms: _Float,
    coordinates: _Features | None,
) -> None: ...
def decide(
    *,
    features: _Features,
    rows: _Int,
    labels: _Int | None = None,
    centre: _Float,
    scale: float,
    coordinates: _Features | None = None,
    factor: float = 1.0,
    anchors: _Features | None = None,
    errors: _Float | None = None,
    norms: _Float | None = None,
    weights: _Features,
    offsets: _Float,
    max_weight_norm: float,
    max_abs_offset: float,
    points: _Float,
    constants: _Float,
    by_distance: bool,
    slopes: _Float | None = None,
    levels: _Float | None = None,
    slacks: _Float | None = None,
    lengths: _Float | None = None,
    shifts: _Features | None = None,
    companion_points: _Float | None = None,
    companion_constants: _Float | None = None,
) -> tuple[_Int, _Int | None]: ...
def pairs(
    *,
    directions: _Features,
    products: _Float | None,
    inverses: _Float,
    frame: _Float,
    lengths: _Float,
    shifts: _Float | None,
    etf_norm: float,
    etf_entry: float,
    variances: _Float | None,
    kernel: str,
    parameter: float,
    slopes: _Float | None,
    levels: _Float | None,
    slacks: _Float | None,
) -> dict[str, Any]: ...

class UfmLoss:
    square: UfmLoss
    cross_entropy: UfmLoss
    focal: UfmLoss

class UfmModel:
    def __init__(
        self,
        *,
        sizes: list[int],
        relu: bool,
        bias: bool,
        loss: UfmLoss,
        focal: float,
        nonnegative: bool,
        num_classes: int,
        samples: float,
        decays: list[float],
    ) -> None: ...

class UfmRule:
    def __init__(
        self,
        *,
        step: float,
        momentum: float,
        nesterov: bool,
        adam: bool,
        beta1: float,
        beta2: float,
        epsilon: float,
    ) -> None: ...

class UfmProgress:
    def __init__(self, *, iteration: int, record_every: int, recorded: int, recorded_loss: float) -> None: ...

class UfmLimits:
    def __init__(self, *, gradient_norm: float, loss_change: float, largest_loss: float) -> None: ...

class UfmDescent:
    def __init__(
        self,
        model: UfmModel,
        rule: UfmRule,
        progress: UfmProgress,
        parameters: _Float,
        features: _Float,
        labels: _Int,
        multiplicities: _Float,
        targets: _Float,
    ) -> None: ...
    def advance(self, iterations: int, batches: _Int | None, limits: UfmLimits) -> None: ...
    def record(self, limits: UfmLimits) -> None: ...
    def records_from(self, first: int) -> _Float: ...
    @property
    def status(self) -> str: ...
    @property
    def iteration(self) -> int: ...
    @property
    def recorded_loss(self) -> float: ...
    @property
    def parameters(self) -> _Float: ...
    @property
    def features(self) -> _Float: ...
