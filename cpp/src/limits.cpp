#include "workbench/limits.hpp"

#include <algorithm>
#include <cmath>

#include "workbench/exact_sum.hpp"
#include "workbench/limited_prox.hpp"

namespace workbench {
namespace {

constexpr double unit_roundoff = 0x1p-53;

struct Exposure {
    double gross, net;
};

// In delta dollars, of the names that `chosen` selects.
template <class Chosen>
Exposure exposure(Input w, Input leverage, Chosen chosen) {
    ExactSum gross, net;
    for (std::size_t i = 0; i < w.size(); ++i) {
        if (!chosen(i)) continue;
        gross.add(std::abs(leverage[i] * w[i]));
        net.add(leverage[i] * w[i]);
    }
    return {gross.value(), net.value()};
}

class Projection {
public:
    Projection(Input w, const Limits& limits, std::span<const bool> frozen, LimitsWorkspace& workspace,
               Output projected)
        : w_(w), limits_(limits), frozen_(frozen), work_(workspace), out_(projected), n_(w.size()) {}

    void run() {
        std::copy(w_.begin(), w_.end(), out_.begin());
        if (holds(out_)) return;
        if (frozen_.empty() || !project_around_frozen()) {
            frozen_ = {};
            project_free({0.0, 0.0});
        }
    }

private:
    bool is_free(std::size_t i) const { return frozen_.empty() || !frozen_[i]; }

    double gross_limit() const { return tightened(limits_.gross, limits_.gross, n_, 1.0); }
    double net_limit(double gross) const { return tightened(limits_.net, std::min(gross, limits_.gross), n_, 1.0); }

    // What a sum of exposures in floating point may differ from zero: a net limit of zero asks for no more.
    double net_slack(double gross) const {
        return static_cast<double>(n_ + 2) * unit_roundoff * std::min(gross, limits_.gross);
    }

    bool cap_holds(std::size_t i, double weight) const {
        return std::abs(limits_.leverage[i] * weight) <= limits_.max_weight[i];
    }

    bool holds(Input w) const {
        for (std::size_t i = 0; i < n_; ++i)
            if (!cap_holds(i, w[i])) return false;
        const Exposure all = exposure(w, limits_.leverage, [](std::size_t) { return true; });
        return all.gross <= gross_limit() && net_holds(all);
    }
    double net_bound(double gross) const { return std::max(net_limit(gross), net_slack(gross)); }
    bool net_holds(const Exposure& all) const { return std::abs(all.net) <= net_bound(all.gross); }

    // False where the frozen names leave no room.
    bool project_around_frozen() {
        for (std::size_t i = 0; i < n_; ++i)
            if (frozen_[i] && !cap_holds(i, w_[i])) return false;
        const Exposure kept = exposure(w_, limits_.leverage, [this](std::size_t i) { return bool{frozen_[i]}; });
        if (kept.gross > gross_limit()) return false;
        // The free names must bring the net back by this much, within their caps and what is left of the gross.
        ExactSum room;
        for (std::size_t i = 0; i < n_; ++i)
            if (!frozen_[i]) room.add(limits_.max_weight[i]);
        const double reach = std::min(room.value(), gross_limit() - kept.gross);
        if (std::abs(kept.net) - reach > net_bound(limits_.gross)) return false;
        project_free(kept);
        return true;
    }

    void project_free(Exposure kept) {
        gather();
        const std::size_t free = work_.names.size();
        // Two roundings per name: one for whoever checks, one for the arithmetic of the solution.
        const double gross = std::max(0.0, tightened(limits_.gross, limits_.gross, n_, 2.0) - kept.gross);
        const double net = tightened(limits_.net, limits_.gross, n_, 2.0);
        const double most = std::min(gross, reach_of_caps());
        const ProxProblem problem{.point = {work_.point.data(), free},
                                  .scale = {work_.scale.data(), free},
                                  .cap = {work_.cap.data(), free},
                                  .anchor = {work_.zero.data(), free},
                                  .kink = {work_.zero.data(), free},
                                  .gross = gross,
                                  .net_low = std::min(-net - kept.net, most),
                                  .net_high = std::max(net - kept.net, -most)};
        limited_prox(problem, work_.breakpoints, {work_.solution.data(), free});
        scatter();
        if (holds(out_)) return;
        // Weights far outside the limits lose digits to their duals: once more, from where they are now.
        std::copy_n(work_.solution.begin(), free, work_.point.begin());
        limited_prox(problem, work_.breakpoints, {work_.solution.data(), free});
        scatter();
        shrink(kept);
    }

