// horizon_softmax, project_simplex, risk_parity_ridge, project_limits, qp_size: from alphas to weights.
#include <limits>
#include <optional>

#include "arrays.hpp"
#include "topics.hpp"
#include "workbench/limits.hpp"
#include "workbench/qp.hpp"
#include "workbench/ridge.hpp"
#include "workbench/simplex.hpp"
#include "workbench/softmax.hpp"

namespace workbench::python {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

py::ssize_t length(const Array& x) { return static_cast<py::ssize_t>(x.size()); }
double cube(const Array& x) {
    return static_cast<double>(x.size()) * static_cast<double>(x.size()) * static_cast<double>(x.size());
}

py::tuple softmax(py::handle alpha_matrix, py::handle vol_matrix, double beta, py::handle out) {
    const Array alpha = matrix_argument(alpha_matrix, "alpha_matrix", "(N, H)");
    const Array vol = matrix_argument(vol_matrix, "vol_matrix", "(N, H)");
    alpha.not_empty().finite();
    vol.like(alpha).finite().at_least_zero();
    in_range(beta, "beta", -infinity, infinity);
    Result result(out, {static_cast<py::ssize_t>(alpha.rows())}, {&alpha, &vol});
    static thread_local std::vector<double> workspace;
    const std::size_t best = unlocked(3.0 * static_cast<double>(alpha.size()), [&] {
        return horizon_softmax(alpha.matrix(), vol.matrix(), beta, workspace, result.vector());
    });
    return py::make_tuple(result.array(), best);
}

py::array_t<double> simplex(py::handle weights, py::handle out) {
    const Array w = vector_argument(weights, "weights");
    w.not_empty().finite();
    Result result(out, {length(w)}, {&w}, true);
    static thread_local std::vector<double> workspace;
    unlocked(30.0 * static_cast<double>(w.size()), [&] { project_simplex(w.vector(), workspace, result.vector()); });
    return result.array();
}

py::array_t<double> ridge(py::handle z_scores, py::handle covariance, double lambda_reg, py::handle out) {
    const Array z = vector_argument(z_scores, "z_scores");
    const Array sigma = matrix_argument(covariance, "covariance", "(N, N)");
    z.finite();
    sigma.square().has_rows(z.size(), "z_scores").finite().symmetric();
    in_range(lambda_reg, "lambda_reg", 0.0, infinity, true);
    Result result(out, {length(z)}, {&z, &sigma}, true);
    static thread_local RidgeWorkspace workspace;
    unlocked(0.15 * cube(z),
             [&] { risk_parity_ridge(z.vector(), sigma.matrix(), lambda_reg, workspace, result.vector()); });
    return result.array();
}

// The arguments of the limits, as arrays: a scalar max_weight and a missing leverage are spread over the names.
class LimitsArgument {
public:
    LimitsArgument(const Array& w, py::handle max_weight, double target_gross, double max_net, py::handle leverage)
        : caps_(w.size(), 0.0), leverage_(w.size(), 1.0) {
        set_caps(w, max_weight);
        if (!leverage.is_none()) set_leverage(w, leverage);
        limits_ = {caps_, in_range(target_gross, "target_gross", 0.0, infinity),
                   in_range(max_net, "max_net", 0.0, infinity), leverage_};
    }
    LimitsArgument(const LimitsArgument&) = delete;
    LimitsArgument& operator=(const LimitsArgument&) = delete;

    const Limits& limits() const { return limits_; }

private:
    void set_caps(const Array& w, py::handle max_weight) {
        if (!py::isinstance<py::array>(max_weight) || py::reinterpret_borrow<py::array>(max_weight).ndim() == 0) {
            std::fill(caps_.begin(), caps_.end(), in_range(scalar(max_weight), "max_weight", 0.0, infinity));
            return;
        }
        const Array caps = vector_argument(max_weight, "max_weight");
        caps.like(w).finite().at_least_zero();
        caps_.assign(caps.data(), caps.data() + caps.size());
    }
    static double scalar(py::handle value) {
        if (PyNumber_Check(value.ptr()) != 0) return py::float_(py::reinterpret_borrow<py::object>(value));
        throw py::value_error("max_weight must be a number or a float64 array of shape (N,), got " +
                              std::string(py::str(py::type::handle_of(value).attr("__name__"))) +
                              "; pass numpy.asarray(max_weight, dtype=float)");
    }
    void set_leverage(const Array& w, py::handle value) {
        const Array leverage = vector_argument(value, "leverage");
        leverage.like(w).finite();
        for (std::size_t i = 0; i < leverage.size(); ++i)
            if (leverage.data()[i] == 0.0)
                throw py::value_error("leverage[" + std::to_string(i) +
                                      "] is 0.0; it is the delta per dollar and must not be zero: "
                                      "pass 1.0 for a plain share");
        leverage_.assign(leverage.data(), leverage.data() + leverage.size());
    }

