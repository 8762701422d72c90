#include "workbench/simplex.hpp"

#include <algorithm>

#include "workbench/monotone.hpp"

namespace workbench {

void project_simplex(Input weights, std::vector<double>& workspace, Output projected) {
    // Everything is measured from the largest weight, which is positive in the result: theta lies in [-1, 0).
    const double top = *std::max_element(weights.begin(), weights.end());
    for (std::size_t i = 0; i < weights.size(); ++i) projected[i] = weights[i] - top;

    workspace.assign({-1.0, 0.0});
    for (const double x : projected)
        if (x > -1.0) workspace.push_back(x);
    const double theta = monotone_root(workspace, 1.0, [&](double level) {
        double sum = 0.0;
        for (const double x : projected) sum += std::max(x - level, 0.0);
        return sum;
    });
    for (double& x : projected) x = std::max(x - theta, 0.0);
}

}  // namespace workbench
