#include "workbench/qp.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

#include "workbench/eigen.hpp"
#include "workbench/limited_prox.hpp"

namespace workbench {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double tolerance = 1e-9;
constexpr int max_iterations = 10'000;
constexpr int check_every = 10;
constexpr double relaxation = 1.6;

Input view(const VectorXd& x) { return {x.data(), static_cast<std::size_t>(x.size())}; }

// The problem in delta dollars' orientation (a short of a -3x fund is a long), so that the limits have positive scales:
//   minimise 1/2 w'Hw - a'w + cost'|w - held|
struct Oriented {
    VectorXd sign, a, held, cost, scale, cap;
    MatrixXd H;
    double gross, net;
    double curvature;  // mean of the diagonal of H: the natural step

    Oriented(const SizingProblem& p, const Limits& limits) {
        sign = copied(limits.leverage).unaryExpr([](double l) { return std::copysign(1.0, l); });
        a = copied(p.alpha).cwiseProduct(sign);
        held = copied(p.w_now).cwiseProduct(sign);
        cost = copied(p.cost);
        scale = copied(limits.leverage).cwiseAbs();
        cap = copied(limits.max_weight);
        for (Index i = 0; i < cap.size(); ++i) cap[i] = weight_cap(cap[i], scale[i]);
        H = p.risk_aversion * (sign.asDiagonal() * MatrixXd(copied(p.covariance)) * sign.asDiagonal());
        // As project_limits tightens them, so that the answer passes through it unchanged.
        const auto n = static_cast<std::size_t>(a.size());
        gross = tightened(limits.gross, limits.gross, n, 2.0);
        net = tightened(limits.net, limits.gross, n, 2.0);
        curvature = H.trace() / static_cast<double>(a.size());
    }
};

class Admm {
public:
    explicit Admm(const Oriented& problem)
        : p_(problem),
          zero_(VectorXd::Zero(p_.a.size())),
          kink_(zero_),
          z_(zero_),
          u_(zero_),
          x_(zero_),
          answer_(zero_) {}

    VectorXd solve() {
        set_penalty(p_.curvature);
        z_ = prox(p_.held, zero_);
        // The penalty is tuned at iterations 20, 40, 80, ...: ever more rarely, so that it settles.
        int tune_at = 20;
        for (int iteration = 1; iteration <= max_iterations; ++iteration) {
            step();
            if (iteration % check_every == 0 && is_done()) return answer_;
            if (iteration == tune_at) {
                tune_penalty();
                tune_at *= 2;
            }
        }
        std::ostringstream message;
        message << "qp_size did not converge: residual " << best_ << " above " << tolerance << " after "
                << max_iterations << " iterations; the covariance may be close to singular: shrink it (ledoit_wolf)";
        throw std::runtime_error(message.str());
    }

private:
    void set_penalty(double penalty) {
        penalty_ = penalty;
        kink_ = p_.cost / penalty;
        factor_.compute(p_.H + penalty * MatrixXd::Identity(p_.H.rows(), p_.H.cols()));
    }

    VectorXd prox(const VectorXd& point, const VectorXd& kink) {
        VectorXd result(point.size());
        binding_ = limited_prox({.point = view(point),
                                 .scale = view(p_.scale),
                                 .cap = view(p_.cap),
                                 .anchor = view(p_.held),
                                 .kink = view(kink),
                                 .gross = p_.gross,
                                 .net_low = -p_.net,
                                 .net_high = p_.net},
                                breakpoints_, {result.data(), static_cast<std::size_t>(result.size())});
        return result;
    }

    void step() {
        x_ = factor_.solve(p_.a + penalty_ * (z_ - u_));
        const VectorXd v = relaxation * x_ + (1.0 - relaxation) * z_ + u_;
        z_before_ = z_;
        z_ = prox(v, kink_);
        u_ = v - z_;
    }

    // How far a proximal gradient step moves w: zero at the optimum and nowhere else.
    double residual(const VectorXd& w) {
        const ProxBinding kept = binding_;
        const VectorXd down = w - (p_.H * w - p_.a) / p_.curvature;
        const double moved = (w - prox(down, p_.cost / p_.curvature)).cwiseAbs().maxCoeff();
        binding_ = kept;
        return moved;
    }

    bool is_done() {
        const double rough = residual(z_);
        const VectorXd finished = finish();
        const double fine = finished.size() ? residual(finished) : rough;
        answer_ = finished.size() && fine <= rough ? finished : z_;
        best_ = std::min(rough, fine);
        return best_ <= tolerance;
    }

