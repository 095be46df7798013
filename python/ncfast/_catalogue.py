"""Every metric a report can hold: its key, what it needs, and the function that has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from . import metrics
from ._choices import nearest_names
from .metrics.heads import length_of_answer

if TYPE_CHECKING:
    from ._subject import Subject

Values = Sequence[float]

NEEDS = {
    "features": "the features themselves: use ncfast.measure",
    "scatter": "statistics with a scatter: Accumulator(..., scatter=True)",
    "class_scatter": "the features, or statistics with scatters by class: Accumulator(..., scatter='class')",
    "weights": "the classifier's weights",
    "decays": "weight_decay and feature_decay",
    "outliers": "outliers, features of no class",
    "scipy": 'SciPy: pip install "ncfast[margin]"',
}
"""What a metric may need beyond class statistics, as an error words it."""


def _always(_: Subject) -> bool:
    return True


@dataclass(frozen=True)
class Recipe:
    """Metrics that are computed together.

    `compute` is None where a pass over the features has the values. `applies` tells whether they mean anything
    for this subject; those that do not are left out unless asked for by name. `standard` metrics come unasked.
    """

    keys: tuple[str, ...]
    group: str
    compute: Callable[[Subject], Values] | None
    needs: frozenset[str] = frozenset()
    standard: bool = False
    applies: Callable[[Subject], bool] = _always


def _recipes() -> tuple[Recipe, ...]:
    scatter, weights, both = frozenset({"scatter"}), frozenset({"weights"}), frozenset({"scatter", "weights"})
    features, decided = frozenset({"features"}), frozenset({"features", "weights"})
    return (
        Recipe(("nc1_pinv",), "nc1", lambda s: [s.nc1_pinv()], scatter, standard=True),
        Recipe(("nc1_trace_ratio",), "nc1", lambda s: [s.nc1_trace_ratio()], standard=True),
        Recipe(
            ("nc1_svd_ratio",), "nc1", lambda s: [s.nc1_svd_ratio()], scatter, applies=lambda s: s.has_pooled_weights
        ),
        Recipe(("cdnv",), "nc1", lambda s: [s.cdnv_of(s.variances)], standard=True),
        Recipe(("cdnv_worst_class",), "nc1", lambda s: [float(s.cdnv_per_class.max())]),
        Recipe(("cdnv_worst_pair",), "nc1", lambda s: [float(metrics.worst_pairs(s.stats, 1)[1][0])]),
        Recipe(
            ("vci",),
            "nc1",
            lambda s: [metrics.vci(s.stats, weighting=s.weighting)],
            scatter,
            applies=lambda s: s.has_pooled_weights,
        ),
        Recipe(("class_rank_mean", "class_rank_max"), "nc1", lambda s: s.class_ranks(), frozenset({"class_scatter"})),
        *_frame_recipes("means", frozenset()),
        *_frame_recipes("weights", weights),
        Recipe(("nc3_self_duality",), "nc3", lambda s: [s.self_duality()], weights, standard=True),
        Recipe(
            ("nc3_alignment_etf", "nc3_alignment_of"),
            "nc3",
            lambda s: s.alignments,
            weights,
            standard=True,
        ),
        Recipe(
            ("nc3_gof_alignment",),
            "nc3",
            lambda s: [s.gof_alignment()],
            weights | {"decays"},
            applies=lambda s: s.is_imbalanced,
        ),
        Recipe(
            ("nc3_bias_alignment",),
            "nc3",
            lambda s: [length_of_answer(s.weights, s.bias, s.centre)],
            weights,
            standard=True,
        ),
        Recipe(("unc3_mean", "unc3_variance"), "nc3", lambda s: s.unc3(), weights, standard=True),
        Recipe(("nc4_disagreement",), "nc4", None, decided, standard=True),
        Recipe(("ncc_accuracy",), "nc4", None, features, standard=True),
        Recipe(("cosine_margin_mean", "cosine_margin_min"), "nc4", None, decided),
        Recipe(("mse_nc1", "mse_nc23", "mse_off_path"), "mse", lambda s: s.mse_split(), both),
        Recipe(
            ("nc5_orthogonality",),
            "nc5",
            lambda s: [s.nc5()],
            frozenset({"outliers"}),
        ),
    )


def _frame_recipes(name: str, needs: frozenset[str]) -> tuple[Recipe, ...]:
    """Recipes of a frame, the centred class ``"means"`` or the ``"weights"``."""

    def recipe(
        keys: str, compute: Callable[[Subject], Values], more: frozenset[str] = frozenset(), **options: object
    ) -> Recipe:
        named = tuple(f"nc2_{key}_{name}" for key in keys.split())
        return Recipe(named, "nc2", compute, needs | more, **options)  # type: ignore[arg-type]

    shape = ("equinorm", "equiangularity", "max_angle", "etf", "of")
    spectral = tuple(f"{name}_{key}" for key in ("condition_number", "stable_rank", "effective_rank", "rank"))

    def uniformity(kernel: str) -> Callable[[Subject], Values]:
        return lambda s: metrics.hyperspherical_uniformity(s.frame(name), kernel)

    return (
        recipe(" ".join(shape), lambda s: [s.shape(name)[f"nc2_{key}_{name}"] for key in shape], standard=True),
        recipe("tightness", lambda s: [s.tightness(name)]),
        recipe("coherence", lambda s: [s.pairs(name).coherence]),
        recipe("welch_ratio", lambda s: [metrics.welch_ratio(s.frame(name))], applies=lambda s: s.k > s.d),
        recipe("frame_potential", lambda s: [metrics.frame_potential(s.frame(name))]),
        recipe("log_uniformity log_variance", uniformity("log")),
        recipe("distance_uniformity distance_variance", uniformity("distance")),
        recipe("code_margin", lambda s: [metrics.softmax_code_margin(s.frame(name))], frozenset({"scipy"})),
        recipe(
            "nearest_etf",
            lambda s: [metrics.nearest_etf(s.unit_frame(name)).distance],
            applies=lambda s: s.k <= s.d + 1,
        ),
        recipe(
            "nearest_of",
            lambda s: [metrics.nearest_of(s.unit_frame(name, centred=False)).distance],
            applies=lambda s: s.k <= s.d,
        ),
        recipe("seli", lambda s: [s.seli_distance(name)], applies=lambda s: s.is_imbalanced),
        recipe(
            "gof",
            lambda s: [s.gof_distance(name)],
            frozenset({"decays"}),
            applies=lambda s: s.is_imbalanced,
        ),
        Recipe(spectral, "spectrum", lambda s: [s.shape(name)[key] for key in spectral], needs, standard=True),
    )


RECIPES = _recipes()
NEEDED = {key: recipe.needs for recipe in RECIPES for key in recipe.keys}
"""What each key needs, in the order of a report."""

_GROUPS = tuple(dict.fromkeys(recipe.group for recipe in RECIPES))


def expand(metrics: object, available: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the keys that an argument `metrics` asks for, and those of them it names.

    ``"standard"``, ``"all"``, a group (``"nc1"``, ..., ``"spectrum"``, ``"mse"``), a key, a key without its
    ``_means`` or ``_weights``, or several of these. Of groups only what is `available` is taken.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest ones, or for a named key that lacks what it needs.
    TypeError
        If `metrics` is no string and no iterable of strings.
    """
    names = _names(metrics)
    available |= _installed()
    keys: set[str] = set()
    named: set[str] = set()
    for name in names:
        offered = [recipe for recipe in RECIPES if recipe.needs <= available and _is_in(recipe, name)]
        exact = {key for key in NEEDED if key in (name, f"{name}_means", f"{name}_weights")}
        if name in NEEDED and (lacking := sorted(NEEDED[name] - available)):
            raise ValueError(f"metrics names {name!r}, which needs {' and '.join(NEEDS[need] for need in lacking)}")
        if name not in ("standard", "all", *_GROUPS) and not exact:
            near = nearest_names(name, ["standard", "all", *_GROUPS, *NEEDED])
            raise ValueError(
                f"metrics names {name!r}, which is unknown; nearest are {near};"
                f" groups are {', '.join(_GROUPS)}, standard, all"
            )
        usable = {key for key in exact if NEEDED[key] <= available}
        keys |= usable.union(*(recipe.keys for recipe in offered))
        named |= usable
    if not keys:
        raise ValueError(f"metrics is {metrics!r}, of which nothing can be computed here; wanted at least one metric")
    return frozenset(keys), frozenset(named)


@cache
def _installed() -> frozenset[str]:
    return frozenset({"scipy"} if find_spec("scipy") else ())


def _names(metrics: object) -> list[str]:
    names = [metrics] if isinstance(metrics, str) else list(metrics) if isinstance(metrics, Iterable) else [None]
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"metrics is {metrics!r}; wanted 'standard', 'all', or names of metrics or groups")
    return [str(name) for name in names]


def _is_in(recipe: Recipe, name: str) -> bool:
    return name in ("all", recipe.group) or (name == "standard" and recipe.standard)
