#include "workbench/ewma.hpp"

#include <algorithm>
#include <cmath>

#include "workbench/dispatch.hpp"
#include "workbench/elementary.hpp"
#include "workbench/parallel.hpp"

namespace workbench {
namespace {

// One column: the state stays in registers.
void vol_series(const double* r, double alpha, double* vol, std::size_t rows) {
    const double keep = 1.0 - alpha;
    double v = 0.0, n = 0.0;
    for (std::size_t t = 0; t < rows; ++t) {
        if (r[t] == r[t]) {
            v = keep * v + alpha * (r[t] * r[t]);
            n = keep * n + alpha;
        }
        vol[t] = std::sqrt(v / n);
    }
}

// One row of columns [0, n): v, n (n,) are the states. The same operations in the same order as vol_series.
WORKBENCH_CLONES void vol_row(const double* r, double alpha, double* v, double* n, double* vol, std::size_t columns) {
    const double keep = 1.0 - alpha;
    for (std::size_t j = 0; j < columns; ++j) {
        const double new_v = keep * v[j] + alpha * (r[j] * r[j]);
        const double new_n = keep * n[j] + alpha;
        const bool there = r[j] == r[j];
        v[j] = there ? new_v : v[j];
        n[j] = there ? new_n : n[j];
        vol[j] = std::sqrt(v[j] / n[j]);
    }
}

// c and n (columns,) of the pairs (i, 0..columns) take in one row; x is r_i, not NaN.
WORKBENCH_CLONES void pair_row(double x, const double* r, double decay, double* c, double* n, std::size_t columns) {
    for (std::size_t j = 0; j < columns; ++j) {
        const double new_c = decay * c[j] + x * r[j];
        const double new_n = decay * n[j] + 1.0;
        const bool there = r[j] == r[j];
        c[j] = there ? new_c : c[j];
        n[j] = there ? new_n : n[j];
    }
}

}  // namespace

void ewma_vol(Matrix returns, double alpha, std::vector<double>& workspace, MatrixOutput vol) {
    const std::size_t rows = returns.rows, columns = returns.cols;
    if (columns == 1) return vol_series(returns.data, alpha, vol.data, rows);
    workspace.assign(2 * columns, 0.0);
    // 64 columns: a block's states stay in the first-level cache for the whole panel.
    parallel_blocks(columns, 64, 1.5 * static_cast<double>(rows), [&](std::size_t begin, std::size_t end) {
        double *v = workspace.data() + begin, *n = workspace.data() + columns + begin;
        for (std::size_t t = 0; t < rows; ++t)
            vol_row(returns.row(t).data() + begin, alpha, v, n, vol.data + t * columns + begin, end - begin);
    });
}

void ewma_covariance(Matrix returns, double halflife, MatrixOutput covariance) {
    const std::size_t rows = returns.rows, columns = returns.cols;
    const double decay = exp2_fast(-1.0 / halflife);
    std::vector<double> weight(columns * columns, 0.0);
    std::fill(covariance.data, covariance.data + columns * columns, 0.0);
    const double item_ns = 0.15 * static_cast<double>(rows * columns);
    // Row i of the lower triangle holds the pairs (i, j <= i); 8 rows share one pass over the returns.
    parallel_blocks(columns, 8, item_ns, [&](std::size_t begin, std::size_t end) {
        for (std::size_t t = 0; t < rows; ++t)
            for (std::size_t i = begin; i < end; ++i)
                if (const double x = returns(t, i); x == x)
                    pair_row(x, returns.row(t).data(), decay, &covariance(i, 0), &weight[i * columns], i + 1);
    });
    for (std::size_t i = 0; i < columns; ++i)
        for (std::size_t j = 0; j <= i; ++j)
            covariance(i, j) = covariance(j, i) = covariance(i, j) / weight[i * columns + j];
}

}  // namespace workbench
