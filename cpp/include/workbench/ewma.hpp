#pragma once
#include <vector>

#include "workbench/types.hpp"

namespace workbench {

/// Square root of the bias-corrected EWMA of squared returns, per column:
///   v_t = (1-a) v_{t-1} + a r_t^2,  n_t = (1-a) n_{t-1} + a,  vol_t = sqrt(v_t / n_t)
/// returns, vol (T, N) row-major, 0 < a <= 1. A NaN return leaves v and n as they were; NaN before the first return.
/// `workspace` is grown to 2 N.
void ewma_vol(Matrix returns, double alpha, std::vector<double>& workspace, MatrixOutput vol);

/// Bias-corrected EWMA covariance with zero mean, (N, N) symmetric, per unit of time of one row:
///   c_ij = sum_t d^(later rows of the pair) r_ti r_tj / sum_t d^(later rows of the pair),  d = 2^(-1/halflife)
/// over the rows in which both i and j are there; a row with a NaN in either leaves the pair as it was, and a pair that
/// was never seen together is NaN. returns (T, N); halflife > 0 in rows. With gaps the matrix may be indefinite.
void ewma_covariance(Matrix returns, double halflife, MatrixOutput covariance);

}  // namespace workbench
