#include "kernels/products.hpp"

#if defined(__AMX_BF16__)
#include "kernels/products_tiles.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

constexpr Index kBlockRows = 256;  // rows of the first operand that stay in the second-level cache

// Adds the first rows and columns of a product to `out`, or writes them there.
void put(const float* product, Index rows, Index cols, float* out, Index out_stride, bool add) {
    for (Index i = 0; i < rows; ++i, product += 32, out += out_stride) {
        for (Index j = 0; j < cols; j += 16) {
            const auto mask = static_cast<__mmask16>((1U << smaller<Index>(16, cols - j)) - 1U);
            __m512 sum = _mm512_loadu_ps(product + j);
            if (add) sum += _mm512_maskz_loadu_ps(mask, out + j);
            _mm512_mask_storeu_ps(out + j, mask, sum);
        }
    }
}

template <int R, int P>
void multiply_panel(const float* left, Index group, const float* panel, Index steps, Index rows, Index cols,
                    float* out, Index out_stride, bool add) {
    if (rows == 16 * R && cols == 32 && !add) {
        tiles::multiply<R, 2, P>(left, group, panel, steps, out, out_stride);
        return;
    }
    alignas(64) float room[32 * 32];
    if (cols > 16) {
        tiles::multiply<R, 2, P>(left, group, panel, steps, room, 32);
    } else {
        tiles::multiply<R, 1, P>(left, group, panel, steps, room, 32);
    }
    put(room, rows, cols, out, out_stride, add);
}

// The first operand in tiles: groups of 16 rows, of 32 terms each, of parts.
template <int P>
void fill_left(const Operand<float>& a, Index rows, Index depth, Index group, float* out) {
    for (Index r = 0; r < rows; r += tiles::kRows, out += group) {
        for (Index t = 0; t < depth; t += tiles::kTerms) {
            tiles::fill<P>({a.at(r, t), a.row_step, a.col_step}, smaller(tiles::kRows, rows - r), depth - t,
                           false, out + t / tiles::kTerms * P * tiles::kTile, tiles::kTile);
        }
    }
}

template <int P>
void multiply_parts(const Operand<float>& a, Index rows, const Packed<float>& b, Index first, Index cols,
                    float* out, Index out_stride, bool add) {
    const tiles::Unit unit;
    const Index group = blocks_of(smaller(b.step(), b.depth()), tiles::kTerms) * P * tiles::kTile;
    Eigen::VectorXf left(blocks_of(smaller(kBlockRows, rows), tiles::kRows) * group);
    for (Index k = 0; k < b.depth(); k += b.step(), add = true) {
        const Index depth = smaller(b.step(), b.depth() - k);
        const Index steps = blocks_of(depth, tiles::kTerms);
        for (Index i = 0; i < rows; i += kBlockRows) {
            const Index height = smaller(kBlockRows, rows - i);
            fill_left<P>({a.at(i, k), a.row_step, a.col_step}, height, depth, group, left.data());
            for (Index j = 0; j < cols; j += kPanelCols<float>) {
                const float* panel = b.at(first + j, k, depth);
                const Index width = smaller(kPanelCols<float>, cols - j);
                for (Index r = 0; r < height; r += 32) {
                    const float* from = left.data() + r / tiles::kRows * group;
                    float* to = out + (i + r) * out_stride + j;
                    const Index left_rows = smaller<Index>(32, height - r);
                    if (left_rows > tiles::kRows) {
                        multiply_panel<2, P>(from, group, panel, steps, left_rows, width, to, out_stride,
                                             add);
                    } else {
                        multiply_panel<1, P>(from, group, panel, steps, left_rows, width, to, out_stride,
                                             add);
                    }
                }
            }
        }
    }
}

template <int P>
void fill_panel(const Operand<float>& b, Index rows, Index first, const Packed<float>& packed) {
    for (Index k = 0; k < packed.depth(); k += packed.step()) {
        const Index depth = smaller(packed.step(), packed.depth() - k);
        float* out = const_cast<float*>(packed.at(first, k, depth));
        for (Index t = 0; t < depth; t += tiles::kTerms, out += 2 * P * tiles::kTile) {
            for (Index half = 0; half < 2; ++half) {
                const Index from = first + half * tiles::kRows;
                const Index count = smaller(tiles::kRows, larger<Index>(0, rows - from));
                tiles::fill<P>({b.at(from, k + t), b.row_step, b.col_step}, count, depth - t, true,
                               out + half * tiles::kTile, 2 * tiles::kTile);
            }
        }
    }
}

}  // namespace

void fill_tiles(const Operand<float>& b, Index rows, Index first, const Packed<float>& packed) {
    if (packed.digits() == Digits::few) {
        fill_panel<1>(b, rows, first, packed);
    } else {
        fill_panel<3>(b, rows, first, packed);
    }
}

void multiply_tiles(const Operand<float>& a, Index rows, const Packed<float>& b, Index first, Index cols,
                    float* out, Index out_stride, bool add) {
    if (b.digits() == Digits::few) {
        multiply_parts<1>(a, rows, b, first, cols, out, out_stride, add);
    } else {
        multiply_parts<3>(a, rows, b, first, cols, out, out_stride, add);
    }
}

}  // namespace ncfast::NCFAST_ISA

#endif
