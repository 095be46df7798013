"""Which passes over the features a measurement needs, and why: the cheapest that give what is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ._catalogue import NEEDED, RECIPES, expand

_READING = 40.0
"""What reading a feature once more costs, in multiplications per value."""

_CLASS_SCATTER_VALUES = 32 << 20
"""Up to this many values, 256 MiB, a scatter by class is kept where it is of use."""

_DECISIONS = {"nc4_disagreement", "ncc_accuracy"}
_MARGINS = {"cosine_margin_mean", "cosine_margin_min"}
_RANKS = {"class_rank_mean", "class_rank_max"}


@dataclass(frozen=True)
class Plan:
    """What is measured and how.

    Attributes
    ----------
    keys, named : frozenset of str
        Metrics that are asked for, and those asked for by name.
    scatter : bool or "class"
        Whether the first pass collects the d * d scatter, or one for each class.
    projection : bool
        Whether the second pass projects deviations for ``nc1_pinv``.
    steps : tuple of str
        What is done and why, one line each.
    """

    keys: frozenset[str]
    named: frozenset[str]
    scatter: bool | str = False
    projection: bool = False
    steps: tuple[str, ...] = ()

    @property
    def decisions(self) -> bool:
        """Whether the second pass decides each sample."""
        return bool(self.keys & _DECISIONS)

    @property
    def margins(self) -> bool:
        """Whether the second pass takes cosine margins."""
        return bool(self.keys & _MARGINS)

    @property
    def second_pass(self) -> bool:
        """Whether there is one."""
        return self.projection or self.decisions or self.margins

    @property
    def ranks(self) -> bool:
        """Whether the features are read class by class at the end."""
        return bool(self.keys & _RANKS)

    def without_ranks(self) -> Plan:
        """Leave out what reads the features class by class; refuse it if it is named."""
        if self.named & _RANKS:
            raise ValueError(f"metrics names {min(self.named & _RANKS)!r}, which needs all features of a class at once")
        return replace(self, keys=self.keys - _RANKS)


def plan_features(
    metrics: object,
    available: frozenset[str],
    *,
    num_classes: int,
    num_features: int,
    weighting: str,
    method: str,
    errors: bool,
) -> Plan:
    """Plan a measurement of features: `available` is what there is besides them."""
    keys, named = expand(metrics, available | {"features", "scatter", "class_scatter"})
    users = [key for key in NEEDED if key in keys and "scatter" in NEEDED[key] and key != "nc1_pinv"]
    if errors and "nc1_pinv" in keys:
        users.append("the error of nc1_pinv")
    # Scatters by class can weigh classes, and make the error exact. They cost no time, but memory.
    by_class = (errors or weighting == "class") and num_classes * num_features**2 <= _CLASS_SCATTER_VALUES
    kind: bool | str = "class" if by_class else True
    plan = Plan(keys, named, scatter=kind if users else False)
    steps = []
    if "nc1_pinv" in keys:
        cheaper = plan.scatter or _scatter_is_cheaper(num_classes, num_features, plan.second_pass)
        by_scatter = method == "scatter" or (method == "auto" and cheaper and (by_class or weighting != "class"))
        plan = replace(plan, projection=not by_scatter, scatter=kind if by_scatter else plan.scatter)
        steps.append(
            f"nc1_pinv by {'the d x d scatter' if by_scatter else 'projection on the span of the class means'}"
        )
    if not plan.second_pass:
        steps.append("no second pass: no metric that is asked for needs one")
    return replace(
        plan, steps=(f"pass 1: class statistics{' with scatter' if plan.scatter else ''}{_for(users)}", *steps)
    )


def _for(users: list[str]) -> str:
    return f" (for {', '.join(users[:3])}{', ...' if len(users) > 3 else ''})" if users else ""


def plan_statistics(metrics: object, available: frozenset[str]) -> Plan:
    """Plan a measurement of given class statistics."""
    keys, named = expand(metrics, available)
    return Plan(keys, named)


def in_order(values: dict[str, float]) -> dict[str, float]:
    """Return the values in the order of the catalogue."""
    return {key: values[key] for recipe in RECIPES for key in recipe.keys if key in values}


def _scatter_is_cheaper(num_classes: int, num_features: int, second_pass: bool) -> bool:
    """Per feature of a sample: d multiplications for the scatter, 2 r for the projection, which needs a second pass."""
    rank = min(num_classes - 1, num_features)
    return num_features < 2 * rank + (0.0 if second_pass else _READING)
