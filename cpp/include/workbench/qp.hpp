#pragma once
#include "workbench/limits.hpp"
#include "workbench/types.hpp"

namespace workbench {

struct SizingProblem {
    Input alpha;           ///< (N,) expected return
    Matrix covariance;     ///< (N, N) symmetric positive semidefinite, of returns over the same time as alpha
    Input w_now;           ///< (N,) weights held
    Input cost;            ///< (N,) >= 0, one way, per unit of weight traded
    double risk_aversion;  ///< > 0
};

/// maximise alpha'w - risk_aversion/2 w'Cw - cost'|w - w_now| under the limits, (N,).
/// ADMM (Boyd et al. 2011) whose second step is the exact limited_prox, finished on the active set it finds. The answer
/// is optimal to 1e-9: the largest move of a proximal gradient step of unit curvature (the mean of the diagonal), in
/// weight. Throws std::invalid_argument where C is not positive semidefinite, std::runtime_error naming the residual
/// where the iterations run out.
void qp_size(const SizingProblem& problem, const Limits& limits, Output weights);

}  // namespace workbench
