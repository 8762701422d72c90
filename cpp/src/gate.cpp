#include "workbench/gate.hpp"

#include <cmath>

#include "workbench/dispatch.hpp"
#include "workbench/elementary.hpp"
#include "workbench/parallel.hpp"

namespace workbench {
namespace {

// Comparisons written so that a NaN is kept.
inline double clip(double x, double low, double high) {
    const double raised = x < low ? low : x;
    return raised > high ? high : raised;
}

// The default exponents need no power, only a square root.
WORKBENCH_CLONES void gate_default(const double* peak, const double* valley, double g_min, double* gate,
                                   std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        const double stay = 1.0 - clip(peak[i], 0.0, 1.0);
        const double rise = 0.5 + 0.5 * clip(valley[i], 0.0, 1.0);
        gate[i] = clip(stay * std::sqrt(rise), g_min, 1.0);
    }
}

WORKBENCH_CLONES void gate_general(const double* peak, const double* valley, GateParameters parameters, double* gate,
                                   std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        const double stay = 1.0 - clip(peak[i], 0.0, 1.0);
        const double rise = 0.5 + 0.5 * clip(valley[i], 0.0, 1.0);
        const double value = unit_power(stay, parameters.gamma) * unit_power(rise, parameters.delta);
        const double clipped = clip(value, parameters.g_min, 1.0);
        const double both = peak[i] + valley[i];
        gate[i] = both != both ? both : clipped;  // unit_power does not carry a NaN
    }
}

}  // namespace

void barrier_gate_batch(Input p_peak, Input p_valley, const GateParameters& parameters, Output gate) {
    const bool is_default = parameters.gamma == 1.0 && parameters.delta == 0.5;
    parallel_blocks(gate.size(), 32768, is_default ? 0.8 : 5.0, [&](std::size_t begin, std::size_t end) {
        const double *peak = p_peak.data() + begin, *valley = p_valley.data() + begin;
        if (is_default)
            gate_default(peak, valley, parameters.g_min, gate.data() + begin, end - begin);
        else
            gate_general(peak, valley, parameters, gate.data() + begin, end - begin);
    });
}

}  // namespace workbench
