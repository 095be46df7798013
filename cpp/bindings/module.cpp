#include <pybind11/pybind11.h>

#include "bindings/register.hpp"

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
    module.doc() = "Compiled kernels of ncfast. Private: shapes and dtypes are asserted, not explained.";
    ncfast::bindings::register_runtime(module);
    ncfast::bindings::register_statistics(module);
    ncfast::bindings::register_frames(module);
    ncfast::bindings::register_pairs(module);
    ncfast::bindings::register_passes(module);
    ncfast::bindings::register_ufm(module);
}
