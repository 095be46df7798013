// Passes over the features that need the class means first.
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
void project(const Array<T>& features, const Array<Index>& labels, const OptionalArray& weights,
             const Array<P>& pivots, double scale, const Array<P>& basis, const Array<double>& class_weights,
             Array<double>& column_squares, Array<double>& norms, std::optional<Array<P>> coordinates) {
    const Rows<T> h = rows_of(features, "features");
    const Index k = class_weights.size();
    const Index rank = column_squares.size();
    const Index* y = dense(labels, h.rows, "labels");
    require_labels_below(y, h.rows, k);
    const double work =
        static_cast<double>(h.rows) * static_cast<double>(h.cols) * static_cast<double>(rank + 1);
    const ProjectJob<T, P> job{h,
                               dense_or_null(weights, h.rows, "weights"),
                               y,
                               dense(pivots, k * h.cols, "pivots"),
                               static_cast<P>(scale),
                               dense(basis, h.cols * rank, "basis"),
                               rank,
                               dense(class_weights, k, "class_weights"),
                               dense_out(column_squares, rank, "column_squares"),
                               dense_out(norms, h.rows, "norms"),
                               coordinates ? dense_out(*coordinates, h.rows * rank, "coordinates") : nullptr,
                               threads_for(work)};
    py::gil_scoped_release release;
    run(job);
}

template <class T>
std::pair<Array<Index>, std::optional<Array<Index>>> decide(
    const Array<T>& features, const Array<Index>& rows, const std::optional<Array<Index>>& labels,
    const Array<double>& centre, double scale, const std::optional<Array<T>>& coordinates, double factor,
    const std::optional<Array<T>>& anchors, const OptionalArray& errors, const OptionalArray& norms,
    const Array<T>& weights, const Array<double>& offsets, double max_weight_norm, double max_abs_offset,
    const Array<double>& points, const Array<double>& constants, bool by_distance,
    const OptionalArray& slopes, const OptionalArray& levels, const OptionalArray& slacks,
    const OptionalArray& lengths, const std::optional<Array<T>>& shifts,
    const OptionalArray& companion_points, const OptionalArray& companion_constants) {
    const Rows<T> h = rows_of(features, "features");
    const Index k = offsets.size();
    const Index n = rows.size();
    const Index* listed = dense(rows, n, "rows");
    const Index* y = labels ? dense(*labels, h.rows, "labels") : nullptr;
    for (Index i = 0; i < n; ++i) {
        require(listed[i] >= 0 && listed[i] < h.rows, "rows", "row numbers of the features");
        require(y == nullptr || (y[listed[i]] >= 0 && y[listed[i]] < k), "labels",
                "a class of each listed row");
    }
    const Index width = coordinates ? coordinates->shape(1) : h.cols;
    Coordinates<T> in_span{};
    if (coordinates) {
        require(anchors && y && errors && norms, "coordinates", "given with all that belongs to them");
        in_span = {dense(*coordinates, h.rows * width, "coordinates"), static_cast<T>(factor),
                   dense(*anchors, k * width, "anchors"), dense(*errors, n, "errors"),
                   dense(*norms, n, "norms")};
    }
    Array<Index> decisions(n);
    std::optional<Array<Index>> seconds;
    Companion<T> companion{};
    if (slopes) {
        require(levels && slacks && lengths && companion_points && companion_constants && (y || !shifts),
                "slopes", "given with all that belongs to them");
        seconds = Array<Index>(n);
        companion = {dense(*slopes, k, "slopes"),
                     dense(*levels, k, "levels"),
                     dense(*slacks, k, "slacks"),
                     dense(*lengths, n, "lengths"),
                     shifts ? dense(*shifts, k * k, "shifts") : nullptr,
                     {dense(*companion_points, k * h.cols, "companion_points"),
                      dense(*companion_constants, k, "companion_constants"), false},
                     seconds->mutable_data()};
    }
    const double work = static_cast<double>(n) * static_cast<double>(width) * static_cast<double>(k);
    const DecideJob<T> job{
        h,
        listed,
        n,
        y,
        dense(centre, h.cols, "centre"),
        scale,
        in_span,
        width,
        dense(weights, k * width, "weights"),
        dense(offsets, k, "offsets"),
        k,
        max_weight_norm,
        max_abs_offset,
        {dense(points, k * h.cols, "points"), dense(constants, k, "constants"), by_distance},
        decisions.mutable_data(),
        companion,
        threads_for(work)};
    {
        py::gil_scoped_release release;
        feature_kernels<T>().decide(job);
    }
    return {decisions, seconds};
}

template <class T, class P>
void register_project(py::module_& module) {
    module.def("project", &project<T, P>, py::arg("features").noconvert(), py::arg("labels").noconvert(),
               py::arg("weights").noconvert(), py::arg("pivots").noconvert(), py::arg("scale"),
               py::arg("basis").noconvert(), py::arg("class_weights").noconvert(),
               py::arg("column_squares").noconvert(), py::arg("norms").noconvert(),
               py::arg("coordinates").noconvert());
}

template <class T>
void register_decide(py::module_& module) {
    const py::object none = py::none();
    module.def(
        "decide", &decide<T>, py::kw_only(), py::arg("features").noconvert(), py::arg("rows").noconvert(),
        py::arg("labels").noconvert() = none, py::arg("centre").noconvert(), py::arg("scale"),
        py::arg("coordinates").noconvert() = none, py::arg("factor") = 1.0,
        py::arg("anchors").noconvert() = none, py::arg("errors").noconvert() = none,
        py::arg("norms").noconvert() = none, py::arg("weights").noconvert(), py::arg("offsets").noconvert(),
        py::arg("max_weight_norm"), py::arg("max_abs_offset"), py::arg("points").noconvert(),
        py::arg("constants").noconvert(), py::arg("by_distance"), py::arg("slopes").noconvert() = none,
        py::arg("levels").noconvert() = none, py::arg("slacks").noconvert() = none,
        py::arg("lengths").noconvert() = none, py::arg("shifts").noconvert() = none,
        py::arg("companion_points").noconvert() = none, py::arg("companion_constants").noconvert() = none);
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
