#include "kernels/kernels.hpp"
#include "kernels/products.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

constexpr Index kTile = 192;
constexpr Index kTerms = 2 * kDepth;  // summed at a time: what is packed of them stays in cache

void mirror_tile(RowMap<double>& g, Index i, Index j, Index rows, Index cols) {
    for (Index r = 0; r < rows; ++r) {
        for (Index c = 0; c < (i == j ? r : cols); ++c) g(j + c, i + r) = g(i + r, j + c);
    }
}

}  // namespace

void gram(const GramJob& job) {
    const Matrix<double>& a = job.left;
    const Matrix<double>& b = job.right;
    const Operand<double> left{a.data, a.row_step, a.col_step};
    const Operand<double> right{b.data, b.row_step, b.col_step};
    RowMap<double> g(job.product, a.rows, b.rows, Eigen::OuterStride<>(b.rows));
    const Index row_tiles = blocks_of(a.rows, kTile);
    const Index col_tiles = blocks_of(b.rows, kTile);
#pragma omp parallel num_threads(job.threads) if (job.threads > 1)
    {
        Packed<double> packed(smaller(kTerms, b.cols), smaller(kTile, b.rows));
#pragma omp for schedule(dynamic)
        for (Index t = 0; t < row_tiles * col_tiles; ++t) {
            const Index i = t / col_tiles * kTile;
            const Index j = t % col_tiles * kTile;
            if (job.symmetric && j > i) continue;
            const Index rows = smaller(kTile, a.rows - i);
            const Index cols = smaller(kTile, b.rows - j);
            multiply_in_parts(left.from(i), rows, right.from(j), cols, b.cols, kTerms,
                              job.symmetric && i == j, packed, &g(i, j), b.rows);
            if (job.symmetric) mirror_tile(g, i, j, rows, cols);
        }
    }
}

}  // namespace ncfast::NCFAST_ISA
