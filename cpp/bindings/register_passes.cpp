// Passes over the features that need the class means first.
#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "core/threads.hpp"
#include "dispatch/dispatch.hpp"

namespace ncfast::bindings {
namespace {

void run(const ProjectJob<float, float>& job) { kernels().f32.project(job); }
void run(const ProjectJob<float, double>& job) { kernels().f32.project_double(job); }
void run(const ProjectJob<double, double>& job) { kernels().f64.project(job); }

template <class T, class P>
void project(const Array<T>& features, const Array<Index>& labels,
             const std::optional<Array<double>>& weights, const Array<P>& pivots, double scale,
             const Array<P>& basis, const Array<double>& class_weights, Array<double>& column_squares,
             Array<double>& norms) {
    const Rows<T> h = rows_of(features, "features");
    const Index k = class_weights.size();
    const Index rank = column_squares.size();
    const Index* y = dense(labels, h.rows, "labels");
    require_labels_below(y, h.rows, k);
    const double work =
        static_cast<double>(h.rows) * static_cast<double>(h.cols) * static_cast<double>(rank + 1);
    const ProjectJob<T, P> job{h,
                               weights ? dense(*weights, h.rows, "weights") : nullptr,
                               y,
                               dense(pivots, k * h.cols, "pivots"),
                               static_cast<P>(scale),
                               dense(basis, h.cols * rank, "basis"),
                               rank,
                               dense(class_weights, k, "class_weights"),
                               dense_out(column_squares, rank, "column_squares"),
                               dense_out(norms, h.rows, "norms"),
                               threads_for(work)};
    py::gil_scoped_release release;
    run(job);
}

template <class T>
Array<Index> decide(const Array<T>& features, const Array<Index>& rows, const Array<double>& centre,
                    double scale, const Array<T>& weights, const Array<double>& offsets,
                    double max_weight_norm, double max_abs_offset, const Array<double>& points,
                    const Array<double>& constants, bool by_distance) {
    const Rows<T> h = rows_of(features, "features");
    const Index k = offsets.size();
    const Index* listed = dense(rows, rows.size(), "rows");
    for (Index i = 0; i < rows.size(); ++i) {
        require(listed[i] >= 0 && listed[i] < h.rows, "rows", "row numbers of the features");
    }
    Array<Index> decisions(rows.size());
    const double work =
        static_cast<double>(rows.size()) * static_cast<double>(h.cols) * static_cast<double>(k);
    const DecideJob<T> job{h,
                           listed,
                           rows.size(),
                           dense(centre, h.cols, "centre"),
                           scale,
                           dense(weights, k * h.cols, "weights"),
                           dense(offsets, k, "offsets"),
                           k,
                           max_weight_norm,
                           max_abs_offset,
                           dense(points, k * h.cols, "points"),
                           dense(constants, k, "constants"),
                           by_distance,
                           decisions.mutable_data(),
                           threads_for(work)};
    py::gil_scoped_release release;
    feature_kernels<T>().decide(job);
    return decisions;
}

template <class T, class P>
void register_project(py::module_& module) {
    module.def("project", &project<T, P>, py::arg("features").noconvert(), py::arg("labels").noconvert(),
               py::arg("weights").noconvert(), py::arg("pivots").noconvert(), py::arg("scale"),
               py::arg("basis").noconvert(), py::arg("class_weights").noconvert(),
               py::arg("column_squares").noconvert(), py::arg("norms").noconvert());
}

template <class T>
void register_decide(py::module_& module) {
    module.def("decide", &decide<T>, py::arg("features").noconvert(), py::arg("rows").noconvert(),
               py::arg("centre").noconvert(), py::arg("scale"), py::arg("weights").noconvert(),
               py::arg("offsets").noconvert(), py::arg("max_weight_norm"), py::arg("max_abs_offset"),
               py::arg("points").noconvert(), py::arg("constants").noconvert(), py::arg("by_distance"));
}

}  // namespace

void register_passes(py::module_& module) {
    register_project<float, float>(module);
    register_project<float, double>(module);
    register_project<double, double>(module);
    register_decide<float>(module);
    register_decide<double>(module);
}

}  // namespace ncfast::bindings
