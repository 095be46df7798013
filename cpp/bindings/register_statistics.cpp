// Accumulation and the algebra of scatters.
#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "core/threads.hpp"
#include "dispatch/dispatch.hpp"
#include "stats/accumulate.hpp"

namespace ncfast::bindings {
namespace {

template <class T>
Array<std::uint8_t> screen(const Array<T>& features) {
    const Rows<T> h = rows_of(features, "features");
    Array<std::uint8_t> unusable(h.rows);
    const ScreenJob<T> job{h, unusable.mutable_data(),
                           threads_for(static_cast<double>(h.rows) * static_cast<double>(h.cols))};
    py::gil_scoped_release release;
    feature_kernels<T>().screen(job);
    return unusable;
}

double* dense_out_or_null(OptionalArray& array, Index size, const char* name) {
    return array ? dense_out(*array, size, name) : nullptr;
}

template <class T>
void accumulate_rows(const Array<T>& features, const Array<Index>& labels, const OptionalArray& weights,
                     Array<Index>& counts, OptionalArray masses, Array<double>& pivots, Array<double>& sums,
                     Array<double>& squares, OptionalArray pooled, OptionalArray class_pooled,
                     bool double_products) {
    const Rows<T> h = rows_of(features, "features");
    const Index k = counts.size();
    const Index d = h.cols;
    const Index* y = dense(labels, h.rows, "labels");
    require_labels_below(y, h.rows, k);
    require(!weights || masses, "masses", "there to take weights");
    require(!pooled || !class_pooled, "pooled", "absent where class_pooled is there");
    ClassSums state{k,
                    d,
                    dense_out(counts, k, "counts"),
                    dense_out_or_null(masses, k, "masses"),
                    dense_out(pivots, k * d, "pivots"),
                    dense_out(sums, k * d, "sums"),
                    dense_out(squares, k, "squares"),
                    dense_out_or_null(pooled, d * d, "pooled"),
                    dense_out_or_null(class_pooled, k * d * d, "class_pooled")};
    const double* w = weights ? dense(*weights, h.rows, "weights") : nullptr;
    py::gil_scoped_release release;
    accumulate(h, y, w, double_products, state);
}

template <class T>
void rank_update(const Array<T>& vectors, double sign, Array<double>& scatter,
                 const std::optional<Array<double>>& factors) {
    const Rows<T> v = rows_of(vectors, "vectors");
    const ScatterJob<T> job{v,
                            nullptr,
                            factors ? dense(*factors, v.rows, "factors") : nullptr,
                            nullptr,
                            nullptr,
                            sign,
                            dense_out(scatter, v.cols * v.cols, "scatter"),
                            threads_for(work_of(v, static_cast<double>(v.cols)))};
    py::gil_scoped_release release;
    if (v.rows > 0) feature_kernels<T>().scatter(job);
}

template <class T>
void register_for(py::module_& module) {
    module.def("screen", &screen<T>, py::arg("features").noconvert());
    module.def("accumulate", &accumulate_rows<T>, py::arg("features").noconvert(),
               py::arg("labels").noconvert(), py::arg("weights").noconvert(), py::arg("counts").noconvert(),
               py::arg("masses").noconvert(), py::arg("pivots").noconvert(), py::arg("sums").noconvert(),
               py::arg("squares").noconvert(), py::arg("pooled").noconvert(),
               py::arg("class_pooled").noconvert(), py::arg("double_products"));
    module.def("rank_update", &rank_update<T>, py::arg("vectors").noconvert(), py::arg("sign"),
               py::arg("scatter").noconvert(), py::arg("factors").noconvert() = py::none());
}

}  // namespace

void register_statistics(py::module_& module) {
    register_for<float>(module);
    register_for<double>(module);
}

}  // namespace ncfast::bindings
