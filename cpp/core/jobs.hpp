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

/// Sets the pivot of each run's class to the (weighted) mean of the run's rows, rounded to T.
template <class T>
struct PivotsJob {
    Rows<T> features;
    const double* weights;  // (rows) what each row counts, positive; null: 1 each
    const Index* order;     // row numbers grouped by class
    const ClassRun* runs;   // one short run per class
    Index num_runs;
    double* pivots;  // (K, d) out
    int threads;
};

/// Adds, per class, (weighted) sums of deviations from the class's pivot and sums of their squares.
template <class T>
struct ClassSumsJob {
    Rows<T> features;
    const double* weights;  // (rows) or null: 1 each
    const Index* order;     // row numbers grouped by class
    const ClassRun* runs;
    Index num_runs;
    const double* pivots;     // (K, d)
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
/// (norm 0). `rank` 0 asks for the norms alone.
template <class T, class P>
struct ProjectJob {
    Rows<T> features;
    const double* weights;  // (rows) or null: 1 each
    const Index* labels;
    const P* pivots;  // (K, d)
    P scale;
    const P* basis;  // (d, rank)
    Index rank;
    const double* class_weights;  // (K)
    double* column_squares;       // (rank) in/out
    double* norms;                // (rows) out
    int threads;
};

/// For listed rows, the smallest k of the largest score. Scores are weights_k . (scale * (h - centre)) +
/// offsets_k, computed in T, where their rounding bound leaves one winner; elsewhere they are computed anew
/// in extended precision from the numbers they stand for: constants_k + points_k . h, or with `by_distance`
/// constants_k - ||h - points_k||^2. Both orders agree up to rounding.
template <class T>
struct DecideJob {
    Rows<T> features;
    const Index* rows;  // (num_rows) row numbers
    Index num_rows;
    const double* centre;  // (d)
    double scale;
    const T* weights;       // (K, d)
    const double* offsets;  // (K)
    Index num_classes;
    double max_weight_norm;
    double max_abs_offset;
    const double* points;     // (K, d)
    const double* constants;  // (K)
    bool by_distance;
    Index* decisions;  // (num_rows) out
    int threads;
};

/// product = A B^T. With `symmetric` (B is A) the upper triangle mirrors the lower.
struct GramJob {
    Rows<double> left;
    Rows<double> right;
    bool symmetric;
    double* product;  // (left.rows, right.rows) out
    int threads;
};

}  // namespace ncfast
