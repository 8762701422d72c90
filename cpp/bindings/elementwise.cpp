// barrier_gate_batch and ofi_batch: one number per symbol from that symbol's numbers.
#include <limits>

#include "arrays.hpp"
#include "topics.hpp"
#include "workbench/gate.hpp"
#include "workbench/ofi.hpp"

namespace workbench::python {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

py::array_t<double> gate(py::handle p_peak, py::handle p_valley, double g_min, double gamma, double delta,
                         py::handle out) {
    const Array peak = vector_argument(p_peak, "p_peak"), valley = vector_argument(p_valley, "p_valley");
    valley.like(peak);
    const GateParameters parameters{in_range(g_min, "g_min", 0.0, 1.0), in_range(gamma, "gamma", 0.0, infinity),
                                    in_range(delta, "delta", 0.0, infinity)};
    Result result(out, {static_cast<py::ssize_t>(peak.size())}, {&peak, &valley}, true);
    unlocked(5.0 * static_cast<double>(peak.size()),
             [&] { barrier_gate_batch(peak.vector(), valley.vector(), parameters, result.vector()); });
    return result.array();
}

py::array_t<double> ofi(py::handle pb0, py::handle pa0, py::handle sb0, py::handle sa0, py::handle pb1, py::handle pa1,
                        py::handle sb1, py::handle sa1, py::handle out) {
    const Array bid0 = vector_argument(pb0, "pb0"), ask0 = vector_argument(pa0, "pa0");
    const Array bid_size0 = vector_argument(sb0, "sb0"), ask_size0 = vector_argument(sa0, "sa0");
    const Array bid1 = vector_argument(pb1, "pb1"), ask1 = vector_argument(pa1, "pa1");
    const Array bid_size1 = vector_argument(sb1, "sb1"), ask_size1 = vector_argument(sa1, "sa1");
    for (const Array* x : {&bid0, &ask0, &bid_size0, &ask_size0, &bid1, &ask1, &bid_size1, &ask_size1})
        x->like(bid0).no_infinity();
    Result result(out, {static_cast<py::ssize_t>(bid0.size())},
                  {&bid0, &ask0, &bid_size0, &ask_size0, &bid1, &ask1, &bid_size1, &ask_size1}, true);
    const Quotes before{bid0.vector(), ask0.vector(), bid_size0.vector(), ask_size0.vector()};
    const Quotes after{bid1.vector(), ask1.vector(), bid_size1.vector(), ask_size1.vector()};
    unlocked(2.0 * static_cast<double>(bid0.size()), [&] { ofi_batch(before, after, result.vector()); });
    return result.array();
}

}  // namespace
}  // namespace workbench::python

void bind_elementwise(pybind11::module_& module) {
    using namespace pybind11::literals;
    namespace python = workbench::python;
    module.def("barrier_gate_batch", &python::gate, "p_peak"_a, "p_valley"_a, "g_min"_a, "gamma"_a, "delta"_a,
               "out"_a = pybind11::none());
    module.def("ofi_batch", &python::ofi, "pb0"_a, "pa0"_a, "sb0"_a, "sa0"_a, "pb1"_a, "pa1"_a, "sb1"_a, "sa1"_a,
               "out"_a = pybind11::none());
}
