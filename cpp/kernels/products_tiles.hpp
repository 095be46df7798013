// Float products on the tile unit (AMX), of operands given row by row. Floats are taken apart in one of two
// ways.
//
// With Digits::all a row is scaled by a power of two and rounded to integers of 24 bits, which are three
// signed bytes each. Of the nine products of two such numbers the six that count are summed as integers,
// exactly. What that leaves out is about what rounding products to floats would, unless few entries of a row
// tower above the others (`kDigitsUnit`). With Digits::few a float is rounded to bfloat16.
#pragma once

#include <immintrin.h>

#include "kernels/products.hpp"

namespace ncfast::NCFAST_ISA::tiles {

constexpr Index kRows = 16;   // of a tile, each of 64 bytes
constexpr Index kTile = 256;  // floats in the place of a tile

/// What a tile of 16 rows holds, and of how many parts each term is.
struct Bytes {
    static constexpr Index kTerms = 64;
    static constexpr int kParts = 3;
};
struct Halves {
    static constexpr Index kTerms = 32;
    static constexpr int kParts = 1;
};

/// Up to 16 floats, then zeros.
inline __m512 load(const float* from, Index count) {
    if (count >= 16) return _mm512_loadu_ps(from);
    if (count <= 0) return _mm512_setzero_ps();
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1U), from);
}

