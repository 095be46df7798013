"""NC4 on the device: certified first, then products with a bound on their rounding, exact where that is not enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._classifier import as_classifier, class_count
from ..decisions import AffineRule, linear_rule, nearest_mean_rule
from ..metrics._sweep import scaled_frame
from ..metrics.variability import require_two_classes
from ..statistics import ClassStatistics
from ._arithmetic import plain_arithmetic
from ._batch import as_batch

_TILE_VALUES = 32 << 20  # scores held at a time


class Decisions:
    """Nearest class mean and the classifier's decision, counted over batches.

    Both are exact, ties included: the decisions that `ncfast.measure` makes. A sample nearer to its class mean than
    any decision can change is certified without a product; others are decided by float32 products, doubtful ones by
    float64, and what even that leaves open by the compiled kernels in extended precision. Batches are waited for.

    Parameters
    ----------
    stats : ClassStatistics
        Of the features; their means are what samples are compared with.
    weights : array_like or Tensor, shape (K, d), optional
    bias : array_like or Tensor, shape (K,), optional
        The classifier.
    device : torch.device or str, optional
        Where batches will be; the CPU by default. It needs float64, which MPS does not have.

    Attributes
    ----------
    samples, nearest_is_label, disagreements : int
        Rows; those nearest to the mean of their class; those the classifier decides otherwise.
    certified, rechecked, exact : int
        Decisions that took no product; that took float64; that took the compiled kernels.
    """

    def __init__(
        self,
        stats: ClassStatistics,
        weights: object = None,
        bias: object = None,
        *,
        device: torch.device | str | None = None,
    ) -> None:
        require_two_classes(stats)
        head = as_classifier(weights, bias, stats.num_features)  # type: ignore[arg-type]
        class_count(stats.num_classes, head, None)
        if device is not None and torch.device(device).type == "mps":
            raise ValueError(f"device is {device}, which has no float64; wanted 'cpu', with features.cpu()")
        self.device = torch.empty(0, device="cpu" if device is None else device).device
        centre = stats.present_means.mean(axis=0)
        nearest = nearest_mean_rule(stats, scaled_frame(stats.present_means - centre), centre, np.float64)
        rules = [nearest]
        if head.weights is not None:
            bias_values = np.zeros(stats.num_classes) if head.bias is None else head.bias
            rules.append(linear_rule(head.weights, bias_values, nearest))
        self._centre = torch.tensor(centre, device=self.device)
        self._means = torch.tensor(np.nan_to_num(stats.means), device=self.device)
        present = torch.tensor(stats.present, device=self.device)
        with plain_arithmetic(self.device):
            points = (self._means - self._centre).masked_fill(~present[:, None], 0) * nearest.scale
            self._rules = [_Rule.of(rule, points, present, self.device) for rule in rules]
        self.samples = self.nearest_is_label = self.disagreements = 0
        self.certified = self.rechecked = self.exact = 0

    @property
    def ncc_accuracy(self) -> float:
        """Share of samples whose nearest class mean is that of their class."""
        return self.nearest_is_label / self.samples

    @property
    def nc4_disagreement(self) -> float:
        """Share of samples for which nearest mean and classifier differ."""
        if len(self._rules) == 1:
            raise ValueError("there is no classifier to disagree; wanted Decisions(stats, weights, bias)")
        return self.disagreements / self.samples

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Decide a batch: features (n, d), labels (n,) in [0, K).

        Raises
        ------
        TypeError, ValueError
            If dtype, shape, device or labels do not fit, or features are not finite.
        """
        features, labels = as_batch(features, labels, None, self._means.shape[1], self.device)
        k = self._means.shape[0]
        if labels.numel() and not (int(labels.min()) >= 0 and int(labels.max()) < k):
            raise ValueError(f"labels holds {int(labels.min())} to {int(labels.max())}; wanted integers in [0, {k})")
        if not bool(features.isfinite().all()):
            raise ValueError("features holds NaN or infinity; wanted finite values")
        with plain_arithmetic(self.device):
            distances = torch.linalg.vector_norm(features.to(torch.float64) - self._means[labels], dim=1)
            chosen = [self._decide(rule, features, labels, distances) for rule in self._rules]
        self.samples += labels.numel()
        self.nearest_is_label += int((chosen[0] == labels).sum())
        self.disagreements += int((chosen[0] != chosen[-1]).sum())

    def _decide(self, rule: _Rule, features: Tensor, labels: Tensor, distances: Tensor) -> Tensor:
        decisions = rule.certified[labels]
        open_rows = (distances * (1 + 1e-12) >= rule.radii[labels]).nonzero()[:, 0]
        self.certified += labels.numel() - open_rows.numel()
        for dtype in (torch.float32, torch.float64):
            if dtype == torch.float32 and features.dtype == torch.float64:
                continue
            if dtype == torch.float64:
                self.rechecked += open_rows.numel()
            doubtful = []
            for rows in torch.split(open_rows, max(1, _TILE_VALUES // rule.weights.shape[0])):
                decisions[rows], sure = rule.scores_decide(features[rows], self._centre, dtype)
                doubtful.append(rows[~sure])
            open_rows = torch.cat(doubtful) if doubtful else open_rows
        if open_rows.numel():
            self.exact += open_rows.numel()
            block = features[open_rows].to(torch.float64).cpu().numpy()
            decided = rule.host.decide(block, np.arange(len(block)))
            decisions[open_rows] = torch.from_numpy(decided).to(self.device)
        return decisions


@dataclass(frozen=True)
class _Rule:
    """An affine rule on the device, and the decisions at the class means with the radii within which they hold."""

    host: AffineRule
    weights: Tensor
    offsets: Tensor
    certified: Tensor
    radii: Tensor

    @classmethod
    def of(cls, rule: AffineRule, points: Tensor, present: Tensor, device: torch.device) -> _Rule:
        weights, offsets = (torch.tensor(array, device=device) for array in (rule.weights, rule.offsets))
        certified, radii = _certify(points, weights, offsets, rule.max_weight_norm, rule.max_abs_offset)
        return cls(rule, weights, offsets, certified, torch.where(present, radii / rule.scale, 0))

    def scores_decide(self, rows: Tensor, centre: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return decisions of rows by products in a dtype, and whether rounding cannot have changed them."""
        x = (rows.to(torch.float64) - centre) * self.host.scale
        scores = x.to(dtype) @ self.weights.to(dtype).T + self.offsets.to(dtype)
        best = scores.topk(2, dim=1)
        unit = 0.5 * torch.finfo(dtype).eps
        lengths = torch.linalg.vector_norm(x, dim=1)
        size = (rows.shape[1] + 16) * lengths * self.host.max_weight_norm + 4 * self.host.max_abs_offset
        gap = (best.values[:, 0] - best.values[:, 1]).to(torch.float64)
        # Sums of products of longer rows could leave the range on the way, and end as -inf for a class that wins.
        in_range = lengths * max(1.0, self.host.max_weight_norm) < torch.finfo(dtype).max / 4
        return best.indices[:, 0], in_range & gap.isfinite() & (gap > 2.1 * unit * size)


def _certify(points: Tensor, weights: Tensor, offsets: Tensor, longest: float, largest: float) -> tuple[Tensor, Tensor]:
    """Decide at each point, and find how far from it no other class can win: the least margin over distance of weights.

    Margins are lowered and distances raised by bounds on their rounding.
    """
    unit = (points.shape[1] + 16) * torch.finfo(torch.float64).eps
    squares = weights.square().sum(1)
    found = []
    for some in torch.split(points, max(1, _TILE_VALUES // weights.shape[0] // 4)):
        scores = some @ weights.T + offsets
        winners = scores.argmax(1)
        lost = 2 * unit * (torch.linalg.vector_norm(some, dim=1) * longest + largest)
        margins = scores.gather(1, winners[:, None]) - scores - lost[:, None]
        gaps = squares[winners, None] + squares - 2 * weights[winners] @ weights.T
        reach = margins / (gaps.clamp(min=0) + 4 * unit * longest**2).sqrt()
        radii = reach.scatter(1, winners[:, None], torch.inf).amin(1)
        found.append((winners, torch.where(radii > 0, radii, 0)))
    return torch.cat([winners for winners, _ in found]), torch.cat([radii for _, radii in found])
