// Dense products, the bulk of all work. Entry (i, j) of a product is the sum of a(i, k) b(j, k) over k, in an
// order that depends on the depth alone: its bits are those of (j, i) with the operands exchanged, whatever
// the cuts.
#pragma once

#include "kernels/isa.hpp"

namespace ncfast::NCFAST_ISA {

#if defined(__AVX512F__)
constexpr Index kVectorBytes = 64;
constexpr int kTileRows = 12;
#elif defined(__AVX__)
constexpr Index kVectorBytes = 32;
constexpr int kTileRows = 6;
#else
constexpr Index kVectorBytes = 16;
constexpr int kTileRows = 6;
#endif

/// Columns of a panel: two vectors. With kTileRows rows their sums fill the registers.
template <class T>
constexpr Index kPanelCols = 2 * kVectorBytes / static_cast<Index>(sizeof(T));

/// How exact products of floats need be: to 8 bits, to 24 bits of the largest entry of a row, or to those of
/// each entry. The tile unit has the first two, for operands given row by row.
enum class Digits { few, all, whole };

#if defined(__AMX_INT8__)
template <class T>
constexpr bool kOnTiles = sizeof(T) == sizeof(float);
#else
template <class T>
constexpr bool kOnTiles = false;
#endif

/// How far the product of two rows of floats is off by the digits that the tile unit leaves out, relative to
/// the number of terms times the largest of one and of the other row.
template <class T>
constexpr double kDigitsUnit = kOnTiles<T> ? 0x1.9p-21 : 0;

constexpr Index kTooFewRows = 64;  // so few rows of the second operand do not repay taking the first apart

/// Terms summed in registers, so many that a panel of them takes most of the first-level cache.
constexpr Index kDepth = (24 << 10) / (2 * kVectorBytes);

/// Entry (i, k) stands at data[i * row_step + k * col_step]; one of the steps is 1.
template <class T>
struct Operand {
    const T* data;
    Index row_step, col_step;

    const T* at(Index i, Index k) const { return data + i * row_step + k * col_step; }
    Operand from(Index i, Index k = 0) const { return {at(i, k), row_step, col_step}; }
};

template <class T>
Operand<T> rows_of(const T* data, Index stride) {
    return {data, stride, 1};
}
template <class T>
Operand<T> columns_of(const T* data, Index stride) {
    return {data, 1, stride};
}

/// The second operand, its rows brought together panel by panel in the order in which a product reads them.
template <class T>
class Packed {
  public:
    Packed(Index depth, Index rows, Digits digits = Digits::all)
        : digits_(kOnTiles<T> && rows > kTooFewRows ? digits : Digits::whole),
          depth_(depth),
          padded_(blocks_of(rows, kPanelCols<T>) * kPanelCols<T>),
          values_(stored(depth) * padded_) {}

    /// Room for one shape holds any smaller one.
    void reshape(Index depth, Index rows) {
        depth_ = depth;
        padded_ = blocks_of(rows, kPanelCols<T>) * kPanelCols<T>;
    }

    Index depth() const { return depth_; }
    /// Whether it is packed for the tile unit.
    bool on_tiles() const { return digits_ != Digits::whole; }

    Digits digits() const { return digits_; }

    /// Terms that are summed before they are added to the result.
    Index step() const { return on_tiles() ? 1024 : kDepth; }

    /// Reads rows [panel * kPanelCols, ...) of `b`, which has `rows` of them; zeros stand for the rest.
    void fill(const Operand<T>& b, Index rows, Index panel);
    void fill(const Operand<T>& b, Index rows) {
        for (Index p = 0; p < blocks_of(rows, kPanelCols<T>); ++p) fill(b, rows, p);
    }

    /// Where the panel that begins with row j holds terms k ... k + depth - 1.
    const T* at(Index j, Index k, Index depth) const {
        return values_.data() + stored(k) * padded_ + j * stored(depth);
    }

  private:
    // What `depth` terms of a row take: on tiles 64 bytes a part, and an exponent for all that are summed at
    // once.
    Index stored(Index depth) const {
        if (!on_tiles()) return depth;
        const Index parts = digits_ == Digits::few ? blocks_of(depth, 32) : 3 * blocks_of(depth, 64);
        return parts * 16 + blocks_of(depth, step());
    }

    Digits digits_;
    Index depth_, padded_;
    Eigen::Matrix<T, Eigen::Dynamic, 1> values_;
};

/// What will be read once a product is done, asked for from memory meanwhile: from address `next` on, `step`
/// bytes with each term of a tile. By default nothing.
struct Ahead {
    std::uintptr_t next = 0;
    Index step = 0;
};

/// out = a b^T, or out += a b^T, for `rows` rows of a and rows [first, first + cols) of b; `first` begins a
/// panel.
template <class T>
void multiply(const Operand<T>& a, Index rows, const Packed<T>& b, Index first, Index cols, T* out,
              Index out_stride, bool add = false, Ahead ahead = {});

/// out = a b^T for `rows` rows of a and `cols` of b, as many of their `depth` terms at a time as `packed` has
/// room for: `terms`. Of a symmetric product little more than the lower triangle.
template <class T>
void multiply_in_parts(const Operand<T>& a, Index rows, const Operand<T>& b, Index cols, Index depth,
                       Index terms, bool symmetric, Packed<T>& packed, T* out, Index out_stride);

/// Columns of a matrix in panels, in which products read them without packing: row k of the matrix has
/// kPanelCols of its columns together, zeros in place of those that it has not.
template <class T>
struct Panels {
    T* data;
    Index step;  // from one panel to the next

    T* at(Index col, Index k) const { return data + col / kPanelCols<T> * step + k * kPanelCols<T>; }
};

/// out = Z^T Z over `depth` rows from `first_row`, of its entries `rows` rows from a_first and `cols` columns
/// from b_first, both of which begin a panel. At most `terms` rows are summed at a time; with a_first =
/// b_first there is little more than the lower triangle.
template <class T>
void multiply_panels(const Panels<T>& z, Index first_row, Index depth, Index a_first, Index rows,
                     Index b_first, Index cols, Index terms, T* out, Index out_stride);

/// out = a b^T for at most kFewCols rows of b, which would leave most of a panel empty: each entry is a sum
/// of vectors along the depth. Its bits are not those of `multiply`.
template <class T>
constexpr Index kFewCols = kPanelCols<T> * 3 / 8;
template <class T>
void multiply_few(const T* a, Index stride, Index rows, const T* b, Index cols, Index depth, T* out,
                  Index out_stride);

#if defined(__AMX_INT8__)
/// The same of operands for the tile unit.
void fill_tiles(const Operand<float>& b, Index rows, Index first, const Packed<float>& packed);
void multiply_tiles(const Operand<float>& a, Index rows, const Packed<float>& b, Index first, Index cols,
                    float* out, Index out_stride, bool add);
#endif

}  // namespace ncfast::NCFAST_ISA
