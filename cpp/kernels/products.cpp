#include "kernels/products.hpp"

#include <cstring>
#include <type_traits>

namespace ncfast::NCFAST_ISA {
namespace {

constexpr Index kBlockRows = 48;      // rows of the first operand that stay in the second-level cache
constexpr Index kDiagonalStrip = 48;  // rows of a symmetric product at a time

template <class T>
struct VectorOf {
    typedef T Type __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
    static constexpr Index kLanes = kVectorBytes / static_cast<Index>(sizeof(T));
};
template <class T>
using Vector = typename VectorOf<T>::Type;

// R rows and V vectors of columns of a product, over `depth` terms.
template <int R, int V, class T>
void multiply_tile(const Operand<T>& a, Index depth, const T* panel, T* out, Index out_stride, bool add,
                   const Ahead& ahead) {
    constexpr Index kLanes = VectorOf<T>::kLanes;
    const T* left = a.data;
    const char* next = reinterpret_cast<const char*>(ahead.next);
    const Index step = ahead.step;
    Vector<T> sums[R][V];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sums[r][v] = Vector<T>{};
    }
#pragma GCC unroll 4
    for (Index k = 0; k < depth; ++k) {
        __builtin_prefetch(next + k * step, 0, 2);
        Vector<T> right[V];
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
            right[v] = *reinterpret_cast<const Vector<T>*>(panel + k * kPanelCols<T> + v * kLanes);
        }
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            const T entry = left[r * a.row_step + k * a.col_step];
#pragma GCC unroll 2
            for (int v = 0; v < V; ++v) sums[r][v] += entry * right[v];
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) {
            auto* to = reinterpret_cast<Vector<T>*>(out + r * out_stride + v * kLanes);
            *to = add ? *to + sums[r][v] : sums[r][v];
        }
    }
}

// The same for the `cols` first columns of a panel.
template <int R, class T>
void multiply_panel(const Operand<T>& a, Index depth, const T* panel, Index cols, T* out, Index out_stride,
                    bool add, const Ahead& ahead) {
    constexpr Index kLanes = VectorOf<T>::kLanes;
    if (cols == 2 * kLanes) {
        multiply_tile<R, 2>(a, depth, panel, out, out_stride, add, ahead);
        return;
    }
    if (cols == kLanes) {
        multiply_tile<R, 1>(a, depth, panel, out, out_stride, add, ahead);
        return;
    }
    T room[R * 2 * kLanes];
    if (cols < kLanes) {
        multiply_tile<R, 1>(a, depth, panel, room, 2 * kLanes, false, ahead);
    } else {
        multiply_tile<R, 2>(a, depth, panel, room, 2 * kLanes, false, ahead);
    }
    for (int r = 0; r < R; ++r) {
        for (Index j = 0; j < cols; ++j) {
            T& to = out[r * out_stride + j];
            to = add ? to + room[r * 2 * kLanes + j] : room[r * 2 * kLanes + j];
        }
    }
}

// `rows` rows of a against one panel. Rows may be packed, kTileRows at a time: group_step is then what leads
// from one group of them to the next.
template <class T>
void multiply_rows(Operand<T> a, Index group_step, Index rows, Index depth, const T* panel, Index cols,
                   T* out, Index out_stride, bool add, Ahead& ahead) {
    const auto run = [&](auto count, Index step, Index least) {
        constexpr int kRows = decltype(count)::value;
        for (; rows >= least; rows -= kRows) {
            multiply_panel<kRows>(a, depth, panel, cols, out, out_stride, add, ahead);
            ahead.next += static_cast<std::uintptr_t>(depth * ahead.step);
            a.data += step;
            out += kRows * out_stride;
        }
    };
    // Twice 8 rows take less than 12 and 4.
    const bool packed = group_step != kTileRows * a.row_step;
    const bool ends_on_8 = kTileRows == 12 && !packed && rows % 12 == 4;
    run(std::integral_constant<int, kTileRows>{}, group_step, ends_on_8 ? 2 * kTileRows : kTileRows);
    if constexpr (kTileRows > 8) run(std::integral_constant<int, 8>{}, 8 * a.row_step, 8);
    run(std::integral_constant<int, 4>{}, 4 * a.row_step, 4);
    run(std::integral_constant<int, 1>{}, a.row_step, 1);
}

// Brings rows of a panel together, a square of vectors at a time; returns how many of their terms are done.
template <class T>
Index turn(const T* rows, Index stride, Index depth, T* out) {
    constexpr Index kLanes = VectorOf<T>::kLanes;
    using Square = Eigen::Matrix<T, kLanes, kLanes>;
    const Index done = depth / kLanes * kLanes;
    for (Index j = 0; j < kPanelCols<T>; j += kLanes) {
        for (Index t = 0; t < done; t += kLanes) {
            Square square = Eigen::Map<const Square, 0, Eigen::OuterStride<>>(rows + j * stride + t,
                                                                              Eigen::OuterStride<>(stride));
            square.transposeInPlace();
            Eigen::Map<Square, 0, Eigen::OuterStride<>>(out + t * kPanelCols<T> + j,
                                                        Eigen::OuterStride<>(kPanelCols<T>)) = square;
        }
    }
    return done;
}

