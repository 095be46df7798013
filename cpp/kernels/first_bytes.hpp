// Products of the first bytes of floats (VNNI): each row over its largest entry, rounded to numbers of eight
// bits. Four of their products take an instruction a lane, and integers are summed exactly. What rounding
// leaves out of a row is measured while it is rounded.
#pragma once

#include <immintrin.h>

#include <cmath>

#include "kernels/isa.hpp"

namespace ncfast::NCFAST_ISA::bytes {

constexpr Index kTerms = 4;  // of a lane
constexpr Index kCols = 32;  // of a panel: two vectors of sums
constexpr int kRows = 12;    // with these, their sums fill the registers
constexpr Index kLargest = 127;
constexpr Index kMostTerms = 1 << 16;  // 255 * 127 times this is still an integer of 32 bits

typedef std::int32_t Word __attribute__((may_alias));

/// A row as bytes times `scale`. In length it is off by at most `rest`.
struct Rounded {
    float scale;
    double rest;
};

/// Rounds a row, its bytes plus `shift`, and fills up to a multiple of kTerms with zeros plus `shift`.
inline Rounded round_row(const float* row, Index depth, Index shift, std::uint8_t* out) {
    const Index padded = blocks_of(depth, kTerms) * kTerms;
    float top = 0;
#pragma omp simd reduction(max : top)
    for (Index k = 0; k < depth; ++k) top = std::abs(row[k]) > top ? std::abs(row[k]) : top;
    const double root = std::sqrt(static_cast<double>(depth));
    // Out of this range a reciprocal or a sum could leave that of floats: nothing is kept then.
    if (!(top > 0x1p-100F && top < 0x1p100F)) {
        for (Index k = 0; k < padded; ++k) out[k] = static_cast<std::uint8_t>(shift);
        return {0, 1.01 * root * static_cast<double>(top)};
    }
    const float inverse = static_cast<float>(kLargest) / top;
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (Index k = 0; k < depth; ++k) {
        const float value = row[k] * inverse;
        const float whole = std::nearbyint(value);
        squares += (value - whole) * (value - whole);
        out[k] =
            static_cast<std::uint8_t>(static_cast<std::int32_t>(whole) + static_cast<std::int32_t>(shift));
    }
    for (Index k = depth; k < padded; ++k) out[k] = static_cast<std::uint8_t>(shift);
    // The reciprocal, the product with it and this quotient are each off by a rounding, of up to 127.
    constexpr double kRounding = 4 * 0x1p-24 * static_cast<double>(kLargest);
    const float scale = top / static_cast<float>(kLargest);
    const double sums = std::sqrt((1 + static_cast<double>(depth) * 0x1p-23) * static_cast<double>(squares));
    return {scale, static_cast<double>(scale) * (sums + kRounding * root)};
}

/// The first operand: rows of unsigned bytes, which stand for 128 less.
class Left {
  public:
    Left(Index rows, Index depth)
        : stride_(row_stride<std::uint8_t>(depth)),
          bytes_(blocks_of(rows, kRows) * kRows * stride_),
          scales_(rows),
          rests_(rows) {
        bytes_.setZero();
    }

    /// Rows of `depth` values, one after the other.
    void fill(const float* rows, Index depth, Index count) {
        for (Index i = 0; i < count; ++i) {
            const Rounded row = round_row(rows + i * depth, depth, 128, bytes_.data() + i * stride_);
            scales_[i] = row.scale;
            rests_[i] = row.rest;
        }
    }

    double rest(Index i) const { return rests_[i]; }
    float scale(Index i) const { return scales_[i]; }
    const std::uint8_t* row(Index i) const { return bytes_.data() + i * stride_; }
    Index stride() const { return stride_; }

  private:
    Index stride_;
    Eigen::Matrix<std::uint8_t, Eigen::Dynamic, 1> bytes_;
    Eigen::VectorXf scales_;
    Eigen::VectorXd rests_;
};

/// Sums of kRows rows of kCols products, each of them begun with that of `starts`.
inline void add_products(const std::uint8_t* rows, Index stride, const std::int32_t* panel, Index lanes,
                         const std::int32_t* starts, std::int32_t* out) {
    __m512i sums[kRows][2];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) sums[r][v] = _mm512_loadu_si512(starts + 16 * v);
    }
    for (Index lane = 0; lane < lanes; lane += kCols, rows += kTerms) {
        const __m512i right[2] = {_mm512_loadu_si512(panel + lane), _mm512_loadu_si512(panel + lane + 16)};
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
            const __m512i four = _mm512_set1_epi32(*reinterpret_cast<const Word*>(rows + r * stride));
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], four, right[v]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) _mm512_storeu_si512(out + r * kCols + 16 * v, sums[r][v]);
    }
}

/// The second operand: panels of kCols rows of signed bytes, kTerms of a row beside those of the next.
class Panels {
  public:
    Panels(Index depth, Index rows)
        : depth_(depth),
          rows_(rows),
          lanes_(blocks_of(depth, kTerms) * kCols),
          words_(blocks_of(rows, kCols) * lanes_),
          starts_(blocks_of(rows, kCols) * kCols),
          scales_(starts_.size()),
          rests_(starts_.size()) {}

    /// Reads the rows of a panel, of which there are `depth` values each.
    void fill(const float* rows, Index panel) {
        Eigen::Matrix<std::int32_t, Eigen::Dynamic, 1> row(lanes_ / kCols);
        for (Index j = panel * kCols; j < (panel + 1) * kCols; ++j) {
            row.setZero();
            Rounded rounded{0, 0};
            auto* bytes = reinterpret_cast<std::uint8_t*>(row.data());
            if (j < rows_) rounded = round_row(rows + j * depth_, depth_, 0, bytes);
            std::int32_t sum = 0;
            for (Index k = 0; k < depth_; ++k) sum += static_cast<std::int8_t>(bytes[k]);
            starts_[j] = -128 * sum;
            scales_[j] = rounded.scale;
            rests_[j] = rounded.rest;
            std::int32_t* out = words_.data() + panel * lanes_ + j % kCols;
            for (Index k = 0; k < row.size(); ++k) out[k * kCols] = row[k];
        }
    }

    double largest_rest() const { return rests_.maxCoeff(); }

    /// out = left b^T for `rows` rows of the first operand and rows [first, first + cols), which begin a
    /// panel.
    void multiply(const Left& left, Index rows, Index first, Index cols, float* out, Index out_stride) const {
        for (Index j = 0; j < cols; j += kCols) {
            for (Index i = 0; i < rows; i += kRows) {
                multiply_tile(left, i, smaller<Index>(kRows, rows - i), first + j, smaller(kCols, cols - j),
                              out + i * out_stride + j, out_stride);
            }
        }
    }

  private:
    void multiply_tile(const Left& left, Index i, Index height, Index j, Index width, float* out,
                       Index out_stride) const {
        alignas(64) std::int32_t sums[kRows * kCols];
        add_products(left.row(i), left.stride(), words_.data() + j / kCols * lanes_, lanes_,
                     starts_.data() + j, sums);
        for (Index r = 0; r < height; ++r) {
            const float scale = left.scale(i + r);
            for (Index c = 0; c < width; ++c) {
                out[r * out_stride + c] = static_cast<float>(sums[r * kCols + c]) * (scale * scales_[j + c]);
            }
        }
    }

    Index depth_, rows_, lanes_;
    Eigen::Matrix<std::int32_t, Eigen::Dynamic, 1> words_, starts_;
    Eigen::VectorXf scales_;
    Eigen::VectorXd rests_;
};

}  // namespace ncfast::NCFAST_ISA::bytes
