// Descent of unconstrained-features problems.
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "ufm/descent.hpp"

namespace ncfast::bindings {
namespace {

using ufm::Descent;

const char* name_of(ufm::Status status) {
    switch (status) {
        case ufm::Status::small_gradient:
            return "gradient_norm";
        case ufm::Status::small_change:
            return "loss_change";
        case ufm::Status::diverged:
            return "diverged";
        default:
            return "";
    }
}

ufm::Limits limits_of(double gradient_norm, double loss_change, double largest_loss) {
    return {gradient_norm, loss_change, largest_loss};
}

Array<double> parameters_of(const Descent& descent) {
    Array<double> out({descent.num_slots(), descent.num_parameters()});
    descent.copy_parameters(out.mutable_data());
    return out;
}

Array<double> features_of(const Descent& descent) {
    Array<double> out({descent.num_slots(), descent.num_rows(), descent.num_features()});
    descent.copy_features(out.mutable_data());
    return out;
}

Array<double> records_from(const Descent& descent, Index first) {
    const Index size = descent.record_size();
    const auto& records = descent.records();
    const Index rows = static_cast<Index>(records.size()) / size;
    require(first >= 0 && first <= rows, "first", "at most the number of records");
    Array<double> out({rows - first, size});
    std::copy(records.begin() + first * size, records.end(), out.mutable_data());
    return out;
}

void advance(Descent& descent, Index iterations, const std::optional<Array<Index>>& batches,
             const ufm::Limits& limits) {
    const Index* rows = nullptr;
    Index batch_size = 0;
    if (batches) {
        require(batches->ndim() == 2 && batches->shape(0) >= iterations, "batches", "one row per iteration");
        batch_size = batches->shape(1);
        rows = dense(*batches, batches->size(), "batches");
        for (Index i = 0; i < batches->size(); ++i) {
            require(rows[i] >= 0 && rows[i] < descent.num_rows(), "batches", "row numbers of the features");
        }
    }
    py::gil_scoped_release release;
    descent.advance(iterations, rows, batch_size, limits);
}

std::unique_ptr<Descent> make(const ufm::Model& model, const ufm::Rule& rule, const ufm::Progress& progress,
                              const Array<double>& parameters, const Array<double>& features,
                              const Array<Index>& labels, const Array<double>& multiplicities,
                              const Array<double>& targets) {
    const Index rows = labels.size();
    const Index slots = rule.adam ? 3 : rule.momentum != 0 ? 2 : 1;
    require(model.sizes.size() >= 2 && model.decays.size() == model.sizes.size() + 1, "decays",
            "one per matrix, of the bias and of the features");
    Index size = model.bias ? model.sizes.back() : 0;
    for (std::size_t i = 1; i < model.sizes.size(); ++i) size += model.sizes[i] * model.sizes[i - 1];
    const ufm::FeatureRows view{dense(features, slots * rows * model.sizes.front(), "features"),
                                dense(labels, rows, "labels"), dense(multiplicities, rows, "multiplicities"),
                                dense(targets, rows * model.sizes.back(), "targets"), rows};
    if (model.num_classes > 0) require_labels_below(view.labels, rows, model.num_classes);
    return std::make_unique<Descent>(model, rule, progress, dense(parameters, slots * size, "parameters"),
                                     view);
}

}  // namespace

void register_ufm(py::module_& module) {
    py::enum_<ufm::Loss>(module, "UfmLoss")
        .value("square", ufm::Loss::square)
        .value("cross_entropy", ufm::Loss::cross_entropy)
        .value("focal", ufm::Loss::focal);
    py::class_<ufm::Model>(module, "UfmModel")
        .def(py::init([](std::vector<Index> sizes, bool relu, bool bias, ufm::Loss loss, double focal,
                         bool nonnegative, Index num_classes, double samples, std::vector<double> decays) {
                 return ufm::Model{
                     std::move(sizes), relu, bias, loss, focal, nonnegative, num_classes, samples,
                     std::move(decays)};
             }),
             py::kw_only(), py::arg("sizes"), py::arg("relu"), py::arg("bias"), py::arg("loss"),
             py::arg("focal"), py::arg("nonnegative"), py::arg("num_classes"), py::arg("samples"),
             py::arg("decays"));
    py::class_<ufm::Rule>(module, "UfmRule")
        .def(py::init([](double step, double momentum, bool nesterov, bool adam, double beta1, double beta2,
                         double epsilon) {
                 return ufm::Rule{step, momentum, nesterov, adam, beta1, beta2, epsilon, 1, 1};
             }),
             py::kw_only(), py::arg("step"), py::arg("momentum"), py::arg("nesterov"), py::arg("adam"),
             py::arg("beta1"), py::arg("beta2"), py::arg("epsilon"));
    py::class_<ufm::Progress>(module, "UfmProgress")
        .def(py::init([](Index iteration, Index record_every, Index recorded, double recorded_loss) {
                 return ufm::Progress{iteration, record_every, recorded, recorded_loss};
             }),
             py::kw_only(), py::arg("iteration"), py::arg("record_every"), py::arg("recorded"),
             py::arg("recorded_loss"));
    py::class_<ufm::Limits>(module, "UfmLimits")
        .def(py::init(&limits_of), py::kw_only(), py::arg("gradient_norm"), py::arg("loss_change"),
             py::arg("largest_loss"));
    py::class_<Descent>(module, "UfmDescent")
        .def(py::init(&make), py::arg("model"), py::arg("rule"), py::arg("progress"),
             py::arg("parameters").noconvert(), py::arg("features").noconvert(),
             py::arg("labels").noconvert(), py::arg("multiplicities").noconvert(),
             py::arg("targets").noconvert())
        .def("advance", &advance, py::arg("iterations"), py::arg("batches").noconvert(), py::arg("limits"))
        .def("record", &Descent::record, py::arg("limits"), py::call_guard<py::gil_scoped_release>())
        .def("records_from", &records_from, py::arg("first"))
        .def_property_readonly("status", [](const Descent& d) { return name_of(d.status()); })
        .def_property_readonly("iteration", [](const Descent& d) { return d.progress().iteration; })
        .def_property_readonly("recorded_loss", [](const Descent& d) { return d.progress().recorded_loss; })
        .def_property_readonly("parameters", &parameters_of)
        .def_property_readonly("features", &features_of);
}

}  // namespace ncfast::bindings
