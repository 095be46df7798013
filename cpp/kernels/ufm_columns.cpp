#include <cmath>
#include <cstring>
#include <memory>

#include "kernels/kernels.hpp"
#include "kernels/ufm_awake.hpp"
#include "kernels/ufm_products.hpp"
#include "kernels/ufm_turned.hpp"
#include "kernels/ufm_update.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

using ufm::ColumnsJob;
using ufm::Loss;

// Sums a group adds up lane by lane, besides gradients.
struct Sums {
    Lanes fit = Lanes::Zero();
    Lanes squared_gradient = Lanes::Zero();
    Lanes squared_columns = Lanes::Zero();
};

// One tile on its way forwards and back.
class Tile {
  public:
    Tile(const ColumnsJob& job, const TurnedMaps& turned, Index index, double* scratch)
        : job_(job),
          turned_(turned),
          width_(job.tiles.width),
          index_(index),
          multiplicities_(job.tiles.multiplicities + index * width_),
          watches_(watches(job)),
          many_(job.num_maps < kFew ? nullptr : new Units[static_cast<std::size_t>(job.num_maps) + 1]),
          units_(many_ ? many_.get() : few_) {
        levels_ = scratch;
        Index largest = job.maps[0].cols;
        units_[0].count = job.maps[0].cols;
        for (Index m = 0; m < job.num_maps; ++m) {
            scratch += job.maps[m].rows * width_;
            largest = larger(largest, job.maps[m].rows);
            units_after(m).count = job.maps[m].rows;
        }
        slopes_[0] = scratch;
        slopes_[1] = scratch + largest * width_;
        room_ = scratch + 2 * largest * width_;
    }

    void forward(Sums& sums) {
        if (watches_) choose_candidates();
        Panel input = columns();
        for (Index m = 0; m < job_.num_maps; ++m) {
            multiply(part_of(job_.maps[m], units_after(m), units_before(m), room_), false, input, width_,
                     level(m));
            if (m + 1 < job_.num_maps) rectify(m);
            input = level(m);
        }
        for (Index p = 0; p < width_; p += kLanes) {
            if (job_.loss == Loss::square) {
                square_loss(p, sums);
            } else {
                cross_entropy(p, sums);
            }
        }
    }

    // Adds this tile's share of the gradients to `gradients`, where it is the first of them unless `add`, and
    // leaves that of its columns in slopes_[0].
    void backward(double* gradients, bool add) {
        Panel slopes = level(job_.num_maps - 1);
        add_bias_gradient(slopes, gradients);
        for (Index m = job_.num_maps - 1; m >= 0; --m) {
            const Panel input = m > 0 ? level(m - 1) : columns();
            Panel gradient = job_.gradients[m];
            gradient.data = gradients + (gradient.data - job_.gradients[0].data);
            const Units& rows = units_after(m);
            const Units& cols = units_before(m);
            const Panel below{slopes_[m % 2], cols.count, width_, width_};
            if (rows.some || cols.some) {
                const Panel part{room_, rows.count, cols.count, gradient.stride};
                multiply_outer(slopes, input, width_, part);
                put_part(part, rows, cols, gradient, add);
                multiply(part_of(job_.maps[m], rows, cols, room_), true, slopes, width_, below);
            } else {
                multiply_outer(slopes, input, width_, gradient, add);
                turned_.multiply_by(m, slopes, below);
            }
            if (m > 0) mask(m - 1, below);
            slopes = below;
        }
    }

    void step() {
        alignas(64) double scale[ufm::kMaxWidth];
        set_shares_of_a_sample(scale);
        if (watches_) {
            step_watched(scale);
        } else {
            for (Index j = 0; j < job_.maps[0].cols; ++j) step_row(j, scale);
        }
    }

