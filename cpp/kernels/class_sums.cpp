#include "kernels/kernels.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

// Columns of four rows that are summed while those of the next four come from memory, which no processor
// foresees.
constexpr Index kStrip = 128;

// The weight of a row where all count once: it costs nothing.
struct One {};
inline double times(One, double x) { return x; }
inline double times(double weight, double x) { return weight * x; }

template <class T, class W>
struct WeightedRow {
    const T* values;
    W weight;
};

// Four rows at a time share one load of the pivot and one update of the sums; all arithmetic is in double,
// which costs nothing while the features stream in from memory.
template <class Row>
double add_four_rows(const Row& r0, const Row& r1, const Row& r2, const Row& r3, const double* pivot,
                     double* sums, Index begin, Index end) {
    double squares = 0;
#pragma omp simd reduction(+ : squares)
    for (Index j = begin; j < end; ++j) {
        const double a = pivot[j];
        const double x0 = static_cast<double>(r0.values[j]) - a;
        const double x1 = static_cast<double>(r1.values[j]) - a;
        const double x2 = static_cast<double>(r2.values[j]) - a;
        const double x3 = static_cast<double>(r3.values[j]) - a;
        const double w0 = times(r0.weight, x0);
        const double w1 = times(r1.weight, x1);
        const double w2 = times(r2.weight, x2);
        const double w3 = times(r3.weight, x3);
        sums[j] += (w0 + w1) + (w2 + w3);
        squares += (w0 * x0 + w1 * x1) + (w2 * x2 + w3 * x3);
    }
    return squares;
}

template <class Row>
double add_row(const Row& row, const double* pivot, double* sums, Index cols) {
    double squares = 0;
#pragma omp simd reduction(+ : squares)
    for (Index j = 0; j < cols; ++j) {
        const double x = static_cast<double>(row.values[j]) - pivot[j];
        const double w = times(row.weight, x);
        sums[j] += w;
        squares += w * x;
    }
    return squares;
}

// `row_at` gives the row at a position of the grouped order.
template <class RowAt>
void fetch_four_rows(const RowAt& row_at, Index position, Index begin, Index end) {
    for (Index r = 0; r < 4; ++r) {
        const auto* values = row_at(position + r).values;
        for (Index j = begin; j < end; j += 64 / sizeof(*values)) __builtin_prefetch(values + j);
    }
}

template <class RowAt>
double add_rows(const RowAt& row_at, const ClassRun& run, const double* pivot, double* sums, Index cols) {
    double squares = 0;
    Index p = run.begin;
    for (; p + 4 <= run.end; p += 4) {
        const auto r0 = row_at(p), r1 = row_at(p + 1), r2 = row_at(p + 2), r3 = row_at(p + 3);
        for (Index begin = 0; begin < cols; begin += kStrip) {
            const Index end = smaller(begin + kStrip, cols);
            if (p + 8 <= run.end) fetch_four_rows(row_at, p + 4, begin, end);
            squares += add_four_rows(r0, r1, r2, r3, pivot, sums, begin, end);
        }
    }
    for (; p < run.end; ++p) squares += add_row(row_at(p), pivot, sums, cols);
    return squares;
}

template <class T>
double add_run(const ClassSumsJob<T>& job, const ClassRun& run, double* sums) {
    const Rows<T>& h = job.features;
    const double* pivot = job.pivots + run.cls * h.cols;
    const auto values = [&](Index position) { return h.data + job.order[position] * h.stride; };
    if (job.weights == nullptr) {
        return add_rows([&](Index p) { return WeightedRow<T, One>{values(p), {}}; }, run, pivot, sums,
                        h.cols);
    }
    return add_rows([&](Index p) { return WeightedRow<T, double>{values(p), job.weights[job.order[p]]}; },
                    run, pivot, sums, h.cols);
}

// The same for a class that has no rows but these, about their mean: found first, from the first row on, so
// that equal rows give that row exactly.
template <class T>
double add_whole_class(const ClassSumsJob<T>& job, const ClassRun& run, double* sums) {
    const Index d = job.features.cols;
    const T* first = job.features.data + job.order[run.begin] * job.features.stride;
    double* pivot = job.pivots + run.cls * d;
    for (Index j = 0; j < d; ++j) pivot[j] = static_cast<double>(first[j]);
    add_run(job, run, sums);
    double mass = 0;
    for (Index p = run.begin; p < run.end; ++p) {
        mass += job.weights == nullptr ? 1.0 : job.weights[job.order[p]];
    }
    for (Index j = 0; j < d; ++j) {
        pivot[j] += sums[j] / mass;
        sums[j] = 0;
    }
    return add_run(job, run, sums);
}

}  // namespace

template <class T>
void class_sums(const ClassSumsJob<T>& job) {
    const Index d = job.features.cols;
#pragma omp parallel for num_threads(job.threads) schedule(dynamic) if (job.threads > 1)
    for (Index r = 0; r < job.num_runs; ++r) {
        const ClassRun& run = job.runs[r];
        if (run.slot < 0) {
            double* sums = job.sums + run.cls * d;
            const bool whole = job.whole_classes[r] != 0;
            job.squares[run.cls] += whole ? add_whole_class(job, run, sums) : add_run(job, run, sums);
            continue;
        }
        double* partial = job.partial_sums + run.slot * d;
        for (Index j = 0; j < d; ++j) partial[j] = 0;
        job.partial_squares[run.slot] = add_run(job, run, partial);
    }
    // Partial sums of a class are combined in the order of its runs, whoever computed them.
    for (Index r = 0; r < job.num_runs; ++r) {
        const ClassRun& run = job.runs[r];
        if (run.slot < 0) continue;
        const double* partial = job.partial_sums + run.slot * d;
        double* sums = job.sums + run.cls * d;
#pragma omp simd
        for (Index j = 0; j < d; ++j) sums[j] += partial[j];
        job.squares[run.cls] += job.partial_squares[run.slot];
    }
}

template void class_sums(const ClassSumsJob<float>&);
template void class_sums(const ClassSumsJob<double>&);

}  // namespace ncfast::NCFAST_ISA
