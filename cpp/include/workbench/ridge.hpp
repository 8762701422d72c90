#pragma once
#include <Eigen/Core>

#include "workbench/types.hpp"

namespace workbench {

/// Buffers of the solve; a second call of the same size allocates nothing below about N = 500.
struct RidgeWorkspace {
    Eigen::MatrixXd matrix;
    Eigen::VectorXd vector;
};

/// y = lambda (Sigma + lambda I)^-1 z, (N,): the risk-parity direction of PositionSizer, which tends to z as lambda
/// grows. z (N,), Sigma (N, N) symmetric, lambda > 0. Throws std::invalid_argument where Sigma + lambda I is not
/// positive definite.
void risk_parity_ridge(Input z_scores, Matrix covariance, double lambda_reg, RidgeWorkspace& workspace,
                       Output direction);

}  // namespace workbench