    std::vector<double> caps_, leverage_;
    Limits limits_{};
};

std::span<const bool> frozen_names(const Array& w, py::handle frozen,
                                   py::array_t<bool, py::array::c_style | py::array::forcecast>& kept) {
    if (frozen.is_none()) return {};
    if (!py::isinstance<py::array_t<bool>>(frozen) || py::reinterpret_borrow<py::array>(frozen).ndim() != 1 ||
        py::reinterpret_borrow<py::array>(frozen).size() != length(w))
        throw py::value_error("frozen must be None or a bool array of shape (" + std::to_string(w.size()) +
                              ",) like w, got " + std::string(py::repr(frozen)) +
                              "; pass numpy.asarray(frozen, dtype=bool)");
    kept = py::reinterpret_borrow<py::object>(frozen);
    return {kept.data(), w.size()};
}

py::array_t<double> limits(py::handle w, py::handle max_weight, double target_gross, double max_net,
                           py::handle leverage, py::handle frozen, py::handle out) {
    const Array point = vector_argument(w, "w");
    point.finite();
    const LimitsArgument argument(point, max_weight, target_gross, max_net, leverage);
    py::array_t<bool, py::array::c_style | py::array::forcecast> kept;
    const std::span<const bool> names = frozen_names(point, frozen, kept);
    Result result(out, {length(point)}, {&point}, true);
    static thread_local LimitsWorkspace workspace;
    unlocked(100.0 * static_cast<double>(point.size()),
             [&] { project_limits(point.vector(), argument.limits(), names, workspace, result.vector()); });
    return result.array();
}

py::array_t<double> qp(py::handle alpha, py::handle cov, py::handle w_now, py::handle cost, double risk_aversion,
                       py::handle max_weight, double target_gross, double max_net, py::handle leverage,
                       py::handle out) {
    const Array a = vector_argument(alpha, "alpha"), held = vector_argument(w_now, "w_now"),
                c = vector_argument(cost, "cost");
    const Array covariance = matrix_argument(cov, "cov", "(N, N)");
    a.finite();
    covariance.square().has_rows(a.size(), "alpha").finite().symmetric();
    held.like(a).finite();
    c.like(a).finite().at_least_zero();
    in_range(risk_aversion, "risk_aversion", 0.0, infinity, true);
    const LimitsArgument argument(a, max_weight, target_gross, max_net, leverage);
    Result result(out, {length(a)}, {&a, &covariance, &held, &c});
    const SizingProblem problem{a.vector(), covariance.matrix(), held.vector(), c.vector(), risk_aversion};
    unlocked(infinity, [&] { qp_size(problem, argument.limits(), result.vector()); });
    return result.array();
}

}  // namespace
}  // namespace workbench::python

void bind_sizing(pybind11::module_& module) {
    using namespace pybind11::literals;
    namespace python = workbench::python;
    const pybind11::arg_v out("out", pybind11::none()), leverage("leverage", pybind11::none());
    module.def("horizon_softmax", &python::softmax, "alpha_matrix"_a, "vol_matrix"_a, "beta"_a, out);
    module.def("project_simplex", &python::simplex, "weights"_a, out);
    module.def("risk_parity_ridge", &python::ridge, "z_scores"_a, "covariance"_a, "lambda_reg"_a, out);
    module.def("project_limits", &python::limits, "w"_a, "max_weight"_a, "target_gross"_a, "max_net"_a, leverage,
               "frozen"_a = pybind11::none(), out);
    module.def("qp_size", &python::qp, "alpha"_a, "cov"_a, "w_now"_a, "cost"_a, "risk_aversion"_a, "max_weight"_a,
               "target_gross"_a, "max_net"_a, leverage, out);
}
