#pragma once
// The cross-section at one bar. Sums run over sorted values: permuting the symbols permutes the results, bit for bit.
#include <cstddef>
#include <span>
#include <vector>

namespace workbench {

/// Mean over the values that are not NaN; NaN if there is none. `scratch` is overwritten.
double sorted_mean(std::span<const double> values, std::vector<double>& scratch);

/// Mean after the smallest and largest floor(trim * n) values are left out.
double trimmed_mean(std::span<const double> values, double trim, std::vector<double>& scratch);

/// Mean after values above `times` x median are set to that bound (left alone for fewer than five values).
double capped_mean(std::span<const double> values, double times, std::vector<double>& scratch);

/// Groups of symbols by sector; a group that is -1 belongs to nobody.
class Groups {
  public:
    explicit Groups(std::vector<int> group_of) : group_of_(std::move(group_of)) {}
    /// means (N,): the mean over the group of each symbol, of the values that are there; 0 for a group with fewer than
    /// two, or none.
    void means(std::span<const double> values, std::span<double> means);

  private:
    struct Item {
        int group;
        double value;
        std::size_t at;
    };
    std::vector<int> group_of_;
    std::vector<Item> items_;
};

/// Ranks of a column of a row-major table: out[i * stride] in [-0.5, 0.5] by values[i * stride], ties share their mean
/// rank; NaN stays NaN; a single value has rank 0.
class Ranker {
  public:
    void rank(const double* values, double* out, std::size_t count, std::size_t stride);

  private:
    std::vector<std::size_t> order_;
};

}  // namespace workbench