    // Balance of the primal and dual residuals, relative to the sizes of what they compare.
    void tune_penalty() {
        const auto size = [](const VectorXd& v) { return v.cwiseAbs().maxCoeff(); };
        constexpr double tiny = 1e-12;
        const double primal = size(x_ - z_) / (std::max(size(x_), size(z_)) + tiny);
        const double dual = size(z_ - z_before_) / (size(u_) + tiny);
        const double factor = std::clamp(std::sqrt((primal + tiny) / (dual + tiny)), 0.1, 10.0);
        if (factor > 0.5 && factor < 2.0) return;
        set_penalty(penalty_ * factor);
        u_ /= factor;
    }

    // The names that no bound, kink or zero holds.
    std::vector<Index> free_names() const {
        std::vector<Index> names;
        for (Index i = 0; i < z_.size(); ++i) {
            const bool held = (p_.cost[i] > 0.0 && z_[i] == p_.held[i]) || std::abs(z_[i]) == p_.cap[i];
            if (!held && !(binding_.gross && z_[i] == 0.0)) names.push_back(i);
        }
        return names;
    }

    // The sums that bind, as rows over all names: R w = r. With both binding, the longs and the shorts each have a sum.
    void binding_rows(MatrixXd& R, VectorXd& r) const {
        const VectorXd longs = (z_.array() > 0.0).select(p_.scale, 0.0),
                       shorts = (z_.array() < 0.0).select(p_.scale, 0.0);
        const Index count = Index{binding_.gross} + Index{binding_.net};
        R.resize(count, z_.size());
        r.resize(count);
        if (binding_.gross && binding_.net) {
            R << longs.transpose(), -shorts.transpose();
            r << 0.5 * (p_.gross + binding_.net_bound), 0.5 * (p_.gross - binding_.net_bound);
        } else if (binding_.gross) {
            R << (longs - shorts).transpose();
            r << p_.gross;
        } else if (binding_.net) {
            R << p_.scale.transpose();
            r << binding_.net_bound;
        }
    }

    // The exact optimum if the active set of z is the right one; empty where it cannot be.
    VectorXd finish() const {
        const std::vector<Index> names = free_names();
        VectorXd fixed = z_;
        for (const Index i : names) fixed[i] = 0.0;
        if (names.empty()) return fixed;
        MatrixXd R;
        VectorXd r;
        binding_rows(R, r);
        drop_rows_without(names, R, r);
        r -= R * fixed;

        const VectorXd slope = p_.a - p_.H * fixed - p_.cost.cwiseProduct((z_ - p_.held).unaryExpr([](double d) {
            return d == 0.0 ? 0.0 : std::copysign(1.0, d);
        }));
        const Eigen::LLT<MatrixXd> H(p_.H(names, names));
        if (H.info() != Eigen::Success) return {};
        VectorXd w = H.solve(VectorXd(slope(names)));
        if (r.size()) {
            const MatrixXd A = R(Eigen::all, names);
            const MatrixXd moved = H.solve(A.transpose());
            const Eigen::LLT<MatrixXd> inner(A * moved);
            if (inner.info() != Eigen::Success) return {};
            w -= moved * inner.solve(VectorXd(A * w - r));
        }
        fixed(names) = w;
        return fixed.allFinite() ? fixed : VectorXd{};
    }

    static void drop_rows_without(const std::vector<Index>& names, MatrixXd& R, VectorXd& r) {
        std::vector<Index> rows;
        for (Index j = 0; j < R.rows(); ++j)
            if (!R(j, names).isZero(0.0)) rows.push_back(j);
        R = MatrixXd(R(rows, Eigen::all));
        r = VectorXd(r(rows));
    }

    const Oriented& p_;
    VectorXd zero_, kink_, z_, u_, x_, answer_, z_before_;
    Eigen::LLT<MatrixXd> factor_;
    ProxBinding binding_{};
    std::vector<double> breakpoints_;
    double penalty_ = 0.0;
    double best_ = 0.0;  // the residual of answer_
};

void check_semidefinite(const Oriented& p) {
    const MatrixXd nudged = p.H + 1e-9 * p.curvature * MatrixXd::Identity(p.H.rows(), p.H.cols());
    if (!(p.curvature > 0.0) || Eigen::LLT<MatrixXd>(nudged).info() != Eigen::Success)
        throw std::invalid_argument(
            "cov must be symmetric positive semidefinite and not zero; shrink it (ledoit_wolf)");
}

}  // namespace

void qp_size(const SizingProblem& problem, const Limits& limits, Output weights) {
    if (weights.empty()) return;
    const Oriented oriented(problem, limits);
    check_semidefinite(oriented);
    const VectorXd solved = Admm(oriented).solve().cwiseProduct(oriented.sign);
    LimitsWorkspace workspace;
    project_limits(view(solved), limits, {}, workspace, weights);
}

}  // namespace workbench
