#include <cmath>
#include <Eigen/QR>
#include <limits>

#include "kernels/kernels.hpp"
#include "kernels/ufm_products.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

using ufm::LevelsJob;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

enum Metric {
    nc1_pinv,
    nc1_trace_ratio,
    nc2_etf_means,
    nc2_of_means,
    nc2_etf_weights,
    nc2_of_weights,
    nc3_self_duality,
    nc3_self_duality_of,
    nc3_alignment_etf,
    nc3_alignment_of,
};

// Features at one level: the columns themselves (0), and what each layer but the last makes of them; with a
// ReLU levels 2j - 1 and 2j stand before and after that of layer j.
struct Levels {
    const LevelsJob& job;
    Index per_layer = job.relu ? 2 : 1;
    Index count = 1 + (job.chain.num_layers - 1) * per_layer;

    // Layers below this level.
    Index layers(Index level) const { return (level + per_layer - 1) / per_layer; }
    Index size(Index level) const {
        return level == 0 ? job.chain.layers[0].cols : job.chain.layers[layers(level) - 1].rows;
    }
    // First of this level's coordinates in an array of all levels' coordinates.
    Index offset(Index level) const {
        Index sum = 0;
        for (Index l = 0; l < level; ++l) sum += size(l);
        return sum;
    }
    Index total() const { return offset(count); }
    Panel tail(Index level) const { return job.chain.tails[layers(level)]; }
};

// Coordinates of one tile's columns at all levels.
void forward(const Levels& levels, Index tile, double* out) {
    const LevelsJob& job = levels.job;
    const Index width = job.tiles.width;
    const auto at = [&](Index l) {
        return Panel{out + levels.offset(l) * width, levels.size(l), width, width};
    };
    const double* x = job.tiles.columns.values + tile * levels.size(0) * width;
    view(at(0), width) = view({const_cast<double*>(x), levels.size(0), width, width}, width);
    for (Index l = 1; l < levels.count; ++l) {
        if (job.relu && l % 2 == 0) {
            view(at(l), width) = view(at(l - 1), width).cwiseMax(0.0);
        } else {
            multiply(job.chain.layers[levels.layers(l) - 1], false, at(l - 1), width, at(l));
        }
    }
}

// Adds columns to the sums of their classes, (levels, classes, coordinates).
void add_class_sums(const Levels& levels, Index tile, const double* z, double* sums) {
    const Index width = levels.job.tiles.width;
    for (Index l = 0; l < levels.count; ++l) {
        const Index size = levels.size(l);
        const double* level = z + levels.offset(l) * width;
        double* level_sums = sums + levels.offset(l) * levels.job.num_classes;
        for (Index i = 0; i < width; ++i) {
            const Index label = levels.job.labels[tile * width + i];
            if (label < 0) continue;
            double* sum = level_sums + label * size;
            for (Index j = 0; j < size; ++j) sum[j] += level[j * width + i];
        }
    }
}

// What the class means of one level give; NC1 is the mean of squared deviations multiplied by `directions`.
struct Frame {
    RowMajor<double> means;
    RowMajor<double> directions;
    double between = 0;  // ||centred means||_F^2
};

double distance(const RowMajor<double>& gram, double diagonal, double other) {
    const double norm = gram.norm();
    double sum = 0;
    for (Index i = 0; i < gram.rows(); ++i) {
        for (Index j = 0; j < gram.cols(); ++j) {
            const double error = gram(i, j) / norm - (i == j ? diagonal : other);
            sum += error * error;
        }
    }
    return std::sqrt(sum);
}

double etf_distance(const RowMajor<double>& gram) {
    const double k = static_cast<double>(gram.rows());
    return distance(gram, (1 - 1 / k) / std::sqrt(k - 1), -1 / k / std::sqrt(k - 1));
}

double of_distance(const RowMajor<double>& gram) {
    return distance(gram, 1 / std::sqrt(static_cast<double>(gram.rows())), 0);
}

