#include <cstring>

#include "kernels/kernels.hpp"

// Plain passes over a frame, class means or weights, in as many threads as memory feeds.
namespace ncfast::NCFAST_ISA {
namespace {

constexpr Index kBand = 64;  // rows whose sums are taken by one thread, and then added band by band

template <class T>
const T* row(const Rows<T>& rows, Index k) {
    return rows.data + k * rows.stride;
}

// Calls add(k, sums) for each row and writes the sums over all of them.
template <class Add>
void sum_rows(Index rows, Index cols, int threads, double* total, const Add& add) {
    const Index bands = blocks_of(rows, kBand);
    RowMajor<double> partial = RowMajor<double>::Zero(bands, cols);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Index b = 0; b < bands; ++b) {
        for (Index k = b * kBand; k < smaller(rows, (b + 1) * kBand); ++k) add(k, partial.data() + b * cols);
    }
    for (Index j = 0; j < cols; ++j) total[j] = 0;
    for (Index b = 0; b < bands; ++b) {
        for (Index j = 0; j < cols; ++j) total[j] += partial(b, j);
    }
}

// unit times the power of four at or below x. The bias of exponents is odd, so that the exponent of a power
// of four is, too: of an even one, one less.
double at_power_of_four(double x, double unit) {
    constexpr std::int64_t kExponent = 0x7FF0000000000000, kOne = std::int64_t{1} << 52;
    std::int64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    bits = ((bits - kOne) | kOne) & kExponent;
    std::memcpy(&x, &bits, sizeof bits);
    return x * unit;
}

}  // namespace

void row_products(const RowProductsJob& job) {
    const Index cols = job.left.cols;
#pragma omp parallel for schedule(static) num_threads(job.threads) if (job.threads > 1)
    for (Index k = 0; k < job.left.rows; ++k) {
        const double* a = row(job.left, k);
        const double* b = job.right + k * job.right_stride;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (Index j = 0; j < cols; ++j) sum += a[j] * b[j];
        job.products[k] = sum;
    }
}

void row_distances(const RowDistancesJob& job) {
    const double factor = job.factor;
    const Index cols = job.left.cols;
#pragma omp parallel for schedule(static) num_threads(job.threads) if (job.threads > 1)
    for (Index k = 0; k < job.left.rows; ++k) {
        const double *a = row(job.left, k), *b = row(job.right, k);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (Index j = 0; j < cols; ++j) {
            const double apart = a[j] - factor * b[j];
            sum += apart * apart;
        }
        job.squares[k] = sum;
    }
}

void frame_mean(const FrameMeanJob& job) {
    const Index cols = job.vectors.cols;
    // Relative to the first row, so that a large common offset costs no digits.
    const double* base = row(job.vectors, 0);
    sum_rows(job.vectors.rows, cols, job.threads, job.mean, [&](Index k, double* sums) {
        const double* v = row(job.vectors, k);
        const double share = job.shares[k];
#pragma omp simd
        for (Index j = 0; j < cols; ++j) sums[j] += share * (v[j] - base[j]);
    });
    for (Index j = 0; j < cols; ++j) job.mean[j] += base[j];
}

void centre(const CentreJob& job) {
    const Index cols = job.vectors.cols;
    const double* centre = job.centre;
#pragma omp parallel for schedule(static) num_threads(job.threads) if (job.threads > 1)
    for (Index k = 0; k < job.vectors.rows; ++k) {
        const double* v = row(job.vectors, k);
        double* out = job.centred + k * cols;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (Index j = 0; j < cols; ++j) {
            const double x = v[j] - centre[j];
            out[j] = x;
            sum += x * x;
        }
        job.squares[k] = sum;
    }
}

void rounded(const RoundedJob& job) {
    const Index cols = job.vectors.cols;
#pragma omp parallel for schedule(static) num_threads(job.threads) if (job.threads > 1)
    for (Index k = 0; k < job.vectors.rows; ++k) {
        const double* v = row(job.vectors, k);
        for (Index j = 0; j < cols; ++j) job.rounded[k * cols + j] = static_cast<float>(v[j]);
    }
}

void mirror(const MirrorJob& job) {
    const Index size = job.size;
#pragma omp parallel for schedule(dynamic) num_threads(job.threads) if (job.threads > 1)
    for (Index first = 0; first < size; first += kBand) {
        const Index end = smaller(first + kBand, size);
        for (Index i = first; i < end; ++i) {
            std::memcpy(job.full + i * size, job.lower + i * size,
                        static_cast<std::size_t>(i + 1) * sizeof(double));
        }
        // Above the diagonal a square at a time, so that both are read and written by whole cache lines.
        for (Index start = first; start < size; start += kBand) {
            for (Index i = first; i < end; ++i) {
                for (Index j = larger(start, i + 1); j < smaller(start + kBand, size); ++j) {
                    job.full[i * size + j] = job.lower[j * size + i];
                }
            }
        }
    }
}

void rounding(const RoundingJob& job) {
    const Index cols = job.means.cols;
    const double least = job.least, unit = job.unit;
    sum_rows(job.means.rows, cols, job.threads, job.by_feature, [&](Index k, double* sums) {
        const double* mean = row(job.means, k);
        const double spread = job.spreads[k], share = job.shares[k];
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (Index j = 0; j < cols; ++j) {
            const double variance = at_power_of_four(larger(mean[j] * mean[j] + spread, least), unit);
            sum += variance;
            sums[j] += share * variance;
        }
        job.by_class[k] = sum;
    });
}

}  // namespace ncfast::NCFAST_ISA
