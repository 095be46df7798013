// Products of about 8 bits for a search that few samples are in doubt after: where the processor has them at
// a multiple of the rate of floats.
#pragma once

#include "kernels/products.hpp"
#if !defined(__AMX_INT8__) && defined(__AVX512VNNI__)
#include "kernels/first_bytes.hpp"
#endif

namespace ncfast::NCFAST_ISA {

/// How far a product is off at most, by what it is made of: times the length of the row of the first operand,
/// and times what rounding left out of that row.
struct FirstErrors {
    double of_length, of_rest;
};

/// The second operand of such products; here: there are none.
template <class T>
struct FirstDigits {
    static constexpr bool kThere = false;

    struct Left {
        Left(Index, Index) {}
        void fill(const T*, Index, Index) {}
        double rest(Index) const { return 0; }
    };

    FirstDigits(Index, Index) {}
    bool pays() const { return false; }
    void fill(const T*, Index) {}
    FirstErrors errors(double) const { return {0, 0}; }
    void multiply(const Left&, Index, Index, Index, T*, Index) const {}
};

#if defined(__AMX_INT8__)
/// On the tile unit: floats rounded to bfloat16.
template <>
struct FirstDigits<float> {
    static constexpr bool kThere = true;

    struct Left {
        Operand<float> rows{nullptr, 0, 1};

        Left(Index, Index) {}
        void fill(const float* data, Index stride, Index) { rows = rows_of(data, stride); }
        double rest(Index) const { return 0; }
    };

    Index count;
    Packed<float> packed;

    FirstDigits(Index depth, Index rows) : count(rows), packed(depth, rows, Digits::few) {}
    bool pays() const { return packed.on_tiles(); }
    void fill(const float* rows, Index panel) { packed.fill(rows_of(rows, packed.depth()), count, panel); }
    FirstErrors errors(double longest) const {
        constexpr double kOff = 0x1p-8;  // of each float, relative to it
        const double width = static_cast<double>(packed.depth());
        return {(2 * kOff + (width + 16) * 0x1p-24) * longest, 0};
    }
    void multiply(const Left& left, Index rows, Index first, Index cols, float* out, Index out_stride) const {
        NCFAST_ISA::multiply(left.rows, rows, packed, first, cols, out, out_stride);
    }
};
#elif defined(__AVX512VNNI__)
/// As bytes.
template <>
struct FirstDigits<float> {
    static constexpr bool kThere = true;
    typedef bytes::Left Left;

    bool pay;
    bytes::Panels panels;

    FirstDigits(Index depth, Index rows)
        : pay(rows > kTooFewRows && depth <= bytes::kMostTerms), panels(pay ? depth : 0, pay ? rows : 0) {}
    bool pays() const { return pay; }
    void fill(const float* rows, Index panel) { panels.fill(rows, panel); }
    FirstErrors errors(double longest) const {
        // <x, w> - <x', w'> = <x, w - w'> + <x - x', w'>, and a few roundings.
        const double rest = panels.largest_rest();
        return {rest + 8 * 0x1p-24 * (longest + rest), (1 + 8 * 0x1p-24) * (longest + rest)};
    }
    void multiply(const Left& left, Index rows, Index first, Index cols, float* out, Index out_stride) const {
        panels.multiply(left, rows, first, cols, out, out_stride);
    }
};
#endif

}  // namespace ncfast::NCFAST_ISA
