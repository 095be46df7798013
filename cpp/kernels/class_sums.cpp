#include "kernels/kernels.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

// Four rows at a time share one load of the pivot and one update of the sums; all arithmetic is in double,
// which costs nothing while the features stream in from memory.
template <class T>
double add_four_rows(const T* r0, const T* r1, const T* r2, const T* r3, const double* pivot, double* sums,
                     Index cols) {
    double squares = 0;
#pragma omp simd reduction(+ : squares)
    for (Index j = 0; j < cols; ++j) {
        const double a = pivot[j];
        const double x0 = static_cast<double>(r0[j]) - a;
        const double x1 = static_cast<double>(r1[j]) - a;
        const double x2 = static_cast<double>(r2[j]) - a;
        const double x3 = static_cast<double>(r3[j]) - a;
        sums[j] += (x0 + x1) + (x2 + x3);
        squares += (x0 * x0 + x1 * x1) + (x2 * x2 + x3 * x3);
    }
    return squares;
}

template <class T>
double add_row(const T* row, const double* pivot, double* sums, Index cols) {
    double squares = 0;
#pragma omp simd reduction(+ : squares)
    for (Index j = 0; j < cols; ++j) {
        const double x = static_cast<double>(row[j]) - pivot[j];
        sums[j] += x;
        squares += x * x;
    }
    return squares;
}

template <class T>
double add_weighted_row(const T* row, double weight, const double* pivot, double* sums, Index cols) {
    double squares = 0;
#pragma omp simd reduction(+ : squares)
    for (Index j = 0; j < cols; ++j) {
        const double x = static_cast<double>(row[j]) - pivot[j];
        const double counted = weight * x;
        sums[j] += counted;
        squares += counted * x;
    }
    return squares;
}

template <class T>
double add_run(const ClassSumsJob<T>& job, const ClassRun& run, double* sums) {
    const Rows<T>& h = job.features;
    const double* pivot = job.pivots + run.cls * h.cols;
    const auto row = [&](Index position) { return h.data + job.order[position] * h.stride; };
    double squares = 0;
    Index p = run.begin;
    for (; job.weights != nullptr && p < run.end; ++p) {
        squares += add_weighted_row(row(p), job.weights[job.order[p]], pivot, sums, h.cols);
    }
    for (; p + 4 <= run.end; p += 4) {
        squares += add_four_rows(row(p), row(p + 1), row(p + 2), row(p + 3), pivot, sums, h.cols);
    }
    for (; p < run.end; ++p) {
        squares += add_row(row(p), pivot, sums, h.cols);
    }
    return squares;
}

}  // namespace

template <class T>
void class_sums(const ClassSumsJob<T>& job) {
    const Index d = job.features.cols;
#pragma omp parallel for num_threads(job.threads) schedule(dynamic) if (job.threads > 1)
    for (Index r = 0; r < job.num_runs; ++r) {
        const ClassRun& run = job.runs[r];
        if (run.slot < 0) {
            job.squares[run.cls] += add_run(job, run, job.sums + run.cls * d);
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
