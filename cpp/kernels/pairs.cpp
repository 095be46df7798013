#include <cmath>
#include <limits>

#include "kernels/kernels.hpp"
#include "kernels/pair_sums.hpp"
#include "kernels/products.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

// The upper half of the K x K matrix is cut in square tiles. A tile's products stay in cache while all sums
// are taken from them; each tile keeps sums of its own, which are combined in the order of the tiles.
constexpr Index kMaxTile = 192;
constexpr Index kMinTile = 32;
constexpr Index kTilesPerRound = 256;  // tiles whose sums are held at a time
constexpr Index kTilesAtOnce = 4;      // for one thread
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Squared distances below this share of the squared lengths are taken from differences.
template <class P>
constexpr double kClose = sizeof(P) == sizeof(double) ? 1e-4 : 3e-2;

Index tile_for(Index vectors) {
    return larger(kMinTile, smaller(kMaxTile, blocks_of(blocks_of(vectors, 8), 16) * 16));
}

struct Tile {
    Index first_row, first_col, rows, cols;
};

// What a tile knows of the classes on one of its sides.
struct Side {
    double ratios[kMaxTile];
    double worst[kMaxTile];
    double nearest[kMaxTile];
    double rivals[kMaxTile];
    double gaps[kMaxTile];

    void clear() {
        for (Index i = 0; i < kMaxTile; ++i) {
            ratios[i] = 0;
            worst[i] = 0;
            nearest[i] = kInfinity;
            rivals[i] = -kInfinity;
            gaps[i] = 0;
        }
    }
};

struct TileSums {
    PairSums sums;
    Side rows, cols;
};

// One row of a tile: vector k against vectors first ... first + n - 1, with room for one value a pair. Loops
// copy its members first: in the middle of one the compiler gathers through a pointer that it has to reload.
struct Strip {
    Index k, row, first, col, n;  // row and col: positions in the tile
    const double* cosines;
    double* values;
};

template <class P>
void add_cosines(const PairsJob<P>& job, const Strip& strip, PairSums& sums) {
    const Index n = strip.n;
    const double* cosines = strip.cosines;
    const double simplex = 1.0 / static_cast<double>(job.directions.rows - 1);
    double excess = 0, top = 0;
#pragma omp simd reduction(+ : excess) reduction(max : top)
    for (Index j = 0; j < n; ++j) {
        const double c = cosines[j];
        excess += std::abs(c + simplex);
        top = std::abs(c) > top ? std::abs(c) : top;
    }
    sums.cosine_excess += excess;
    sums.coherence = larger(sums.coherence, top);
}

template <class P>
void add_products(const PairsJob<P>& job, const Strip& strip, PairSums& sums) {
    const Index n = strip.n;
    const double* cosines = strip.cosines;
    const double length = job.lengths[strip.k];
    const double* lengths = job.lengths + strip.first;
    const double inverse_norm = 1.0 / job.etf_norm, etf_entry = job.etf_entry;
    double errors = 0, error_squares = 0, shifted_squares = 0;
#pragma omp simd reduction(+ : errors, error_squares, shifted_squares)
    for (Index j = 0; j < n; ++j) {
        const double p = cosines[j] * length * lengths[j];
        const double e = p * inverse_norm - etf_entry;
        errors += e;
        error_squares += e * e;
        shifted_squares += p * p;
    }
    sums.etf_errors += errors;
    sums.etf_error_squares += error_squares;
    if (job.shifts != nullptr) {
        const double shift = job.shifts[strip.k];
        const double* shifts = job.shifts + strip.first;
        shifted_squares = 0;
#pragma omp simd reduction(+ : shifted_squares)
        for (Index j = 0; j < n; ++j) {
            const double q = cosines[j] * length * lengths[j] + (shift + shifts[j]);
            shifted_squares += q * q;
        }
    }
    sums.shifted_squares += shifted_squares;
}

