#pragma once
// How our views become Eigen's objects.
#include <Eigen/Core>

#include "workbench/types.hpp"

namespace workbench {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Expressions to assign from. Always copy into Eigen's own aligned memory: on a caller's array the order of Eigen's
/// sums, and so the last bit, would follow the address.
inline auto copied(Input x) { return Eigen::Map<const Eigen::VectorXd>(x.data(), static_cast<Eigen::Index>(x.size())); }
inline auto copied(Matrix x) {
    return Eigen::Map<const RowMajor>(x.data, static_cast<Eigen::Index>(x.rows), static_cast<Eigen::Index>(x.cols));
}

namespace detail {
// Eigen cuts products into blocks that suit the caches it finds, which would change the order of sums from machine to
// machine. These sizes hold everywhere.
inline const bool blocking_is_fixed = [] {
    Eigen::setCpuCacheSizes(32 * 1024, 512 * 1024, 4 * 1024 * 1024);
    return true;
}();
}  // namespace detail

}  // namespace workbench
