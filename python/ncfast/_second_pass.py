"""The pass over the features that needs the class means first, as one thing that adds blocks and can be added up."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._classifier import Classifier
from ._confusion import Confusion
from ._features import Block
from ._in_span import spares_much
from ._plan import Plan
from ._rules import Rules
from ._subject import Subject
from .metrics.class_rank import mean_and_max
from .metrics.heads import MarginSums
from .metrics.variability import no_directions
from .passes import Decisions, Projection

Float = NDArray[np.float64]
State = dict[str, NDArray[Any]]
_SUMS = {
    "projection": ("column_squares",),
    "decisions": ("samples", "nearest_is_label", "right_by_class", "disagreements", "rows", "certified"),
    "margins": ("total", "weight"),
    "confusion": ("codes", "counts"),
}
_LEAST = "margins.least"


@dataclass
class Seen:
    """What passes after the first found."""

    values: dict[str, float] = field(default_factory=dict)
    misses: Float | None = None
    confusion: Confusion | None = None
    steps: tuple[str, ...] = ()

    def add_ranks(self, ranks: Float) -> None:
        """Add the numerical ranks of classes; nan for those without samples or spread."""
        self.values["class_rank_mean"], self.values["class_rank_max"] = mean_and_max(ranks)
        self.steps += ("last pass: features class by class, for class_rank",)


class SecondPass:
    """NC1 by projection, decisions and margins, as planned.

    `products` is the precision of large products, `native` that of the blocks; `confusion` is filled on the way.
    """

    def __init__(
        self,
        subject: Subject,
        plan: Plan,
        products: type[np.floating[Any]],
        native: type[np.floating[Any]],
        confusion: Confusion | None = None,
    ) -> None:
        stats, head = subject.stats, subject.head
        rules = Rules.of(subject, native) if plan.decisions else None
        if rules is not None and rules.leaves_many_open and spares_much(subject.k - 1, subject.d):
            subject.will_search()
        directions = subject.between.directions if plan.projection else no_directions(stats.num_features)
        self.subject, self.plan = subject, plan
        self.projection = Projection(stats, directions, subject.weighting, products)
        self.confusion = confusion if plan.decisions else None
        self.decisions = None if rules is None else Decisions(rules, self.projection, self.confusion)
        self.margins = None
        if plan.margins and head.weights is not None:
            self.margins = MarginSums.of(head.weights, subject.centre)
        self._empty = self.state()

    def fresh(self) -> SecondPass:
        """Return the same pass before its first row; what was prepared for it is shared."""
        twin = copy(self)
        twin.projection, twin.decisions, twin.margins = copy(self.projection), copy(self.decisions), copy(self.margins)
        twin.restore(self._empty)
        return twin

    def add(self, block: Block, classes: NDArray[np.int64], weights: Float | None) -> None:
        """Add a block."""
        if self.plan.projection or self.decisions is not None:
            projected = self.projection.add(block, classes, weights)
            if self.decisions is not None:
                self.decisions.add(block, classes, projected, weights)
        if self.margins is not None:
            self.margins.add(block, classes, weights)

    def state(self) -> State:
        """Return all that has been summed, by name."""
        state = {
            f"{part}.{name}": np.array(getattr(getattr(self, part), name))
            for part, names in _SUMS.items()
            if getattr(self, part) is not None
            for name in names
        }
        return state if self.margins is None else {**state, _LEAST: np.array(self.margins.least)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what another pass over the same statistics has summed."""
        for name, value in state.items():
            part, _, attribute = name.partition(".")
            setattr(getattr(self, part), attribute, value.copy() if value.ndim else value.item())

    def found(self) -> Seen:
        """Return what it all comes to."""
        plan, stats, head = self.plan, self.subject.stats, self.subject.head
        decisions, margins = self.decisions, self.margins
        seen = Seen(steps=(f"pass 2: {', '.join(_uses(plan, head, decisions))}",))
        if plan.projection:
            seen.values["nc1_pinv"] = self.subject.nc1_scaled(self.projection.nc1())
        if decisions is not None:
            seen.values["ncc_accuracy"] = decisions.nearest_is_label / decisions.samples
            if head.weights is not None:
                seen.values["nc4_disagreement"] = decisions.disagreements / decisions.samples
            seen.confusion = self.confusion
            seen.misses = 1.0 - decisions.right_by_class / np.where(stats.present, stats.counts, 1)
        if margins is not None:
            seen.values["cosine_margin_mean"], seen.values["cosine_margin_min"] = margins.summary()
        seen.values = {key: value for key, value in seen.values.items() if key in plan.keys}
        return seen


def add_states(ours: State, theirs: State) -> State:
    """Return what one pass over both sets of rows would have summed, up to rounding."""
    return {name: (np.minimum if name == _LEAST else np.add)(ours[name], theirs[name]) for name in ours}


def _uses(plan: Plan, head: Classifier, decisions: Decisions | None) -> list[str]:
    """Say what the second pass was for."""
    uses = ["projection"] if plan.projection else []
    if decisions is not None:
        rules = 1 if head.weights is None else 2
        share = decisions.certified / (rules * decisions.rows)
        uses.append(
            f"nearest mean{' and classifier' if rules == 2 else ''} ({share:.1%} certified without computing them)"
        )
    return uses + (["cosine margins"] if plan.margins else [])
