#include "workbench/ofi.hpp"

#include <limits>

#include "workbench/dispatch.hpp"
#include "workbench/parallel.hpp"

namespace workbench {
namespace {

WORKBENCH_CLONES void imbalance_range(const double* bid0, const double* ask0, const double* bid_size0,
                                      const double* ask_size0, const double* bid1, const double* ask1,
                                      const double* bid_size1, const double* ask_size1, double* out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        const double bid = (bid1[i] >= bid0[i] ? bid_size1[i] : 0.0) - (bid1[i] <= bid0[i] ? bid_size0[i] : 0.0);
        const double ask = (ask1[i] <= ask0[i] ? ask_size1[i] : 0.0) - (ask1[i] >= ask0[i] ? ask_size0[i] : 0.0);
        // A size that no comparison selects, and a NaN price, which selects nothing, must still give NaN.
        const double all =
            (bid0[i] + ask0[i] + bid_size0[i] + ask_size0[i]) + (bid1[i] + ask1[i] + bid_size1[i] + ask_size1[i]);
        out[i] = all != all ? std::numeric_limits<double>::quiet_NaN() : bid - ask;
    }
}

}  // namespace

void ofi_batch(const Quotes& before, const Quotes& after, Output imbalance) {
    parallel_blocks(imbalance.size(), 32768, 1.2, [&](std::size_t begin, std::size_t end) {
        const auto at = [begin](Input x) { return x.data() + begin; };
        imbalance_range(at(before.bid), at(before.ask), at(before.bid_size), at(before.ask_size), at(after.bid),
                        at(after.ask), at(after.bid_size), at(after.ask_size), imbalance.data() + begin, end - begin);
    });
}

}  // namespace workbench
