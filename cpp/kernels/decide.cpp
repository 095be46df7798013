#include <cmath>
#include <limits>

#include "kernels/contenders.hpp"
#include "kernels/first_digits.hpp"
#include "kernels/kernels.hpp"
#include "kernels/products.hpp"
#include "kernels/settle.hpp"

namespace ncfast::NCFAST_ISA {
namespace {

template <class T>
constexpr Index kBlockRows = kOnTiles<T> ? 256 : 144;
constexpr Index kTileClasses = 512;  // a multiple of kChunk
// To settle a candidate, a row of features and a mean are read from far away: so many products take as long.
template <class T>
constexpr Index kSettling = kOnTiles<T> ? 150 : 40;
constexpr Index kFirstRate = 3;  // products of first digits in the time of one of all

// A sample on its way: where it is listed, and bounds on its length, on that of the row to multiply and the
// largest entry of it, and on how far products are off because that row is.
struct Sample {
    Index listed;
    double norm, row_norm, row_top;
    double input_error;
};

// Products of a longer sample could leave the range of T, and tell nothing; nor do those of a very short one
// of first digits or on the tile unit, for which what is below the normal numbers is zero.
template <class T>
bool in_range(const DecideJob<T>& job, const Sample& sample) {
    constexpr double kShortest = FirstDigits<T>::kThere ? 0x1p-80 : 0;
    const double size = sample.norm * job.max_weight_norm;
    if (size > 0 && size < kShortest) return false;
    return sample.norm * larger(1.0, job.max_weight_norm) < std::numeric_limits<T>::max() / 4;
}

// How far products computed of a sample can be off: by its length, by its largest entry, and by what is left
// out of its row.
struct ProductErrors {
    double of_length, of_top, of_rest;

    double of(const Sample& sample, double rest) const {
        return of_length * sample.row_norm + of_top * sample.row_top + of_rest * rest + sample.input_error;
    }
};

// `width` products of rounded factors, summed in whatever order, and what taking floats apart leaves out.
template <class T>
ProductErrors whole_errors(const DecideJob<T>& job, const Packed<T>& weights) {
    const double width = static_cast<double>(job.width);
    if (!weights.on_tiles()) return {1.01 * (width + 16) * unit<T>() * job.max_weight_norm, 0, 0};
    const Index n = job.num_classes * job.width;
    const T top = Eigen::Map<const Eigen::Array<T, Eigen::Dynamic, 1>>(job.weights, n).abs().maxCoeff();
    return {1.01 * (width / 256 + 16) * unit<T>() * job.max_weight_norm,
            1.01 * kDigitsUnit<T> * width * static_cast<double>(top), 0};
}

template <class T>
ProductErrors first_errors(const DecideJob<T>& job, const FirstDigits<T>& weights) {
    const FirstErrors errors = weights.errors(job.max_weight_norm);
    return {1.01 * errors.of_length, 0, 1.01 * errors.of_rest};
}

// Writes x = scale * (h - centre).
template <class T>
Sample centre_row(const DecideJob<T>& job, Index listed, T* x) {
    const T* row = job.features.data + job.rows[listed] * job.features.stride;
    const double* centre = job.centre;
    const double scale = job.scale;
    double squares = 0, top = 0;
#pragma omp simd reduction(+ : squares) reduction(max : top)
    for (Index j = 0; j < job.features.cols; ++j) {
        const double value = (static_cast<double>(row[j]) - centre[j]) * scale;
        x[j] = static_cast<T>(value);
        squares += value * value;
        top = std::abs(value) > top ? std::abs(value) : top;
    }
    const double norm = 1.0001 * std::sqrt(squares);
    return {listed, norm, norm, 1.0001 * top, 0};
}

// Writes x = factor * coordinates + anchor.
template <class T>
Sample gather_row(const DecideJob<T>& job, Index listed, T* x) {
    const Coordinates<T>& c = job.coordinates;
    const T* row = c.data + job.rows[listed] * job.width;
    const T* anchor = c.anchors + job.labels[job.rows[listed]] * job.width;
    const T factor = c.factor;
    T top = 0;
#pragma omp simd reduction(max : top)
    for (Index j = 0; j < job.width; ++j) {
        x[j] = factor * row[j] + anchor[j];
        top = std::abs(x[j]) > top ? std::abs(x[j]) : top;
    }
    const double norm = c.norms[listed], error = c.errors[listed];
    return {listed, norm, norm + error, static_cast<double>(top), error * job.max_weight_norm};
}

template <class T>
Index decided(const DecideJob<T>& job, Index listed, Contenders<T>& contenders) {
    if (!contenders.complete()) {
        return settle(job.features, job.exact, job.rows[listed], nullptr, job.num_classes);
    }
    if (contenders.count == 1) return contenders.classes[0];
    return settle(job.features, job.exact, job.rows[listed], contenders.classes, contenders.count);
}

template <class T>
Index decided_by_companion(const DecideJob<T>& job, Index listed, Contenders<T>& contenders) {
    if (!contenders.complete()) return -1;
    if (contenders.count == 1) return contenders.classes[0];
    return settle(job.features, job.companion.exact, job.rows[listed], contenders.classes, contenders.count);
}

double largest_magnitude(const double* values, Index n) {
    double largest = 0;
    for (Index k = 0; k < n; ++k) largest = larger(largest, std::abs(values[k]));
    return largest;
}

// How far companion scores can be off besides their slack: by the products, and by rounding of their own.
template <class T>
struct CompanionErrors {
    double slope, level;

