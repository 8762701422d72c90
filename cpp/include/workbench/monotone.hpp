#pragma once
// The exact root of a nonincreasing, continuous, piecewise linear function, by bisection on its breakpoints: the
// kernels of projection are all of this kind, and no tolerance or starting point enters.
#include <algorithm>
#include <limits>
#include <span>

namespace workbench {

/// theta with f(theta) = target. `breakpoints` (at least one, reordered) must contain every kink of f, and the root
/// must lie between the least and the greatest of them; a target out of reach gives the nearest end. About 2 log2(n)
/// calls of f.
template <class Function>
double monotone_root(std::span<double> breakpoints, double target, Function f) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    double left = -infinity, right = infinity, f_left = 0.0, f_right = 0.0;
    auto first = breakpoints.begin(), last = breakpoints.end();
    while (first != last) {
        const auto middle = first + (last - first) / 2;
        std::nth_element(first, middle, last);
        const double value = f(*middle);
        if (value >= target) {
            left = *middle, f_left = value;
            first = middle + 1;
        } else {
            right = *middle, f_right = value;
            last = middle;
        }
    }
    if (left == -infinity) return right;
    if (right == infinity || f_left == f_right) return left;
    // No kink lies between left and right: the function is a straight line there.
    return std::min(right, left + (f_left - target) * ((right - left) / (f_left - f_right)));
}

}  // namespace workbench
