#include "workbench/ridge.hpp"

#include <Eigen/Cholesky>
#include <stdexcept>

#include "workbench/eigen.hpp"

namespace workbench {

void risk_parity_ridge(Input z_scores, Matrix covariance, double lambda_reg, RidgeWorkspace& workspace,
                       Output direction) {
    const auto n = static_cast<Eigen::Index>(z_scores.size());
    workspace.matrix = copied(covariance);
    workspace.vector = copied(z_scores);
    workspace.matrix.diagonal().array() += lambda_reg;

    Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factor(workspace.matrix);
    if (factor.info() != Eigen::Success)
        throw std::invalid_argument(
            "covariance + lambda_reg * I is not positive definite: covariance has an eigenvalue below " +
            std::to_string(-lambda_reg) + "; shrink it first (ledoit_wolf) or raise lambda_reg");
    factor.solveInPlace(workspace.vector);
    Eigen::Map<Eigen::VectorXd>(direction.data(), n) = lambda_reg * workspace.vector;
}

}  // namespace workbench
