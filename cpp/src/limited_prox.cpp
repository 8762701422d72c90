// With the duals lambda >= 0 of gross and mu of net, a positive z_i solves its own problem tilted by alpha = lambda +
// mu, a negative one by -beta with beta = lambda - mu. At the optimum one of four cases holds, tried in this order:
//   no sum binds          z = clip(prox)
//   gross alone           alpha = beta = lambda, one root
//   net alone             alpha = -beta = mu, one root
//   both                  the longs sum to (gross + net)/2 and the shorts to (gross - net)/2: two roots, independent
// Each root is that of a monotone piecewise linear function, so every case is exact. A candidate that keeps the limits
// that its case leaves out is the optimum, and if none does, both limits bind.
#include "workbench/limited_prox.hpp"

#include <algorithm>
#include <cmath>

#include "workbench/monotone.hpp"

namespace workbench {
namespace {

// Unconstrained minimiser for one name whose point has been tilted to q: soft threshold around the anchor.
inline double settle(double q, double anchor, double kink) {
    if (q > anchor + kink) return q - kink;
    if (q < anchor - kink) return q + kink;
    return kink > 0.0 ? anchor : q;
}

inline double bounded(double x, double low, double high) { return std::min(std::max(x, low), high); }

class Solver {
public:
    Solver(const ProxProblem& problem, std::vector<double>& breakpoints, Output z)
        : p_(problem), breakpoints_(breakpoints), z_(z) {}

    ProxBinding solve() {
        fill([this](std::size_t i) { return tilted(i, 0.0, -p_.cap[i], p_.cap[i]); });
        const double free_net = net(), free_gross = gross();
        if (free_gross <= p_.gross && within(free_net)) return {false, false, 0.0};
        if (free_gross > p_.gross) {
            bind_gross();
            if (within(net())) return {true, false, 0.0};
        }
        const double side = net() > p_.net_high ? p_.net_high : p_.net_low;
        if (!within(free_net)) {
            const double bound = bind_net(free_net);
            if (gross() <= p_.gross) return {false, true, bound};
        }
        bind_both(side);
        return {true, true, side};
    }

private:
    bool within(double net) const { return p_.net_low <= net && net <= p_.net_high; }

    // The answer of name i when its point is moved by -dual * scale_i, within [low, high].
    double tilted(std::size_t i, double dual, double low, double high) const {
        return bounded(settle(p_.point[i] - dual * p_.scale[i], p_.anchor[i], p_.kink[i]), low, high);
    }
    double as_long(std::size_t i, double alpha) const { return tilted(i, alpha, 0.0, p_.cap[i]); }
    double as_short(std::size_t i, double beta) const { return tilted(i, -beta, -p_.cap[i], 0.0); }

    template <class Answer>
    void fill(Answer answer) {
        for (std::size_t i = 0; i < z_.size(); ++i) z_[i] = answer(i);
    }
    template <class Answer>
    double scaled_sum(Answer answer) const {
        double sum = 0.0;
        for (std::size_t i = 0; i < z_.size(); ++i) sum += p_.scale[i] * answer(i);
        return sum;
    }
    double net() const {
        return scaled_sum([this](std::size_t i) { return z_[i]; });
    }
    double gross() const {
        return scaled_sum([this](std::size_t i) { return std::abs(z_[i]); });
    }

    // The duals at which the answer of name i, long or short by `direction`, has a kink: where it reaches `level`, the
    // two ends of the flat part at the anchor.
    void add_level(std::size_t i, double level, double direction) {
        const double shift = level > p_.anchor[i] ? p_.kink[i] : level < p_.anchor[i] ? -p_.kink[i] : 0.0;
        breakpoints_.push_back(direction * (p_.point[i] - (level + shift)) / p_.scale[i]);
    }
    void add_anchor(std::size_t i, double direction) {
        if (p_.kink[i] == 0.0) return;
        for (const double edge : {p_.anchor[i] - p_.kink[i], p_.anchor[i] + p_.kink[i]})
            breakpoints_.push_back(direction * (p_.point[i] - edge) / p_.scale[i]);
    }
    void add_side(std::size_t i, double direction) {
        add_level(i, 0.0, direction);
        add_level(i, direction * p_.cap[i], direction);
        add_anchor(i, direction);
    }

    void bind_gross() {
        breakpoints_.assign(1, 0.0);
        for (std::size_t i = 0; i < z_.size(); ++i)
            for (const double direction : {1.0, -1.0}) add_side(i, direction);
        // lambda >= 0: below zero the two sides overlap, and the function is another.
        std::erase_if(breakpoints_, [](double x) { return x < 0.0; });
        const auto gross_at = [this](double lambda) {
            return scaled_sum([&](std::size_t i) { return as_long(i, lambda) - as_short(i, lambda); });
        };
        const double lambda = monotone_root(breakpoints_, p_.gross, gross_at);
        fill([&](std::size_t i) { return as_long(i, lambda) + as_short(i, lambda); });
    }

    // Always solved in the orientation "net too high", so that a mirrored problem takes the mirrored steps.
    double bind_net(double free_net) {
        const double flip = free_net > p_.net_high ? 1.0 : -1.0;
        const double bound = flip > 0.0 ? p_.net_high : -p_.net_low;
        breakpoints_.clear();
        for (std::size_t i = 0; i < z_.size(); ++i) {
            add_level(i, -p_.cap[i], flip);
            add_level(i, p_.cap[i], flip);
            add_anchor(i, flip);
        }
        const auto answer = [&](std::size_t i, double mu) { return tilted(i, flip * mu, -p_.cap[i], p_.cap[i]); };
        const double mu = monotone_root(breakpoints_, bound, [&](double trial) {
            return flip * scaled_sum([&](std::size_t i) { return answer(i, trial); });
        });
        fill([&](std::size_t i) { return answer(i, mu); });
        return flip * bound;
    }

    void bind_both(double net) {
        const double alpha = root_of_side(1.0, 0.5 * (p_.gross + net));
        const double beta = root_of_side(-1.0, 0.5 * (p_.gross - net));
        fill([&](std::size_t i) { return as_long(i, alpha) + as_short(i, beta); });
    }

    double root_of_side(double direction, double target) {
        breakpoints_.clear();
        for (std::size_t i = 0; i < z_.size(); ++i) add_side(i, direction);
        return monotone_root(breakpoints_, target, [&](double dual) {
            return scaled_sum([&](std::size_t i) { return direction > 0.0 ? as_long(i, dual) : -as_short(i, dual); });
        });
    }

    const ProxProblem& p_;
    std::vector<double>& breakpoints_;
    Output z_;
};

}  // namespace

ProxBinding limited_prox(const ProxProblem& problem, std::vector<double>& workspace, Output z) {
    workspace.reserve(8 * z.size() + 1);
    if (z.empty()) return {false, false, 0.0};
    return Solver(problem, workspace, z).solve();
}

}  // namespace workbench