// || scale_k v_k - scale_l v_l ||^2 in double.
double squared_gap(const Rows<double>& frame, Index k, double scale_k, Index l, double scale_l) {
    const double* a = frame.data + k * frame.stride;
    const double* b = frame.data + l * frame.stride;
    // One factor alone: a fused multiply-add then leaves exactly 0 of equal directions.
    const double ratio = scale_l / scale_k;
    double squares = 0;
#pragma omp simd reduction(+ : squares)
    for (Index j = 0; j < frame.cols; ++j) {
        const double x = a[j] - ratio * b[j];
        squares += x * x;
    }
    return squares * scale_k * scale_k;
}

// Of the unit vectors: equal directions given in double are at distance 0.
double squared_unit_gap(const PairsJob<double>& job, Index k, Index l) {
    return squared_gap(job.directions, k, job.inverses[k], l, job.inverses[l]);
}
double squared_unit_gap(const PairsJob<float>& job, Index k, Index l) {
    return squared_gap(job.frame, k, 1 / job.lengths[k], l, 1 / job.lengths[l]);
}

template <class P>
void add_distances(const PairsJob<P>& job, const Strip& strip, PairSums& sums, Side& rows, Side& cols) {
    const Index n = strip.n;
    const double* cosines = strip.cosines;
    double* values = strip.values;
    const double* lengths = job.lengths + strip.first;
    const double length = job.lengths[strip.k];
    Index close = 0;
#pragma omp simd reduction(+ : close)
    for (Index j = 0; j < n; ++j) {
        const double both = length * length + lengths[j] * lengths[j];
        const double squared = both - 2 * cosines[j] * length * lengths[j];
        values[j] = squared;
        close += squared < kClose<P> * both ? 1 : 0;
    }
    for (Index j = 0; close > 0 && j < n; ++j) {
        if (values[j] >= kClose<P> * (length * length + lengths[j] * lengths[j])) continue;
        values[j] = squared_gap(job.frame, strip.k, 1, strip.first + j, 1);
        sums.coincident += values[j] == 0 ? 1 : 0;
    }
    const double variance = job.variances[strip.k];
    const double* variances = job.variances + strip.first;
    double* col_ratios = cols.ratios + strip.col;
    double* col_worst = cols.worst + strip.col;
    double* col_nearest = cols.nearest + strip.col;
    double total = 0;
    double least = rows.nearest[strip.row];
    double worst = rows.worst[strip.row];
#pragma omp simd reduction(+ : total) reduction(min : least) reduction(max : worst)
    for (Index j = 0; j < n; ++j) {
        const double squared = values[j];
        const double ratio = squared > 0 ? 0.5 * (variance + variances[j]) / squared : kInfinity;
        total += ratio;
        col_ratios[j] += ratio;
        worst = ratio > worst ? ratio : worst;
        col_worst[j] = larger(col_worst[j], ratio);
        least = squared < least ? squared : least;
        col_nearest[j] = smaller(col_nearest[j], squared);
    }
    sums.ratios += total;
    rows.ratios[strip.row] += total;
    rows.worst[strip.row] = worst;
    rows.nearest[strip.row] = least;
}

template <class P>
void add_kernel(const PairsJob<P>& job, const Strip& strip, PairSums& sums, ShiftedSums& kernel) {
    const double* cosines = strip.cosines;
    double* values = strip.values;
    Index n = strip.n;
    const bool singular =
        job.kernel == PairKernel::log || (job.kernel == PairKernel::riesz && job.parameter > 0);
    Index close = 0;
#pragma omp simd reduction(+ : close)
    for (Index j = 0; j < n; ++j) {
        values[j] = 2 - 2 * cosines[j];
        close += values[j] < 2 * kClose<P> ? 1 : 0;
    }
    if (close > 0) {
        n = 0;
        for (Index j = 0; j < strip.n; ++j) {
            double squared = values[j];
            if (squared < 2 * kClose<P>) {
                squared = squared_unit_gap(job, strip.k, strip.first + j);
            }
            if (squared > 0 || !singular) {
                strip.values[n++] = squared;
            } else {
                ++sums.same_direction;
            }
        }
    }
    Eigen::Map<Eigen::ArrayXd> kept(values, n);
    switch (job.kernel) {
        case PairKernel::log:
            if (sizeof(P) == sizeof(double) || close > 0) {
                kept = -0.5 * kept.log();
            } else {  // products of floats know no more digits of it than a float has
                kept = (-0.5f * kept.template cast<float>().log()).template cast<double>();
            }
            break;
        case PairKernel::distance:
            kept = kept.sqrt();
            break;
        case PairKernel::riesz:
            kept = (-0.5 * job.parameter * kept.log()).exp() * (job.parameter > 0 ? 1 : -1);
            break;
        case PairKernel::rbf:
            kept = (-job.parameter * kept).exp();
            break;
        case PairKernel::none:
            break;
    }
    kernel.add(values, n);
}

