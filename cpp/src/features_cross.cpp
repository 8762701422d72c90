#include "workbench/features_cross.hpp"

#include <algorithm>

#include "workbench/features_window.hpp"

namespace workbench {
namespace {

void sort_known(std::span<const double> values, std::vector<double>& sorted) {
    sorted.clear();
    for (const double x : values)
        if (known(x)) sorted.push_back(x);
    std::sort(sorted.begin(), sorted.end());
}

double mean_between(const std::vector<double>& sorted, std::size_t begin, std::size_t end) {
    double sum = 0.0;
    for (std::size_t i = begin; i < end; ++i) sum += sorted[i];
    return end > begin ? sum / static_cast<double>(end - begin) : unknown;
}

}  // namespace

double sorted_mean(std::span<const double> values, std::vector<double>& scratch) {
    sort_known(values, scratch);
    return mean_between(scratch, 0, scratch.size());
}

double trimmed_mean(std::span<const double> values, double trim, std::vector<double>& scratch) {
    sort_known(values, scratch);
    const auto cut = static_cast<std::size_t>(trim * static_cast<double>(scratch.size()));
    return mean_between(scratch, cut, scratch.size() - cut);
}

double capped_mean(std::span<const double> values, double times, std::vector<double>& scratch) {
    sort_known(values, scratch);
    if (scratch.size() >= 5) {
        const double bound = times * scratch[scratch.size() / 2];
        for (double& x : scratch) x = bound > 0.0 ? std::min(x, bound) : x;
    }
    return mean_between(scratch, 0, scratch.size());
}

void Groups::means(std::span<const double> values, std::span<double> means) {
    items_.clear();
    for (std::size_t i = 0; i < values.size(); ++i) {
        means[i] = 0.0;
        if (known(values[i]) && group_of_[i] >= 0) items_.push_back({group_of_[i], values[i], i});
    }
    std::sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) {
        return a.group != b.group ? a.group < b.group : a.value < b.value;
    });
    for (std::size_t begin = 0, end; begin < items_.size(); begin = end) {
        double sum = 0.0;
        for (end = begin; end < items_.size() && items_[end].group == items_[begin].group; ++end)
            sum += items_[end].value;
        if (end - begin < 2) continue;
        for (std::size_t k = begin; k < end; ++k) means[items_[k].at] = sum / static_cast<double>(end - begin);
    }
}

void Ranker::rank(const double* values, double* out, std::size_t count, std::size_t stride) {
    order_.clear();
    for (std::size_t i = 0; i < count; ++i) {
        out[i * stride] = unknown;
        if (known(values[i * stride])) order_.push_back(i);
    }
    std::sort(order_.begin(), order_.end(),
              [&](std::size_t a, std::size_t b) { return values[a * stride] < values[b * stride]; });
    const double last = static_cast<double>(order_.size()) - 1.0;
    for (std::size_t begin = 0, end; begin < order_.size(); begin = end) {
        for (end = begin; end < order_.size() && !(values[order_[begin] * stride] < values[order_[end] * stride]);) ++end;
        const double mean_rank = 0.5 * static_cast<double>(begin + end - 1);
        for (std::size_t k = begin; k < end; ++k) out[order_[k] * stride] = last > 0.0 ? mean_rank / last - 0.5 : 0.0;
    }
}

}  // namespace workbench
