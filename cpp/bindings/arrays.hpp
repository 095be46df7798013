// Numpy arrays as views. Python has validated what users pass; what is asserted here protects memory.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "core/views.hpp"

namespace ncfast::bindings {

namespace py = pybind11;

/// Never converts: a silent copy would lose in-place results and hide a dtype error.
template <class T>
using Array = py::array_t<T, 0>;

inline void require(bool condition, const char* name, const char* wanted) {
    if (!condition) throw std::invalid_argument(std::string(name) + " must be " + wanted);
}

/// Two-dimensional view: contiguous columns, any non-negative row stride.
template <class T>
Rows<T> rows_of(const Array<T>& array, const char* name) {
    constexpr auto size = static_cast<py::ssize_t>(sizeof(T));
    require(array.ndim() == 2, name, "two-dimensional");
    require(array.size() == 0 || array.shape(1) == 1 || array.strides(1) == size, name,
            "contiguous along its rows");
    require(array.shape(0) <= 1 || (array.strides(0) >= 0 && array.strides(0) % size == 0), name,
            "a forward, element-aligned stack of rows");
    return {array.data(), array.shape(0), array.shape(1),
            array.shape(0) <= 1 ? array.shape(1) : array.strides(0) / size};
}

/// Two-dimensional view by rows or by columns.
template <class T>
Matrix<T> matrix_of(const Array<T>& array, const char* name) {
    constexpr auto size = static_cast<py::ssize_t>(sizeof(T));
    require(array.ndim() == 2, name, "two-dimensional");
    const auto step = [&](int axis) { return array.shape(axis) <= 1 ? 1 : array.strides(axis) / size; };
    const bool aligned = array.strides(0) % size == 0 && array.strides(1) % size == 0;
    require(array.size() == 0 || (aligned && step(0) >= 0 && step(1) >= 0 && (step(0) == 1 || step(1) == 1)),
            name, "contiguous along its rows or columns");
    return {array.data(), array.shape(0), array.shape(1), step(0), step(1)};
}

template <class T>
void require_dense(const Array<T>& array, Index size, const char* name) {
    require((array.flags() & py::array::c_style) != 0 && array.size() == size, name,
            "C-contiguous and of the expected size");
}

template <class T>
const T* dense(const Array<T>& array, Index size, const char* name) {
    require_dense(array, size, name);
    return array.data();
}

using OptionalArray = std::optional<Array<double>>;

inline const double* dense_or_null(const OptionalArray& array, Index size, const char* name) {
    return array ? dense(*array, size, name) : nullptr;
}

template <class T>
T* dense_out(Array<T>& array, Index size, const char* name) {
    require_dense(array, size, name);
    return array.mutable_data();
}

template <class T>
double work_of(const Rows<T>& rows, double per_value) {
    return static_cast<double>(rows.rows) * static_cast<double>(rows.cols) * per_value;
}

inline void require_labels_below(const Index* labels, Index rows, Index num_classes) {
    for (Index i = 0; i < rows; ++i)
        require(labels[i] < num_classes, "labels", "below the number of classes");
}

}  // namespace ncfast::bindings