// Brings `rows` rows together, kTileRows at a time: reading each term of them far from the last one would
// miss the cache.
template <class T>
void pack_rows(const Operand<T>& a, Index first, Index rows, Index k, Index depth, T* out) {
    for (Index t = 0; t < depth; ++t) {
        const T* from = a.at(first, k + t);
        T* to = out + t * kTileRows;
        Index i = 0;
        for (; i + kTileRows <= rows; i += kTileRows)
            std::memcpy(to + i * depth, from + i, kTileRows * sizeof(T));
        for (Index r = i; r < rows; ++r) to[i * depth + r - i] = from[r];
    }
}

// R rows of a by C rows of b.
template <int R, int C, class T>
void multiply_lengthwise(const T* a, Index stride, const T* b, Index depth, T* out, Index out_stride) {
    constexpr Index kLanes = VectorOf<T>::kLanes;
    Vector<T> sums[R][C];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) sums[r][c] = Vector<T>{};
    }
    const Index whole = depth / kLanes * kLanes;
    for (Index k = 0; k < whole; k += kLanes) {
        Vector<T> right[C];
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) right[c] = *reinterpret_cast<const Vector<T>*>(b + c * depth + k);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
            const Vector<T> left = *reinterpret_cast<const Vector<T>*>(a + r * stride + k);
#pragma GCC unroll 4
            for (int c = 0; c < C; ++c) sums[r][c] += left * right[c];
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) {
            T sum = 0;
            for (Index lane = 0; lane < kLanes; ++lane) sum += sums[r][c][lane];
            for (Index k = whole; k < depth; ++k) sum += a[r * stride + k] * b[c * depth + k];
            out[r * out_stride + c] = sum;
        }
    }
}

// Rows of a by C rows of b.
template <int C, class T>
void multiply_lengthwise(const T* a, Index stride, Index rows, const T* b, Index depth, T* out,
                         Index out_stride) {
    Index i = 0;
    for (; i + 4 <= rows; i += 4) {
        multiply_lengthwise<4, C>(a + i * stride, stride, b, depth, out + i * out_stride, out_stride);
    }
    for (; i < rows; ++i) {
        multiply_lengthwise<1, C>(a + i * stride, stride, b, depth, out + i * out_stride, out_stride);
    }
}

}  // namespace

template <class T>
void multiply_few(const T* a, Index stride, Index rows, const T* b, Index cols, Index depth, T* out,
                  Index out_stride) {
    constexpr Index kAtOnce = kVectorBytes == 64 ? 4 : 2;  // with four rows, their sums fill the registers
    for (Index c = 0; c < cols; c += kAtOnce, b += kAtOnce * depth, out += kAtOnce) {
        const auto run = [&](auto count) {
            multiply_lengthwise<decltype(count)::value>(a, stride, rows, b, depth, out, out_stride);
        };
        switch (smaller(kAtOnce, cols - c)) {
            case 1:
                run(std::integral_constant<int, 1>{});
                break;
            case 2:
                run(std::integral_constant<int, 2>{});
                break;
            case 3:
                run(std::integral_constant<int, 3>{});
                break;
            default:
                run(std::integral_constant<int, 4>{});
        }
    }
}

template <class T>
void Packed<T>::fill(const Operand<T>& b, Index rows, Index panel) {
    constexpr Index kCols = kPanelCols<T>;
    const Index first = panel * kCols;
#if defined(__AMX_INT8__)
    if constexpr (kOnTiles<T>) {
        if (on_tiles()) return fill_tiles(b, rows, first, *this);
    }
#endif
    const Index count = smaller(kCols, rows - first);
    for (Index k = 0; k < depth_; k += kDepth) {
        const Index depth = smaller(kDepth, depth_ - k);
        T* out = const_cast<T*>(at(first, k, depth));
        if (count < kCols) std::memset(out, 0, static_cast<std::size_t>(depth * kCols) * sizeof(T));
        if (b.row_step == 1 && count == kCols) {
            for (Index t = 0; t < depth; ++t)
                std::memcpy(out + t * kCols, b.at(first, k + t), kCols * sizeof(T));
            continue;
        }
        Index turned = 0;
        if (b.col_step == 1 && count == kCols) turned = turn(b.at(first, k), b.row_step, depth, out);
        for (Index j = 0; j < count; ++j) {
            const T* from = b.at(first + j, k);
            for (Index t = turned; t < depth; ++t) out[t * kCols + j] = from[t * b.col_step];
        }
    }
}

