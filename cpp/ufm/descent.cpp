#include "ufm/descent.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/threads.hpp"
#include "dispatch/dispatch.hpp"

namespace ncfast::ufm {
namespace {

constexpr Index kMaxGroups = 16;         // units of work in a pass
constexpr Index kMaxPartials = 1 << 23;  // doubles

Index blocks_of(Index size, Index unit) { return (size + unit - 1) / unit; }

Index padded(Index size) { return blocks_of(size, kLanes) * kLanes; }

Index size_of(const Panel& panel) { return panel.rows * panel.stride; }

double dot(const double* x, Index size) {
    double sum = 0;
    for (Index i = 0; i < size; ++i) sum += x[i] * x[i];
    return sum;
}

}  // namespace

Buffer::Buffer(Index size)
    : size_(size),
      data_(static_cast<double*>(
          ::operator new[](static_cast<std::size_t>(size) * sizeof(double), std::align_val_t{64}))) {
    std::fill_n(data_.get(), size, 0.0);
}

void Buffer::grow_to(Index size) {
    if (size > size_) *this = Buffer(size);
}

Descent::Store::Store(Index rows_, Index num_features, Index num_outputs, Index slots_)
    : rows(rows_),
      width(padded(blocks_of(rows, blocks_of(rows, kMaxWidth)))),
      num_tiles(blocks_of(rows, width)),
      num_groups(std::min(num_tiles, kMaxGroups)),
      targets(num_tiles * width * num_outputs),
      multiplicities(num_tiles * width),
      biased(num_tiles * width),
      labels(static_cast<std::size_t>(num_tiles * width), -1) {
    for (Index s = 0; s < slots_; ++s) slots.emplace_back(num_tiles * width * num_features);
}

Tiles Descent::Store::tiles() const {
    Variable columns{slots[0].data(), {nullptr, nullptr}};
    for (std::size_t s = 1; s < slots.size(); ++s) columns.memory[s - 1] = slots[s].data();
    return {columns, targets.data(), multiplicities.data(), biased.data(), num_tiles, width, num_groups};
}

Descent::Descent(Model model, Rule rule, const Progress& progress, const double* parameters,
                 const FeatureRows& features)
    : model_(std::move(model)),
      rule_(rule),
      progress_(progress),
      slots_(rule.adam            ? 3
             : rule.momentum != 0 ? 2
                                  : 1),
      gradient_(0),
      shares_(static_cast<std::size_t>(model_.num_classes)),
      all_(features.rows, num_features(), num_outputs(), slots_) {
    Index size = 0;
    for (std::size_t i = 0; i + 1 < model_.sizes.size(); ++i) {
        layers_.push_back({nullptr, model_.sizes[i + 1], model_.sizes[i], padded(model_.sizes[i])});
        size += size_of(layers_.back());
    }
    for (Index s = 0; s < slots_; ++s) parameters_.emplace_back(size + padded(num_outputs()));
    gradient_ = Buffer(size + padded(num_outputs()));
    Index first = 0;
    for (Panel& layer : layers_) {
        layer.data = parameters_[0].data() + first;
        gradients_.push_back({gradient_.data() + first, layer.rows, layer.cols, layer.stride});
        first += size_of(layer);
    }
    tails_.resize(layers_.size(), layers_.back());
    for (std::size_t i = 0; i + 1 < layers_.size(); ++i) {
        tails_[i] = add_product(layers_[i].cols);
        rests_.push_back(add_product(layers_[i].cols));
    }
    rests_.push_back(gradients_.back());
    bias_ = parameters_[0].data() + size;
    bias_gradient_ = multiplies_out() ? rests_[0].data + size_of(rests_[0]) : gradient_.data() + size;
    visit_parameters([parameters](double& value, Index place) { value = parameters[place]; });
    fill(features);
    if (model_.relu && num_layers() > 1) make_margins();
}

void Descent::make_margins() {
    const Panel& map = layers_[0];
    margins_room_ = Buffer(all_.num_tiles * (map.rows + 2) + size_of(map) + 3 * map.rows);
    double* next = margins_room_.data();
    for (const auto& [place, size] : {std::pair{&margins_.rows_before, size_of(map)},
                                      {&margins_.values, all_.num_tiles * map.rows},
                                      {&margins_.longest_column, all_.num_tiles},
                                      {&margins_.longest_step, all_.num_tiles},
                                      {&margins_.row_lengths, map.rows},
                                      {&margins_.row_lengths_before, map.rows},
                                      {&margins_.rows_moved, map.rows}}) {
        *place = next;
        next += size;
    }
    forget_columns();
}

void Descent::forget_columns() {
    if (margins_.values != nullptr) std::fill_n(margins_.longest_column, all_.num_tiles, HUGE_VAL);
}

// A matrix with as many rows as there are outputs, and room for a bias after it.
Panel Descent::add_product(Index cols) {
    products_.emplace_back(num_outputs() * padded(cols) + padded(num_outputs()));
    return {products_.back().data(), num_outputs(), cols, padded(cols)};
}

Index Descent::num_parameters() const {
    Index size = model_.bias ? num_outputs() : 0;
    for (const Panel& layer : layers_) size += layer.rows * layer.cols;
    return size;
}

Index Descent::num_levels() const {
    return model_.num_classes == 0 ? 0 : 1 + (num_layers() - 1) * (model_.relu ? 2 : 1);
}

// Calls visit(value, its place in the dense layout) for all parameters in all slots.
template <class Visit>
void Descent::visit_parameters(Visit visit) const {
    Index place = 0;
    for (const Buffer& slot : parameters_) {
        double* value = slot.data();
        for (const Panel& layer : layers_) {
            for (Index r = 0; r < layer.rows; ++r, value += layer.stride) {
                for (Index c = 0; c < layer.cols; ++c) visit(value[c], place++);
            }
        }
        for (Index c = 0; model_.bias && c < num_outputs(); ++c) visit(value[c], place++);
    }
}

void Descent::copy_parameters(double* out) const {
    visit_parameters([out](const double& value, Index place) { out[place] = value; });
}

void Descent::copy_features(double* out) const {
    for (const Buffer& slot : all_.slots) {
        for (Index i = 0; i < all_.rows; ++i) {
            for (Index j = 0; j < num_features(); ++j)
                *out++ = slot.data()[all_.position(i, j, num_features())];
        }
    }
}

void Descent::fill(const FeatureRows& features) {
    const double* value = features.values;
    std::vector<double> columns(shares_.size());
    for (const Buffer& slot : all_.slots) {
        for (Index i = 0; i < all_.rows; ++i) {
            for (Index j = 0; j < num_features(); ++j)
                slot.data()[all_.position(i, j, num_features())] = *value++;
        }
    }
    for (Index i = 0; i < all_.rows; ++i) {
        for (Index c = 0; c < num_outputs(); ++c) {
            all_.targets.data()[all_.position(i, c, num_outputs())] = features.targets[i * num_outputs() + c];
        }
        all_.labels[static_cast<std::size_t>(i)] = features.labels[i];
        all_.multiplicities.data()[i] = features.multiplicities[i];
        all_.biased.data()[i] = features.labels[i] >= 0 ? 1 : 0;
        const auto label = static_cast<std::size_t>(features.labels[i]);
        if (label < columns.size()) columns[label] += 1;
    }
    for (std::size_t k = 0; k < columns.size(); ++k) shares_[k] = 1 / columns[k];
}

// Brings the rows of a batch together.
void Descent::gather(const Index* rows) {
    Store& batch = *batch_;
    for (Index i = 0; i < batch.rows; ++i) {
        for (std::size_t s = 0; s < batch.slots.size(); ++s) {
            for (Index j = 0; j < num_features(); ++j) {
                batch.slots[s].data()[batch.position(i, j, num_features())] =
                    all_.slots[s].data()[all_.position(rows[i], j, num_features())];
            }
        }
        for (Index c = 0; c < num_outputs(); ++c) {
            batch.targets.data()[batch.position(i, c, num_outputs())] =
                all_.targets.data()[all_.position(rows[i], c, num_outputs())];
        }
        batch.multiplicities.data()[i] = 1;
        batch.biased.data()[i] = 1;
    }
}

void Descent::scatter(const Index* rows) {
    forget_columns();
    for (Index i = 0; i < batch_->rows; ++i) {
        for (std::size_t s = 0; s < batch_->slots.size(); ++s) {
            for (Index j = 0; j < num_features(); ++j) {
                all_.slots[s].data()[all_.position(rows[i], j, num_features())] =
                    batch_->slots[s].data()[batch_->position(i, j, num_features())];
            }
        }
    }
}

// Gradients of all parameters without their decay, and with `update` a step of the columns; returns the loss
// without any decay.
double Descent::pass(const Store& store, bool update, double samples, double feature_decay) {
    const UfmKernels& kernel = kernels().ufm;
    if (multiplies_out()) kernel.tails(chain(), chain_threads_);
    const bool product = multiplies_out();
    const Panel* maps = product ? tails_.data() : layers_.data();
    const Panel* gradients = product ? rests_.data() : gradients_.data();
    const Index num_maps = product ? 1 : num_layers();
    const Index partial_size = bias_gradient_ - gradients[0].data + padded(num_outputs()) + kLanes;
    Tiles tiles = store.tiles();
    tiles.num_groups = std::max<Index>(1, std::min(tiles.num_groups, kMaxPartials / partial_size));
    Index largest = maps[0].cols;
    for (Index m = 0; m < num_maps; ++m) largest = std::max(largest, maps[m].rows);
    Index scratch_size = 2 * largest * store.width;
    Index room = 0;  // for the part of a map between units that are awake
    for (Index m = 0; m < num_maps; ++m) {
        scratch_size += maps[m].rows * store.width;
        if (num_maps > 1) room = std::max(room, size_of(maps[m]));
    }
    scratch_size += room;
    partials_.grow_to(tiles.num_groups * partial_size);
    scratch_.grow_to(column_threads_ * scratch_size);
    double fit = 0;
    kernel.columns({maps,
                    num_maps,
                    model_.bias ? bias_ : nullptr,
                    model_.loss,
                    model_.focal,
                    tiles,
                    samples,
                    feature_decay,
                    model_.nonnegative,
                    update,
                    rule_,
                    &store == &all_ ? margins_ : Margins{},
                    gradients,
                    bias_gradient_,
                    &fit,
                    &squared_gradient_,
                    &squared_columns_,
                    partials_.data(),
                    partial_size,
                    scratch_.data(),
                    scratch_size,
                    column_threads_});
    if (product) kernel.chain_gradient({chain(), gradients_.data(), rests_.data(), chain_threads_});
    return fit / samples;
}

void Descent::step_parameters() {
    const UfmKernels& kernel = kernels().ufm;
    const auto move = [&](Index first, const double* gradient, Index size, double decay) {
        Variable variable{parameters_[0].data() + first, {nullptr, nullptr}};
        for (std::size_t s = 1; s < parameters_.size(); ++s)
            variable.memory[s - 1] = parameters_[s].data() + first;
        kernel.update({variable, gradient, size, decay, rule_});
    };
    Index first = 0;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        const Index size = size_of(layers_[i]);
        move(first, gradients_[i].data, size, model_.decays[i]);
        first += size;
    }
    if (model_.bias) move(first, bias_gradient_, num_outputs(), model_.decays[layers_.size()]);
}

