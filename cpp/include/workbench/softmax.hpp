#pragma once
#include <vector>

#include "workbench/types.hpp"

namespace workbench {

/// Row-wise softmax over horizons of score = beta * alpha / (vol + 1e-8).
/// alpha, vol (N, H), N and H >= 1, vol >= 0; mixed (N,) = sum over h of weight * alpha.
/// Returns the horizon with the largest mean weight (the first of equals). Never overflows.
/// `workspace` is grown to 65 H per 2048 rows and otherwise reused.
std::size_t horizon_softmax(Matrix alpha, Matrix vol, double beta, std::vector<double>& workspace, Output mixed);

}  // namespace workbench
