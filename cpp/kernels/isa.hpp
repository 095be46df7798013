// Included first by every kernel source. Each is compiled once per instruction-set level with
// -DNCFAST_ISA=<level> -DEigen=Eigen_<level>: both our names and Eigen's then differ per level, so the
// linker cannot merge template instances built with different flags. For the same reason kernels use no
// std:: containers or algorithms.
#pragma once

#ifndef NCFAST_ISA
#error "kernels are compiled per instruction-set level: NCFAST_ISA must be defined"
#endif

#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>

#include "core/jobs.hpp"

namespace ncfast::NCFAST_ISA {

template <class T>
using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using ConstRowMap = Eigen::Map<const RowMajor<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class T>
using RowMap = Eigen::Map<RowMajor<T>, Eigen::Unaligned, Eigen::OuterStride<>>;

template <class V>
V smaller(V a, V b) {
    return b < a ? b : a;
}
template <class V>
V larger(V a, V b) {
    return a < b ? b : a;
}
inline Index blocks_of(Index total, Index block) { return (total + block - 1) / block; }

/// A stride of rows, of at least d values and an odd number of cache lines: rows that lie a power of two
/// apart would share a few sets of the first-level cache, and push each other out while they are multiplied.
template <class P>
Index row_stride(Index d) {
    constexpr Index kLine = 64 / static_cast<Index>(sizeof(P));
    return (blocks_of(d, kLine) | 1) * kLine;
}

}  // namespace ncfast::NCFAST_ISA