/// Turns 16 x 16 numbers of 32 bits over, in place.
inline void transpose(float* tile) {
    __m512i rows[16], t[16];
    for (int i = 0; i < 16; ++i) rows[i] = _mm512_loadu_si512(tile + i * 16);
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; ++i) {
        rows[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        rows[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        rows[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        rows[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
    for (int i = 0; i < 16; ++i) _mm512_storeu_si512(tile + i * 16, rows[i]);
}

/// Magnitudes as integers, whose order is theirs: what is not finite is above all numbers.
inline __m512i magnitudes(__m512 x) {
    return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
}

/// The power of two that takes integers of 24 bits back to this row: its exponent, not finite if the row is
/// not.
inline float exponent_of(const float* row, Index depth) {
    constexpr float kLargest = 127.0F / 128 + 127.0F / 32768 + 127.0F / 8388608;  // whose first byte is 127
    __m512i top = _mm512_setzero_si512();
    for (Index k = 0; k < depth; k += 16) top = _mm512_max_epu32(top, magnitudes(load(row + k, depth - k)));
    const auto largest = static_cast<int>(_mm512_reduce_max_epu32(top));
    if (largest == 0) return 0;
    const __m128 x = _mm_castsi128_ps(_mm_cvtsi32_si128(largest));
    const float mantissa = _mm_cvtss_f32(_mm_getmant_ss(x, x, _MM_MANT_NORM_p5_1, _MM_MANT_SIGN_zero));
    return _mm_cvtss_f32(_mm_getexp_ss(x, x)) - (mantissa <= kLargest ? 22 : 21);
}

/// Writes a row of 64 bytes in each tile of one step: three digits of 64 terms over a power of two, rounded.
/// Those of q are the bytes of q + 128 (1 + 2^8 + 2^16), less 128. Term 16 v + i goes to byte 16 (i / 4) + 4
/// v + i % 4.
inline void write_row(Bytes, const float* row, Index terms, float exponent, float* out, Index apart) {
    const __m512 scale = _mm512_set1_ps(-exponent);
    const __m512i middle = _mm512_set1_epi32(0x808080);
    const __m512i by_digit =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i v[4];
    for (int i = 0; i < 4; ++i) {
        const __m512i q = _mm512_cvtps_epi32(_mm512_scalef_ps(load(row + 16 * i, terms - 16 * i), scale));
        v[i] = _mm512_shuffle_epi8(_mm512_xor_si512(_mm512_add_epi32(q, middle), middle), by_digit);
    }
    const __m512i low = _mm512_unpacklo_epi32(v[0], v[1]), high = _mm512_unpacklo_epi32(v[2], v[3]);
    const __m512i first_low = _mm512_unpackhi_epi32(v[0], v[1]),
                  first_high = _mm512_unpackhi_epi32(v[2], v[3]);
    _mm512_storeu_si512(out, _mm512_unpacklo_epi64(first_low, first_high));
    _mm512_storeu_si512(out + apart, _mm512_unpackhi_epi64(low, high));
    _mm512_storeu_si512(out + 2 * apart, _mm512_unpacklo_epi64(low, high));
}

/// The same of 32 terms as bfloat16.
inline void write_row(Halves, const float* row, Index terms, float, float* out, Index) {
    const __m512bh halves = _mm512_cvtne2ps_pbh(load(row + 16, terms - 16), load(row, terms));
    _mm512_storeu_si512(out, reinterpret_cast<__m512i>(halves));
}

/// Where tiles go: for each step parts `apart` floats from each other, those of the next step `stride` on.
/// The first operand has rows as they are, the second turned over. Exponents tell what bytes stand for.
struct Target {
    float* tiles;
    Index apart, stride;
    bool turned;
    float* exponents;
};

/// Writes up to 16 rows.
template <class F>
void fill(F format, const Operand<float>& a, Index rows, Index depth, const Target& to) {
    for (Index i = 0; i < kRows; ++i) {
        const float* row = a.at(i < rows ? i : 0, 0);
        const Index length = i < rows ? depth : 0;
        to.exponents[i] = F::kParts > 1 ? exponent_of(row, length) : 0;
        float* out = to.tiles + i * 16;
        for (Index k = 0; k < depth; k += F::kTerms, out += to.stride) {
            write_row(format, row + k, length - k, to.exponents[i], out, to.apart);
        }
    }
    float* out = to.tiles;
    for (Index k = 0; to.turned && k < depth; k += F::kTerms, out += to.stride) {
        for (int p = 0; p < F::kParts; ++p) transpose(out + p * to.apart);
    }
}

/// The unit, for as long as it is wanted: eight tiles of 16 rows of 64 bytes.
class Unit {
  public:
    Unit() {
        struct alignas(64) {
            std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
            std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } layout;
        _tile_loadconfig(&layout);
    }
    ~Unit() { _tile_release(); }
    Unit(const Unit&) = delete;
    Unit& operator=(const Unit&) = delete;
};

/// Sums of the products of 16 rows and 16 V: of first digits, of first and second ones, and of those that
/// count as much as two second ones. They go to rows of 32. Tile 6 is a part of the first operand, 7 of the
/// second.
template <int V>
void multiply_bytes(const float* left, const float* right, Index steps, std::int32_t* first,
                    std::int32_t* second, std::int32_t* third) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    // In an order in which one tile of a product often is there already.
    for (Index s = 0; s < steps; ++s, left += 3 * kTile, right += 6 * kTile) {
        _tile_loadd(6, left + 2 * kTile, 64);
        _tile_loadd(7, right, 64);
        _tile_dpbssd(4, 6, 7);
        if constexpr (V == 2) {
            _tile_loadd(7, right + kTile, 64);
            _tile_dpbssd(5, 6, 7);
        }
        _tile_loadd(6, left + kTile, 64);
        if constexpr (V == 2) {
            _tile_dpbssd(3, 6, 7);
            _tile_loadd(7, right + 3 * kTile, 64);
            _tile_dpbssd(5, 6, 7);
        }
        _tile_loadd(7, right + 2 * kTile, 64);
        _tile_dpbssd(4, 6, 7);
        _tile_loadd(7, right, 64);
        _tile_dpbssd(2, 6, 7);
        _tile_loadd(6, left, 64);
        _tile_dpbssd(0, 6, 7);
        if constexpr (V == 2) {
            _tile_loadd(7, right + kTile, 64);
            _tile_dpbssd(1, 6, 7);
            _tile_loadd(7, right + 3 * kTile, 64);
            _tile_dpbssd(3, 6, 7);
        }
        _tile_loadd(7, right + 2 * kTile, 64);
        _tile_dpbssd(2, 6, 7);
        _tile_loadd(7, right + 4 * kTile, 64);
        _tile_dpbssd(4, 6, 7);
        if constexpr (V == 2) {
            _tile_loadd(7, right + 5 * kTile, 64);
            _tile_dpbssd(5, 6, 7);
        }
    }
    constexpr int kStride = 32 * sizeof(std::int32_t);
    _tile_stored(0, first, kStride);
    _tile_stored(2, second, kStride);
    _tile_stored(4, third, kStride);
    if constexpr (V == 2) {
        _tile_stored(1, first + 16, kStride);
        _tile_stored(3, second + 16, kStride);
        _tile_stored(5, third + 16, kStride);
    }
}

/// Products of 16 R rows, in groups `group` apart, and 16 V, of numbers in bfloat16. They go to rows of 32.
template <int R, int V>
void multiply_halves(const float* left, Index group, const float* right, Index steps, float* out) {
    _tile_zero(0);
    if constexpr (V == 2) _tile_zero(1);
    if constexpr (R == 2) _tile_zero(2);
    if constexpr (R == 2 && V == 2) _tile_zero(3);
    for (Index s = 0; s < steps; ++s, left += kTile, right += 2 * kTile) {
        _tile_loadd(4, left, 64);
        if constexpr (R == 2) _tile_loadd(5, left + group, 64);
        _tile_loadd(6, right, 64);
        if constexpr (V == 2) _tile_loadd(7, right + kTile, 64);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (V == 2) _tile_dpbf16ps(1, 4, 7);
        if constexpr (R == 2) _tile_dpbf16ps(2, 5, 6);
        if constexpr (R == 2 && V == 2) _tile_dpbf16ps(3, 5, 7);
    }
    constexpr int kStride = 32 * sizeof(float);
    _tile_stored(0, out, kStride);
    if constexpr (V == 2) _tile_stored(1, out + 16, kStride);
    if constexpr (R == 2) _tile_stored(2, out + 16 * 32, kStride);
    if constexpr (R == 2 && V == 2) _tile_stored(3, out + 16 * 32 + 16, kStride);
}

}  // namespace ncfast::NCFAST_ISA::tiles
