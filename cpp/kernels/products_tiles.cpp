#include "kernels/products.hpp"

#if defined(__AMX_INT8__)
#include "kernels/products_tiles.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

constexpr Index kBlockRows = 256;  // rows of the first operand that stay in the second-level cache

// Two groups of rows of the first operand, or one, and a panel of the second.
struct Pair {
    const float* left;
    Index group;
    const float* row_exponents;
    const float* panel;
    const float* col_exponents;
    Index steps, rows, cols;
};

// 32 rows of 32 products, or of the sums that make them.
template <class F>
struct Room;
template <>
struct Room<tiles::Bytes> {
    alignas(64) std::int32_t sums[3][32 * 32];

    void multiply(const Pair& pair) {
        for (Index r = 0; r < pair.rows; r += tiles::kRows) {
            const float* left = pair.left + r / tiles::kRows * pair.group;
            const auto run = pair.cols > 16 ? tiles::multiply_bytes<2> : tiles::multiply_bytes<1>;
            run(left, pair.panel, pair.steps, sums[0] + r * 32, sums[1] + r * 32, sums[2] + r * 32);
        }
    }

    // The sums count for 2^32, 2^24 and 2^16.
    __m512 at(const Pair& pair, Index i, Index j) const {
        const auto sum = [&](int s) { return _mm512_cvtepi32_ps(_mm512_load_si512(sums[s] + i * 32 + j)); };
        const __m512 weight = _mm512_set1_ps(256);
        const __m512 total = _mm512_fmadd_ps(_mm512_fmadd_ps(sum(0), weight, sum(1)), weight, sum(2));
        return _mm512_scalef_ps(
            total, _mm512_set1_ps(pair.row_exponents[i] + 16) + _mm512_loadu_ps(pair.col_exponents + j));
    }
};
template <>
struct Room<tiles::Halves> {
    alignas(64) float sums[32 * 32];

    void multiply(const Pair& pair) {
        const bool two = pair.rows > tiles::kRows;
        const auto run = pair.cols > 16 ? (two ? tiles::multiply_halves<2, 2> : tiles::multiply_halves<1, 2>)
                                        : (two ? tiles::multiply_halves<2, 1> : tiles::multiply_halves<1, 1>);
        run(pair.left, pair.group, pair.panel, pair.steps, sums);
    }

    __m512 at(const Pair&, Index i, Index j) const { return _mm512_load_ps(sums + i * 32 + j); }
};

template <class F>
void multiply_pair(const Pair& pair, float* out, Index out_stride, bool add) {
    Room<F> room;
    room.multiply(pair);
    for (Index i = 0; i < pair.rows; ++i, out += out_stride) {
        for (Index j = 0; j < pair.cols; j += 16) {
            const auto mask = static_cast<__mmask16>((1U << smaller<Index>(16, pair.cols - j)) - 1U);
            __m512 products = room.at(pair, i, j);
            if (add) products += _mm512_maskz_loadu_ps(mask, out + j);
            _mm512_mask_storeu_ps(out + j, mask, products);
        }
    }
}

// The first operand in tiles: groups of 16 rows, of steps, of parts.
template <class F>
struct Left {
    Eigen::VectorXf tiles, exponents;
    Index group;

    Left(Index rows, Index depth) : group(blocks_of(depth, F::kTerms) * F::kParts * tiles::kTile) {
        const Index groups = blocks_of(rows, tiles::kRows);
        tiles.resize(groups * group);
        exponents.resize(groups * tiles::kRows);
    }

    void fill(const Operand<float>& a, Index rows, Index depth) {
        for (Index r = 0; r < rows; r += tiles::kRows) {
            tiles::fill(F(), a.from(r), smaller(tiles::kRows, rows - r), depth,
                        {tiles.data() + r / tiles::kRows * group, tiles::kTile, F::kParts * tiles::kTile,
                         false, exponents.data() + r});
        }
    }
};

template <class F>
void multiply_as(const Operand<float>& a, Index rows, const Packed<float>& b, Index first, Index cols,
                 float* out, Index out_stride, bool add) {
    const tiles::Unit unit;
    Left<F> left(smaller(kBlockRows, rows), smaller(b.step(), b.depth()));
    for (Index k = 0; k < b.depth(); k += b.step(), add = true) {
        const Index depth = smaller(b.step(), b.depth() - k);
        const Index steps = blocks_of(depth, F::kTerms);
        for (Index i = 0; i < rows; i += kBlockRows) {
            const Index height = smaller(kBlockRows, rows - i);
            left.fill({a.at(i, k), a.row_step, a.col_step}, height, depth);
            for (Index j = 0; j < cols; j += kPanelCols<float>) {
                const float* panel = b.at(first + j, k, depth);
                const float* exponents = panel + steps * 2 * F::kParts * tiles::kTile;
                const Index width = smaller(kPanelCols<float>, cols - j);
                for (Index r = 0; r < height; r += 32) {
                    multiply_pair<F>({left.tiles.data() + r / tiles::kRows * left.group, left.group,
                                      left.exponents.data() + r, panel, exponents, steps,
                                      smaller<Index>(32, height - r), width},
                                     out + (i + r) * out_stride + j, out_stride, add);
                }
            }
        }
    }
}

// A panel: steps, of parts, of two tiles of 16 rows; then the exponents of the rows.
template <class F>
void fill_panel(const Operand<float>& b, Index rows, Index first, const Packed<float>& packed) {
    constexpr Index kPart = 2 * tiles::kTile;
    for (Index k = 0; k < packed.depth(); k += packed.step()) {
        const Index depth = smaller(packed.step(), packed.depth() - k);
        float* out = const_cast<float*>(packed.at(first, k, depth));
        float* exponents = out + blocks_of(depth, F::kTerms) * F::kParts * kPart;
        for (Index half = 0; half < 2; ++half) {
            const Index from = first + half * tiles::kRows;
            const Index count = smaller(tiles::kRows, larger<Index>(0, rows - from));
            tiles::fill(
                F(), {b.at(from, k), b.row_step, b.col_step}, count, depth,
                {out + half * tiles::kTile, kPart, F::kParts * kPart, true, exponents + half * tiles::kRows});
        }
    }
}

}  // namespace

void fill_tiles(const Operand<float>& b, Index rows, Index first, const Packed<float>& packed) {
    if (packed.digits() == Digits::few) {
        fill_panel<tiles::Halves>(b, rows, first, packed);
    } else {
        fill_panel<tiles::Bytes>(b, rows, first, packed);
    }
}

void multiply_tiles(const Operand<float>& a, Index rows, const Packed<float>& b, Index first, Index cols,
                    float* out, Index out_stride, bool add) {
    if (b.digits() == Digits::few) {
        multiply_as<tiles::Halves>(a, rows, b, first, cols, out, out_stride, add);
    } else {
        multiply_as<tiles::Bytes>(a, rows, b, first, cols, out, out_stride, add);
    }
}

}  // namespace ncfast::NCFAST_ISA

#endif
