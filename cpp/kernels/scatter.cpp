#include <cmath>
#include <cstring>

#include "kernels/kernels.hpp"
#include "kernels/products.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

// Columns are cut in strips, the lower triangle in tiles of two strips, rows in blocks. A unit of work is
// one tile of one row block; its product is computed in P and then added to the double scatter in block
// order. None of these cuts depends on the number of threads, so neither do the bits of the result.
constexpr Index kMaxStrip = 256;
constexpr Index kSlice = 16;            // rows centred per unit of work
constexpr Index kShortSum = 64;         // rows summed in one go where products are double
constexpr Index kWorkingSet = 8 << 20;  // bytes of centred rows to aim for: they should stay in cache
constexpr Index kMinUnits = 16;         // units of work per sweep to aim for, to feed all threads

struct Cuts {
    Index strip, strips, tiles, block_rows, sweep_rows;
};

template <class P>
Cuts plan_cuts(Index rows, Index d) {
    constexpr Index kCols = kPanelCols<P>;
    Cuts cuts{};
    cuts.strips = blocks_of(d, kMaxStrip);
    cuts.strip = smaller(d, blocks_of(blocks_of(d, cuts.strips), kCols) * kCols);
    cuts.tiles = cuts.strips * (cuts.strips + 1) / 2;
    cuts.block_rows = 1024;
    while (cuts.block_rows > 256 && cuts.block_rows * d * static_cast<Index>(sizeof(P)) > kWorkingSet)
        cuts.block_rows /= 2;
    cuts.sweep_rows = smaller(rows, cuts.block_rows * blocks_of(kMinUnits, cuts.tiles));
    return cuts;
}

// Where tile t of the lower triangle lies.
struct Tile {
    Index first_row, first_col, rows, cols;
};

Tile tile_at(Index t, Index strip, Index d) {
    Index row = 0;
    while ((row + 1) * (row + 2) / 2 <= t) ++row;
    const Index col = t - row * (row + 1) / 2;
    return {row * strip, col * strip, smaller(strip, d - row * strip), smaller(strip, d - col * strip)};
}

// A row, what to take from it and what to multiply the rest with; rows without a label are left out.
template <class T>
struct Deviation {
    const T* row;
    const double* pivot;
    double scale;
    bool is_left_out;
};

// Without pivots `zeros` stand for them.
template <class T>
Deviation<T> deviation_at(const ScatterJob<T>& job, const double* zeros, double scale, Index position) {
    const Index source = job.order != nullptr ? job.order[position] : position;
    const Index label = job.pivots != nullptr ? job.labels[source] : 0;
    return {job.features.data + source * job.features.stride,
            job.pivots != nullptr ? job.pivots + larger<Index>(label, 0) * job.features.cols : zeros,
            job.roots != nullptr ? scale * job.roots[position] : scale, label < 0};
}

// Writes one and returns its largest magnitude. The next, and its pivot, come from anywhere in memory: they
// are asked for meanwhile.
template <class T, class P>
P centre_row(const Deviation<T>& of, const Deviation<T>& next, Index cols, Index target, const Panels<P>& z) {
    constexpr Index kCols = kPanelCols<P>;
    P tops[kCols] = {};
    for (Index first = 0; first < cols; first += kCols) {
        P* out = z.at(first, target);
        const auto centre = [&](Index width) {
            for (Index j = 0; j < width; ++j) {
                const double x = static_cast<double>(of.row[first + j]) - of.pivot[first + j];
                out[j] = static_cast<P>(of.scale * x);
                tops[j] = larger(tops[j], out[j] < 0 ? -out[j] : out[j]);
            }
        };
        for (Index j = first; j < first + kCols; j += 8) __builtin_prefetch(next.pivot + j, 0, 2);
        for (Index j = first; j < first + kCols; j += 64 / sizeof(T)) __builtin_prefetch(next.row + j, 0, 2);
        if (of.is_left_out || first + kCols > cols) std::memset(out, 0, kCols * sizeof(P));
        if (of.is_left_out) continue;
        if (first + kCols <= cols) {
            centre(kCols);
        } else {
            centre(cols - first);
        }
    }
    P top = 0;
    for (const P x : tops) top = larger(top, x);
    return top;
}

// A power of two that brings the largest deviation near 1 when its square could leave the range of P;
// 1 otherwise. Squares of doubles are in range: the callers screen their input.
template <class P>
double safe_scale(double top) {
    if (sizeof(P) == sizeof(double) || top == 0 || (top > 0x1p-40 && top < 0x1p50)) return 1;
    int exponent = 0;
    std::frexp(top, &exponent);
    return std::ldexp(1.0, -exponent);
}

template <class T, class P>
P centre_rows(const ScatterJob<T>& job, const double* zeros, double scale, Index start, Index rows,
              Index slice, const Panels<P>& z) {
    const Index end = smaller(rows, (slice + 1) * kSlice);
    P top = 0;
    for (Index i = slice * kSlice; i < end; ++i) {
        const auto of = deviation_at(job, zeros, scale, start + i);
        const auto next = deviation_at(job, zeros, scale, start + smaller(i + 1, end - 1));
        top = larger(top, centre_row<T, P>(of, next, job.features.cols, i, z));
    }
    return top;
}

