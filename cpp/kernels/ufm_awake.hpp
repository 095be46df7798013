// Units of hidden layers that stand out of a tile. A ReLU gives zero for a unit that is asleep, below zero,
// in all of its columns: near collapse that is most of them, since the columns of a tile are mostly of one
// class. Products leave their rows out.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstring>
#include <memory>

#include "kernels/ufm_products.hpp"

namespace ncfast::NCFAST_ISA {

using Indices = std::unique_ptr<Index[]>;  // destroyed at no cost if empty, as it is in small models

/// Units of a level that are kept, in a tile: all, or some.
struct Units {
    Index count = 0;
    bool some = false;
    Indices kept;  // the first `count` entries, in rising order, if `some`

    Index operator[](Index i) const { return some ? kept[i] : i; }
};

/// Brings rows of a panel together.
inline void gather_rows(const Panel& from, const Indices& rows, const Panel& to) {
    for (Index i = 0; i < to.rows; ++i) {
        std::memmove(to.data + i * to.stride, from.data + rows[i] * from.stride,
                     static_cast<std::size_t>(from.cols) * sizeof(double));
    }
}

/// The part of a map between units that are kept; in `room`, unless that is all.
inline Panel part_of(const Panel& map, const Units& rows, const Units& cols, double* room) {
    if (!rows.some && !cols.some) return map;
    const Panel part{room, rows.count, cols.count, map.stride};
    if (!cols.some) {
        gather_rows(map, rows.kept, part);
        return part;
    }
    for (Index i = 0; i < part.rows; ++i) {
        const double* from = map.data + rows[i] * map.stride;
        double* to = part.data + i * part.stride;
        for (Index j = 0; j < part.cols; ++j) to[j] = from[cols.kept[j]];
    }
    return part;
}

/// Adds a part to where `part_of` would take it from; unless `add`, sets it there and zero elsewhere.
inline void put_part(const Panel& part, const Units& rows, const Units& cols, const Panel& to, bool add) {
    Index next = 0;  // row of `to`
    const auto clear_until = [&](Index end) {
        for (; next < end && !add; ++next) {
            for (Index j = 0; j < to.cols; ++j) to.data[next * to.stride + j] = 0;
        }
    };
    for (Index i = 0; i < part.rows; ++i) {
        const double* from = part.data + i * part.stride;
        double* row = to.data + rows[i] * to.stride;
        clear_until(rows[i] + (cols.some ? 1 : 0));
        next = rows[i] + 1;
        if (cols.some) {
            for (Index j = 0; j < part.cols; ++j) row[cols.kept[j]] += from[j];
        } else if (add) {
            for (Index j = 0; j < part.cols; ++j) row[j] += from[j];
        } else {
            for (Index j = 0; j < part.cols; ++j) row[j] = from[j];
        }
    }
    clear_until(to.rows);
}

/// Whether margins are kept.
inline bool watches(const ufm::ColumnsJob& job) {
    const Panel& map = job.maps[0];
    return job.margins.values != nullptr && !is_small(map.rows, map.cols, job.tiles.width);
}

/// The length of a vector from its squares, any of which may have been too small to be seen.
inline double length_from(double squares, Index size) {
    return std::sqrt(squares + static_cast<double>(size) * DBL_MIN);
}

/// How far the rows of the first map have moved since the last pass, and how long they were and are.
inline void follow_rows(const ufm::ColumnsJob& job) {
    const Panel& map = job.maps[0];
    const ufm::Margins& margins = job.margins;
    for_units(blocks_of(map.rows, kSplit), job.threads, [&](Index u, Index) {
        for (Index r = u * kSplit; r < smaller((u + 1) * kSplit, map.rows); ++r) {
            const Eigen::Map<const Eigen::ArrayXd> now(map.data + r * map.stride, map.stride);
            Eigen::Map<Eigen::ArrayXd> before(margins.rows_before + r * map.stride, map.stride);
            margins.rows_moved[r] = length_from((now - before).square().sum(), map.cols);
            margins.row_lengths_before[r] = margins.row_lengths[r];
            margins.row_lengths[r] = length_from(now.square().sum(), map.cols);
            before = now;
        }
    });
}

/// Lists the units after the first map that may be awake in tile t, all but those whose margin has lasted,
/// and returns how many. Between passes w x moves by (w' - w) x' + w (x' - x), hence by no more than these
/// lengths.
inline Index list_candidates(const ufm::ColumnsJob& job, Index t, Indices& candidates) {
    constexpr double kRoundedUp = 1 + 1e-9;
    const ufm::Margins& margins = job.margins;
    const Index units = job.maps[0].rows;
    double* margin = margins.values + t * units;
    candidates.reset(new Index[static_cast<std::size_t>(units)]);
    Index count = 0;
    for (Index r = 0; r < units; ++r) {
        margin[r] -= kRoundedUp * (margins.rows_moved[r] * margins.longest_column[t] +
                                   margins.row_lengths_before[r] * margins.longest_step[t]);
        if (!(margin[r] > 0)) candidates[count++] = r;
    }
    margins.longest_step[t] = 0;  // until the columns move again
    return count;
}

/// Keeps how far a unit is below zero in tile t, whose largest value was computed as `most`.
inline void set_margin(const ufm::ColumnsJob& job, Index t, Index unit, double most) {
    // Of a sum of products as computed, now or later, in whatever order.
    const double rounding = 4 * 0x1p-53 * static_cast<double>(job.maps[0].cols + 8);
    const ufm::Margins& margins = job.margins;
    margins.values[t * job.maps[0].rows + unit] =
        -most - rounding * margins.row_lengths[unit] * margins.longest_column[t] - DBL_MIN;
}

}  // namespace ncfast::NCFAST_ISA
