#pragma once

#include <pybind11/pybind11.h>

namespace ncfast::bindings {

void register_runtime(pybind11::module_& module);
void register_statistics(pybind11::module_& module);
void register_frames(pybind11::module_& module);
void register_pairs(pybind11::module_& module);
void register_passes(pybind11::module_& module);
void register_ufm(pybind11::module_& module);

}  // namespace ncfast::bindings