// A team meets in each iteration: it takes more work to be worth it than a single call does.
void Descent::set_threads() {
    constexpr double kMeetings = 1.0 / 16;
    const auto largest = static_cast<double>(*std::max_element(model_.sizes.begin(), model_.sizes.end()));
    const auto outputs = static_cast<double>(num_outputs());
    const double of_a_column = static_cast<double>(num_features()) * (model_.relu ? largest : outputs);
    column_threads_ = threads_for(kMeetings * static_cast<double>(all_.rows) * of_a_column);
    chain_threads_ = threads_for(kMeetings * outputs * largest * largest);
}

void Descent::advance(Index iterations, const Index* batches, Index batch_size, const Limits& limits) {
    set_threads();
    if (batches != nullptr && (batch_ == nullptr || batch_->rows != batch_size)) {
        batch_ = std::make_unique<Store>(batch_size, num_features(), num_outputs(), slots_);
    }
    for (Index i = 0; i < iterations; ++i) {
        if (progress_.iteration % progress_.record_every == 0) {
            record(limits);
            if (status_ != Status::running) return;
        }
        if (rule_.adam) {
            const auto t = static_cast<double>(progress_.iteration + 1);
            rule_.correction1 = 1 / (1 - std::pow(rule_.beta1, t));
            rule_.correction2 = 1 / (1 - std::pow(rule_.beta2, t));
        }
        const double feature_decay = model_.decays.back();
        double loss = 0;
        if (batches == nullptr) {
            loss = pass(all_, true, model_.samples, feature_decay);
        } else {
            const Index* rows = batches + i * batch_size;
            const auto size = static_cast<double>(batch_size);
            gather(rows);
            loss = pass(*batch_, true, size, feature_decay * model_.samples / size);
            scatter(rows);
        }
        step_parameters();
        ++progress_.iteration;
        if (!(loss <= limits.largest_loss)) {
            status_ = Status::diverged;
            return;
        }
    }
}

