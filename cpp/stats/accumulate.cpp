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
// Features grouped at a time: few enough to be still in cache when a scatter reads them once more; or more,
// where many classes would have few rows each.
constexpr Index kScatterChunkBytes = 32 << 20;
constexpr Index kChunkBytes = 128 << 20;
constexpr Index kChunkRowsPerClass = 32;

bool collects_scatter(const ClassSums& state) {
    return state.pooled != nullptr || state.class_pooled != nullptr;
}

// Whether these rows, of a whole class or a part of it, are all there is of it so far and make one run: with
// a scatter, its pivot is their mean then, and nothing is left to take from the scatter when it is asked for.
bool is_taken_whole(const ClassRun& rows, const ClassSums& state) {
    return collects_scatter(state) && state.counts[rows.cls] == 0 && rows.slot < 0 &&
           rows.end - rows.begin <= kMaxRun;
}

// All others, whose rows are summed about a pivot that is known before.
std::vector<ClassRun> classes_about_pivots(const Grouping& grouping, const ClassSums& state) {
    std::vector<ClassRun> classes;
    for (const ClassRun& cls : grouping.classes()) {
        if (!is_taken_whole(cls, state)) classes.push_back(cls);
    }
    return classes;
}

About about_of(const ClassRun& run, const ClassSums& state) {
    if (is_taken_whole(run, state)) return About::all_rows;
    return state.counts[run.cls] == 0 ? About::first_rows : About::pivot;
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
    std::vector<About> abouts;
    for (const ClassRun& run : grouping.runs) abouts.push_back(about_of(run, state));
    feature_kernels<T>().class_sums(
        {chunk.features, chunk.weights, grouping.order.data(), grouping.runs.data(), abouts.data(),
         static_cast<Index>(grouping.runs.size()), state.pivots, state.sums, state.squares,
         partial_sums.data(), partial_squares.data(), chunk.threads});
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

// Writes the square roots of the weights of listed rows (null: all in turn) over a power of four near the
// largest, so that products in float stay in range, and returns that power. Rows left out get 0.
template <class T>
double write_roots(const Chunk<T>& chunk, const Index* order, Index rows, double* roots) {
    double largest = 0;
    for (Index i = 0; i < rows; ++i) {
        const Index row = order == nullptr ? i : order[i];
        roots[i] = chunk.labels[row] < 0 ? 0.0 : chunk.weights[row];
        largest = std::max(largest, roots[i]);
    }
    int exponent = 0;
    std::frexp(largest, &exponent);
    const double unit = std::ldexp(1.0, exponent + (exponent & 1));
    for (Index i = 0; i < rows; ++i) roots[i] = std::sqrt(roots[i] / unit);
    return unit;
}

template <class T>
void add_pooled(const Chunk<T>& chunk, bool double_products, ClassSums& state, int threads) {
    const auto& table = feature_kernels<T>();
    std::vector<double> roots(chunk.weights == nullptr ? 0 : static_cast<std::size_t>(chunk.features.rows));
    const double unit = roots.empty() ? 1.0 : write_roots(chunk, nullptr, chunk.features.rows, roots.data());
    (double_products ? table.scatter_double
                     : table.scatter)({chunk.features, nullptr, roots.empty() ? nullptr : roots.data(),
                                       chunk.labels, state.pivots, unit, state.pooled, threads});
}

template <class T>
void add_by_class(const Chunk<T>& chunk, const Grouping& grouping, bool double_products, ClassSums& state,
                  int threads) {
    const auto& table = feature_kernels<T>();
    const std::vector<ClassRun> classes = grouping.classes();
    std::vector<double> roots(chunk.weights == nullptr ? 0 : grouping.order.size());
    std::vector<double> units(classes.size(), 1.0);
    for (std::size_t c = 0; c < classes.size() && !roots.empty(); ++c) {
        const ClassRun& run = classes[c];
        units[c] = write_roots(chunk, grouping.order.data() + run.begin, run.end - run.begin,
                               roots.data() + run.begin);
    }
    (double_products ? table.class_scatters_double : table.class_scatters)(
        {chunk.features, grouping.order.data(), roots.empty() ? nullptr : roots.data(), chunk.labels,
         state.pivots, classes.data(), units.data(), static_cast<Index>(classes.size()), state.class_pooled,
         threads});
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

// Moves those pivots of these classes that turned out far from their mean (a class that opened with an
// outlier) onto it: with d = s/n, Q loses s s^T / n. The rounding e of the new pivot is accounted for.
template <class T>
void move_far_pivots(const std::vector<ClassRun>& met, ClassSums& state) {
    const Index d = state.num_features;
    std::vector<Index> classes;
    std::vector<double> removed;
    std::vector<double> added;
    for (const ClassRun& cls : met) {
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
    const Index bytes = collects_scatter(state) ? kScatterChunkBytes : kChunkBytes;
    const Index size = std::max({Index{1}, bytes / row_bytes, kChunkRowsPerClass * state.num_classes});
    for (Index start = 0; start < features.rows; start += size) {
        const Index rows = std::min(size, features.rows - start);
        const int threads = threads_for(static_cast<double>(rows) * static_cast<double>(features.cols));
        const Chunk<T> chunk{{features.data + start * features.stride, rows, features.cols, features.stride},
                             labels + start,
                             weights == nullptr ? nullptr : weights + start,
                             threads};
        const Grouping grouping = group_by_class(chunk.labels, rows, state.num_classes, kMaxRun);
        const std::vector<ClassRun> about_pivots = classes_about_pivots(grouping, state);
        add_class_sums(chunk, grouping, state);
        if (!collects_scatter(state)) continue;
        const int product_threads = threads_for(static_cast<double>(rows * features.cols * features.cols));
        if (state.pooled != nullptr) {
            add_pooled(chunk, double_products, state, product_threads);
        } else {
            add_by_class(chunk, grouping, double_products, state, product_threads);
        }
        move_far_pivots<T>(about_pivots, state);
    }
}

template void accumulate(const Rows<float>&, const Index*, const double*, bool, ClassSums&);
template void accumulate(const Rows<double>&, const Index*, const double*, bool, ClassSums&);

}  // namespace ncfast
