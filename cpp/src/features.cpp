#include "workbench/features.hpp"

#include <algorithm>
#include <cmath>

namespace workbench {

void MarketFactor::observe(std::span<const double> scaled) {
    value_ = sorted_mean(scaled, scratch_);
    if (!known(value_)) {
        breadth_ = dispersion_ = unknown;
        return;
    }
    double up = 0.0, there = 0.0;
    values_.clear();
    for (const double z : scaled) {
        if (!known(z)) continue;
        up += z > 0.0 ? 1.0 : z == 0.0 ? 0.5 : 0.0;
        there += 1.0;
        values_.push_back((z - value_) * (z - value_));
    }
    breadth_ = up / there - 0.5;
    dispersion_ = log_ratio(sorted_mean(values_, scratch_), 0.5, 1.5);
    square_.push(value_ * value_);
    sum3_.push(value_);
    sum12_.push(value_);
}

void MarketFactor::begin_session() {
    sum3_.resum();
    sum12_.resum();
}

CrossRow MarketFactor::row() const {
    const double rms = std::sqrt(square_.value());
    CrossRow row{};
    row.market = value_;
    row.market_1 = share_of(value_, rms);
    row.market_3 = share_of(sum3_.scaled_sum(), rms);
    row.market_12 = share_of(sum12_.scaled_sum(), rms);
    row.breadth = breadth_;
    row.dispersion = dispersion_;
    return row;
}

FeatureCore::FeatureCore(std::vector<double> signs, std::vector<int> groups, bool has_quotes,
                         const FeatureParameters& parameters)
    : signs_(std::move(signs)),
      has_quotes_(has_quotes),
      profile_(parameters),
      levels_(signs_.size(), Level(parameters)),
      records_(signs_.size()),
      groups_(std::move(groups)),
      overnight_(signs_.size(), unknown),
      volume_(signs_.size(), unknown),
      half_hours_(half_hours * signs_.size(), unknown),
      scaled_(signs_.size()),
      resid_(signs_.size()),
      signed_resid_(signs_.size()),
      group_mean_(signs_.size()),
      there_(signs_.size()) {
    for (const double sign : signs_) symbols_.emplace_back(parameters, sign);
}

void FeatureCore::begin_session(std::size_t bars_in_session) {
    const double pooled = pooled_overnight_ratio(levels_, scratch_);
    scale_.set(profile_, bars_in_session);
    market_.begin_session();
    for (std::size_t i = 0; i < symbols(); ++i) {
        levels_[i].begin_session();
        records_[i].clear();
        const double ratio = levels_[i].overnight_ratio(pooled);
        symbols_[i].begin_session(ratio);
        overnight_[i] = ratio * static_cast<double>(slots) * levels_[i].reported();
        volume_[i] = levels_[i].daily_volume();
    }
    in_session_ = true;
}

void FeatureCore::advance(std::size_t bar, std::span<const BarRow> bars, std::span<const QuoteRow> quotes,
                          double* values, std::size_t stride, double* level) {
    for (std::size_t i = 0; i < symbols(); ++i) {
        there_[i] = bars[i].observed();
        if (there_[i]) symbols_[i].observe(bars[i], bar, scale_, levels_[i], records_[i]);
        if (there_[i] && has_quotes_) symbols_[i].observe_quote(quotes[i]);
        scaled_[i] = there_[i] ? signs_[i] * symbols_[i].z() : unknown;
        level[i] = levels_[i].reported();
    }
    market_.observe(scaled_);
    residuals();
    cross(values, stride);
    write_ranks(values, stride);
}

// resid = z - beta * market; signed_resid the same with the sign of the leverage, of which groups take means.
void FeatureCore::residuals() {
    for (std::size_t i = 0; i < symbols(); ++i) {
        resid_[i] = there_[i] ? symbols_[i].z() - symbols_[i].beta() * market_.value() : unknown;
        signed_resid_[i] = signs_[i] * resid_[i];
    }
    groups_.means(signed_resid_, group_mean_);
}

void FeatureCore::cross(double* values, std::size_t stride) {
    CrossRow row = market_.row();
    for (std::size_t i = 0; i < symbols(); ++i) {
        double* out = values + i * stride;
        if (there_[i]) {
            row.resid = resid_[i];
            row.sector_resid = resid_[i] - signs_[i] * group_mean_[i];
            row.beta = symbols_[i].beta();
            symbols_[i].finish(row, has_quotes_, out);
        }
        if (!there_[i] || !known(levels_[i].reported())) std::fill(out, out + features(), unknown);
    }
}

void FeatureCore::write_ranks(double* values, std::size_t stride) {
    const auto rank = [&](std::size_t of, std::size_t to) { ranker_.rank(values + of, values + to, symbols(), stride); };
    rank(Feature::ret_1, Feature::rank_ret_1);
    rank(Feature::ret_12, Feature::rank_ret_12);
    rank(Feature::volume_ratio, Feature::rank_volume);
    rank(Feature::resid_3, Feature::rank_resid_3);
    rank(Feature::resid_12, Feature::rank_resid_12);
    if (has_quotes_) rank(Feature::ofi_1, Feature::rank_ofi);
}

void FeatureCore::end_session() {
    if (!in_session_) return;
    in_session_ = false;
    keep_half_hours();
    if (scale_.bars == slots) profile_.end_session(levels_, records_);
    for (std::size_t i = 0; i < symbols(); ++i) levels_[i].end_session(records_[i], scale_.bars);
}

void FeatureCore::keep_half_hours() {
    for (std::size_t k = 0; k < half_hours; ++k) {
        const double whole = scale_.variance_before[std::min(6 * k + 6, scale_.bars)] -
                             scale_.variance_before[std::min(6 * k, scale_.bars)];
        for (std::size_t i = 0; i < symbols(); ++i) {
            const SessionRecord& r = records_[i];
            const double variance = levels_[i].start_variance() * r.mass[k];
            const bool enough = whole > 0.0 && r.mass[k] >= 0.6 * whole && variance > 0.0;
            half_hours_[k * symbols() + i] = enough ? r.sum[k] / std::sqrt(variance) : unknown;
        }
    }
}

}  // namespace workbench
