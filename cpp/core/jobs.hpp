// What each kernel takes: one aggregate per kernel, filled by the caller, all memory owned by the caller.
// Matrices without a stride are dense and row-major. `threads` is the exact team size to use; no result
// depends on it.
#pragma once

#include "core/views.hpp"

namespace ncfast {

/// Flags rows that hold a NaN, an infinity or a value whose square would leave the range of double.
template <class T>
struct ScreenJob {
    Rows<T> features;
    std::uint8_t* unusable;  // (rows) out: 1 for such a row, else 0
    int threads;
};

/// What the deviations of a run are taken from: the pivot that its class has, the mean of the first rows of
/// the class, or that of the run, which is the whole class. The last leaves in the sums the rounding of that
/// mean.
enum class About : std::uint8_t { pivot, first_rows, all_rows };

/// Adds, per class, (weighted) sums of deviations from the class's pivot and sums of their squares. Pivots
/// that are found here are means rounded to T, but for those of all rows.
template <class T>
struct ClassSumsJob {
    Rows<T> features;
    const double* weights;  // (rows) what each row counts, positive; null: 1 each
    const Index* order;     // row numbers grouped by class
    const ClassRun* runs;
    const About* abouts;  // (num_runs)
    Index num_runs;
    double* pivots;           // (K, d) in/out
    double* sums;             // (K, d) in/out
    double* squares;          // (K) in/out
    double* partial_sums;     // (slots, d) out
    double* partial_squares;  // (slots) out
    int threads;
};

/// Adds factor * sum_i z_i z_i^T, z_i = root_i (h_i - pivot(label_i)), to the lower triangle of `scatter`.
/// Rows with a negative label are left out. Without pivots (null) z_i = h_i and labels are not read.
/// With `order`, the i-th row taken is number order[i], of `features.rows` in all.
template <class T>
struct ScatterJob {
    Rows<T> features;
    const Index* order;    // row numbers, or null: all rows in turn
    const double* roots;   // of the weights of the rows taken, at most about 1; null: 1 each
    const Index* labels;   // of all rows, or null
    const double* pivots;  // (K, d) or null
    double factor;
    double* scatter;  // (d, d) in/out, lower triangle
    int threads;
};

/// The same by class: the rows of each run, z_i = root_i (h_i - pivot), to the scatter of its class.
template <class T>
struct ClassScattersJob {
    Rows<T> features;
    const Index* order;   // row numbers grouped by class
    const double* roots;  // by position in `order`, at most about 1; null: 1 each
    const Index* labels;
    const double* pivots;   // (K, d)
    const ClassRun* runs;   // one per class
    const double* factors;  // (num_runs)
    Index num_runs;
    double* scatters;  // (K, d, d) in/out, lower triangles
    int threads;
};

/// With z_i = scale * (h_i - pivot(label_i)): adds weight_i * class_weight(label_i) * (z_i . basis_j)^2 to
/// `column_squares[j]`, and writes ||z_i||. Products are in P. Rows with a negative label are left out
/// (norm 0). `rank` 0 asks for the norms alone. The products z_i . basis_j are kept if asked for.
template <class T, class P>
struct ProjectJob {
    Rows<T> features;
    const double* weights;  // (rows) or null: 1 each
    const Index* labels;
    const P* pivots;  // (K, d)
    P scale;
    const P* basis;  // (rank, d)
    Index rank;
    const double* class_weights;  // (K)
    double* column_squares;       // (rank) in/out
    double* norms;                // (rows) out
    P* coordinates;               // (rows, rank) out, or null
    int threads;
};

/// Samples by their coordinates in the span of the weights, where they are known from the projection:
/// factor * data_row + anchors_label. `errors` bounds how far that is off, `norms` the length of the sample.
template <class T>
struct Coordinates {
    const T* data;  // (rows, width) or null: samples are scale * (h - centre) themselves
    T factor;
    const T* anchors;      // (K, width)
    const double* errors;  // (num_rows)
    const double* norms;   // (num_rows)
};

/// What scores stand for: constants_k + points_k . h, or with `by_distance` constants_k - ||h - points_k||^2.
struct ExactRule {
    const double* points;     // (K, d)
    const double* constants;  // (K)
    bool by_distance;
};

/// A second rule whose scores nearly follow from the products p_k of the first:
/// |score_k - (slope_k p_k + level_k + shift_label,k)| <= slack_k length, the length one of the sample's own.
template <class T>
struct Companion {
    const double* slopes;   // (K) or null: no second rule
    const double* levels;   // (K)
    const double* slacks;   // (K)
    const double* lengths;  // (num_rows)
    const T* shifts;        // (K, K) by label, or null: none
    ExactRule exact;
    Index* decisions;  // (num_rows) out; -1 where too many classes are left
};

/// For listed rows, the smallest k of the largest score p_k + offsets_k, p_k = weights_k . sample, computed
/// in T where rounding bounds leave one winner. Elsewhere scores are computed anew, in double or extended
/// precision, from the numbers they stand for. Both orders agree up to rounding.
template <class T>
struct DecideJob {
    Rows<T> features;
    const Index* rows;  // (num_rows) row numbers
    Index num_rows;
    const Index* labels;   // (rows), or null where nothing goes by them
    const double* centre;  // (d)
    double scale;
    Coordinates<T> coordinates;
    Index width;            // d, or the number of coordinates
    const T* weights;       // (K, width)
    const double* offsets;  // (K)
    Index num_classes;
    double max_weight_norm;
    double max_abs_offset;
    ExactRule exact;
    Index* decisions;  // (num_rows) out
    Companion<T> companion;
    int threads;
};

/// Mean of `count` values and the sum of their squared deviations from it.
struct Moments {
    double count;
    double mean;
    double squares;
};

/// What a sweep over the pairs k < l of a frame adds up; p is the product of the two vectors.
struct PairSums {
    Moments cosines;
    double cosine_excess;      // sum of |cos + 1/(K-1)|
    double coherence;          // largest |cos|
    double shifted_squares;    // sum of (p + shift_k + shift_l)^2, without shifts of p^2
    double etf_errors;         // sum of e = p / etf_norm - etf_entry
    double etf_error_squares;  // sum of e^2
    double ratios;             // sum of (variance_k + variance_l) / (2 ||v_k - v_l||^2)
    Index coincident;          // pairs at distance 0; they add infinite ratios
    Moments kernel;            // of the kernel of ||u_k - u_l||
    Index same_direction;      // pairs left out of `kernel`, which is infinite at distance 0
};

enum class PairKernel { none, log, distance, riesz, rbf };

/// One sweep over all pairs of a frame v_k = length_k * u_k. Products are in P, of vectors along the u_k
/// whose lengths may be others; distances of vectors that nearly coincide are taken from differences in
/// double.
template <class P>
struct PairsJob {
    Rows<P> directions;      // (K, d) vectors along u_k
    const double* products;  // (K, K) of the directions, its upper triangle; or null: unknown
    const double* inverses;  // (K) one over their lengths, 0 for zero vectors
    Rows<double> frame;      // (K, d) v_k
    const double* lengths;   // (K)
    const double* shifts;    // (K) or null
    double etf_norm;
    double etf_entry;
    const double* variances;  // (K) or null, which asks for no distances
    PairKernel kernel;
    double parameter;      // of the kernel
    const double* slopes;  // (K) or null: with these, rivals and gaps are looked for
    const double* levels;  // (K)
    const double* slacks;  // (K)
    PairSums* sums;        // out
    double* class_ratios;  // (K) out: per class, sum of its ratios; with variances
    double* worst;         // (K) out: per class, largest of its ratios; with variances
    double* nearest;       // (K) out: per class, least ||v_k - v_l||^2; with variances
    double* rivals;        // (K) out: largest slope_l p + level_l + slack_l length_k; with slopes
    double* gaps;          // (K) out: largest ||slope_k v_k - slope_l v_l||^2; with slopes
    int threads;
};

/// products_k = <left_k, right_k>, or with right_stride 0 <left_k, right>.
struct RowProductsJob {
    Rows<double> left;
    const double* right;
    Index right_stride;
    double* products;  // (left.rows) out
    int threads;
};

/// squares_k = ||left_k - factor right_k||^2.
struct RowDistancesJob {
    Rows<double> left, right;
    double factor;
    double* squares;  // (left.rows) out
    int threads;
};

/// mean = sum_k shares_k v_k, with shares that sum to one but for rounding.
struct FrameMeanJob {
    Rows<double> vectors;
    const double* shares;  // (rows)
    double* mean;          // (cols) out
    int threads;
};

/// centred_k = v_k - centre, and squares_k its squared length.
struct CentreJob {
    Rows<double> vectors;
    const double* centre;  // (cols)
    double* centred;       // (rows, cols) out
    double* squares;       // (rows) out
    int threads;
};

/// rounded = the vectors in float.
struct RoundedJob {
    Rows<double> vectors;
    float* rounded;  // (rows, cols) out
    int threads;
};

/// What rounding adds to variances: of entry j of class k `unit` times the power of four at or below
/// max(mean_kj^2 + spread_k, least).
struct RoundingJob {
    Rows<double> means;
    const double* spreads;  // (rows)
    const double* shares;   // (rows) of classes in by_feature
    double least, unit;
    double* by_class;    // (rows) out: sums over features
    double* by_feature;  // (cols) out: sums over classes, each by its share
    int threads;
};

/// full = the symmetric matrix of `size` rows with this lower triangle.
struct MirrorJob {
    const double* lower;
    Index size;
    double* full;
    int threads;
};

/// product = A B^T. With `symmetric` (B is A) the upper triangle mirrors the lower.
struct GramJob {
    Matrix<double> left;
    Matrix<double> right;
    bool symmetric;
    double* product;  // (left.rows, right.rows) out
    int threads;
};

}  // namespace ncfast