// out = Z_I^T Z_J over `rows` rows from `first_row`; on the diagonal little more than the lower triangle. In
// double as a sum of short sums: a long one would cost the digits that double is asked for.
template <class P>
void multiply_tile(const Panels<P>& z, Index first_row, Index rows, const Tile& tile, P* out, Index stride) {
    multiply_panels(z, first_row, rows, tile.first_row, tile.rows, tile.first_col, tile.cols,
                    sizeof(P) == sizeof(double) ? kShortSum : rows, out, stride);
}

template <class P>
void add_tile(const P* product, Index stride, const Tile& tile, Index d, double factor, double* scatter) {
    for (Index i = 0; i < tile.rows; ++i) {
        const P* from = product + i * stride;
        double* to = scatter + (tile.first_row + i) * d + tile.first_col;
        const Index width = tile.first_row == tile.first_col ? i + 1 : tile.cols;
        for (Index j = 0; j < width; ++j) to[j] += factor * static_cast<double>(from[j]);
    }
}

}  // namespace

template <class T, class P>
void scatter(const ScatterJob<T>& job) {
    const Rows<T>& h = job.features;
    const Index d = h.cols;
    const Cuts cuts = plan_cuts<P>(h.rows, d);
    const Index tile_size = cuts.strip * cuts.strip;
    Eigen::Matrix<P, Eigen::Dynamic, 1> centred(blocks_of(d, kPanelCols<P>) * kPanelCols<P> *
                                                cuts.sweep_rows);
    const Eigen::VectorXd zeros = Eigen::VectorXd::Zero(job.pivots != nullptr ? 0 : d);
    RowMajor<P> products(cuts.tiles * blocks_of(cuts.sweep_rows, cuts.block_rows), tile_size);
    const Panels<P> z{centred.data(), cuts.sweep_rows * kPanelCols<P>};
    for (Index start = 0; start < h.rows; start += cuts.sweep_rows) {
        const Index rows = smaller(cuts.sweep_rows, h.rows - start);
        const Index blocks = blocks_of(rows, cuts.block_rows);
        P top = 0;
        double scale = 1;
        const auto factor = [&] { return job.factor / scale / scale; };
#pragma omp parallel num_threads(job.threads) if (job.threads > 1)
        {
#pragma omp for schedule(dynamic) reduction(max : top)
            for (Index s = 0; s < blocks_of(rows, kSlice); ++s) {
                top = larger(top, centre_rows<T, P>(job, zeros.data(), 1, start, rows, s, z));
            }
#pragma omp single
            scale = safe_scale<P>(static_cast<double>(top));
            if (scale != 1) {
#pragma omp for schedule(dynamic)
                for (Index s = 0; s < blocks_of(rows, kSlice); ++s) {
                    centre_rows<T, P>(job, zeros.data(), scale, start, rows, s, z);
                }
            }
#pragma omp for schedule(dynamic) collapse(2)
            for (Index b = 0; b < blocks; ++b) {
                for (Index t = 0; t < cuts.tiles; ++t) {
                    const Index first = b * cuts.block_rows;
                    const Tile tile = tile_at(t, cuts.strip, d);
                    P* product = products.data() + (b * cuts.tiles + t) * tile_size;
                    multiply_tile(z, first, smaller(cuts.block_rows, rows - first), tile, product,
                                  cuts.strip);
                    // No other block to wait for: the product is still in cache.
                    if (blocks == 1) add_tile(product, cuts.strip, tile, d, factor(), job.scatter);
                }
            }
#pragma omp for schedule(dynamic)
            for (Index t = 0; t < (blocks == 1 ? 0 : cuts.tiles); ++t) {
                for (Index b = 0; b < blocks; ++b) {
                    add_tile(products.data() + (b * cuts.tiles + t) * tile_size, cuts.strip,
                             tile_at(t, cuts.strip, d), d, factor(), job.scatter);
                }
            }
        }
    }
}

template <class T, class P>
void class_scatters(const ClassScattersJob<T>& job) {
    const Rows<T>& h = job.features;
    // Few classes share the threads within each; many are dealt out. The bits are the same.
    const bool many = job.num_runs >= 2 * job.threads;
#pragma omp parallel for num_threads(job.threads) schedule(dynamic) if (many && job.threads > 1)
    for (Index r = 0; r < job.num_runs; ++r) {
        const ClassRun& run = job.runs[r];
        scatter<T, P>({{h.data, run.end - run.begin, h.cols, h.stride},
                       job.order + run.begin,
                       job.roots == nullptr ? nullptr : job.roots + run.begin,
                       job.labels,
                       job.pivots,
                       job.factors[r],
                       job.scatters + run.cls * h.cols * h.cols,
                       many ? 1 : job.threads});
    }
}

template void scatter<float, float>(const ScatterJob<float>&);
template void scatter<float, double>(const ScatterJob<float>&);
template void scatter<double, double>(const ScatterJob<double>&);
template void class_scatters<float, float>(const ClassScattersJob<float>&);
template void class_scatters<float, double>(const ClassScattersJob<float>&);
template void class_scatters<double, double>(const ClassScattersJob<double>&);

}  // namespace ncfast::NCFAST_ISA
