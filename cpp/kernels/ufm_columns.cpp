#include <cmath>
#include <cstring>

#include "kernels/kernels.hpp"
#include "kernels/ufm_products.hpp"
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

// The maps turned over once a pass, where every tile would have to gather their columns again.
class TurnedMaps {
  public:
    explicit TurnedMaps(const ColumnsJob& job)
        : job_(job), values_(new RowMajor<double>[static_cast<std::size_t>(job.num_maps)]) {
        for (Index m = 0; m < job.num_maps; ++m) {
            const Panel& map = job.maps[m];
            if (is_small(map.rows, map.cols, job.tiles.width)) continue;
            values_[m].resize(map.cols, map.rows);
            for_units(blocks_of(map.rows, kSplit), job.threads, [&](Index u, Index) {
                const Index rows = smaller(kSplit, map.rows - u * kSplit);
                values_[m].middleCols(u * kSplit, rows) =
                    view(map, map.cols).middleRows(u * kSplit, rows).transpose();
            });
        }
    }
    ~TurnedMaps() { delete[] values_; }
    TurnedMaps(const TurnedMaps&) = delete;
    TurnedMaps& operator=(const TurnedMaps&) = delete;

    /// out = A^T B for map m.
    void multiply_by(Index m, const Panel& b, const Panel& out) const {
        RowMajor<double>& turned = values_[m];
        if (turned.size() == 0) {
            multiply(job_.maps[m], true, b, b.stride, out);
        } else {
            multiply({turned.data(), turned.rows(), turned.cols(), turned.cols()}, false, b, b.stride, out);
        }
    }

  private:
    const ColumnsJob& job_;
    RowMajor<double>* values_;
};

// One tile on its way forwards and back.
class Tile {
  public:
    Tile(const ColumnsJob& job, const TurnedMaps& turned, Index index, double* scratch)
        : job_(job),
          turned_(turned),
          width_(job.tiles.width),
          index_(index),
          multiplicities_(job.tiles.multiplicities + index * width_) {
        levels_ = scratch;
        Index largest = job.maps[0].cols;
        for (Index m = 0; m < job.num_maps; ++m) {
            scratch += job.maps[m].rows * width_;
            largest = larger(largest, job.maps[m].rows);
        }
        slopes_[0] = scratch;
        slopes_[1] = scratch + largest * width_;
        room_ = scratch + 2 * largest * width_;
    }

    void forward(Sums& sums) {
        Panel input = columns();
        for (Index m = 0; m < job_.num_maps; ++m) {
            const Panel output = level(m);
            multiply(job_.maps[m], false, input, width_, output);
            if (m + 1 < job_.num_maps) {
                Eigen::Map<Eigen::ArrayXd> all(output.data, output.rows * width_);
                all = all.max(0.0);
            }
            input = output;
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
            const Panel below{slopes_[m % 2], job_.maps[m].cols, width_, width_};
            if (slopes.rows < gradient.rows) {
                multiply_awake(slopes, input, gradient, add);
                multiply_by_awake(m, slopes, below);
            } else {
                multiply_outer(slopes, input, width_, gradient, add);
                turned_.multiply_by(m, slopes, below);
            }
            slopes = m > 0 ? through_relu(m - 1, below) : below;
        }
    }

    void step() {
        alignas(64) double scale[ufm::kMaxWidth];
        set_shares_of_a_sample(scale);
        for (Index j = 0; j < job_.maps[0].cols; ++j) {
            const double* slope = slopes_[0] + j * width_;
            const Index first = first_ + j * width_;
            double* x = job_.tiles.columns.values + first;
            move(job_.tiles.columns, first, width_, job_.rule,
                 [&](Index i) { return scale[i] * slope[i] + job_.feature_decay * x[i]; });
            for (Index i = 0; job_.nonnegative && i < width_; ++i) x[i] = larger(x[i], 0.0);
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
        return {data, job_.maps[m].rows, width_, width_};
    }

    // Slopes of what enters the ReLU after map m from those of what leaves it. Near collapse a tile's
    // samples, most of one class, leave most units asleep: their rows, all zero, are then left out.
    Panel through_relu(Index m, const Panel& slopes) {
        const double* x = level(m).data;
        double* row = slopes.data;
        awake_.resize(slopes.rows);
        Index awake = 0;
        for (Index r = 0; r < slopes.rows; ++r, x += width_, row += width_) {
            double most = 0;
#pragma omp simd reduction(max : most)
            for (Index i = 0; i < width_; ++i) {
                row[i] = x[i] > 0 ? row[i] : 0;
                most = x[i] > most ? x[i] : most;
            }
            if (most > 0) awake_[awake++] = r;
        }
        const bool pays = 4 * awake <= 3 * slopes.rows && !is_small(slopes.rows, job_.maps[m].cols, width_);
        if (!pays) return slopes;
        const Panel kept{slopes.data, awake, width_, width_};
        gather_awake(slopes, kept);
        return kept;
    }

    void gather_awake(const Panel& from, const Panel& to) const {
        for (Index i = 0; i < to.rows; ++i) {
            std::memmove(to.data + i * to.stride, from.data + awake_[i] * from.stride,
                         static_cast<std::size_t>(from.stride) * sizeof(double));
        }
    }

    // multiply_outer for slopes of units awake.
    void multiply_awake(const Panel& slopes, const Panel& input, const Panel& gradient, bool add) const {
        const Panel part{room_, slopes.rows, gradient.cols, gradient.stride};
        multiply_outer(slopes, input, width_, part);
        if (!add) view(gradient, gradient.cols).setZero();
        for (Index i = 0; i < part.rows; ++i) {
            view(gradient, gradient.cols).row(awake_[i]) += view(part, part.cols).row(i);
        }
    }

    // out = A^T B for map m, B the slopes of units awake.
    void multiply_by_awake(Index m, const Panel& slopes, const Panel& out) const {
        const Panel& map = job_.maps[m];
        const Panel part{room_, slopes.rows, map.cols, map.stride};
        gather_awake(map, part);
        multiply(part, true, slopes, width_, out);
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
    double* room_;                                  // of a map
    Eigen::Array<Index, Eigen::Dynamic, 1> awake_;  // rows kept
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