RowMajor<double> products_of(const RowMajor<double>& a, const RowMajor<double>& b) {
    Packed<double> packed(b.cols(), b.rows());
    packed.fill(rows_of(b.data(), b.cols()), b.rows());
    RowMajor<double> out(a.rows(), b.rows());
    multiply(rows_of(a.data(), a.cols()), a.rows(), packed, 0, b.rows(), out.data(), out.cols());
    return out;
}

// As in ncfast.metrics, what rounding alone would give counts as zero. With centred means C^T = Q T^T Z^T, Q
// and Z orthonormal and T triangular, Tr(S_W S_B^+) / K is the mean of ||T^(-T) Q^T (h - mean)||^2.
void set_directions(const RowMajor<double>& centred, Frame& frame) {
    const Index d = centred.cols();
    const double k = static_cast<double>(centred.rows());
    const Eigen::ColPivHouseholderQR<Eigen::MatrixXd> outer(centred.transpose());
    const Eigen::MatrixXd& r = outer.matrixQR();
    const double noise = larger(larger(static_cast<double>(d), k) * kEpsilon * std::abs(r(0, 0)),
                                4 * kEpsilon * std::sqrt(k) * frame.means.rowwise().norm().maxCoeff());
    Index rank = smaller(d, centred.rows() - 1);
    while (rank > 0 && !(std::abs(r(rank - 1, rank - 1)) > noise)) --rank;
    frame.directions = RowMajor<double>::Zero(rank, blocks_of(d, kLanes) * kLanes);
    if (rank == 0) return;
    const Eigen::MatrixXd upper = r.topRows(rank).triangularView<Eigen::Upper>();
    const Eigen::ColPivHouseholderQR<Eigen::MatrixXd> inner(upper.transpose());
    const Eigen::VectorXd& reflections = outer.hCoeffs();
    Eigen::MatrixXd q = Eigen::MatrixXd::Identity(d, rank);
    Eigen::VectorXd room(rank);
    for (Index i = rank - 1; i >= 0; --i) {
        q.bottomRightCorner(d - i, rank - i)
            .applyHouseholderOnTheLeft(r.col(i).tail(d - i - 1), reflections[i], room.data());
    }
    for (Index j = 0; j < d; ++j) {
        Eigen::VectorXd column = inner.colsPermutation().transpose() * q.row(j).transpose();
        inner.matrixQR().topRows(rank).triangularView<Eigen::Upper>().transpose().solveInPlace(column);
        frame.directions.col(j) = column;
    }
}

void measure_frame(const Panel& tail, Frame& frame, double* out) {
    const RowMajor<double>& means = frame.means;
    if (!means.allFinite()) return;
    RowMajor<double> centred = means.rowwise() - means.colwise().mean();
    if (centred.rowwise().norm().maxCoeff() <= 4 * kEpsilon * means.rowwise().norm().maxCoeff())
        centred.setZero();
    frame.between = centred.squaredNorm();
    if (frame.between > 0) set_directions(centred, frame);
    out[nc2_etf_means] = etf_distance(products_of(centred, centred));
    out[nc2_of_means] = of_distance(products_of(means, means));
    if (tail.rows != means.rows()) return;
    const RowMajor<double> weights = view(tail, tail.cols);
    const RowMajor<double> gram = products_of(weights, weights);
    out[nc2_etf_weights] = etf_distance(gram);
    out[nc2_of_weights] = of_distance(gram);
    const RowMajor<double> unit = weights / weights.norm();
    out[nc3_self_duality] = (unit - centred / centred.norm()).norm();
    out[nc3_self_duality_of] = (unit - means / means.norm()).norm();
    out[nc3_alignment_etf] = etf_distance(products_of(weights, centred));
    out[nc3_alignment_of] = of_distance(products_of(weights, means));
}

