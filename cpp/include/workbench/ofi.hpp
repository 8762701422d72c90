#pragma once
#include "workbench/types.hpp"

namespace workbench {

/// Best quotes of N symbols at one time: prices in currency, sizes in shares; each (N,).
struct Quotes {
    Input bid, ask, bid_size, ask_size;
};

/// Order-flow imbalance between two quotes (Cont, Kukanov, Stoikov 2014), in shares, (N,):
///   e = [b1 >= b0] qb1 - [b1 <= b0] qb0 - [a1 <= a0] qa1 + [a1 >= a0] qa0
/// Any NaN of a symbol gives NaN.
void ofi_batch(const Quotes& before, const Quotes& after, Output imbalance);

}  // namespace workbench
