// What this build is: `workbench doctor` shows it.
#include <Eigen/Core>
#include <string>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <pybind11/stl.h>

#include "topics.hpp"

namespace py = pybind11;

namespace {

std::vector<std::string> compiled_sets() {
#ifdef WORKBENCH_CLONES_ENABLED
    return {"x86-64", "x86-64-v3", "x86-64-v4"};
#elif defined(__x86_64__)
    return {"x86-64"};
#else
    return {"baseline"};
#endif
}

// The levels of the x86-64 psABI that this processor has, by the features that tell them apart.
std::vector<std::string> available_sets() {
#ifdef __x86_64__
    std::vector<std::string> sets{"x86-64"};
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (v3) sets.emplace_back("x86-64-v3");
    if (v4) sets.emplace_back("x86-64-v4");
    return sets;
#else
    return {"baseline"};
#endif
}

std::string eigen_version() {
    return std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
           std::to_string(EIGEN_MINOR_VERSION);
}

py::dict build_info() {
    py::dict info;
    info["version"] = WORKBENCH_VERSION;
    info["compiler"] = WORKBENCH_COMPILER;
    info["flags"] = WORKBENCH_FLAGS;
    info["eigen"] = eigen_version();
    info["blas"] = "none (Eigen's own kernels)";
#ifdef _OPENMP
    info["openmp"] = py::int_(_OPENMP);
    info["threads"] = py::int_(omp_get_max_threads());
#else
    info["openmp"] = py::none();
    info["threads"] = py::int_(1);
#endif
    info["instruction_sets_compiled"] = compiled_sets();
    info["instruction_sets_available"] = available_sets();
    return info;
}

}  // namespace

void bind_build_info(py::module_& module) { module.def("build_info", &build_info, "How this module was built."); }