void Descent::record(const Limits& limits) {
    if (progress_.recorded == progress_.iteration) return;
    set_threads();
    double loss = pass(all_, false, model_.samples, model_.decays.back());
    if (!(loss <= limits.largest_loss)) {
        status_ = Status::diverged;
        return;
    }
    double squares = squared_gradient_;
    const auto add = [&](const double* x, const double* g, Index size, double decay) {
        loss += decay / 2 * dot(x, size);
        for (Index i = 0; i < size; ++i) squares += (g[i] + decay * x[i]) * (g[i] + decay * x[i]);
    };
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        add(layers_[i].data, gradients_[i].data, size_of(layers_[i]), model_.decays[i]);
    }
    if (model_.bias) add(bias_, bias_gradient_, num_outputs(), model_.decays[layers_.size()]);
    loss += model_.decays.back() / 2 * squared_columns_;

    const std::size_t first = records_.size();
    records_.resize(first + static_cast<std::size_t>(record_size()));
    double* out = records_.data() + first;
    out[0] = static_cast<double>(progress_.iteration);
    out[1] = loss;
    out[2] = std::sqrt(squares);
    if (num_levels() > 0) {
        if (model_.relu) kernels().ufm.tails(chain(), chain_threads_);
        kernels().ufm.levels({chain(), model_.relu, all_.tiles(), all_.labels.data(), model_.num_classes,
                              shares_.data(), model_.samples, out + 3, column_threads_});
    }
    const double change = std::abs(loss - progress_.recorded_loss);
    progress_.recorded = progress_.iteration;
    progress_.recorded_loss = loss;
    if (change <= limits.loss_change) status_ = Status::small_change;
    if (out[2] <= limits.gradient_norm) status_ = Status::small_gradient;
}

}  // namespace ncfast::ufm