    explicit CompanionErrors(const DecideJob<T>& job)
        : slope(
              largest_magnitude(job.companion.slopes, job.companion.slopes != nullptr ? job.num_classes : 0)),
          level(largest_magnitude(job.companion.levels,
                                  job.companion.slopes != nullptr ? job.num_classes : 0)) {}

    double of(const DecideJob<T>& job, const Sample& sample, double product_error) const {
        const double size = slope * (sample.norm * job.max_weight_norm + product_error) + level;
        return 1.01 * slope * product_error + 8 * unit<T>() * size;
    }
};

// What both rules add to products, in their precision.
template <class T>
struct Terms {
    typedef Eigen::Array<T, Eigen::Dynamic, 1> Column;
    Column offsets, slopes, levels, slacks;

    explicit Terms(const DecideJob<T>& job) : offsets(rounded(job.offsets, job.num_classes)) {
        if (job.companion.slopes == nullptr) return;
        slopes = rounded(job.companion.slopes, job.num_classes);
        levels = rounded(job.companion.levels, job.num_classes);
        slacks = rounded(job.companion.slacks, job.num_classes);
    }

    static Column rounded(const double* values, Index n) {
        return Eigen::Map<const Eigen::ArrayXd>(values, n).template cast<T>();
    }
};

// Offers a tile of products to the contenders of both rules: no score is above its high, one not below `low`.
template <class T>
struct TileScores {
    T highs[kTileClasses];

    void offer(const DecideJob<T>& job, const Terms<T>& terms, const T* products, Index first, Index n,
               double product_error, Contenders<T>& contenders) {
        const T slack = static_cast<T>(1.01 * (product_error + 8 * unit<T>() * job.max_abs_offset));
        const T* offsets = terms.offsets.data() + first;
        T low = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : low)
        for (Index j = 0; j < n; ++j) {
            const T middle = products[j] + offsets[j];
            highs[j] = middle + slack;
            low = middle - slack > low ? middle - slack : low;
        }
        add_tile(low, n, first, contenders);
    }

    void offer_companion(const DecideJob<T>& job, const Terms<T>& terms, Index listed, const T* products,
                         Index first, Index n, double companion_error, Contenders<T>& contenders) {
        const Companion<T>& rule = job.companion;
        // A little more than asked for makes up for rounding here.
        const T length = static_cast<T>(1.01 * rule.lengths[listed]);
        const T error = static_cast<T>(1.01 * companion_error);
        const T* slopes = terms.slopes.data() + first;
        const T* levels = terms.levels.data() + first;
        const T* slacks = terms.slacks.data() + first;
        const T* shifts = rule.shifts == nullptr
                              ? zeros
                              : rule.shifts + job.labels[job.rows[listed]] * job.num_classes + first;
        T low = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : low)
        for (Index j = 0; j < n; ++j) {
            const T middle = slopes[j] * products[j] + levels[j] + shifts[j];
            const T slack = slacks[j] * length + error;
            highs[j] = middle + slack;
            low = middle - slack > low ? middle - slack : low;
        }
        add_tile(low, n, first, contenders);
    }

  private:
    T zeros[kTileClasses] = {};

    void add_tile(T low, Index n, Index first, Contenders<T>& contenders) {
        const Index chunks = blocks_of(n, kChunk);
        for (Index j = n; j < chunks * kChunk; ++j) highs[j] = -std::numeric_limits<T>::infinity();
        contenders.add_tile(low, highs, chunks, first);
    }
};

// Samples that are searched together, and what may still win each of them.
template <class T>
struct Block {
    RowMajor<T> rows, products;
    typename FirstDigits<T>::Left digits;
    Eigen::Matrix<Sample, Eigen::Dynamic, 1> samples;
    Eigen::Matrix<Contenders<T>, Eigen::Dynamic, 1> first_rule, second_rule;
    TileScores<T> scores;
    Index count = 0;

    explicit Block(const DecideJob<T>& job)
        : rows(kBlockRows<T>, job.width),
          products(kBlockRows<T>, smaller(kTileClasses, job.num_classes)),
          digits(kBlockRows<T>, job.width),
          samples(kBlockRows<T>),
          first_rule(kBlockRows<T>),
          second_rule(job.companion.slopes != nullptr ? kBlockRows<T> : 0) {}

    void fill(const DecideJob<T>& job, Index first) {
        count = smaller(kBlockRows<T>, job.num_rows - first);
        for (Index i = 0; i < count; ++i) {
            T* x = rows.data() + i * job.width;
            samples[i] = job.coordinates.data == nullptr ? centre_row(job, first + i, x)
                                                         : gather_row(job, first + i, x);
        }
    }
};

