// One pass over labelled features into the additive statistics of ClassStatistics.
#pragma once

#include "core/views.hpp"

namespace ncfast {

/// Statistics under accumulation, owned by the caller. A scatter holds its lower triangle; at most one of
/// `pooled` and `class_pooled` is collected, the other is null.
struct ClassSums {
    Index num_classes;
    Index num_features;
    Index* counts;         // (K) rows
    double* masses;        // (K) sums of weights, or null: equal to the counts
    double* pivots;        // (K, d)
    double* sums;          // (K, d) sum of w (h - pivot)
    double* squares;       // (K) sum of w ||h - pivot||^2
    double* pooled;        // (d, d) sum of w (h - pivot)(h - pivot)^T over all rows, or null
    double* class_pooled;  // (K, d, d) the same by class, or null
};

/// Adds labelled rows, each counted `weights` times (positive; null: once). A negative label leaves its row
/// out. Rows must have passed the screen kernel and labels must lie below num_classes. A class met for the
/// first time takes as pivot the mean of its first rows here: near its mean, so that deviations stay small.
/// With a scatter, it takes the mean of all its rows here if they are few, and a pivot that proves far from
/// the mean is moved.
template <class T>
void accumulate(const Rows<T>& features, const Index* labels, const double* weights, bool double_products,
                ClassSums& state);

}  // namespace ncfast
