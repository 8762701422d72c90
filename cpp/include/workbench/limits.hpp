#pragma once
#include <vector>

#include "workbench/types.hpp"

namespace workbench {

/// |l_i w_i| <= max_weight_i,  sum |l_i w_i| <= gross,  |sum l_i w_i| <= net
/// Weights are fractions of NAV; l_i is the delta per dollar of the instrument (3, -3; 1 for a plain share).
struct Limits {
    Input max_weight;  ///< (N,) >= 0
    double gross;      ///< >= 0
    double net;        ///< >= 0
    Input leverage;    ///< (N,), none zero
};

/// Buffers of the projection; a second call of the same size allocates nothing.
struct LimitsWorkspace {
    std::vector<double> point, scale, cap, zero, solution, breakpoints;
    std::vector<std::size_t> names;  // position among the free names -> position in w
};

/// Euclidean projection of w (N,) on the limits.
/// `frozen` is empty or (N,): names with a nonzero entry keep their weight and the others share what is left of the
/// limits; where that cannot be, all names are released and projected together.
/// At the end the limits hold for sums in float64 taken in any order (net: up to N roundings of the gross where the net
/// limit itself is smaller than that); a point that already holds them so is returned as it is.
/// project(-w) == -project(w) bit for bit.
void project_limits(Input w, const Limits& limits, std::span<const bool> frozen, LimitsWorkspace& workspace,
                    Output projected);

/// `limit` less the rounding of a sum of n terms whose sizes add up to `size`, in any order, `roundings` times over:
/// what keeps the tightened limit keeps the limit, whoever adds up.
double tightened(double limit, double size, std::size_t n, double roundings);

/// The largest |weight| with |leverage * weight| <= max_weight in float64.
double weight_cap(double max_weight, double leverage);

}  // namespace workbench
