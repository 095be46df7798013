// Plain passes over frames, and their products.
#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "core/threads.hpp"
#include "dispatch/dispatch.hpp"

namespace ncfast::bindings {
namespace {

Array<double> multiply(const Matrix<double>& left, const Matrix<double>& right, bool symmetric) {
    require(left.cols == right.cols, "right", "as wide as left");
    Array<double> out({left.rows, right.rows});
    const GramJob job{
        left, right, symmetric, out.mutable_data(),
        threads_for(static_cast<double>(left.rows * left.cols) * static_cast<double>(right.rows))};
    py::gil_scoped_release release;
    kernels().gram(job);
    return out;
}

Array<double> gram(const Array<double>& vectors) {
    const Matrix<double> v = matrix_of(vectors, "vectors");
    return multiply(v, v, true);
}

Array<double> cross_gram(const Array<double>& left, const Array<double>& right) {
    return multiply(matrix_of(left, "left"), matrix_of(right, "right"), false);
}

Array<double> row_products(const Array<double>& left, const Array<double>& right) {
    const Rows<double> a = rows_of(left, "left"), b = rows_of(right, "right");
    require(a.cols == b.cols && (b.rows == a.rows || b.rows == 1), "right",
            "of the shape of left, or one row");
    Array<double> out(a.rows);
    const RowProductsJob job{a, b.data, b.rows == 1 ? 0 : b.stride, out.mutable_data(),
                             threads_for(work_of(a, 1))};
    py::gil_scoped_release release;
    kernels().row_products(job);
    return out;
}

Array<double> row_distances(const Array<double>& left, const Array<double>& right, double factor) {
    const Rows<double> a = rows_of(left, "left"), b = rows_of(right, "right");
    require(a.cols == b.cols && b.rows == a.rows, "right", "of the shape of left");
    Array<double> out(a.rows);
    const RowDistancesJob job{a, b, factor, out.mutable_data(), threads_for(work_of(a, 1))};
    py::gil_scoped_release release;
    kernels().row_distances(job);
    return out;
}

Array<double> frame_mean(const Array<double>& vectors, const Array<double>& shares) {
    const Rows<double> v = rows_of(vectors, "vectors");
    require(v.rows > 0, "vectors", "at least one");
    Array<double> out(v.cols);
    const FrameMeanJob job{v, dense(shares, v.rows, "shares"), out.mutable_data(),
                           threads_for(work_of(v, 1))};
    py::gil_scoped_release release;
    kernels().frame_mean(job);
    return out;
}

py::tuple centre(const Array<double>& vectors, const Array<double>& centre) {
    const Rows<double> v = rows_of(vectors, "vectors");
    Array<double> centred({v.rows, v.cols}), squares(v.rows);
    const CentreJob job{v, dense(centre, v.cols, "centre"), centred.mutable_data(), squares.mutable_data(),
                        threads_for(work_of(v, 1))};
    {
        py::gil_scoped_release release;
        kernels().centre(job);
    }
    return py::make_tuple(centred, squares);
}

Array<double> mirror(const Array<double>& lower) {
    const Index size = rows_of(lower, "lower").rows;
    Array<double> full({size, size});
    const MirrorJob job{dense(lower, size * size, "lower"), size, full.mutable_data(),
                        threads_for(static_cast<double>(size) * static_cast<double>(size))};
    py::gil_scoped_release release;
    kernels().mirror(job);
    return full;
}

Array<float> rounded(const Array<double>& vectors) {
    const Rows<double> v = rows_of(vectors, "vectors");
    Array<float> out({v.rows, v.cols});
    const RoundedJob job{v, out.mutable_data(), threads_for(work_of(v, 1))};
    py::gil_scoped_release release;
    kernels().rounded(job);
    return out;
}

py::tuple rounding(const Array<double>& means, const Array<double>& spreads, const Array<double>& shares,
                   double least, double unit) {
    const Rows<double> m = rows_of(means, "means");
    Array<double> by_class(m.rows), by_feature(m.cols);
    const RoundingJob job{
        m,    dense(spreads, m.rows, "spreads"), dense(shares, m.rows, "shares"), least,
        unit, by_class.mutable_data(),           by_feature.mutable_data(),       threads_for(work_of(m, 1))};
    {
        py::gil_scoped_release release;
        kernels().rounding(job);
    }
    return py::make_tuple(by_class, by_feature);
}

}  // namespace

void register_frames(py::module_& module) {
    module.def("gram", &gram, py::arg("vectors").noconvert());
    module.def("cross_gram", &cross_gram, py::arg("left").noconvert(), py::arg("right").noconvert());
    module.def("row_products", &row_products, py::arg("left").noconvert(), py::arg("right").noconvert());
    module.def("row_distances", &row_distances, py::arg("left").noconvert(), py::arg("right").noconvert(),
               py::arg("factor"));
    module.def("frame_mean", &frame_mean, py::arg("vectors").noconvert(), py::arg("shares").noconvert());
    module.def("centre", &centre, py::arg("vectors").noconvert(), py::arg("centre").noconvert());
    module.def("mirror", &mirror, py::arg("lower").noconvert());
    module.def("rounded", &rounded, py::arg("vectors").noconvert());
    module.def("rounding", &rounding, py::arg("means").noconvert(), py::arg("spreads").noconvert(),
               py::arg("shares").noconvert(), py::arg("least"), py::arg("unit"));
}

}  // namespace ncfast::bindings
