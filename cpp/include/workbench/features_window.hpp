#pragma once
// What a symbol remembers: the last values, sums over windows, exponential averages. Each counts observed values only.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "workbench/elementary.hpp"

namespace workbench {

inline constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
inline bool known(double x) { return x == x; }

/// ln(x) for normal x > 0, the same bits on every machine.
inline double natural_log(double x) { return log2_fast(x) * detail::ln2; }

/// x in [-bound, bound]; NaN stays NaN.
inline double clip(double x, double bound) { return x > bound ? bound : x < -bound ? -bound : x; }

/// ln of a ratio >= 0, half of it where the ratio is one of variances, in [-bound, bound].
inline double log_ratio(double ratio, double scale, double bound) {
    if (!known(ratio)) return unknown;
    return ratio > 1e-9 ? clip(scale * natural_log(ratio), bound) : -bound;
}

/// a / b, 0 where b is 0: no movement at all is no movement in either direction.
inline double share_of(double a, double b) { return b == 0.0 ? 0.0 : a / b; }

/// The last `capacity` values; [0] is the newest, [k] the one k pushes earlier (NaN if there was none).
class Ring {
  public:
    explicit Ring(std::size_t capacity) : values_(capacity, unknown) {}
    void push(double x) {
        head_ = head_ == 0 ? values_.size() - 1 : head_ - 1;
        values_[head_] = x;
        count_ = std::min(count_ + 1, values_.size());
    }
    double operator[](std::size_t age) const {
        const std::size_t at = head_ + age;
        return values_[at < values_.size() ? at : at - values_.size()];
    }
    std::size_t size() const { return count_; }
    bool full() const { return count_ == values_.size(); }
    void shift(double by) {
        for (double& x : values_) x -= by;
    }

  private:
    std::vector<double> values_;
    std::size_t head_ = 0, count_ = 0;
};

/// Sum and sum of squares of the last n values. `resum` computes both anew, oldest first: it ends rounding drift.
class Window {
  public:
    explicit Window(std::size_t n) : ring_(n) {}
    void push(double x) {
        if (ring_.full()) {
            const double old = ring_[ring_.size() - 1];
            sum_ -= old;
            squares_ -= old * old;
        }
        ring_.push(x);
        sum_ += x;
        squares_ += x * x;
    }
    void resum() {
        sum_ = squares_ = 0.0;
        for (std::size_t age = ring_.size(); age-- > 0;) {
            sum_ += ring_[age];
            squares_ += ring_[age] * ring_[age];
        }
    }
    /// Subtracts `by` from every value, and sums anew.
    void shift(double by) {
        ring_.shift(by);
        resum();
    }
    /// NaN until n values have come.
    double sum() const { return ring_.full() ? sum_ : unknown; }
    double mean() const { return sum() / static_cast<double>(ring_.size()); }
    double deviation() const {
        const double m = mean(), variance = squares_ / static_cast<double>(ring_.size()) - m * m;
        return known(m) ? std::sqrt(std::max(variance, 0.0)) : unknown;
    }
    /// sum / sqrt(n): of unit variance where the values are independent and of unit variance.
    double scaled_sum() const { return sum() / std::sqrt(static_cast<double>(ring_.size())); }
    const Ring& ring() const { return ring_; }

  private:
    Ring ring_;
    double sum_ = 0.0, squares_ = 0.0;
};

/// Exponentially weighted mean with the weight of what has been seen: sum_ / weight_ has no start-up bias.
class Ewma {
  public:
    explicit Ewma(double halflife = 1.0) : keep_(exp2_fast(-1.0 / halflife)) {}
    void push(double x) {
        sum_ = keep_ * sum_ + (1.0 - keep_) * x;
        weight_ = keep_ * weight_ + (1.0 - keep_);
    }
    bool started() const { return weight_ > 0.0; }
    double value() const { return weight_ > 0.0 ? sum_ / weight_ : unknown; }
    /// Weight in units of observations: about how many count.
    double count() const { return weight_ / (1.0 - keep_); }
    double total() const { return sum_ / (1.0 - keep_); }

  private:
    double keep_, sum_ = 0.0, weight_ = 0.0;
};

}  // namespace workbench
