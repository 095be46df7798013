#include <cmath>

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
            if (!is_small(map.rows, map.cols, job.tiles.width)) values_[m] = view(map, map.cols).transpose();
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

    // Adds this tile's share of the gradients to `gradients`, and leaves that of its columns in slopes().
    void backward(double* gradients) {
        Panel slopes = level(job_.num_maps - 1);
        add_bias_gradient(slopes, gradients);
        for (Index m = job_.num_maps - 1; m >= 0; --m) {
            const Panel& map = job_.maps[m];
            const Panel input = m > 0 ? level(m - 1) : columns();
            const Panel& gradient = job_.gradients[m];
            add_outer(slopes, input, width_,
                      {gradients + (gradient.data - job_.gradients[0].data), gradient.rows, gradient.cols,
                       gradient.stride});
            const Panel below{slopes_[m % 2], map.cols, width_, width_};
            turned_.multiply_by(m, slopes, below);
            if (m > 0) {
                const Eigen::Map<const Eigen::ArrayXd> passed(input.data, input.rows * width_);
                Eigen::Map<Eigen::ArrayXd> all(below.data, input.rows * width_);
                all = (passed > 0.0).select(all, 0.0);
            }
            slopes = below;
        }
    }

    void step() {
        alignas(64) double scale[kLanes];
        for (Index p = 0; p < width_; p += kLanes) {
            share_of_a_sample(p, scale);
            for (Index j = 0; j < job_.maps[0].cols; ++j) {
                const double* slope = slopes_[0] + j * width_ + p;
                const Index first = first_ + j * width_ + p;
                double* x = job_.tiles.columns.values + first;
                move(job_.tiles.columns, first, kLanes, job_.rule,
                     [&](Index i) { return scale[i] * slope[i] + job_.feature_decay * x[i]; });
                for (Index i = 0; job_.nonnegative && i < kLanes; ++i) x[i] = larger(x[i], 0.0);
            }
        }
    }

    void add_squares(Sums& sums) const {
        alignas(64) double scale[kLanes];
        for (Index p = 0; p < width_; p += kLanes) {
            share_of_a_sample(p, scale);
            const ConstLanesAt q(multiplicities_ + p);
            for (Index j = 0; j < job_.maps[0].cols; ++j) {
                const ConstLanesAt slope(slopes_[0] + j * width_ + p);
                const ConstLanesAt x(job_.tiles.columns.values + first_ + j * width_ + p);
                const Lanes g = ConstLanesAt(scale) * slope + job_.feature_decay * x;
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

    // Slopes carry the multiplicity; the gradient of one sample does not.
    void share_of_a_sample(Index p, double* scale) const {
        for (Index i = 0; i < kLanes; ++i) {
            const double q = multiplicities_[p + i];
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
};

void run_group(const ColumnsJob& job, const TurnedMaps& turned, Index group, double* scratch,
               double* partial) {
    for (Index i = 0; i < job.partial_size; ++i) partial[i] = 0;
    Sums sums;
    const ufm::Tiles& tiles = job.tiles;
    const Index first = group * tiles.num_tiles / tiles.num_groups;
    const Index end = (group + 1) * tiles.num_tiles / tiles.num_groups;
    for (Index t = first; t < end; ++t) {
        Tile tile(job, turned, t, scratch);
        tile.forward(sums);
        tile.backward(partial);
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
