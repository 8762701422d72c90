#pragma once
#include <vector>

#include "workbench/types.hpp"

namespace workbench {

/// Euclidean projection on {w >= 0, sum w = 1} (Held, Wolfe, Crowder 1974): max(weights - theta, 0) with the theta that
/// makes the sum one. weights, projected (N,), N >= 1. `workspace` is grown to N + 2.
void project_simplex(Input weights, std::vector<double>& workspace, Output projected);

}  // namespace workbench