    void add_squares(Sums& sums) const {
        alignas(64) double scale[ufm::kMaxWidth];
        set_shares_of_a_sample(scale);
        for (Index j = 0; j < job_.maps[0].cols; ++j) {
            for (Index p = 0; p < width_; p += kLanes) {
                const ConstLanesAt q(multiplicities_ + p);
                const ConstLanesAt slope(slopes_[0] + j * width_ + p);
                const ConstLanesAt x(job_.tiles.columns.values + first_ + j * width_ + p);
                const Lanes g = ConstLanesAt(scale + p) * slope + job_.feature_decay * x;
                sums.squared_gradient += q * g.square();
                sums.squared_columns += q * x.square();
            }
        }
    }

  private:
    Panel columns() const { return {job_.tiles.columns.values + first_, job_.maps[0].cols, width_, width_}; }

    Panel level(Index m) const {
        double* data = levels_;
        for (Index i = 0; i < m; ++i) data += job_.maps[i].rows * width_;
        return {data, units_after(m).count, width_, width_};
    }

    // Moves coordinate j of all columns.
    void step_row(Index j, const double* scale) {
        const double* slope = slopes_[0] + j * width_;
        const Index first = first_ + j * width_;
        double* x = job_.tiles.columns.values + first;
        move(job_.tiles.columns, first, width_, job_.rule,
             [&](Index i) { return scale[i] * slope[i] + job_.feature_decay * x[i]; });
        for (Index i = 0; job_.nonnegative && i < width_; ++i) x[i] = larger(x[i], 0.0);
    }

    // Moves the columns and keeps how far the farthest went, and how long the longest is.
    void step_watched(const double* scale) {
        alignas(64) double before[ufm::kMaxWidth];
        alignas(64) double moved[ufm::kMaxWidth] = {};    // squared, of each column
        alignas(64) double lengths[ufm::kMaxWidth] = {};  // the same
        for (Index j = 0; j < job_.maps[0].cols; ++j) {
            const double* x = job_.tiles.columns.values + first_ + j * width_;
            std::memcpy(before, x, static_cast<std::size_t>(width_) * sizeof(double));
            step_row(j, scale);
            for (Index i = 0; i < width_; ++i) {
                moved[i] += (x[i] - before[i]) * (x[i] - before[i]);
                lengths[i] += x[i] * x[i];
            }
        }
        const auto longest = [this](const double* squares) {
            return length_from(Eigen::Map<const Eigen::ArrayXd>(squares, width_).maxCoeff(),
                               job_.maps[0].cols);
        };
        job_.margins.longest_step[index_] = longest(moved);
        job_.margins.longest_column[index_] = longest(lengths);
    }

    // Units that map m takes in, and those that it puts out.
    Units& units_before(Index m) const { return units_[static_cast<std::size_t>(m)]; }
    Units& units_after(Index m) const { return units_before(m + 1); }

    // Whether it is worth while to leave units out that map m puts out.
    bool pays(Index kept, Index m) const {
        const Panel& map = job_.maps[m];
        return 4 * kept <= 3 * map.rows && !is_small(map.rows, map.cols, width_);
    }

    // Leaves units out before the first product. Which ones depends on earlier passes, and must not be seen
    // in the bits of what is kept: few rows are multiplied in another order.
    void choose_candidates() {
        Units& units = units_after(0);
        const Index kept = list_candidates(job_, index_, units.kept);
        units.some = pays(kept, 0) && kept > kFewRows && !is_small(kept, job_.maps[0].cols, width_);
        if (units.some) units.count = kept;
    }

    // The ReLU after map m. Units that are asleep are left out from here on.
    void rectify(Index m) {
        Units& units = units_after(m);
        const Panel x = level(m);
        Indices rows(new Index[static_cast<std::size_t>(x.rows)]);  // of x, where a unit is awake
        Index awake = 0;
        for (Index i = 0; i < x.rows; ++i) {
            double* row = x.data + i * x.stride;
            double most = row[0];
#pragma omp simd reduction(max : most)
            for (Index p = 0; p < width_; ++p) {
                most = row[p] > most ? row[p] : most;
                row[p] = row[p] > 0 ? row[p] : 0;
            }
            if (most > 0) rows[awake++] = i;
            if (m == 0 && watches_) set_margin(job_, index_, units[i], most);
        }
        if (!pays(awake, m)) return;
        if (awake < x.rows) gather_rows(x, rows, {x.data, awake, width_, width_});
        for (Index i = 0; i < awake; ++i) rows[i] = units[rows[i]];
        units.count = awake;
        units.some = true;
        units.kept.swap(rows);
    }

