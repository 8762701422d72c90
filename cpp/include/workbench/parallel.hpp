#pragma once
// Threads only where they pay. A busy neighbour turns a woken thread into milliseconds, so work below about 0.3 ms
// stays serial. Blocks are cut by size, never by thread count: whoever runs a block, it computes the same bits.
#include <algorithm>
#include <cstddef>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace workbench {

inline constexpr double serial_below_ns = 300'000.0;

/// Threads worth starting for `work_ns` nanoseconds of work.
inline int threads_for([[maybe_unused]] double work_ns) {
#ifdef _OPENMP
    const double useful = std::min(work_ns / (serial_below_ns / 2), 1024.0);
    return work_ns < serial_below_ns ? 1 : std::clamp(static_cast<int>(useful), 1, omp_get_max_threads());
#else
    return 1;
#endif
}

/// body(begin, end) over [0, count) in blocks of `block` items, each item taking about `item_ns`. `body` must not
/// throw.
template <class Body>
void parallel_blocks(std::size_t count, std::size_t block, double item_ns, Body body) {
    [[maybe_unused]] const int threads = threads_for(static_cast<double>(count) * item_ns);
    const auto blocks = static_cast<std::ptrdiff_t>((count + block - 1) / block);
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
#endif
    for (std::ptrdiff_t b = 0; b < blocks; ++b) {
        const std::size_t begin = static_cast<std::size_t>(b) * block;
        body(begin, std::min(begin + block, count));
    }
}

}  // namespace workbench
