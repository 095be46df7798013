#if defined(__AVX__)
#include <immintrin.h>
#endif

#include <cmath>
#include <type_traits>

#include "kernels/kernels.hpp"
#include "kernels/products.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

constexpr Index kStrip = 64;                        // columns that are summed at a time
constexpr int kAhead = kVectorBytes == 64 ? 8 : 4;  // rows summed at a time
constexpr Index kParts = 8;                         // of the runs, for each thread

constexpr Index kLanes = kVectorBytes / 8;
typedef double Doubles __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));

inline Doubles load(const double* from) { return *reinterpret_cast<const Doubles*>(from); }
// The compiler would widen half a vector at a time.
inline Doubles load(const float* from) {
#if defined(__AVX512F__)
    return _mm512_cvtps_pd(_mm256_loadu_ps(from));
#elif defined(__AVX__)
    return _mm256_cvtps_pd(_mm_loadu_ps(from));
#else
    return Doubles{static_cast<double>(from[0]), static_cast<double>(from[1])};
#endif
}

// The weight of a row where all count once: it costs nothing.
struct One {};
template <class V>
V times(One, V x) {
    return x;
}
template <class V>
V times(double weight, V x) {
    return weight * x;
}

template <class T, class W>
struct WeightedRow {
    const T* values;
    W weight;
};

// Rows taken at a time share one load of the pivot and one update of the sums; all arithmetic is in double,
// which costs little while the features stream in from memory.
template <int R, class Row>
void add_columns(const Row (&rows)[R], const double* pivot, double* sums, Index begin, Index end,
                 Doubles& squares) {
    Index j = begin;
    for (; j + kLanes <= end; j += kLanes) {
        const Doubles a = load(pivot + j);
        Doubles sum{}, square{};
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const Doubles x = load(rows[r].values + j) - a;
            const Doubles w = times(rows[r].weight, x);
            sum += w;
            square += w * x;
        }
        *reinterpret_cast<Doubles*>(sums + j) += sum;
        squares += square;
    }
    for (; j < end; ++j) {
        for (int r = 0; r < R; ++r) {
            const double x = static_cast<double>(rows[r].values[j]) - pivot[j];
            const double w = times(rows[r].weight, x);
            sums[j] += w;
            squares[0] += w * x;
        }
    }
}

// Rows to come, of the next run too, are asked for from memory while others are summed: no processor foresees
// where they lie.
template <class RowAt>
void fetch_rows(const RowAt& row_at, Index position, Index rows, Index begin, Index end) {
    for (Index r = 0; r < rows; ++r) {
        const auto* values = row_at(position + r).values;
        for (Index j = begin; j < end; j += 64 / sizeof(*values)) __builtin_prefetch(values + j, 0, 2);
    }
}

// `row_at` gives the row at a position of the grouped order, which ends at `last`.
template <class RowAt>
double add_rows(const RowAt& row_at, const ClassRun& run, Index last, const double* pivot, double* sums,
                Index cols) {
    Doubles squares{};
    Index p = run.begin;
    const auto take = [&](auto count) {
        constexpr int kRows = decltype(count)::value;
        for (; p + kRows <= run.end; p += kRows) {
            decltype(row_at(p)) rows[kRows];
            for (int r = 0; r < kRows; ++r) rows[r] = row_at(p + r);
            const Index ahead = smaller<Index>(kRows, last - p - kAhead);
            Doubles of_rows{};
            for (Index begin = 0; begin < cols; begin += kStrip) {
                const Index end = smaller(begin + kStrip, cols);
                fetch_rows(row_at, p + kAhead, ahead, begin, end);
                add_columns(rows, pivot, sums, begin, end, of_rows);
            }
            squares += of_rows;
        }
    };
    take(std::integral_constant<int, kAhead>{});
    take(std::integral_constant<int, kAhead / 2>{});
    take(std::integral_constant<int, 2>{});
    take(std::integral_constant<int, 1>{});
    double sum = 0;
    for (Index lane = 0; lane < kLanes; ++lane) sum += squares[lane];
    return sum;
}

// The job, with what follows from it.
template <class T>
struct Sums {
    const ClassSumsJob<T>& job;

    Index last() const { return job.num_runs == 0 ? 0 : job.runs[job.num_runs - 1].end; }
    const T* values(Index position) const {
        return job.features.data + job.order[position] * job.features.stride;
    }
    double weight(Index position) const {
        return job.weights == nullptr ? 1.0 : job.weights[job.order[position]];
    }
    double* pivot(const ClassRun& run) const { return job.pivots + run.cls * job.features.cols; }