    // Slopes of what enters the ReLU after map m from those of what leaves it.
    void mask(Index m, const Panel& slopes) const {
        const double* x = level(m).data;
        for (Index i = 0; i < slopes.rows * width_; ++i) slopes.data[i] = x[i] > 0 ? slopes.data[i] : 0;
    }

    // Slopes carry the multiplicity; the gradient of one sample does not.
    void set_shares_of_a_sample(double* scale) const {
        for (Index i = 0; i < width_; ++i) {
            const double q = multiplicities_[i];
            scale[i] = q > 0 ? 1 / (q * job_.samples) : 0;
        }
    }

    const double* target(Index row, Index p) const {
        return job_.tiles.targets + (index_ * outputs() + row) * width_ + p;
    }

    Lanes bias_at(Index row, Index p) const {
        if (job_.bias == nullptr) return Lanes::Zero();
        return job_.bias[row] * ConstLanesAt(job_.tiles.biased + index_ * width_ + p);
    }

    void square_loss(Index p, Sums& sums) {
        const Panel out = level(job_.num_maps - 1);
        const ConstLanesAt q(multiplicities_ + p);
        for (Index c = 0; c < out.rows; ++c) {
            LanesAt slope(out.data + c * width_ + p);
            const Lanes rest = slope + bias_at(c, p) - ConstLanesAt(target(c, p));
            sums.fit += 0.5 * q * rest.square();
            slope = q * rest;
        }
    }

    // Targets add up to 1 in each column. With the focal exponent g: -(1 - p)^g log p of the class's share p.
    void cross_entropy(Index p, Sums& sums) {
        const Panel out = level(job_.num_maps - 1);
        const ConstLanesAt q(multiplicities_ + p);
        Lanes top = Lanes::Constant(-HUGE_VAL);
        for (Index c = 0; c < out.rows; ++c) {
            LanesAt logit(out.data + c * width_ + p);
            logit += bias_at(c, p);
            top = top.max(logit);
        }
        Lanes total = Lanes::Zero();
        Lanes likely = Lanes::Zero();  // sum over targets of logit - top
        for (Index c = 0; c < out.rows; ++c) {
            LanesAt logit(out.data + c * width_ + p);
            likely += ConstLanesAt(target(c, p)) * (logit - top);
            logit = (logit - top).exp();
            total += logit;
        }
        const Lanes log_share = likely - total.log();
        Lanes factor = q;
        if (job_.loss == Loss::focal) {
            Lanes own = Lanes::Zero();
            Lanes rest = Lanes::Zero();  // 1 - own would lose its digits
            for (Index c = 0; c < out.rows; ++c) {
                const ConstLanesAt t(target(c, p));
                const Lanes share = LanesAt(out.data + c * width_ + p) / total;
                own += t * share;
                rest += (1 - t) * share;
            }
            Lanes damping, slope;  // rest^g and its derivative
            for (Index i = 0; i < kLanes; ++i) {
                damping[i] = std::pow(rest[i], job_.focal);
                slope[i] = job_.focal * std::pow(rest[i], job_.focal - 1);
            }
            sums.fit -= q * damping * log_share;
            factor = q * (damping - slope * own * log_share);
        } else {
            sums.fit -= q * log_share;
        }
        for (Index c = 0; c < out.rows; ++c) {
            LanesAt slope(out.data + c * width_ + p);
            slope = factor * (slope / total - ConstLanesAt(target(c, p)));
        }
    }

