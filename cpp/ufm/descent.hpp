// Descent of an unconstrained-features problem, its metrics recorded along the way.
#pragma once

#include <memory>
#include <new>
#include <vector>

#include "core/ufm.hpp"

namespace ncfast::ufm {

/// The problem: outputs W_M ... W_1 x + b, perhaps with a ReLU after each matrix but W_M.
struct Model {
    std::vector<Index> sizes;  // of a feature vector, then of what each layer puts out
    bool relu;
    bool bias;
    Loss loss;
    double focal;
    bool nonnegative;
    Index num_classes;  // metrics are of these; 0 for none
    double samples;
    std::vector<double> decays;  // of W_1, ..., W_M, of the bias, of the features
};

/// Features as they are stored elsewhere, one row each. A label of -1 marks a direction of the deviations.
struct FeatureRows {
    const double* values;  // (slots, rows, features): features, then what the rule remembers of them
    const Index* labels;
    const double* multiplicities;
    const double* targets;  // (rows, outputs)
    Index rows;
};

/// When to stop: at a record whose gradient is no longer than `gradient_norm`, whose loss differs by at most
/// `loss_change` from the one before, or in an iteration whose loss exceeds `largest_loss` or is no number.
struct Limits {
    double gradient_norm;
    double loss_change;
    double largest_loss;
};

/// Where a descent stands: it has made `iteration` steps, and made its last record, of this loss, at
/// `recorded`
/// (-1 for none).
struct Progress {
    Index iteration;
    Index record_every;
    Index recorded;
    double recorded_loss;
};

enum class Status { running, small_gradient, small_change, diverged };

/// Zeroed doubles that start on a cache line.
class Buffer {
  public:
    explicit Buffer(Index size);
    /// Makes room for `size` values, all zero, where there was less.
    void grow_to(Index size);
    double* data() const { return data_.get(); }

  private:
    struct Free {
        void operator()(double* data) const { ::operator delete[](data, std::align_val_t{64}); }
    };
    Index size_;
    std::unique_ptr<double[], Free> data_;
};

class Descent {
  public:
    /// `parameters` (slots, size): W_1, ..., W_M, b dense one after the other, then what the rule remembers.
    Descent(Model model, Rule rule, const Progress& progress, const double* parameters,
            const FeatureRows& features);

    /// Runs up to `iterations` steps; records before each whose number is a multiple of record_every.
    /// `batches`, if not null, holds `batch_size` row numbers for each step.
    void advance(Index iterations, const Index* batches, Index batch_size, const Limits& limits);

    /// Records the present state, unless it has been.
    void record(const Limits& limits);

    void copy_parameters(double* out) const;
    void copy_features(double* out) const;

    const Progress& progress() const { return progress_; }
    Status status() const { return status_; }
    Index num_rows() const { return all_.rows; }
    Index num_features() const { return model_.sizes.front(); }
    Index num_parameters() const;
    Index num_slots() const { return slots_; }

    /// Iteration, loss, norm of the gradient, then the metrics of each level.
    Index record_size() const { return 3 + num_levels() * kLevelMetrics; }
    const std::vector<double>& records() const { return records_; }

  private:
    struct Store {
        Store(Index rows, Index num_features, Index num_outputs, Index slots);
        Index position(Index row, Index coordinate, Index coordinates) const {
            return (row / width * coordinates + coordinate) * width + row % width;
        }
        Tiles tiles() const;

        Index rows, width, num_tiles, num_groups;
        std::vector<Buffer> slots;
        Buffer targets, multiplicities, biased;
        std::vector<Index> labels;
    };

    Index num_outputs() const { return model_.sizes.back(); }
    Index num_layers() const { return static_cast<Index>(model_.sizes.size()) - 1; }
    Index num_levels() const;
    bool multiplies_out() const { return num_layers() > 1 && !model_.relu; }
    Chain chain() const { return {layers_.data(), num_layers(), tails_.data()}; }
    template <class Visit>
    void visit_parameters(Visit visit) const;

    void make_margins();
    void forget_columns();
    Panel add_product(Index cols);
    void fill(const FeatureRows& features);
    void gather(const Index* rows);
    void scatter(const Index* rows);
    double pass(const Store& store, bool update, double samples, double feature_decay);
    void step_parameters();
    void set_threads();

    Model model_;
    Rule rule_;
    Progress progress_;
    Status status_ = Status::running;
    Index slots_;
    std::vector<Buffer> parameters_;
    Buffer gradient_;
    std::vector<Panel> layers_, gradients_, tails_, rests_;
    std::vector<Buffer> products_;  // what tails_ and rests_ point to
    double* bias_;
    double* bias_gradient_;
    std::vector<double> shares_;  // of each class: 1 / its columns
    Store all_;
    std::unique_ptr<Store> batch_;
    Buffer partials_{0}, scratch_{0}, margins_room_{0};
    Margins margins_{};  // of all_
    double squared_gradient_ = 0, squared_columns_ = 0;
    std::vector<double> records_;
    int column_threads_ = 1, chain_threads_ = 1;
};

}  // namespace ncfast::ufm
