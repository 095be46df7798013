"""Neural-collapse metrics: plain functions of class statistics, frames and classifiers.

A *frame* is a (K, d) matrix whose rows are its vectors: class means, or the weights of a classifier.
All arithmetic is float64; results do not depend on the number of threads.
"""

from .class_pairs import cdnv_per_class, worst_pairs
from .class_rank import class_numerical_rank, class_numerical_rank_statistics
from .duality import alignment_etf, alignment_of, self_duality, unc3
from .frames import coherence, frame_potential, tightness, welch_ratio
from .geometry import equiangularity, equinorm, etf_distance, max_angle, of_distance
from .heads import bias_alignment, cosine_margins
from .imbalance import gof_alignment, gof_distance, gof_logits, seli_distance
from .margin import softmax_code_margin
from .matrices import cdnv_matrix, cosine_matrix
from .mse import MseSplit, mse_split, mse_split_statistics
from .nearest import NearestFrame, nearest_etf, nearest_of
from .ood import Nci, Neco, auroc, nc5_orthogonality
from .ratios import nc1_svd_ratio, vci
from .regression import nrc1, nrc2, nrc3
from .spectrum import Spectrum, spectrum
from .uniformity import hyperspherical_uniformity
from .variability import cdnv, nc1_pinv, nc1_trace_ratio

__all__ = [
    "MseSplit",
    "Nci",
    "NearestFrame",
    "Neco",
    "Spectrum",
    "alignment_etf",
    "alignment_of",
    "auroc",
    "bias_alignment",
    "cdnv",
    "cdnv_matrix",
    "cdnv_per_class",
    "class_numerical_rank",
    "class_numerical_rank_statistics",
    "coherence",
    "cosine_margins",
    "cosine_matrix",
    "equiangularity",
    "equinorm",
    "etf_distance",
    "frame_potential",
    "gof_alignment",
    "gof_distance",
    "gof_logits",
    "hyperspherical_uniformity",
    "max_angle",
    "mse_split",
    "mse_split_statistics",
    "nc1_pinv",
    "nc1_svd_ratio",
    "nc1_trace_ratio",
    "nc5_orthogonality",
    "nearest_etf",
    "nearest_of",
    "nrc1",
    "nrc2",
    "nrc3",
    "of_distance",
    "self_duality",
    "seli_distance",
    "softmax_code_margin",
    "spectrum",
    "tightness",
    "unc3",
    "vci",
    "welch_ratio",
    "worst_pairs",
]
