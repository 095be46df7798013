// Float products on the tile unit (AMX). A float is the sum of three bfloat16 numbers, exactly; of the nine
// products of two such sums the six that count are added up in float, the small ones first. What is left out
// is below the rounding of one float product.
#pragma once

#include <immintrin.h>

#include "kernels/products.hpp"

namespace ncfast::NCFAST_ISA::tiles {

constexpr Index kRows = 16;   // of a tile, each of 64 bytes
constexpr Index kTerms = 32;  // bfloat16 numbers in such a row
constexpr Index kTile = 256;  // floats in the place of a tile

/// `P` parts of two times 16 values, each two by two in 32 bits.
template <int P>
struct Parts {
    __m512i part[P];
};

// Rounds to bfloat16 and takes what is left: exact while the exponent allows.
inline __m256i take_high(__m512& x) {
    const __m256i high = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x));
    x -= _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
    return high;
}

/// Parts of 32 values in turn.
template <int P>
Parts<P> split(__m512 first, __m512 second) {
    Parts<P> parts;
    for (int p = 0; p < P; ++p) {
        const __m256i low = take_high(first);
        parts.part[p] = _mm512_inserti64x4(_mm512_castsi256_si512(low), take_high(second), 1);
    }
    return parts;
}

/// Parts of 16 pairs: values of `first` in the lower halves, of `second` in the upper.
template <int P>
Parts<P> split_pairs(__m512 first, __m512 second) {
    Parts<P> parts;
    for (int p = 0; p < P; ++p) {
        const __m512i low = _mm512_cvtepu16_epi32(take_high(first));
        parts.part[p] = _mm512_or_si512(low, _mm512_slli_epi32(_mm512_cvtepu16_epi32(take_high(second)), 16));
    }
    return parts;
}

inline __m512 load(const float* from, Index count) {
    if (count >= 16) return _mm512_loadu_ps(from);
    if (count <= 0) return _mm512_setzero_ps();
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1U), from);
}

/// Turns 16 x 16 numbers of 32 bits over, in place.
inline void transpose(__m512i* rows) {
    __m512i t[16];
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
}

/// Writes the parts of 16 rows (`rows` of them given) by 32 terms (`terms` given): a tile each, kTile apart.
/// As the first operand wants them, row by row, or with `paired` as the second does: pairs of terms by row.
template <int P>
void fill(const Operand<float>& a, Index rows, Index terms, bool paired, float* out, Index apart) {
    const bool by_rows = a.col_step == 1;
    const auto parts_of = [&](Index i) {
        if (by_rows) {
            const Index count = i < rows ? terms : 0;
            return split<P>(load(a.at(i, 0), count), load(a.at(i, 16), count - 16));
        }
        const auto at = [&](Index k) { return load(a.at(0, k), k < terms ? rows : 0); };
        return split_pairs<P>(at(2 * i), at(2 * i + 1));
    };
    if (by_rows != paired) {
        for (Index i = 0; i < 16; ++i) {
            const Parts<P> parts = parts_of(i);
            for (int p = 0; p < P; ++p) _mm512_storeu_si512(out + p * apart + i * 16, parts.part[p]);
        }
        return;
    }
    __m512i tile[P][16];
    for (Index i = 0; i < 16; ++i) {
        const Parts<P> parts = parts_of(i);
        for (int p = 0; p < P; ++p) tile[p][i] = parts.part[p];
    }
    for (int p = 0; p < P; ++p) {
        transpose(tile[p]);
        for (Index i = 0; i < 16; ++i) _mm512_storeu_si512(out + p * apart + i * 16, tile[p][i]);
    }
}

/// Tiles 0-3 hold sums, 4 and 5 parts of the first operand, 6 and 7 of the second.
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

template <int R>
void load_left(const float* tile, Index group) {
    _tile_loadd(4, tile, 64);
    if constexpr (R == 2) _tile_loadd(5, tile + group, 64);
}

template <int V>
void load_right(const float* tile) {
    _tile_loadd(6, tile, 64);
    if constexpr (V == 2) _tile_loadd(7, tile + kTile, 64);
}

template <int R, int V>
void add_products() {
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (V == 2) _tile_dpbf16ps(1, 4, 7);
    if constexpr (R == 2) _tile_dpbf16ps(2, 5, 6);
    if constexpr (R == 2 && V == 2) _tile_dpbf16ps(3, 5, 7);
}

/// Adds up one product of parts over all steps, or begins with those that count least.
template <int R, int V, int P>
void add_steps(const float* left, Index group, const float* right, Index steps) {
    constexpr Index kLeft = P * kTile;
    constexpr Index kRight = 2 * P * kTile;
    constexpr Index kPlane = 2 * kTile;
    for (Index s = 0; P == 3 && s < steps; ++s) {
        const float* a = left + s * kLeft;
        const float* b = right + s * kRight;
        load_left<R>(a + 2 * kTile, group);
        load_right<V>(b);
        add_products<R, V>();
        load_left<R>(a + kTile, group);
        add_products<R, V>();
        load_right<V>(b + kPlane);
        add_products<R, V>();
        load_left<R>(a, group);
        add_products<R, V>();
        load_right<V>(b + 2 * kPlane);
        add_products<R, V>();
    }
    for (Index s = 0; s < steps; ++s) {
        load_left<R>(left + s * kLeft, group);
        load_right<V>(right + s * kRight);
        add_products<R, V>();
    }
}

/// out (16 R x 16 V, rows `stride` apart) of the products of R groups of rows, `group` apart, and V tiles of
/// columns.
template <int R, int V, int P>
void multiply(const float* left, Index group, const float* right, Index steps, float* out, Index stride) {
    _tile_zero(0);
    if constexpr (V == 2) _tile_zero(1);
    if constexpr (R == 2) _tile_zero(2);
    if constexpr (R == 2 && V == 2) _tile_zero(3);
    add_steps<R, V, P>(left, group, right, steps);
    const auto bytes = static_cast<std::size_t>(stride) * sizeof(float);
    _tile_stored(0, out, bytes);
    if constexpr (V == 2) _tile_stored(1, out + 16, bytes);
    if constexpr (R == 2) _tile_stored(2, out + 16 * stride, bytes);
    if constexpr (R == 2 && V == 2) _tile_stored(3, out + 16 * stride + 16, bytes);
}

}  // namespace ncfast::NCFAST_ISA::tiles