template <class T>
void multiply(const Operand<T>& a, Index rows, const Packed<T>& b, Index first, Index cols, T* out,
              Index out_stride, bool add, Ahead ahead) {
#if defined(__AMX_INT8__)
    if constexpr (kOnTiles<T>) {
        if (b.on_tiles() && b.depth() > 0) {
            return multiply_tiles(a, rows, b, first, cols, out, out_stride, add);
        }
    }
#endif
    constexpr Index kCols = kPanelCols<T>;
    const bool pack = a.col_step != 1;
    // What is at hand: asking for no address at all would search the page tables for it.
    if (ahead.next == 0) ahead.next = reinterpret_cast<std::uintptr_t>(out);
    Eigen::Matrix<T, Eigen::Dynamic, 1> room(pack ? kBlockRows * smaller(kDepth, b.depth()) : 0);
    for (Index k = 0; k < b.depth(); k += kDepth) {
        const Index depth = smaller(kDepth, b.depth() - k);
        for (Index i = 0; i < rows; i += kBlockRows) {
            const Index height = smaller(kBlockRows, rows - i);
            if (pack) pack_rows(a, i, height, k, depth, room.data());
            const Operand<T> block =
                pack ? Operand<T>{room.data(), 1, kTileRows} : Operand<T>{a.at(i, k), a.row_step, 1};
            const Index group_step = kTileRows * (pack ? depth : a.row_step);
            for (Index j = 0; j < cols; j += kCols) {
                multiply_rows(block, group_step, height, depth, b.at(first + j, k, depth),
                              smaller(kCols, cols - j), out + i * out_stride + j, out_stride, add || k > 0,
                              ahead);
            }
        }
    }
    if (b.depth() > 0 || add) return;
    for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < cols; ++j) out[i * out_stride + j] = 0;
    }
}

template <class T>
void multiply_in_parts(const Operand<T>& a, Index rows, const Operand<T>& b, Index cols, Index depth,
                       Index terms, bool symmetric, Packed<T>& packed, T* out, Index out_stride) {
    const Index strip = symmetric ? kDiagonalStrip : rows;
    for (Index k = 0; k < larger<Index>(depth, 1); k += terms) {
        packed.reshape(smaller(terms, depth - k), cols);
        packed.fill(b.from(0, k), cols);
        for (Index i = 0; i < rows; i += strip) {
            const Index height = smaller(strip, rows - i);
            multiply(a.from(i, k), height, packed, 0, symmetric ? i + height : cols, out + i * out_stride,
                     out_stride, k > 0);
        }
    }
}

template <class T>
void multiply_panels(const Panels<T>& z, Index first_row, Index depth, Index a_first, Index rows,
                     Index b_first, Index cols, Index terms, T* out, Index out_stride) {
    constexpr Index kCols = kPanelCols<T>;
    const bool symmetric = a_first == b_first;
    Ahead nothing{reinterpret_cast<std::uintptr_t>(out), 0};
    for (Index k = 0; k < depth; k += smaller(terms, kDepth)) {
        const Index count = smaller(smaller(terms, kDepth), depth - k);
        for (Index i = 0; i < rows; i += kCols) {
            const Operand<T> a{z.at(a_first + i, first_row + k), 1, kCols};
            const Index height = smaller(kCols, rows - i);
            for (Index j = 0; j < (symmetric ? smaller(i + height, cols) : cols); j += kCols) {
                multiply_rows(a, kTileRows, height, count, z.at(b_first + j, first_row + k),
                              smaller(kCols, cols - j), out + i * out_stride + j, out_stride, k > 0, nothing);
            }
        }
    }
}

template void multiply_panels(const Panels<float>&, Index, Index, Index, Index, Index, Index, Index, float*,
                              Index);
template void multiply_panels(const Panels<double>&, Index, Index, Index, Index, Index, Index, Index, double*,
                              Index);
template void multiply_in_parts(const Operand<float>&, Index, const Operand<float>&, Index, Index, Index,
                                bool, Packed<float>&, float*, Index);
template void multiply_in_parts(const Operand<double>&, Index, const Operand<double>&, Index, Index, Index,
                                bool, Packed<double>&, double*, Index);
template void multiply_few(const float*, Index, Index, const float*, Index, Index, float*, Index);
template void multiply_few(const double*, Index, Index, const double*, Index, Index, double*, Index);
template class Packed<float>;
template class Packed<double>;
template void multiply(const Operand<float>&, Index, const Packed<float>&, Index, Index, float*, Index, bool,
                       Ahead);
template void multiply(const Operand<double>&, Index, const Packed<double>&, Index, Index, double*, Index,
                       bool, Ahead);

}  // namespace ncfast::NCFAST_ISA