    double add(const ClassRun& run, double* sums) const {
        const Index d = job.features.cols;
        if (job.weights == nullptr) {
            return add_rows([&](Index p) { return WeightedRow<T, One>{values(p), {}}; }, run, last(),
                            pivot(run), sums, d);
        }
        return add_rows([&](Index p) { return WeightedRow<T, double>{values(p), weight(p)}; }, run, last(),
                        pivot(run), sums, d);
    }

    // Makes the mean of these rows the pivot of their class, which has no samples yet: found from the first
    // row on, so that equal rows give that row exactly.
    void find_pivot(const ClassRun& rows, bool rounded) const {
        const Index d = job.features.cols;
        double* pivot = this->pivot(rows);
        double* sums = job.sums + rows.cls * d;
        const T* first = values(rows.begin);
        for (Index j = 0; j < d; ++j) pivot[j] = static_cast<double>(first[j]);
        add(rows, sums);
        double mass = 0;
        for (Index p = rows.begin; p < rows.end; ++p) mass += weight(p);
        for (Index j = 0; j < d; ++j) {
            const double mean = pivot[j] + sums[j] / mass;
            pivot[j] = rounded ? static_cast<double>(static_cast<T>(mean)) : mean;
            sums[j] = 0;
        }
    }

    // Whether this is the first run of its class.
    bool opens_class(Index r) const { return r == 0 || job.runs[r - 1].cls != job.runs[r].cls; }

    // The first sqrt(n) of the n rows of the class that opens with this run: an outlier among them moves the
    // pivot by no more than its own share of the spread. Rounded, it leaves deviations of few bits, whose
    // sums are nearly exact.
    void find_pivot_of_first_rows(Index r) const {
        ClassRun rows = job.runs[r];
        Index end = rows.end;
        for (Index next = r + 1; next < job.num_runs && job.runs[next].cls == rows.cls; ++next) {
            end = job.runs[next].end;
        }
        rows.end =
            rows.begin + static_cast<Index>(std::ceil(std::sqrt(static_cast<double>(end - rows.begin))));
        find_pivot(rows, true);
    }

    // A run that is all there is of its class.
    void add_class(Index r) const {
        const ClassRun& run = job.runs[r];
        if (job.abouts[r] == About::first_rows) find_pivot_of_first_rows(r);
        if (job.abouts[r] == About::all_rows) find_pivot(run, false);
        job.squares[run.cls] += add(run, job.sums + run.cls * job.features.cols);
    }

    // One of several runs of its class.
    void add_part(const ClassRun& run) const {
        const Index d = job.features.cols;
        double* partial = job.partial_sums + run.slot * d;
        for (Index j = 0; j < d; ++j) partial[j] = 0;
        job.partial_squares[run.slot] = add(run, partial);
    }

    void add_partial_sums(const ClassRun& run) const {
        const Index d = job.features.cols;
        const double* partial = job.partial_sums + run.slot * d;
        double* sums = job.sums + run.cls * d;
#pragma omp simd
        for (Index j = 0; j < d; ++j) sums[j] += partial[j];
        job.squares[run.cls] += job.partial_squares[run.slot];
    }
};

}  // namespace

template <class T>
void class_sums(const ClassSumsJob<T>& job) {
    const Sums<T> sums{job};
    // Neighbours go to one thread: the rows of the next run are on their way while it sums those of the last.
    const int neighbours = static_cast<int>(larger<Index>(1, job.num_runs / (kParts * job.threads)));
#pragma omp parallel num_threads(job.threads) if (job.threads > 1)
    {
#pragma omp for schedule(dynamic)
        for (Index r = 0; r < job.num_runs; ++r) {
            const bool is_new = job.runs[r].slot >= 0 && job.abouts[r] == About::first_rows;
            if (is_new && sums.opens_class(r)) sums.find_pivot_of_first_rows(r);
        }
#pragma omp for schedule(dynamic, neighbours)
        for (Index r = 0; r < job.num_runs; ++r) {
            if (job.runs[r].slot < 0) {
                sums.add_class(r);
            } else {
                sums.add_part(job.runs[r]);
            }
        }
    }
    // Partial sums of a class are combined in the order of its runs, whoever computed them.
    for (Index r = 0; r < job.num_runs; ++r) {
        if (job.runs[r].slot >= 0) sums.add_partial_sums(job.runs[r]);
    }
}

template void class_sums(const ClassSumsJob<float>&);
template void class_sums(const ClassSumsJob<double>&);

}  // namespace ncfast::NCFAST_ISA
