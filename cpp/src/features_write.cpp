// The formulas of a symbol's own features; docs/guides/features.md lists them.
#include <algorithm>
#include <cmath>

#include "workbench/features_symbol.hpp"

namespace workbench {
namespace {

constexpr double macd_deviation = 2.79;   // of ema(half-life 6) - ema(24) of a random walk of unit steps
constexpr double range_deviation = 1.596; // mean range of a Brownian motion of unit variance

}  // namespace

void SymbolFeatures::finish(const CrossRow& cross, bool has_quotes, double* out) {
    take_cross(cross);
    write_returns(out);
    write_volatility(out);
    write_trend(out);
    write_volume(out);
    write_cross(cross, out);
    if (has_quotes) write_quotes(out);
}

void SymbolFeatures::write_returns(double* out) const {
    const auto back = [&](std::size_t k) {
        return clip(scaled(prices_[0] - prices_[k], masses_[0] - masses_[k]), 5.0);
    };
    out[Feature::ret_1] = back(1);
    out[Feature::ret_2] = back(2);
    out[Feature::ret_3] = back(3);
    out[Feature::ret_6] = back(6);
    out[Feature::ret_12] = back(12);
    out[Feature::ret_24] = back(24);
    out[Feature::ret_78] = back(78);
    out[Feature::ret_open] = clip(scaled(price_ - open_price_, mass_), 5.0);
    out[Feature::ret_first30] = clip(first30_, 5.0);
    out[Feature::gap] = clip(scaled(gap_, overnight_ratio_ * static_cast<double>(slots)), 5.0);
}

void SymbolFeatures::write_volatility(double* out) const {
    out[Feature::vol_fast] = log_ratio(fast_.value(), 0.5, 2.0);
    out[Feature::vol_slow] = log_ratio(slow_.value(), 0.5, 2.0);
    out[Feature::vol_level] = log_ratio(variance_ / slow_variance_, 0.5, 1.5);
    out[Feature::vol_parkinson] = log_ratio(parkinson_.mean(), 0.5, 2.0);
    out[Feature::vol_garman_klass] = log_ratio(garman_klass_.mean(), 0.5, 2.0);
}

void SymbolFeatures::write_trend(double* out) const {
    const auto distance = [&](const Window& w, std::size_t n) {
        return clip(scaled(prices_[0] - w.mean(), (masses_[0] - masses_[n - 1]) / 3.0), 5.0);
    };
    out[Feature::rsi_12] = clip(share_of(z12_.sum(), abs12_.sum()), 1.0);
    out[Feature::rsi_39] = clip(share_of(z39_.sum(), abs39_.sum()), 1.0);
    out[Feature::ma_12] = distance(ma12_, 12);
    out[Feature::ma_39] = distance(ma39_, 39);
    out[Feature::ma_78] = distance(ma78_, 78);
    out[Feature::macd] = clip(scaled(ema6_.value() - ema24_.value(), macd_deviation * macd_deviation), 5.0);
    const double deviation = ma24_.deviation();
    out[Feature::bollinger_24] = clip(deviation < 1e-9 ? 0.0 : (prices_[0] - ma24_.mean()) / deviation, 4.0);
    out[Feature::autocov] = clip(autocov_.value(), 1.0);
}

void SymbolFeatures::write_volume(double* out) const {
    const double height = day_high_ - day_low_, log_volume = log_ratio(volume_ratio_, 1.0, 5.0);
    out[Feature::volume_ratio] = clip(log_volume, 3.0);
    out[Feature::volume_ratio_6] = log_ratio(volume6_.sum() / expected6_.sum(), 1.0, 3.0);
    out[Feature::volume_z] = clip(share_of(log_volume - log_volume_.mean(), log_volume_.deviation()), 4.0);
    out[Feature::volume_day] = log_ratio(day_volume_ / day_expected_, 1.0, 2.0);
    out[Feature::signed_volume] = location_ * std::min(3.0, volume_ratio_);
    if (!known(volume_ratio_)) out[Feature::signed_volume] = unknown;
    out[Feature::signed_volume_6] = clip(share_of(signed6_.sum(), volume6_.sum()), 1.0);
    out[Feature::signed_volume_24] = clip(share_of(signed24_.sum(), volume24_.sum()), 1.0);
    const double vwap_price = day_volume_ > 0.0 ? natural_log(day_value_ / day_volume_) : unknown;
    out[Feature::vwap] = clip(scaled(price_ - vwap_price, mass_ / 3.0), 5.0);
    out[Feature::day_position] = height > 0.0 ? clip((bar_.close - day_low_) / height - 0.5, 0.5) : 0.0;
    out[Feature::day_range] = log_ratio(scaled(natural_log(day_high_ / day_low_), mass_) / range_deviation, 1.0, 2.0);
    out[Feature::body] = clip(share_of(bar_.close - bar_.open, bar_.high - bar_.low), 1.0);
}

void SymbolFeatures::write_cross(const CrossRow& cross, double* out) const {
    out[Feature::market_1] = clip(cross.market_1 * sign_, 5.0);
    out[Feature::market_3] = clip(cross.market_3 * sign_, 5.0);
    out[Feature::market_12] = clip(cross.market_12 * sign_, 5.0);
    out[Feature::resid_1] = clip(resid1_, 5.0);
    out[Feature::resid_3] = clip(resid3_.scaled_sum(), 5.0);
    out[Feature::resid_12] = clip(resid12_.scaled_sum(), 5.0);
    out[Feature::sector_resid_1] = clip(sector1_, 5.0);
    out[Feature::sector_resid_3] = clip(sector3_.scaled_sum(), 5.0);
    out[Feature::sector_resid_12] = clip(sector12_.scaled_sum(), 5.0);
    out[Feature::beta] = clip(cross.beta, 3.0);
    out[Feature::breadth] = cross.breadth * sign_;
    out[Feature::dispersion] = cross.dispersion;
    out[Feature::time_open] = static_cast<double>(at_ + 1) / static_cast<double>(slots);
    out[Feature::time_close] = static_cast<double>(scale_->bars - 1 - at_) / static_cast<double>(slots);
    double ahead = 0.0;
    for (std::size_t j = 1; j <= 6; ++j) ahead += seasonal(scale_->slot[at_] + j);
    out[Feature::seasonal_1] = clip(seasonal(scale_->slot[at_] + 1), 4.0);
    out[Feature::seasonal_6] = clip(ahead / std::sqrt(6.0), 4.0);
}

void SymbolFeatures::write_quotes(double* out) const {
    if (!quote_there_) {
        std::fill(out + Feature::bar_count, out + Feature::count, unknown);
        return;
    }
    const double mid = 0.5 * (quote_.bid + quote_.ask), spread = (quote_.ask - quote_.bid) / mid;
    const double depth = quote_.bid_size + quote_.ask_size, imbalance = (quote_.bid_size - quote_.ask_size) / depth;
    const double rms = std::sqrt(ofi_square_.value()), bar_mass = scale_->variance[at_];
    out[Feature::ofi_1] = clip(share_of(quote_.ofi, rms), 5.0);
    out[Feature::ofi_6] = clip(share_of(ofi6_.scaled_sum(), rms), 5.0);
    out[Feature::rank_ofi] = unknown;
    out[Feature::queue_imbalance] = imbalance;
    out[Feature::queue_imbalance_6] = queue6_.mean();
    out[Feature::microprice] = clip(scaled(0.5 * spread * imbalance, bar_mass), 3.0);
    out[Feature::mid_ret_1] = clip(scaled(mid_move_, step_mass_ + gap_mass_), 5.0);
    out[Feature::close_mid] = clip(scaled(price_ - mid_, bar_mass), 3.0);
    out[Feature::quoted_spread] = log_ratio(scaled(spread, bar_mass), 1.0, 4.0);
    out[Feature::spread_ratio] = log_ratio(spread / spread_mean_.value(), 1.0, 2.0);
    out[Feature::depth_ratio] = log_ratio(depth / depth_mean_.value(), 1.0, 3.0);
}

}  // namespace workbench
