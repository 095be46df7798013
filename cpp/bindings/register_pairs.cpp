// The sweep over all pairs of a frame.
#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "core/threads.hpp"
#include "dispatch/dispatch.hpp"

namespace ncfast::bindings {
namespace {

PairKernel kernel_named(const std::string& name) {
    if (name == "none") return PairKernel::none;
    if (name == "log") return PairKernel::log;
    if (name == "distance") return PairKernel::distance;
    if (name == "riesz") return PairKernel::riesz;
    require(name == "rbf", "kernel", "none, log, distance, riesz or rbf");
    return PairKernel::rbf;
}

py::dict as_dict(const Moments& moments) {
    py::dict result;
    result["count"] = moments.count;
    result["mean"] = moments.mean;
    result["squares"] = moments.squares;
    return result;
}

py::dict as_dict(const PairSums& sums) {
    py::dict result;
    result["cosines"] = as_dict(sums.cosines);
    result["cosine_excess"] = sums.cosine_excess;
    result["coherence"] = sums.coherence;
    result["shifted_squares"] = sums.shifted_squares;
    result["etf_errors"] = sums.etf_errors;
    result["etf_error_squares"] = sums.etf_error_squares;
    result["ratios"] = sums.ratios;
    result["coincident"] = sums.coincident;
    result["kernel"] = as_dict(sums.kernel);
    result["same_direction"] = sums.same_direction;
    return result;
}

template <class P>
py::dict pairs(const Array<P>& directions, const OptionalArray& products, const Array<double>& inverses,
               const Array<double>& frame, const Array<double>& lengths, const OptionalArray& shifts,
               double etf_norm, double etf_entry, const OptionalArray& variances, const std::string& kernel,
               double parameter, const OptionalArray& slopes, const OptionalArray& levels,
               const OptionalArray& slacks) {
    const Rows<P> u = rows_of(directions, "directions");
    const Rows<double> v = rows_of(frame, "frame");
    const Index k = u.rows;
    require(v.rows == k && v.cols == u.cols, "frame", "of the shape of directions");
    PairSums sums;
    Array<double> class_ratios(k), worst(k), nearest(k), rivals(k), gaps(k);
    const double each = products ? 1 : static_cast<double>(u.cols);
    const double work = static_cast<double>(k) * static_cast<double>(k) * each;
    const PairsJob<P> job{u,
                          dense_or_null(products, k * k, "products"),
                          dense(inverses, k, "inverses"),
                          v,
                          dense(lengths, k, "lengths"),
                          dense_or_null(shifts, k, "shifts"),
                          etf_norm,
                          etf_entry,
                          dense_or_null(variances, k, "variances"),
                          kernel_named(kernel),
                          parameter,
                          dense_or_null(slopes, k, "slopes"),
                          dense_or_null(levels, k, "levels"),
                          dense_or_null(slacks, k, "slacks"),
                          &sums,
                          class_ratios.mutable_data(),
                          worst.mutable_data(),
                          nearest.mutable_data(),
                          rivals.mutable_data(),
                          gaps.mutable_data(),
                          threads_for(work)};
    {
        py::gil_scoped_release release;
        feature_kernels<P>().pairs(job);
    }
    py::dict result = as_dict(sums);
    if (variances) {
        result["class_ratios"] = class_ratios;
        result["worst"] = worst;
        result["nearest"] = nearest;
    }
    if (slopes) {
        result["rivals"] = rivals;
        result["gaps"] = gaps;
    }
    return result;
}

template <class P>
void register_for(py::module_& module) {
    module.def("pairs", &pairs<P>, py::kw_only(), py::arg("directions").noconvert(),
               py::arg("products").noconvert(), py::arg("inverses").noconvert(), py::arg("frame").noconvert(),
               py::arg("lengths").noconvert(), py::arg("shifts").noconvert(), py::arg("etf_norm"),
               py::arg("etf_entry"), py::arg("variances").noconvert(), py::arg("kernel"),
               py::arg("parameter"), py::arg("slopes").noconvert(), py::arg("levels").noconvert(),
               py::arg("slacks").noconvert());
}

}  // namespace

void register_pairs(py::module_& module) {
    register_for<float>(module);
    register_for<double>(module);
}

}  // namespace ncfast::bindings
