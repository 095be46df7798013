#include <cmath>

#include "kernels/kernels.hpp"
#include "kernels/products.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

constexpr Index kGroup = 48;  // rows that products take at a time
constexpr Index kMaxBlockRows = 240;
constexpr Index kCentredBytes = 512 << 10;  // centred rows of one block should stay in the second-level cache

// The tile unit is so quick that the basis must not be read again and again from beyond that cache.
constexpr Index kTilesGroup = 32;
constexpr Index kTilesMaxBlockRows = 256;
constexpr Index kTilesCentredBytes = 2 << 20;

template <class P>
Index block_rows_for(const Packed<P>& basis) {
    const Index group = basis.on_tiles() ? kTilesGroup : kGroup;
    const Index most = basis.on_tiles() ? kTilesMaxBlockRows : kMaxBlockRows;
    const Index bytes = basis.on_tiles() ? kTilesCentredBytes : kCentredBytes;
    const Index rows = bytes / (basis.depth() * static_cast<Index>(sizeof(P))) / group * group;
    return larger(group, smaller(most, rows));
}

// Directions that would leave most of a panel empty. The tile unit has panels enough for all.
template <class P>
Index left_over(Index rank) {
    const Index rest = rank % kPanelCols<P>;
    return kOnTiles<P> || rest > kFewCols<P> ? 0 : rest;
}

// Writes z = scale * (h - pivot) and returns ||z||^2.
template <class T, class P>
double centre_row(const ProjectJob<T, P>& job, Index i, P* z) {
    const Rows<T>& h = job.features;
    const Index label = job.labels[i];
    if (label < 0) {
        for (Index j = 0; j < h.cols; ++j) z[j] = 0;
        return 0;
    }
    const T* row = h.data + i * h.stride;
    const P* pivot = job.pivots + label * h.cols;
    const P scale = job.scale;
    double squares = 0;
#pragma omp simd reduction(+ : squares)
    for (Index j = 0; j < h.cols; ++j) {
        const P x = (static_cast<P>(row[j]) - pivot[j]) * scale;
        z[j] = x;
        squares += static_cast<double>(x) * static_cast<double>(x);
    }
    return squares;
}

template <class P>
void add_squares(const P* row, Index rank, double weight, double* sums) {
#pragma omp simd
    for (Index j = 0; j < rank; ++j) {
        sums[j] += weight * static_cast<double>(row[j]) * static_cast<double>(row[j]);
    }
}

// The rows of the block that this thread will most likely take next, spread over the products of this one.
template <class T, class P>
Ahead rows_after(const ProjectJob<T, P>& job, Index first, Index block_rows, Index directions) {
    const Rows<T>& h = job.features;
    const Index next = smaller(first + job.threads * block_rows, h.rows - 1);
    const Index bytes = block_rows * h.stride * static_cast<Index>(sizeof(T));
    const Index tiles = directions / kPanelCols<P> * blocks_of(block_rows, kTileRows);
    return {reinterpret_cast<std::uintptr_t>(h.data + next * h.stride),
            blocks_of(bytes, larger<Index>(tiles * h.cols, 1))};
}

}  // namespace

template <class T, class P>
void project(const ProjectJob<T, P>& job) {
    const Rows<T>& h = job.features;
    const Index few = left_over<P>(job.rank);
    const Index packed = job.rank - few;
    Packed<P> basis(h.cols, packed);
    const Index block_rows = block_rows_for(basis);
    const Index blocks = blocks_of(h.rows, block_rows);
    const Index stride = row_stride<P>(h.cols);
    RowMajor<double> partial = RowMajor<double>::Zero(blocks, job.rank);
#pragma omp parallel num_threads(job.threads) if (job.threads > 1)
    {
        RowMajor<P> centred(block_rows, stride);
        RowMajor<P> projected(block_rows, job.rank);
        Eigen::VectorXd row_weights(block_rows);
#pragma omp for
        for (Index p = 0; p < blocks_of(packed, kPanelCols<P>); ++p) {
            basis.fill(rows_of(job.basis, h.cols), packed, p);
        }
#pragma omp for schedule(dynamic)
        for (Index b = 0; b < blocks; ++b) {
            const Index first = b * block_rows;
            const Index rows = smaller(block_rows, h.rows - first);
            for (Index i = 0; i < rows; ++i) {
                const Index label = job.labels[first + i];
                job.norms[first + i] =
                    std::sqrt(centre_row<T, P>(job, first + i, centred.data() + i * stride));
                row_weights[i] = label < 0 ? 0 : job.class_weights[label];
                if (job.weights != nullptr) row_weights[i] *= job.weights[first + i];
            }
            if (job.rank == 0) continue;
            P* out = job.coordinates != nullptr ? job.coordinates + first * job.rank : projected.data();
            const Ahead ahead = rows_after(job, first, block_rows, packed);
            multiply(rows_of(centred.data(), stride), rows, basis, 0, packed, out, job.rank, false, ahead);
            multiply_few(centred.data(), stride, rows, job.basis + packed * h.cols, few, h.cols, out + packed,
                         job.rank);
            for (Index i = 0; i < rows; ++i) {
                add_squares(out + i * job.rank, job.rank, row_weights[i], partial.row(b).data());
            }
        }
    }
    Eigen::Map<Eigen::RowVectorXd> total(job.column_squares, job.rank);
    for (Index b = 0; b < blocks; ++b) total += partial.row(b);
}

template void project<float, float>(const ProjectJob<float, float>&);
template void project<float, double>(const ProjectJob<float, double>&);
template void project<double, double>(const ProjectJob<double, double>&);

}  // namespace ncfast::NCFAST_ISA