    // The free names in the orientation of delta dollars: a short of a -3x fund is a long.
    void gather() {
        for (auto* buffer : {&work_.point, &work_.scale, &work_.cap, &work_.zero, &work_.solution})
            buffer->assign(n_, 0.0);
        work_.names.reserve(n_);
        work_.names.clear();
        for (std::size_t i = 0; i < n_; ++i) {
            if (!is_free(i)) continue;
            const std::size_t f = work_.names.size();
            work_.point[f] = std::copysign(1.0, limits_.leverage[i]) * w_[i];
            work_.scale[f] = std::abs(limits_.leverage[i]);
            work_.cap[f] = weight_cap(limits_.max_weight[i], limits_.leverage[i]);
            work_.names.push_back(i);
        }
    }

    double reach_of_caps() const {
        ExactSum reach;
        for (std::size_t f = 0; f < work_.names.size(); ++f) reach.add(work_.scale[f] * work_.cap[f]);
        return reach.value();
    }

    void scatter() {
        for (std::size_t f = 0; f < work_.names.size(); ++f) {
            const std::size_t i = work_.names[f];
            out_[i] = settled(i, std::copysign(1.0, limits_.leverage[i]) * work_.solution[f]);
        }
    }

    // Whatever rounding is left goes: the free names, or those on the side of the net, shrink by a few ulps.
    void shrink(Exposure kept) {
        for (int attempt = 0; attempt < 4; ++attempt) {
            const Exposure moved = exposure(out_, limits_.leverage, [this](std::size_t i) { return is_free(i); });
            const Exposure all{kept.gross + moved.gross, kept.net + moved.net};
            if (all.gross > gross_limit()) {
                scale((gross_limit() - kept.gross) / moved.gross, [](double) { return true; });
            } else if (!net_holds(all)) {
                const double side = 0.5 * (moved.gross + std::copysign(moved.net, moved.net * all.net));
                const double excess = std::abs(all.net) - net_bound(all.gross);
                scale(1.0 - excess / side, [&](double delta_dollars) { return delta_dollars * all.net > 0.0; });
            } else {
                return;
            }
        }
    }

    template <class Chosen>
    void scale(double factor, Chosen chosen) {
        const double bounded = std::clamp(factor, 0.0, 1.0) * (1.0 - 4.0 * unit_roundoff);
        for (std::size_t i = 0; i < n_; ++i)
            if (is_free(i) && chosen(limits_.leverage[i] * out_[i])) out_[i] = settled(i, out_[i] * bounded);
    }

    // A net limit of zero leaves residues far below the rounding of what was given: they are zero, and have no sign.
    double settled(std::size_t i, double weight) const {
        return std::abs(weight) <= 0x1p-100 * std::abs(w_[i]) ? 0.0 : weight;
    }

    Input w_;
    const Limits& limits_;
    std::span<const bool> frozen_;
    LimitsWorkspace& work_;
    Output out_;
    std::size_t n_;
};

}  // namespace

double tightened(double limit, double size, std::size_t n, double roundings) {
    return std::max(0.0, limit - roundings * static_cast<double>(n + 2) * unit_roundoff * size);
}

double weight_cap(double max_weight, double leverage) {
    double cap = max_weight / std::abs(leverage);
    while (std::abs(leverage) * cap > max_weight) cap = std::nextafter(cap, 0.0);
    return cap;
}

void project_limits(Input w, const Limits& limits, std::span<const bool> frozen, LimitsWorkspace& workspace,
                    Output projected) {
    Projection(w, limits, frozen, workspace, projected).run();
}

}  // namespace workbench
