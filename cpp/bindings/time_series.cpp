// ewma_vol, ewma_covariance, ledoit_wolf: what is estimated from a panel of returns.
#include <limits>

#include "arrays.hpp"
#include "topics.hpp"
#include "workbench/ewma.hpp"
#include "workbench/shrinkage.hpp"

namespace workbench::python {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double work_of(const Array& panel, double item_ns) { return item_ns * static_cast<double>(panel.size()); }

py::array_t<double> vol(py::handle returns, double alpha, py::handle out) {
    const bool is_panel = py::isinstance<py::array>(returns) && py::reinterpret_borrow<py::array>(returns).ndim() == 2;
    const Array r(returns, "returns", is_panel ? 2 : 1, "(T,) or (T, N)");
    r.no_infinity();
    in_range(alpha, "alpha", 0.0, 1.0, true);
    std::vector<py::ssize_t> shape(r.array().shape(), r.array().shape() + r.array().ndim());
    Result result(out, shape, {&r}, true);
    const std::size_t columns = is_panel ? r.cols() : 1;
    static thread_local std::vector<double> workspace;
    unlocked(work_of(r, 3.0), [&] {
        const Output o = result.vector();
        ewma_vol({r.data(), r.rows(), columns}, alpha, workspace, {o.data(), r.rows(), columns});
    });
    return result.array();
}

Array panel(py::handle returns) {
    Array r = matrix_argument(returns, "returns", "(T, N)");
    r.not_empty();
    return r;
}

Result square_result(const Array& r, py::handle out) {
    const auto n = static_cast<py::ssize_t>(r.cols());
    return Result(out, {n, n}, {&r});
}

py::array_t<double> covariance(py::handle returns, double halflife, py::handle out) {
    const Array r = panel(returns);
    r.no_infinity();
    in_range(halflife, "halflife", 0.0, infinity, true);
    Result result = square_result(r, out);
    const MatrixOutput o = result.matrix();
    unlocked(work_of(r, 0.15 * static_cast<double>(r.cols())), [&] { ewma_covariance(r.matrix(), halflife, o); });
    return result.array();
}

py::tuple shrunk(py::handle returns, py::handle out) {
    const Array r = panel(returns);
    r.finite();
    Result result = square_result(r, out);
    const MatrixOutput o = result.matrix();
    const double shrinkage =
        unlocked(work_of(r, 0.1 * static_cast<double>(r.cols())), [&] { return ledoit_wolf(r.matrix(), o); });
    return py::make_tuple(result.array(), shrinkage);
}

py::array_t<double> correlation(py::handle returns, py::handle out) {
    const Array r = panel(returns);
    r.finite();
    Result result = square_result(r, out);
    const MatrixOutput o = result.matrix();
    unlocked(work_of(r, 0.1 * static_cast<double>(r.cols())), [&] { ledoit_wolf_correlation(r.matrix(), o); });
    return result.array();
}

}  // namespace
}  // namespace workbench::python

void bind_time_series(pybind11::module_& module) {
    using namespace pybind11::literals;
    namespace python = workbench::python;
    const pybind11::arg_v out("out", pybind11::none());
    module.def("ewma_vol", &python::vol, "returns"_a, "alpha"_a, out);
    module.def("ewma_covariance", &python::covariance, "returns"_a, "halflife"_a, out);
    module.def("ledoit_wolf", &python::shrunk, "returns"_a, out);
    module.def("ledoit_wolf_correlation", &python::correlation, "returns"_a, out);
}
