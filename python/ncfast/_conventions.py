"""Definitions that differ between codes, by the name of who uses them.

Only definitions differ here, never accuracy: a figure of another code is reproduced where that code is right.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._choices import as_choice

_WEIGHTINGS = {
    "papyan": "S_W: samples count 1/N; S_B: classes count 1/K about the mean of class means",
    "class": "S_W, S_B: classes count 1/K; centre: the mean of class means",
    "sample": "S_W, S_B: samples count 1/N; centre: the mean of all samples",
    "zhu": "S_W: samples count 1/N; S_B: classes count 1/K about the mean of all samples",
}


@dataclass(frozen=True)
class Conventions:
    """How the same names are defined.

    Attributes
    ----------
    name : str
        Whose conventions.
    weighting : str
        How samples and classes count: one of `ncfast.metrics.nc1_pinv`, or ``"zhu"``.
    per_class : bool
        Whether NC1 is ``Tr(S_W S_B^+)`` over K.
    norms_ddof : int
        Of the standard deviation of the norms.
    squared_duality : bool
        Whether self-duality is the squared distance.
    svd_is_pinv : bool
        Whether the svd ratio is ``Tr(S_W S_B^+) / K`` by the K-1 leading singular vectors.
    products : bool
        Whether UNC3 takes inner products, and variance with ddof 1, instead of cosines and ddof 0.
    """

    name: str = "ncfast"
    weighting: str = "papyan"
    per_class: bool = True
    norms_ddof: int = 0
    squared_duality: bool = False
    svd_is_pinv: bool = False
    products: bool = False

    def describe(self) -> dict[str, str]:
        """Definitions in use, by what they define."""
        return {
            "name": self.name,
            "weighting": _WEIGHTINGS[self.weighting],
            "nc1_pinv": "Tr(S_W S_B^+) / K" if self.per_class else "Tr(S_W S_B^+)",
            "nc1_svd_ratio": "Tr(S_W S_B^+) / K" if self.svd_is_pinv else "r leading eigenvalues of S_W over Tr S_B",
            "nc2_equinorm": f"std / mean, ddof {self.norms_ddof}",
            "nc2_equiangularity": "std, ddof 0",
            "nc3_self_duality": "squared Frobenius norm" if self.squared_duality else "Frobenius norm",
            "unc3": "inner products, variance ddof 1" if self.products else "cosines, variance ddof 0",
        }


_BY_NAME = {
    # V. Papyan, X.Y. Han, D. Donoho, PNAS 2020, and their notebook.
    "papyan": Conventions("papyan", per_class=False, norms_ddof=1, squared_duality=True),
    # Z. Zhu et al., NeurIPS 2021, and their validation script.
    "zhu": Conventions("zhu", weighting="zhu"),
    # The package neural_collapse by R. Wu, as its documentation uses it.
    "rhubarbwu": Conventions("rhubarbwu", svd_is_pinv=True, products=True),
}


def as_conventions(name: str, weighting: str) -> Conventions:
    """Return the conventions of that name; only ``"ncfast"`` leaves the weighting open.

    Raises
    ------
    ValueError
        For an unknown name, or a weighting that is not that of the conventions.
    """
    as_choice("weighting", weighting)
    if as_choice("conventions", name) == "ncfast":
        return Conventions(weighting=weighting)
    if weighting != "papyan":
        raise ValueError(f"weighting is {weighting!r}; wanted the default, as conventions={name!r} brings its own")
    return _BY_NAME[name]
