#include "stats/accumulate.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/threads.hpp"
#include "dispatch/dispatch.hpp"
#include "stats/grouping.hpp"

namespace ncfast {
namespace {

constexpr Index kMaxRun = 512;     // rows summed per unit of work
constexpr double kFarPivot = 0.8;  // share of the squares that the distance of pivot and mean may explain
constexpr Index kChunkBytes = 32 << 20;   // features grouped at a time ...
constexpr Index kChunkRowsPerClass = 32;  // ... or more, where many classes would have few rows each

// The first sqrt(n) of the n rows of each class that has no samples yet: an outlier among them moves the
// pivot by no more than its own share of the spread.
std::vector<ClassRun> first_rows_of_new_classes(const Grouping& grouping, const ClassSums& state) {
    std::vector<ClassRun> firsts;
    for (const auto& cls : grouping.classes()) {
        if (state.counts[cls.cls] > 0) continue;
        const auto rows = static_cast<Index>(std::ceil(std::sqrt(static_cast<double>(cls.end - cls.begin))));
        firsts.push_back({cls.cls, cls.begin, cls.begin + rows, -1});
    }
    return firsts;
}

// Labelled rows; weights are null where each row counts once.
template <class T>
struct Chunk {
    Rows<T> features;
    const Index* labels;
    const double* weights;
    int threads;
};

template <class T>
void add_class_sums(const Chunk<T>& chunk, const Grouping& grouping, ClassSums& state) {
    std::vector<double> partial_sums(static_cast<std::size_t>(grouping.slots * chunk.features.cols));
    std::vector<double> partial_squares(static_cast<std::size_t>(grouping.slots));
    feature_kernels<T>().class_sums({chunk.features, chunk.weights, grouping.order.data(),
                                     grouping.runs.data(), static_cast<Index>(grouping.runs.size()),
                                     state.pivots, state.sums, state.squares, partial_sums.data(),
                                     partial_squares.data(), chunk.threads});
    for (const ClassRun& run : grouping.runs) {
        state.counts[run.cls] += run.end - run.begin;
        if (state.masses == nullptr) continue;
        for (Index p = run.begin; p < run.end; ++p) {
            const Index row = grouping.order[static_cast<std::size_t>(p)];
            state.masses[run.cls] += chunk.weights == nullptr ? 1.0 : chunk.weights[row];
        }
    }
}

double mass_of(const ClassSums& state, Index cls) {
    return state.masses == nullptr ? static_cast<double>(state.counts[cls]) : state.masses[cls];
}

// Square roots of weights over `unit`, a power of four near the largest: products in float stay in range.
struct Roots {
    std::vector<double> values;
    double unit = 1;
};

template <class T>
Roots roots_of(const Chunk<T>& chunk, const Index* order, Index rows) {
    Roots roots;
    if (chunk.weights == nullptr) return roots;
    for (Index i = 0; i < rows; ++i) {
        const Index row = order == nullptr ? i : order[i];
        roots.values.push_back(chunk.labels[row] < 0 ? 0.0 : chunk.weights[row]);
    }
    int exponent = 0;
    std::frexp(*std::max_element(roots.values.begin(), roots.values.end()), &exponent);
    exponent += exponent & 1;
    roots.unit = std::ldexp(1.0, exponent);
    for (double& root : roots.values) root = std::sqrt(root / roots.unit);
    return roots;
}

// Adds the scatter of the rows listed, or of all.
template <class T>
void add_scatter(const Chunk<T>& chunk, const Index* order, Index rows, const double* pivots,
                 bool double_products, double* target) {
    const Rows<T>& h = chunk.features;
    const auto& table = feature_kernels<T>();
    const Roots roots = roots_of(chunk, order, rows);
    const double work = static_cast<double>(rows) * static_cast<double>(h.cols) * static_cast<double>(h.cols);
    (double_products ? table.scatter_double
                     : table.scatter)({{h.data, rows, h.cols, h.stride},
                                       order,
                                       roots.values.empty() ? nullptr : roots.values.data(),
                                       chunk.labels,
                                       pivots,
                                       roots.unit,
                                       target,
                                       threads_for(work)});
}

template <class T>
void add_scatters(const Chunk<T>& chunk, const Grouping& grouping, bool double_products, ClassSums& state) {
    if (state.pooled != nullptr) {
        add_scatter(chunk, nullptr, chunk.features.rows, state.pivots, double_products, state.pooled);
        return;
    }
    const Index size = state.num_features * state.num_features;
    for (const ClassRun& cls : grouping.classes()) {
        add_scatter(chunk, grouping.order.data() + cls.begin, cls.end - cls.begin, state.pivots,
                    double_products, state.class_pooled + cls.cls * size);
    }
}

// Adds sum_i factor v_i v_i^T of few vectors to the pooled scatter, or v_i v_i^T to that of class i.
void add_vectors(const std::vector<double>& vectors, const std::vector<Index>& classes, double factor,
                 ClassSums& state) {
    const Index d = state.num_features;
    const auto& scatter = feature_kernels<double>().scatter;
    const auto count = static_cast<Index>(classes.size());
    if (state.pooled != nullptr) {
        const int threads = threads_for(static_cast<double>(count) * static_cast<double>(d * d));
        scatter({{vectors.data(), count, d, d},
                 nullptr,
                 nullptr,
                 nullptr,
                 nullptr,
                 factor,
                 state.pooled,
                 threads});
        return;
    }
    for (Index i = 0; i < count; ++i) {
        double* target = state.class_pooled + classes[static_cast<std::size_t>(i)] * d * d;
        scatter({{vectors.data() + i * d, 1, d, d}, nullptr, nullptr, nullptr, nullptr, factor, target, 1});
    }
}

// Moves the pivots of this chunk's classes that turned out far from their mean (a class that opened with an
// outlier) onto it: with d = s/n, Q loses s s^T / n. The rounding e of the new pivot is accounted for.
template <class T>
void move_far_pivots(const Grouping& grouping, ClassSums& state) {
    const Index d = state.num_features;
    std::vector<Index> classes;
    std::vector<double> removed;
    std::vector<double> added;
    for (const auto& cls : grouping.classes()) {
        const double n = mass_of(state, cls.cls);
        double* sums = state.sums + cls.cls * d;
        double* pivot = state.pivots + cls.cls * d;
        const double explained = std::inner_product(sums, sums + d, sums, 0.0) / n;
        if (!(explained > kFarPivot * state.squares[cls.cls]) || state.counts[cls.cls] < 2) continue;
        classes.push_back(cls.cls);
        double rounding = 0;
        for (Index j = 0; j < d; ++j) {
            const double moved = static_cast<T>(pivot[j] + sums[j] / n);
            const double left = sums[j] - n * (moved - pivot[j]);
            removed.push_back(sums[j] / std::sqrt(n));
            added.push_back(left / std::sqrt(n));
            rounding += left * left / n;
            pivot[j] = moved;
            sums[j] = left;
        }
        state.squares[cls.cls] = std::max(0.0, state.squares[cls.cls] - explained) + rounding;
    }
    if (classes.empty()) return;
    add_vectors(removed, classes, -1.0, state);
    add_vectors(added, classes, 1.0, state);
}

}  // namespace

template <class T>
void accumulate(const Rows<T>& features, const Index* labels, const double* weights, bool double_products,
                ClassSums& state) {
    const Index row_bytes = features.cols * static_cast<Index>(sizeof(T));
    const Index size = std::max({Index{1}, kChunkBytes / row_bytes, kChunkRowsPerClass * state.num_classes});
    for (Index start = 0; start < features.rows; start += size) {
        const Index rows = std::min(size, features.rows - start);
        const int threads = threads_for(static_cast<double>(rows) * static_cast<double>(features.cols));
        const Chunk<T> chunk{{features.data + start * features.stride, rows, features.cols, features.stride},
                             labels + start,
                             weights == nullptr ? nullptr : weights + start,
                             threads};
        const Grouping grouping = group_by_class(chunk.labels, rows, state.num_classes, kMaxRun);
        const std::vector<ClassRun> firsts = first_rows_of_new_classes(grouping, state);
        feature_kernels<T>().pivots({chunk.features, chunk.weights, grouping.order.data(), firsts.data(),
                                     static_cast<Index>(firsts.size()), state.pivots, threads});
        add_class_sums(chunk, grouping, state);
        if (state.pooled == nullptr && state.class_pooled == nullptr) continue;
        add_scatters(chunk, grouping, double_products, state);
        move_far_pivots<T>(grouping, state);
    }
}

template void accumulate(const Rows<float>&, const Index*, const double*, bool, ClassSums&);
template void accumulate(const Rows<double>&, const Index*, const double*, bool, ClassSums&);

}  // namespace ncfast
