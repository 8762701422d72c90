#pragma once
// Views that every kernel takes. A kernel owns no memory of its caller's and never keeps a view.
#include <cstddef>
#include <span>

namespace workbench {

using Input = std::span<const double>;  ///< (N,) read only
using Output = std::span<double>;       ///< (N,) written in full

/// (rows, cols), row-major and contiguous, read only.
struct Matrix {
    const double* data;
    std::size_t rows, cols;
    double operator()(std::size_t i, std::size_t j) const { return data[i * cols + j]; }
    Input row(std::size_t i) const { return {data + i * cols, cols}; }
};

/// (rows, cols), row-major and contiguous.
struct MatrixOutput {
    double* data;
    std::size_t rows, cols;
    double& operator()(std::size_t i, std::size_t j) const { return data[i * cols + j]; }
};

}  // namespace workbench
