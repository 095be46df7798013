// Dense products for the unconstrained-features kernels. A product that fits the first-level cache is done in
// registers here, where a general one would spend most of its time on packing.
#pragma once

#include "core/ufm.hpp"
#include "kernels/products.hpp"
#include "kernels/ufm_team.hpp"

namespace ncfast::NCFAST_ISA {

using ufm::kLanes;
using ufm::Panel;

using Lanes = Eigen::Array<double, kLanes, 1>;
using LanesAt = Eigen::Map<Lanes>;
using ConstLanesAt = Eigen::Map<const Lanes>;

constexpr Index kSmallProduct = 1 << 15;  // multiplications
constexpr Index kFewRows = 12;            // of a product: not worth packing the other operand
#if defined(__AVX512F__)
constexpr int kRowsAtOnce = 8;
#else
constexpr int kRowsAtOnce = 4;
#endif
constexpr Index kSplit = 64;  // columns of a large product per unit of work

inline RowMap<double> view(const Panel& p, Index cols) {
    return {p.data, p.rows, cols, Eigen::OuterStride<>(p.stride)};
}

inline Panel columns_of(const Panel& p, Index first, Index cols) {
    return {p.data + first, p.rows, cols, p.stride};
}

inline double sum_of(const Lanes& x) {
    const Eigen::Array4d four = x.head<4>() + x.tail<4>();
    const Eigen::Array2d two = four.head<2>() + four.tail<2>();
    return two[0] + two[1];
}

/// R rows of the product: out = A B, entry (r, k) of A at a[r * row_step + k * col_step].
template <int R>
void multiply_rows(const double* a, Index row_step, Index col_step, const Panel& b, Index width, double* out,
                   Index out_stride) {
    for (Index p = 0; p < width; p += kLanes) {
        Lanes sum[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) sum[r].setZero();
        for (Index k = 0; k < b.rows; ++k) {
            const ConstLanesAt x(b.data + k * b.stride + p);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) sum[r] += a[r * row_step + k * col_step] * x;
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) LanesAt(out + r * out_stride + p) = sum[r];
    }
}

inline void multiply_small(const double* a, Index row_step, Index col_step, const Panel& b, Index width,
                           const Panel& out) {
    Index r = 0;
    for (; r + kRowsAtOnce <= out.rows; r += kRowsAtOnce)
        multiply_rows<kRowsAtOnce>(a + r * row_step, row_step, col_step, b, width, out.data + r * out.stride,
                                   out.stride);
    for (; r + 2 <= out.rows; r += 2)
        multiply_rows<2>(a + r * row_step, row_step, col_step, b, width, out.data + r * out.stride,
                         out.stride);
    for (; r < out.rows; ++r)
        multiply_rows<1>(a + r * row_step, row_step, col_step, b, width, out.data + r * out.stride,
                         out.stride);
}

/// out += A B^T for R rows of A and S rows of B, both `width` long.
template <int R, int S>
void multiply_dots(const Panel& a, Index i, const Panel& b, Index j, Index width, const Panel& out) {
    Lanes sum[R][S];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s) sum[r][s].setZero();
    }
    for (Index p = 0; p < width; p += kLanes) {
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const ConstLanesAt x(a.data + (i + r) * a.stride + p);
#pragma GCC unroll 8
            for (int s = 0; s < S; ++s) sum[r][s] += x * ConstLanesAt(b.data + (j + s) * b.stride + p);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int s = 0; s < S; ++s) out.data[(i + r) * out.stride + j + s] += sum_of(sum[r][s]);
    }
}

inline bool is_small(Index rows, Index inner, Index cols) { return rows * inner * cols <= kSmallProduct; }

/// out = A B, or A^T B; the first `width` columns of B, a multiple of kLanes.
inline void multiply(const Panel& a, bool transposed, const Panel& b, Index width, const Panel& out) {
    if (is_small(a.rows, a.cols, width) || out.rows <= kFewRows) {
        multiply_small(a.data, transposed ? 1 : a.stride, transposed ? a.stride : 1, b, width, out);
        return;
    }
    Packed<double> packed(b.rows, width);
    packed.fill(columns_of<double>(b.data, b.stride), width);
    const Operand<double> left =
        transposed ? columns_of<double>(a.data, a.stride) : rows_of<double>(a.data, a.stride);
    multiply(left, out.rows, packed, 0, width, out.data, out.stride);
}

/// out = A B^T, or out += A B^T, over the first `width` columns of both.
inline void multiply_outer(const Panel& a, const Panel& b, Index width, const Panel& out, bool add = false) {
    if (is_small(a.rows, b.rows, width)) {
        if (!add) view(out, b.rows).setZero();
        for (Index i = 0; i < a.rows; ++i) {
            Index j = 0;
            for (; j + 4 <= b.rows; j += 4) multiply_dots<1, 4>(a, i, b, j, width, out);
            for (; j < b.rows; ++j) multiply_dots<1, 1>(a, i, b, j, width, out);
        }
        return;
    }
    if (a.rows <= kFewRows && b.rows > 4 * a.rows) {  // pack the short one: (B A^T)^T
        Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic> turned(a.rows, b.rows);
        Packed<double> packed(width, a.rows);
        packed.fill(rows_of<double>(a.data, a.stride), a.rows);
        multiply(rows_of<double>(b.data, b.stride), b.rows, packed, 0, a.rows, turned.data(), a.rows);
        if (!add) view(out, b.rows).setZero();
        view(out, b.rows) += turned;
        return;
    }
    Packed<double> packed(width, b.rows);
    packed.fill(rows_of<double>(b.data, b.stride), b.rows);
    multiply(rows_of<double>(a.data, a.stride), a.rows, packed, 0, b.rows, out.data, out.stride, add);
}

/// The same as `multiply` over all columns of B, by a team.
inline void multiply_by_team(const Panel& a, bool transposed, const Panel& b, const Panel& out, int threads) {
    for_units(blocks_of(b.stride, kSplit), threads, [&](Index u, Index) {
        const Index width = smaller<Index>(kSplit, b.stride - u * kSplit);
        multiply(a, transposed, columns_of(b, u * kSplit, width), width, columns_of(out, u * kSplit, width));
    });
}

/// out = A B^T, by a team.
inline void outer_by_team(const Panel& a, const Panel& b, const Panel& out, int threads) {
    for_units(blocks_of(b.rows, kSplit), threads, [&](Index u, Index) {
        const Index rows = smaller<Index>(kSplit, b.rows - u * kSplit);
        const Panel part{b.data + u * kSplit * b.stride, rows, b.cols, b.stride};
        multiply_outer(a, part, a.stride, columns_of(out, u * kSplit, rows));
    });
}

}  // namespace ncfast::NCFAST_ISA