// Both directions of each pair: l as a rival at the vector of k, and k at that of l.
template <class P>
void add_rivals(const PairsJob<P>& job, const Strip& strip, Side& rows, Side& cols) {
    const Index k = strip.k, n = strip.n;
    const double* cosines = strip.cosines;
    const double* lengths = job.lengths + strip.first;
    const double* slopes = job.slopes + strip.first;
    const double* levels = job.levels + strip.first;
    const double* slacks = job.slacks + strip.first;
    const double length = job.lengths[k], slope = job.slopes[k], level = job.levels[k], slack = job.slacks[k];
    double* col_rivals = cols.rivals + strip.col;
    double* col_gaps = cols.gaps + strip.col;
    double rival = rows.rivals[strip.row];
    double gap = rows.gaps[strip.row];
#pragma omp simd reduction(max : rival, gap)
    for (Index j = 0; j < n; ++j) {
        const double p = cosines[j] * length * lengths[j];
        const double mine = slopes[j] * p + levels[j] + slacks[j] * length;
        const double its = slope * p + level + slack * lengths[j];
        const double a = slope * length;
        const double b = slopes[j] * lengths[j];
        const double apart = a * a + b * b - 2 * a * b * cosines[j];
        rival = mine > rival ? mine : rival;
        gap = apart > gap ? apart : gap;
        col_rivals[j] = larger(col_rivals[j], its);
        col_gaps[j] = larger(col_gaps[j], apart);
    }
    rows.rivals[strip.row] = rival;
    rows.gaps[strip.row] = gap;
}

// Products of a tile, whatever their precision.
template <class P, class Q>
void add_tile(const PairsJob<P>& job, const Tile& tile, const Q* products, Index stride, TileSums& out) {
    double cosine_room[kMaxTile];
    double value_room[kMaxTile];
    ShiftedSums cosines, kernel;
    out.sums = PairSums{};
    out.rows.clear();
    out.cols.clear();
    for (Index i = 0; i < tile.rows; ++i) {
        const Index skip = tile.first_row == tile.first_col ? i + 1 : 0;
        const Strip strip{tile.first_row + i, i,         tile.first_col + skip, skip, tile.cols - skip,
                          cosine_room,        value_room};
        if (strip.n == 0) continue;
        const Q* row = products + i * stride + skip;
        const double inverse = job.inverses[strip.k];
        const double* inverses = job.inverses + strip.first;
#pragma omp simd
        for (Index j = 0; j < strip.n; ++j) {
            cosine_room[j] = static_cast<double>(row[j]) * (inverse * inverses[j]);
        }
        cosines.add(cosine_room, strip.n);
        add_cosines(job, strip, out.sums);
        add_products(job, strip, out.sums);
        if (job.variances != nullptr) add_distances(job, strip, out.sums, out.rows, out.cols);
        if (job.kernel != PairKernel::none) add_kernel(job, strip, out.sums, kernel);
        if (job.slopes != nullptr) add_rivals(job, strip, out.rows, out.cols);
    }
    out.sums.cosines = cosines.moments();
    out.sums.kernel = kernel.moments();
}