    void add_bias_gradient(const Panel& slopes, double* gradients) const {
        if (job_.bias == nullptr) return;
        double* out = gradients + (job_.bias_gradient - job_.gradients[0].data);
        const double* biased = job_.tiles.biased + index_ * width_;
        for (Index c = 0; c < slopes.rows; ++c) {
            Lanes sum = Lanes::Zero();
            for (Index p = 0; p < width_; p += kLanes) {
                sum += ConstLanesAt(slopes.data + c * width_ + p) * ConstLanesAt(biased + p);
            }
            out[c] += sum_of(sum);
        }
    }

    Index outputs() const { return job_.maps[job_.num_maps - 1].rows; }

    const ColumnsJob& job_;
    const TurnedMaps& turned_;
    Index width_;
    Index index_;
    Index first_ = index_ * job_.maps[0].cols * width_;
    const double* multiplicities_;
    double* levels_;
    double* slopes_[2];
    double* room_;  // for a map
    bool watches_;  // over margins
    static constexpr Index kFew = 3;
    Units few_[kFew];  // an iteration of a small model takes no longer than a few allocations
    std::unique_ptr<Units[]> many_;
    Units* units_;  // that enter map 0, leave it, leave map 1, ...
};

void run_group(const ColumnsJob& job, const TurnedMaps& turned, Index group, double* scratch,
               double* partial) {
    // The first tile sets the gradients of the maps.
    const Panel& last = job.gradients[job.num_maps - 1];
    for (Index i = last.data + last.rows * last.stride - job.gradients[0].data; i < job.partial_size; ++i)
        partial[i] = 0;
    Sums sums;
    const ufm::Tiles& tiles = job.tiles;
    const Index first = group * tiles.num_tiles / tiles.num_groups;
    const Index end = (group + 1) * tiles.num_tiles / tiles.num_groups;
    for (Index t = first; t < end; ++t) {
        Tile tile(job, turned, t, scratch);
        tile.forward(sums);
        tile.backward(partial, t > first);
        if (job.update) {
            tile.step();
        } else {
            tile.add_squares(sums);
        }
    }
    double* out = partial + job.partial_size - kLanes;
    out[0] = sum_of(sums.fit);
    out[1] = sum_of(sums.squared_gradient);
    out[2] = sum_of(sums.squared_columns);
}

}  // namespace

void ufm_columns(const ColumnsJob& job) {
    const Index groups = job.tiles.num_groups;
    const auto partial = [&job](Index g) { return job.partials + g * job.partial_size; };
    const TurnedMaps turned(job);
    if (watches(job)) follow_rows(job);
    for_units(groups, job.threads, [&](Index g, Index thread) {
        run_group(job, turned, g, job.scratch + thread * job.scratch_size, partial(g));
    });
    constexpr Index kStretch = 4096;
    const Index size = job.partial_size - kLanes;
    for_units(blocks_of(size, kStretch), job.threads, [&](Index u, Index) {
        const Index first = u * kStretch;
        const Index length = smaller(kStretch, size - first);
        Eigen::Map<Eigen::ArrayXd> sum(job.gradients[0].data + first, length);
        sum = Eigen::Map<const Eigen::ArrayXd>(partial(0) + first, length);
        for (Index g = 1; g < groups; ++g) {
            sum += Eigen::Map<const Eigen::ArrayXd>(partial(g) + first, length);
        }
        sum /= job.samples;
    });
    *job.fit = *job.squared_gradient = *job.squared_columns = 0;
    for (Index g = 0; g < groups; ++g) {
        *job.fit += partial(g)[size];
        *job.squared_gradient += partial(g)[size + 1];
        *job.squared_columns += partial(g)[size + 2];
    }
}

void ufm_update(const ufm::UpdateJob& job) {
    const double* x = job.variable.values;
    move(job.variable, 0, job.size, job.rule, [&](Index i) { return job.gradient[i] + job.decay * x[i]; });
}

}  // namespace ncfast::NCFAST_ISA
