"""What each metric measures, in plain words, and the value that means collapse."""

from __future__ import annotations

from typing import NamedTuple

from ._catalogue import NEEDED

_FRAMES = {"means": "class means", "weights": "classifier rows"}


class Reading(NamedTuple):
    """How to read a metric: its formula, what it measures, and the value in exact collapse, None if there is none."""

    formula: str
    meaning: str
    collapsed: float | None

    def distance(self, value: float) -> float | None:
        """How far a value is from collapse."""
        return None if self.collapsed is None else abs(value - self.collapsed)


# {frame} stands for class means or classifier rows; V for the matrix of either, means centred.
_TEXTS: dict[str, tuple[str, str, float | None]] = {
    "nc1_pinv": ("Tr(S_W S_B⁺) / K", "Spread of samples about their class mean, along what tells classes apart.", 0),
    "nc1_trace_ratio": ("Tr S_W / Tr S_B", "Spread within classes over spread between them, in all directions.", 0),
    "nc1_svd_ratio": ("Σ σ(S_W) / Σ σ(S_B), leading", "The same, of the leading principal variances.", 0),
    "cdnv": ("mean (v_k + v_l) / (2 ‖μ_k − μ_l‖²)", "Spread of two classes over their distance, mean of all pairs.", 0),
    "cdnv_worst_class": ("largest CDNV of a class", "The same for the class that is worst off.", 0),
    "cdnv_worst_pair": ("largest CDNV of a pair", "The same for the pair that is hardest to tell apart.", 0),
    "vci": ("1 − Tr(S_T⁺ S_B) / rank S_B", "Share of the variance between classes that noise explains.", 0),
    "class_rank_mean": ("mean (‖Z_k‖_* / ‖Z_k‖_F)²", "Directions in which the samples of a class vary.", None),
    "class_rank_max": ("largest (‖Z_k‖_* / ‖Z_k‖_F)²", "The same for the class with most.", None),
    "nc2_equinorm": ("std ‖v_k‖ / mean ‖v_k‖", "How unequal the lengths of the {frame} are.", 0),
    "nc2_equiangularity": ("std cos(v_k, v_l)", "How unequal the angles between {frame} are.", 0),
    "nc2_max_angle": ("mean |cos(v_k, v_l) + 1/(K−1)|", "How far angles between {frame} are from the widest.", 0),
    "nc2_etf": ("‖ VVᵀ/‖VVᵀ‖ − P/√(K−1) ‖", "Distance of the {frame} from a simplex ETF.", 0),
    "nc2_of": ("‖ VVᵀ/‖VVᵀ‖ − I/√K ‖", "Distance of the uncentred {frame} from an orthogonal frame.", None),
    "nc2_tightness": ("‖ VᵀV/‖VᵀV‖ − Π/√rank ‖", "How unevenly the {frame} fill the space they span.", 0),
    "nc2_coherence": ("max |cos(v_k, v_l)|", "Largest cosine between two of the {frame}.", None),
    "nc2_welch_ratio": ("coherence / Welch bound", "Coherence over the least that is possible.", 1),
    "nc2_frame_potential": ("Σ cos²(v_k, v_l)", "Frame potential of the {frame}.", None),
    "nc2_log_uniformity": ("mean log 1/‖u_k − u_l‖", "How evenly the {frame} lie on the sphere.", None),
    "nc2_log_variance": ("var log 1/‖u_k − u_l‖", "How that varies between pairs.", 0),
    "nc2_distance_uniformity": ("mean ‖u_k − u_l‖", "How evenly the {frame} lie on the sphere.", None),
    "nc2_distance_variance": ("var ‖u_k − u_l‖", "How that varies between pairs.", 0),
    "nc2_code_margin": ("min dist(u_k, conv of others)", "Least room between one of the {frame} and the others.", None),
    "nc2_nearest_etf": ("min over ETFs ‖V − E‖", "Distance to the nearest simplex ETF.", 0),
    "nc2_nearest_of": ("min over frames ‖V − O‖", "Distance to the nearest orthogonal frame.", None),
    "nc2_seli": ("Gram distance to SELI", "Distance to the geometry that imbalanced classes settle in.", 0),
    "nc2_gof": ("Gram distance to the GOF", "Distance to the orthogonal frame of imbalanced classes.", None),
    "condition_number": ("σ_1 / σ_(K−1)", "Ratio of longest to shortest axis of the {frame}.", 1),
    "stable_rank": ("‖V‖_F² / ‖V‖₂²", "Axes of the {frame} as heavy as the heaviest; K − 1 in collapse.", None),
    "effective_rank": ("exp of the entropy of σ²", "Axes of the {frame} in use; K − 1 in collapse.", None),
    "rank": ("rank V", "Dimensions the {frame} span.", None),
    "nc3_self_duality": ("‖ W/‖W‖ − M/‖M‖ ‖", "Distance of classifier and class means, each at unit size.", 0),
    "nc3_alignment_etf": ("‖ WMᵀ/‖WMᵀ‖ − P/√(K−1) ‖", "Distance of their products from those of one ETF.", 0),
    "nc3_alignment_of": ("‖ WHᵀ/‖WHᵀ‖ − I/√K ‖", "Distance of their products from an orthogonal frame.", None),
    "nc3_gof_alignment": ("distance to the GOF", "Distance of their products from the imbalanced frame.", None),
    "nc3_bias_alignment": ("‖ b + W μ_G ‖", "Logits left over at the global mean.", 0),
    "unc3_mean": ("mean cos(w_k, μ_k − μ_G)", "Do classifier rows point along their class means?", 1),
    "unc3_variance": ("var cos(w_k, μ_k − μ_G)", "Is that alike for all classes?", 0),
    "nc4_disagreement": ("share argmax(Wh + b) ≠ nearest μ", "Samples where classifier and nearest mean differ.", 0),
    "ncc_accuracy": ("share nearest μ = y", "Samples that are nearest to the mean of their own class.", 1),
    "cosine_margin_mean": ("mean of cos(h, w_y) − max cos(h, w_l)", "Margin of a sample in angles, on average.", None),
    "cosine_margin_min": ("least of these", "The same for the worst sample.", None),
    "mse_nc1": ("squared loss, within classes", "Part of the squared loss due to spread in classes.", 0),
    "mse_nc23": ("squared loss, of the means", "Part of it due to the class means.", None),
    "mse_off_path": ("squared loss off the central path", "Part of it due to a classifier that is not optimal.", 0),
    "nc5_orthogonality": ("mean |cos(μ_k, μ_OOD)|", "Alignment of class means with features of no class.", 0),
    "nc1_mean_shift": ("rms ‖m_k − μ_k‖, relative", "How far class means moved from those of the other set.", 0),
    "nc1_mean_shift_max": ("largest ‖m_k − μ_k‖, relative", "The same for the class that moved most.", 0),
}


def reading(key: str) -> Reading:
    """Return how to read a metric; of one that is not known, an empty reading."""
    for frame, plural in _FRAMES.items():
        stem = key.removesuffix(f"_{frame}") if key.endswith(f"_{frame}") else key.removeprefix(f"{frame}_")
        if stem != key and stem in _TEXTS:
            formula, meaning, collapsed = _TEXTS[stem]
            return Reading(formula, meaning.format(frame=plural), collapsed)
    return Reading(*_TEXTS.get(key, ("", "", None)))


def readings() -> dict[str, Reading]:
    """Return the readings of all metrics that `ncfast.measure` offers."""
    return {key: reading(key) for key in NEEDED}
