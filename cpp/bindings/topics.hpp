#pragma once
// What each topic file offers to module.cpp.
#include <pybind11/pybind11.h>

void bind_build_info(pybind11::module_& module);
void bind_elementwise(pybind11::module_& module);
void bind_features(pybind11::module_& module);
void bind_sizing(pybind11::module_& module);
void bind_time_series(pybind11::module_& module);