// Adds a tile's ||h - mean||^2, and the squares along the directions of the frame, for each level.
void add_spread(const Levels& levels, const Frame* frames, Index tile, double* z, double* projected,
                double* sums) {
    const Index width = levels.job.tiles.width;
    for (Index l = 0; l < levels.count; ++l) {
        const Index size = levels.size(l);
        const Panel level{z + levels.offset(l) * width, size, width, width};
        for (Index i = 0; i < width; ++i) {
            const Index label = levels.job.labels[tile * width + i];
            if (label < 0) continue;
            const double* mean = frames[l].means.data() + label * size;
            for (Index j = 0; j < size; ++j) level.data[j * width + i] -= mean[j];
        }
        const RowMajor<double>& directions = frames[l].directions;
        const Panel out{projected, directions.rows(), width, width};
        if (out.rows > 0) {
            multiply({const_cast<double*>(directions.data()), out.rows, size, directions.cols()}, false,
                     level, width, out);
        }
        sums[2 * l] += view(level, width).squaredNorm();
        sums[2 * l + 1] += view(out, width).squaredNorm();
    }
}

void set_ratios(const Frame& frame, double spread, double along, double samples, double* out) {
    const double infinite = spread > 0 ? HUGE_VAL : kNaN;
    const double k = static_cast<double>(frame.means.rows());
    out[nc1_pinv] = frame.directions.rows() > 0 ? along / samples : infinite;
    out[nc1_trace_ratio] = frame.between > 0 ? spread / samples / (frame.between / k) : infinite;
}

}  // namespace

void ufm_levels(const LevelsJob& job) {
    const Levels levels{job};
    const ufm::Tiles& tiles = job.tiles;
    const Index classes = job.num_classes;
    const Index groups = tiles.num_groups;
    const auto first_tile = [&](Index group) { return group * tiles.num_tiles / groups; };
    RowMajor<double> sums = RowMajor<double>::Zero(groups, classes * levels.total());
    RowMajor<double> spreads = RowMajor<double>::Zero(groups, 2 * levels.count);
    Frame* frames = new Frame[static_cast<std::size_t>(levels.count)];
    for (Index i = 0; i < levels.count * ufm::kLevelMetrics; ++i) job.values[i] = kNaN;
#pragma omp parallel num_threads(job.threads) if (job.threads > 1)
    {
        RowMajor<double> z(levels.total(), tiles.width);
        RowMajor<double> projected(classes, tiles.width);
#pragma omp for schedule(dynamic)
        for (Index g = 0; g < groups; ++g) {
            for (Index t = first_tile(g); t < first_tile(g + 1); ++t) {
                forward(levels, t, z.data());
                add_class_sums(levels, t, z.data(), sums.row(g).data());
            }
        }
#pragma omp for schedule(dynamic)
        for (Index l = 0; l < levels.count; ++l) {
            const Index size = levels.size(l);
            frames[l].means = RowMajor<double>::Zero(classes, size);
            for (Index g = 0; g < groups; ++g) {
                const double* sum = sums.row(g).data() + levels.offset(l) * classes;
                frames[l].means += Eigen::Map<const RowMajor<double>>(sum, classes, size);
            }
            frames[l].means.array().colwise() *= Eigen::Map<const Eigen::ArrayXd>(job.shares, classes);
            measure_frame(levels.tail(l), frames[l], job.values + l * ufm::kLevelMetrics);
        }
#pragma omp for schedule(dynamic)
        for (Index g = 0; g < groups; ++g) {
            for (Index t = first_tile(g); t < first_tile(g + 1); ++t) {
                forward(levels, t, z.data());
                add_spread(levels, frames, t, z.data(), projected.data(), spreads.row(g).data());
            }
        }
    }
    const Eigen::RowVectorXd totals = spreads.colwise().sum();
    for (Index l = 0; l < levels.count; ++l) {
        set_ratios(frames[l], totals[2 * l], totals[2 * l + 1], job.samples,
                   job.values + l * ufm::kLevelMetrics);
    }
    delete[] frames;
}

}  // namespace ncfast::NCFAST_ISA
