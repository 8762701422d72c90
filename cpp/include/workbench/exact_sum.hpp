#pragma once
#include <cmath>

namespace workbench {

/// Compensated sum (Neumaier 1974): correct to about one rounding, whatever the order and the cancellation.
class ExactSum {
public:
    void add(double x) {
        const double sum = sum_ + x;
        lost_ += std::abs(sum_) >= std::abs(x) ? (sum_ - sum) + x : (x - sum) + sum_;
        sum_ = sum;
    }
    double value() const { return sum_ + lost_; }

private:
    double sum_ = 0.0, lost_ = 0.0;
};

}  // namespace workbench
