#pragma once
// The one optimisation problem under project_limits and qp_size, solved exactly.
#include <vector>

#include "workbench/types.hpp"

namespace workbench {

/// minimise over z (N,): sum 1/2 (z_i - point_i)^2 + kink_i |z_i - anchor_i|
/// subject to |z_i| <= cap_i,  sum scale_i |z_i| <= gross,  net_low <= sum scale_i z_i <= net_high
struct ProxProblem {
    Input point;         ///< (N,)
    Input scale;         ///< (N,) > 0
    Input cap;           ///< (N,) >= 0
    Input anchor, kink;  ///< (N,), kink >= 0; a kink of zero makes its anchor irrelevant
    double gross, net_low, net_high;
};

/// Which of the two sums binds at the solution, and the bound that the net then sits on.
struct ProxBinding {
    bool gross, net;
    double net_bound;
};

/// Writes the minimiser. The problem must be feasible. `workspace` is grown to 8 N.
/// Flipping the sign of point, anchor and the net bounds flips the result bit for bit.
ProxBinding limited_prox(const ProxProblem& problem, std::vector<double>& workspace, Output z);

}  // namespace workbench
