// Jobs of the unconstrained-features kernels. Columns are samples, or what stands for many of them (see
// ColumnsJob). They are stored in tiles: tile t holds columns [t * width, (t + 1) * width), one row per
// coordinate, so that loops over columns are loops over neighbours. Widths and strides are multiples of
// kLanes; padding is zero and stays zero. As everywhere, no result depends on `threads`.
#pragma once

#include "core/views.hpp"

namespace ncfast::ufm {

constexpr Index kLanes = 8;
constexpr Index kMaxWidth = 64;  // columns of a tile

/// Row-major matrix; `stride` is a multiple of kLanes, entries from `cols` on are zero.
struct Panel {
    double* data;
    Index rows;
    Index cols;
    Index stride;
};

/// Weight matrices W_1, ..., W_M, innermost first. tails[i] is W_M ... W_(i+1), which acts on what layer i
/// takes in; tails[M-1] is W_M itself, no copy.
struct Chain {
    const Panel* layers;
    Index num_layers;
    const Panel* tails;
};

/// Gradients of all layers from that of their product. rests[i] (outputs x inputs of layer i) are scratch,
/// but rests[0] is the gradient of the product and rests[M-1] that of the outermost layer.
struct ChainGradientJob {
    Chain chain;
    const Panel* gradients;
    const Panel* rests;
    int threads;
};

enum class Loss : std::int32_t { square, cross_entropy, focal };

/// How a variable follows its gradient g. Gradient descent with v <- momentum v + g (PyTorch's convention;
/// Nesterov steps along g + momentum v), or Adam with its bias corrections multiplied out.
struct Rule {
    double step;
    double momentum;
    bool nesterov;
    bool adam;
    double beta1, beta2, epsilon;
    double correction1, correction2;  // 1 / (1 - beta^t)
};

/// A variable, and what its rule remembers: nothing, a velocity, or two moments.
struct Variable {
    double* values;
    double* memory[2];
};

struct UpdateJob {
    Variable variable;
    const double* gradient;  // without the decay
    Index size;
    double decay;
    Rule rule;
};

struct Tiles {
    Variable columns;              // (tiles, features, width)
    const double* targets;         // (tiles, outputs, width)
    const double* multiplicities;  // (tiles, width): samples a column stands for; 0 in padding
    const double* biased;          // (tiles, width): 1 where the bias is added, else 0
    Index num_tiles;
    Index width;
    Index num_groups;  // runs of tiles that are summed in order; the unit of work
};

/// What is kept between passes that see the same columns, so that units which are surely asleep in a whole
/// tile need not be multiplied out (see kernels/ufm_awake.hpp). Where columns have moved in another way,
/// longest_column is infinite. All null where nothing is kept.
struct Margins {
    double* values;  // (tiles, rows of maps[0]): at least so far below zero in all columns, if positive
    double* longest_column;  // (tiles)
    double* longest_step;    // (tiles): of a column, in the last pass
    double* rows_before;     // maps[0] as the last pass took it
    double* row_lengths;     // (rows)
    double* row_lengths_before;
    double* rows_moved;
};

/// One pass over all columns: residuals, gradient sums, and with `update` a step of the columns.
///
/// maps[0] acts on a column, a ReLU stands between maps. A column x that stands for q samples adds
/// q * loss(output - target) to `fit`, its gradient is that of one sample. For the squared loss and one map,
/// class means together with a factor F of the deviations, S_W = F F^T, whose columns have q = 1, no bias and
/// target zero, are such columns: sums over them are sums over all samples.
struct ColumnsJob {
    const Panel* maps;
    Index num_maps;
    const double* bias;  // (outputs) or null
    Loss loss;
    double focal;  // exponent
    Tiles tiles;
    double samples;  // what sums are divided by
    double feature_decay;
    bool nonnegative;  // columns are projected after a step
    bool update;
    Rule rule;
    Margins margins;
    const Panel* gradients;    // one per map, one buffer from gradients[0].data on
    double* bias_gradient;     // (outputs, padded) or null, directly after them
    double* fit;               // sum of losses, not divided
    double* squared_gradient;  // sum of q ||g||^2, without `update` only
    double* squared_columns;   // sum of q ||x||^2, without `update` only
    double* partials;          // (groups, partial_size), zero in padding
    Index partial_size;        // gradients, bias gradient, kLanes sums
    double* scratch;           // (threads, scratch_size)
    Index scratch_size;
    int threads;
};

/// Collapse metrics at the features and after each layer but the last (with a ReLU, before and after it).
struct LevelsJob {
    Chain chain;  // its tails up to date
    bool relu;
    Tiles tiles;
    const Index* labels;  // (tiles, width): class, or -1 where the column is a deviation
    Index num_classes;
    const double* shares;  // (classes): 1 / number of columns with its label
    double samples;
    double* values;  // (levels, kLevelMetrics) out
    int threads;
};

constexpr Index kLevelMetrics = 10;

}  // namespace ncfast::ufm
