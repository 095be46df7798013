"""From what the passes found to a report: the remaining metrics, and what each is worth."""

from __future__ import annotations

from ._catalogue import RECIPES
from ._floors import at_floor, noise_floors
from ._jackknife import standard_errors
from ._plan import Plan, in_order
from ._subject import Float, Subject
from ._uncollapsed import uncollapsed_classes
from .report import Report


def findings(
    subject: Subject,
    plan: Plan,
    seen: dict[str, float],
    *,
    misses: Float | None = None,
    errors: bool = False,
    skipped_rows: int = 0,
    steps: tuple[str, ...] = (),
) -> Report:
    """Return the report: `seen` are metrics that passes over the features gave.

    `misses` is the share of samples of each class that are nearer to another class's mean.
    """
    stats = subject.stats
    found = {**statistic_metrics(subject, plan.keys - seen.keys(), plan.named), **seen}
    values = in_order({key: value for key, value in found.items() if key in plan.keys})
    floors = noise_floors(subject, values)
    return Report(
        metrics=values,
        spectra={name: spectrum.singular_values for name, spectrum in subject.spectra.items()},
        num_samples=stats.num_rows,
        num_features=stats.num_features,
        num_classes=stats.num_classes,
        classes=None if stats.chosen is None else tuple(stats.chosen.tolist()),
        missing_classes=stats.missing_classes,
        skipped_rows=skipped_rows,
        feature_dtype=stats.feature_dtype,
        weighting=subject.conventions.weighting,
        plan=steps,
        conventions=subject.conventions.describe(),
        floors=floors,
        at_floor=at_floor(values, floors),
        errors=standard_errors(subject, values) if errors else {},
        uncollapsed=uncollapsed_classes(subject, values, misses),
    )


def statistic_metrics(subject: Subject, keys: frozenset[str], named: frozenset[str]) -> dict[str, float]:
    """Return those of `keys` that statistics have; of those that do not apply, only what is `named`."""
    values: dict[str, float] = {}
    for recipe in RECIPES:
        wanted = keys.intersection(recipe.keys)
        if recipe.compute is None or not wanted or not (wanted & named or recipe.applies(subject)):
            continue
        found = dict(zip(recipe.keys, recipe.compute(subject), strict=True))
        values |= {key: value for key, value in found.items() if key in wanted}
    return values
