#pragma once
#include "workbench/types.hpp"

namespace workbench {

struct GateParameters {
    double g_min;  ///< lower bound of the gate, in [0, 1]
    double gamma;  ///< exponent of the peak term, >= 0
    double delta;  ///< exponent of the valley term, >= 0
};

/// gate_i = clip((1 - p_peak_i)^gamma * (1/2 + p_valley_i/2)^delta, g_min, 1), probabilities clipped to [0, 1].
/// p_peak, p_valley, gate (N,). NaN in either probability gives NaN.
void barrier_gate_batch(Input p_peak, Input p_valley, const GateParameters& parameters, Output gate);

}  // namespace workbench
