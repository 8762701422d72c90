#include "workbench/shrinkage.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "workbench/eigen.hpp"
#include "workbench/parallel.hpp"

namespace workbench {
namespace {

// X'X / T in tiles of 48 rows, each one product of Eigen's: whole tiles per thread, so the bits don't depend on
// threads.
RowMajor second_moment(const Eigen::MatrixXd& x) {
    const Eigen::Index rows = x.rows(), columns = x.cols();
    RowMajor moment(columns, columns);
    const double item_ns = 0.1 * static_cast<double>(rows) * static_cast<double>(columns);
    parallel_blocks(static_cast<std::size_t>(columns), 48, item_ns, [&](std::size_t begin, std::size_t end) {
        const auto first = static_cast<Eigen::Index>(begin), last = static_cast<Eigen::Index>(end);
        moment.block(first, 0, last - first, last).noalias() =
            x.middleCols(first, last - first).transpose() * x.leftCols(last);
    });
    moment /= static_cast<double>(rows);
    for (Eigen::Index i = 0; i < columns; ++i)
        for (Eigen::Index j = 0; j < i; ++j) moment(j, i) = moment(i, j);
    return moment;
}

// s, from the moment S and the rows of x. sum_t ||x_t x_t'||^2 = sum_t (x_t'x_t)^2.
double shrinkage_of(const Eigen::MatrixXd& x, const RowMajor& moment) {
    const auto rows = static_cast<double>(x.rows()), columns = static_cast<double>(x.cols());
    const double mean = moment.trace() / columns;
    const double norm = moment.squaredNorm();
    const double distance = norm - 2.0 * mean * moment.trace() + columns * mean * mean;
    const double noise = (x.rowwise().squaredNorm().array().square().sum() / rows - norm) / rows;
    const double bounded = std::min(noise, distance);
    return bounded <= 0.0 ? 0.0 : bounded / distance;
}

double shrink(const Eigen::MatrixXd& x, MatrixOutput out) {
    const RowMajor moment = second_moment(x);
    const double shrinkage = shrinkage_of(x, moment);
    Eigen::Map<RowMajor> result(out.data, x.cols(), x.cols());
    result = (1.0 - shrinkage) * moment;
    result.diagonal().array() += shrinkage * (moment.trace() / static_cast<double>(x.cols()));
    return shrinkage;
}

}  // namespace

double ledoit_wolf(Matrix returns, MatrixOutput covariance) { return shrink(copied(returns), covariance); }

double ledoit_wolf_correlation(Matrix returns, MatrixOutput correlation) {
    Eigen::MatrixXd x = copied(returns);
    for (Eigen::Index j = 0; j < x.cols(); ++j) {
        // Scaled by the largest first: squares of tiny returns would underflow.
        const double largest = x.col(j).cwiseAbs().maxCoeff();
        if (largest == 0.0)
            throw std::invalid_argument("returns[:, " + std::to_string(j) +
                                        "] is all zero, so its correlation is unknown; leave the symbol out");
        x.col(j) /= largest;
        x.col(j) /= std::sqrt(x.col(j).squaredNorm() / static_cast<double>(x.rows()));
    }
    const double shrinkage = shrink(x, correlation);
    for (std::size_t i = 0; i < correlation.rows; ++i) {
        for (std::size_t j = 0; j < correlation.cols; ++j) correlation(i, j) = std::clamp(correlation(i, j), -1.0, 1.0);
        correlation(i, i) = 1.0;
    }
    return shrinkage;
}

}  // namespace workbench