// Offers all classes to the samples of a block, by products with `n` classes from k on that `multiply`
// writes, off by `error` of a sample.
template <class T, class Multiply, class Error>
void search(const DecideJob<T>& job, const Terms<T>& terms, const CompanionErrors<T>& companion_errors,
            Block<T>& block, Multiply multiply, Error error) {
    const bool companion = job.companion.slopes != nullptr;
    const Index tile_classes = block.products.cols();
    for (Index i = 0; i < block.count; ++i) {
        block.first_rule[i] = Contenders<T>();
        if (companion) block.second_rule[i] = Contenders<T>();
    }
    for (Index k = 0; k < job.num_classes; k += tile_classes) {
        const Index n = smaller(tile_classes, job.num_classes - k);
        multiply(k, n, block.products.data(), tile_classes);
        for (Index i = 0; i < block.count; ++i) {
            const Sample& sample = block.samples[i];
            if (!in_range(job, sample)) continue;  // without contenders: settled among all classes
            const double off = error(i);
            const T* row = block.products.data() + i * tile_classes;
            block.scores.offer(job, terms, row, k, n, off, block.first_rule[i]);
            if (!companion) continue;
            block.scores.offer_companion(job, terms, sample.listed, row, k, n,
                                         companion_errors.of(job, sample, off), block.second_rule[i]);
        }
    }
}

template <class T>
void settle_sample(const DecideJob<T>& job, Block<T>& block, Index i) {
    const Index listed = block.samples[i].listed;
    job.decisions[listed] = decided(job, listed, block.first_rule[i]);
    if (job.companion.slopes == nullptr) return;
    job.companion.decisions[listed] = decided_by_companion(job, listed, block.second_rule[i]);
}

// Settles the samples whose few candidates cost less than products of all digits, and keeps the others. What
// the companion leaves open is searched again by itself, and by first digits, unless that is for many more
// terms.
template <class T>
void settle_plain_ones(const DecideJob<T>& job, Block<T>& block) {
    const Index most = job.num_classes * job.width / (kSettling<T> * job.features.cols);
    const bool may_stay_open = job.features.cols <= kFirstRate * job.width;
    const auto to_settle = [](Contenders<T>& rule) {
        return rule.complete() && rule.count > 1 ? rule.count : 0;
    };
    Index kept = 0;
    for (Index i = 0; i < block.count; ++i) {
        Contenders<T>& first = block.first_rule[i];
        bool plain = first.complete();
        Index candidates = to_settle(first);
        if (block.second_rule.size() > 0) {
            plain = plain && (may_stay_open || block.second_rule[i].complete());
            candidates += to_settle(block.second_rule[i]);
        }
        if (plain && candidates <= most) {
            settle_sample(job, block, i);
            continue;
        }
        block.samples[kept] = block.samples[i];
        if (kept < i) block.rows.row(kept) = block.rows.row(i);
        ++kept;
    }
    block.count = kept;
}

// Both kinds of weights, packed by a team.
template <class T>
void fill_by_team(const DecideJob<T>& job, Packed<T>& weights, FirstDigits<T>& first) {
#pragma omp for
    for (Index p = 0; p < blocks_of(job.num_classes, kPanelCols<T>); ++p) {
        weights.fill(rows_of(job.weights, job.width), job.num_classes, p);
        if (first.pays()) first.fill(job.weights, p);
    }
}

}  // namespace

template <class T>
void decide(const DecideJob<T>& job) {
    Packed<T> weights(job.width, job.num_classes);
    FirstDigits<T> first(job.width, job.num_classes);
    const ProductErrors errors = whole_errors(job, weights);
    const CompanionErrors<T> companion_errors(job);
    const Terms<T> terms(job);
#pragma omp parallel num_threads(job.threads) if (job.threads > 1)
    {
        Block<T> block(job);
        fill_by_team(job, weights, first);
        const ProductErrors off = first.pays() ? first_errors(job, first) : errors;
#pragma omp for schedule(dynamic)
        for (Index b = 0; b < blocks_of(job.num_rows, kBlockRows<T>); ++b) {
            block.fill(job, b * kBlockRows<T>);
            if (first.pays()) {
                block.digits.fill(block.rows.data(), job.width, block.count);
                search(
                    job, terms, companion_errors, block,
                    [&](Index k, Index n, T* out, Index stride) {
                        first.multiply(block.digits, block.count, k, n, out, stride);
                    },
                    [&](Index i) { return off.of(block.samples[i], block.digits.rest(i)); });
                settle_plain_ones(job, block);
            }
            if (block.count == 0) continue;
            search(
                job, terms, companion_errors, block,
                [&](Index k, Index n, T* out, Index stride) {
                    multiply(rows_of(block.rows.data(), job.width), block.count, weights, k, n, out, stride);
                },
                [&](Index i) { return errors.of(block.samples[i], 0); });
            for (Index i = 0; i < block.count; ++i) settle_sample(job, block, i);
        }
    }
}

template void decide(const DecideJob<float>&);
template void decide(const DecideJob<double>&);

}  // namespace ncfast::NCFAST_ISA
