#include "workbench/softmax.hpp"

#include <algorithm>
#include <limits>

#include "workbench/dispatch.hpp"
#include "workbench/elementary.hpp"
#include "workbench/parallel.hpp"

namespace workbench {
namespace {

constexpr std::size_t block_rows = 2048;  // one unit of parallel work
constexpr std::size_t batch_rows = 64;    // rows whose scores stay in the first-level cache
constexpr double vol_floor = 1e-8;

WORKBENCH_CLONES void scores(const double* alpha, const double* vol, double beta, double* score, std::size_t count) {
    const double limit = std::numeric_limits<double>::max();
    for (std::size_t k = 0; k < count; ++k) {
        const double raw = beta * alpha[k] / (vol[k] + vol_floor);
        const double below = raw > limit ? limit : raw;
        score[k] = below < -limit ? -limit : below;
    }
}

// exp(2 gap), where gap is half of a score less half of its row's largest: the halves keep the difference finite.
WORKBENCH_CLONES void exponentials(double* gap, std::size_t count) {
    for (std::size_t k = 0; k < count; ++k) {
        const double bounded = gap[k] < -1024.0 ? -1024.0 : gap[k];
        gap[k] = exp2_fast(2.0 * detail::inverse_ln2 * bounded);
    }
}

void subtract_row_maximum(double* score, std::size_t horizons) {
    const double half_top = 0.5 * *std::max_element(score, score + horizons);
    for (std::size_t h = 0; h < horizons; ++h) score[h] = 0.5 * score[h] - half_top;
}

// Divides by the sum, adds the weights to total (H,), returns the mixed alpha.
double mix_row(const double* alpha, const double* weight, double* total, std::size_t horizons) {
    double sum = 0.0, mix = 0.0;
    for (std::size_t h = 0; h < horizons; ++h) sum += weight[h];
    const double inverse = 1.0 / sum;
    for (std::size_t h = 0; h < horizons; ++h) {
        const double share = weight[h] * inverse;
        total[h] += share;
        mix += share * alpha[h];
    }
    return mix;
}

// Rows [begin, end): the mixed alphas, and the sums of the weights into total (H,). batch: room for (batch_rows, H).
void mix_rows(Matrix alpha, Matrix vol, double beta, std::size_t begin, std::size_t end, double* batch, double* total,
              Output mixed) {
    const std::size_t horizons = alpha.cols;
    std::fill(total, total + horizons, 0.0);
    for (std::size_t first = begin; first < end; first += batch_rows) {
        const std::size_t rows = std::min(batch_rows, end - first);
        scores(alpha.row(first).data(), vol.row(first).data(), beta, batch, rows * horizons);
        for (std::size_t i = 0; i < rows; ++i) subtract_row_maximum(batch + i * horizons, horizons);
        exponentials(batch, rows * horizons);
        for (std::size_t i = 0; i < rows; ++i)
            mixed[first + i] = mix_row(alpha.row(first + i).data(), batch + i * horizons, total, horizons);
    }
}

}  // namespace

std::size_t horizon_softmax(Matrix alpha, Matrix vol, double beta, std::vector<double>& workspace, Output mixed) {
    const std::size_t horizons = alpha.cols;
    const std::size_t blocks = (alpha.rows + block_rows - 1) / block_rows;
    // Per block its own totals and batch, the totals added up in block order: the bits don't depend on the threads.
    const std::size_t stride = (1 + batch_rows) * horizons;
    workspace.resize(blocks * stride);
    parallel_blocks(alpha.rows, block_rows, 3.0 * static_cast<double>(horizons),
                    [&](std::size_t begin, std::size_t end) {
                        double* total = workspace.data() + begin / block_rows * stride;
                        mix_rows(alpha, vol, beta, begin, end, total + horizons, total, mixed);
                    });
    double* total = workspace.data();
    for (std::size_t b = 1; b < blocks; ++b)
        for (std::size_t h = 0; h < horizons; ++h) total[h] += workspace[b * stride + h];
    return static_cast<std::size_t>(std::max_element(total, total + horizons) - total);
}

}  // namespace workbench