// Products of the vectors of a tile with one another; on the diagonal little more than the upper triangle.
template <class P>
void multiply_tile(const Operand<P>& directions, const Tile& tile, const Packed<P>& packed, P* products,
                   Index stride) {
    const bool diagonal = tile.first_row == tile.first_col;
    const Index strip = diagonal ? kPanelCols<P> : tile.rows;
    for (Index i = 0; i < tile.rows; i += strip) {
        const Index first = diagonal ? i : 0;
        multiply(directions.from(tile.first_row + i), smaller(strip, tile.rows - i), packed, first,
                 tile.cols - first, products + i * stride + first, stride);
    }
}

template <class P>
void combine_side(const PairsJob<P>& job, Index first, Index n, const Side& side) {
    for (Index i = 0; i < n; ++i) {
        if (job.variances != nullptr) {
            job.class_ratios[first + i] += side.ratios[i];
            job.worst[first + i] = larger(job.worst[first + i], side.worst[i]);
            job.nearest[first + i] = smaller(job.nearest[first + i], side.nearest[i]);
        }
        if (job.slopes != nullptr) {
            job.rivals[first + i] = larger(job.rivals[first + i], side.rivals[i]);
            job.gaps[first + i] = larger(job.gaps[first + i], side.gaps[i]);
        }
    }
}

template <class P>
void clear_results(const PairsJob<P>& job) {
    *job.sums = PairSums{};
    for (Index k = 0; k < job.directions.rows; ++k) {
        if (job.variances != nullptr) {
            job.class_ratios[k] = 0;
            job.worst[k] = 0;
            job.nearest[k] = kInfinity;
        }
        if (job.slopes != nullptr) {
            job.rivals[k] = -kInfinity;
            job.gaps[k] = 0;
        }
    }
}

}  // namespace

template <class P>
void pairs(const PairsJob<P>& job) {
    const Index vectors = job.directions.rows;
    const Index size = tile_for(vectors);
    const Index bands = blocks_of(vectors, size);
    const Index tiles = bands * (bands + 1) / 2;
    const Operand<P> directions = rows_of(job.directions.data, job.directions.stride);
    Eigen::Matrix<Tile, Eigen::Dynamic, 1> places(smaller(tiles, kTilesPerRound));
    Eigen::Matrix<TileSums, Eigen::Dynamic, 1> parts(places.size());
    clear_results(job);
    Index row = 0, col = 0;
    for (Index done = 0; done < tiles; done += kTilesPerRound) {
        const Index now = smaller(kTilesPerRound, tiles - done);
        for (Index t = 0; t < now; ++t) {
            places[t] = {row * size, col * size, smaller(size, vectors - row * size),
                         smaller(size, vectors - col * size)};
            if (++row > col) {
                row = 0;
                ++col;
            }
        }
#pragma omp parallel num_threads(job.threads) if (job.threads > 1)
        {
            const bool known = job.products != nullptr;
            RowMajor<P> products(known ? 0 : size, size);
            Packed<P> packed(known ? 0 : job.directions.cols, size);
            Index packed_band = -1;  // neighbouring tiles have their columns in common
#pragma omp for schedule(dynamic, kTilesAtOnce)
            for (Index t = 0; t < now; ++t) {
                const Tile& tile = places[t];
                if (known) {
                    add_tile(job, tile, job.products + tile.first_row * vectors + tile.first_col, vectors,
                             parts[t]);
                    continue;
                }
                if (packed_band != tile.first_col) packed.fill(directions.from(tile.first_col), tile.cols);
                packed_band = tile.first_col;
                multiply_tile(directions, tile, packed, products.data(), size);
                add_tile(job, tile, products.data(), size, parts[t]);
            }
        }
        for (Index t = 0; t < now; ++t) {
            merge(*job.sums, parts[t].sums);
            combine_side(job, places[t].first_row, places[t].rows, parts[t].rows);
            combine_side(job, places[t].first_col, places[t].cols, parts[t].cols);
        }
    }
}

template void pairs(const PairsJob<float>&);
template void pairs(const PairsJob<double>&);

}  // namespace ncfast::NCFAST_ISA
