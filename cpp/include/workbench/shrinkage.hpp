#pragma once
#include "workbench/types.hpp"

namespace workbench {

/// Covariance with zero mean, shrunk to a scaled identity (Ledoit and Wolf 2004):
///   S = X'X / T,  m = tr(S) / N,  covariance = (1 - s) S + s m I, (N, N)
///   d2 = ||S - m I||^2 / N,  b2 = min(d2, sum_t ||x_t x_t' - S||^2 / (N T^2)),  s = b2 / d2 (0 where b2 = 0)
/// returns (T, N), no NaN. Gives back the shrinkage s in [0, 1].
double ledoit_wolf(Matrix returns, MatrixOutput covariance);

/// The same of returns scaled to unit mean square per symbol, so that the target is the identity and no symbol counts
/// more for being volatile: a correlation, (N, N), exactly symmetric, with ones on the diagonal. A symbol whose returns
/// are all zero throws std::invalid_argument naming its column.
double ledoit_wolf_correlation(Matrix returns, MatrixOutput correlation);

}  // namespace workbench
