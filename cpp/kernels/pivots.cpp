#include "kernels/kernels.hpp"

namespace ncfast::NCFAST_ISA {

template <class T>
void pivots(const PivotsJob<T>& job) {
    const Rows<T>& h = job.features;
#pragma omp parallel for num_threads(job.threads) schedule(dynamic) if (job.threads > 1)
    for (Index r = 0; r < job.num_runs; ++r) {
        const ClassRun& run = job.runs[r];
        const auto row = [&](Index position) { return h.data + job.order[position] * h.stride; };
        double* pivot = job.pivots + run.cls * h.cols;
        const auto weight = [&](Index position) {
            return job.weights == nullptr ? 1.0 : job.weights[job.order[position]];
        };
        const T* base = row(run.begin);
        double mass = weight(run.begin);
        for (Index j = 0; j < h.cols; ++j) pivot[j] = 0;
        for (Index p = run.begin + 1; p < run.end; ++p) {
            const T* other = row(p);
            const double w = weight(p);
            mass += w;
#pragma omp simd
            for (Index j = 0; j < h.cols; ++j) {
                pivot[j] += w * (static_cast<double>(other[j]) - static_cast<double>(base[j]));
            }
        }
        // Relative to the first row, so that equal rows give that row exactly; rounded to T, so that
        // deviations have few bits and their sums are nearly exact.
#pragma omp simd
        for (Index j = 0; j < h.cols; ++j) {
            pivot[j] = static_cast<double>(static_cast<T>(static_cast<double>(base[j]) + pivot[j] / mass));
        }
    }
}

template void pivots(const PivotsJob<float>&);
template void pivots(const PivotsJob<double>&);

}  // namespace ncfast::NCFAST_ISA
