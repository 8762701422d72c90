#include "workbench/features_daily.hpp"

#include <algorithm>
#include <cmath>

namespace workbench {
namespace {

constexpr double z_cap = 10.0, beta_prior_days = 20.0;
constexpr std::size_t least_sessions = 10;
constexpr std::size_t least_long = 60;                        // a long window counts what there is, from here on
constexpr double overnight_share = 0.3, intraday_share = 0.7;  // of a day's variance (MARKET_FACTS)

// Sum of the last n; NaN if there are fewer.
double sum_of(const Ring& ring, std::size_t n) {
    double sum = ring.size() < n ? unknown : 0.0;
    for (std::size_t k = n; k-- > 0;) sum += ring[k];
    return sum;
}

double scaled_sum(const Ring& ring, std::size_t n) { return sum_of(ring, n) / std::sqrt(static_cast<double>(n)); }

// Values available for a window of n steps: n, or what there is from 60 on; 0 for too few.
std::size_t available(std::size_t have, std::size_t n) {
    if (have >= n) return n;
    return n > least_long && have >= least_long ? have : 0;
}

}  // namespace

double DailySymbol::sigma() const { return prices_.size() > least_sessions ? std::sqrt(variance_.value()) : unknown; }

double DailySymbol::beta() const {
    const double prior = beta_prior_days * market_square_.value(), total = market_square_.total() + prior;
    return total > 0.0 ? (with_market_.total() + prior * sign_) / total : sign_;
}

void DailySymbol::observe(const BarRow& row) {
    const double price = natural_log(row.close), open = natural_log(row.open), before = prices_[0], sigma_before = sigma();
    const double range = natural_log(row.high / row.low);
    location_ = share_of(2.0 * row.close - row.high - row.low, row.high - row.low);
    prices_.push(price);
    highs_.push(row.high);
    lows_.push(row.low);
    ranges_.push(range * range / (4.0 * detail::ln2));
    intraday_.push(price - open);
    if (row.volume >= 0.0) volumes_.push(natural_log(std::max(row.volume, 1.0)));
    z_ = unknown;
    if (!known(before)) return;
    const double r = price - before;
    gaps_.push(open - before);
    variance_.push(r * r);
    slow_variance_.push(r * r);
    if (!(sigma_before > 0.0)) return;
    z_ = clip(r / sigma_before, z_cap);
    scaled_.push(z_);
    fast_.push(z_ * z_);
    if (known(previous_z_)) autocov_.push(z_ * previous_z_);
    previous_z_ = z_;
}

void DailySymbol::take_cross(double market, double resid, double sector_resid) {
    if (!known(market) || !known(z_)) return;
    with_market_.push(z_ * market);
    market_square_.push(market * market);
    resid_.push(resid);
    sector_.push(sector_resid);
}

void DailySymbol::write(double market_5, double* out) const {
    write_returns(out);
    write_volatility(out);
    write_trend(out);
    write_volume(out);
    write_cross(market_5, out);
}

void DailySymbol::write_returns(double* out) const {
    const double s = sigma();
    const auto back = [&](std::size_t n) {
        const std::size_t k = available(prices_.size() - 1, n);
        return k > 0 ? clip((prices_[0] - prices_[k]) / (s * std::sqrt(static_cast<double>(k))), 5.0) : unknown;
    };
    out[DailyFeature::d_ret_1] = back(1);
    out[DailyFeature::d_ret_2] = back(2);
    out[DailyFeature::d_ret_5] = back(5);
    out[DailyFeature::d_ret_20] = back(20);
    out[DailyFeature::d_ret_60] = back(60);
    out[DailyFeature::d_ret_120] = back(120);
    out[DailyFeature::d_ret_250] = back(250);
    out[DailyFeature::d_gap_1] = clip(sum_of(gaps_, 1) / (s * std::sqrt(overnight_share)), 5.0);
    out[DailyFeature::d_gap_5] = clip(scaled_sum(gaps_, 5) / (s * std::sqrt(overnight_share)), 5.0);
    out[DailyFeature::d_intraday_5] = clip(scaled_sum(intraday_, 5) / (s * std::sqrt(intraday_share)), 5.0);
}

void DailySymbol::write_volatility(double* out) const {
    const double variance = variance_.value();
    out[DailyFeature::d_vol_fast] = log_ratio(fast_.value(), 0.5, 2.0);
    out[DailyFeature::d_vol_slow] = log_ratio(variance / slow_variance_.value(), 0.5, 1.5);
    out[DailyFeature::d_range] = log_ratio(sum_of(ranges_, 5) / (5.0 * intraday_share * variance), 0.5, 2.0);
    out[DailyFeature::d_autocov] = clip(autocov_.value(), 1.0);
}

void DailySymbol::write_trend(double* out) const {
    const double s = sigma();
    const auto distance = [&](std::size_t window) {
        const std::size_t k = available(prices_.size(), window);
        const double n = static_cast<double>(k);
        return k > 0 ? clip((prices_[0] - sum_of(prices_, k) / n) / (s * std::sqrt(n / 3.0)), 5.0) : unknown;
    };
    double moved = 0.0, high = 0.0, low = highs_.full() ? lows_[0] : unknown;
    for (std::size_t k = 0; k < 14; ++k) moved += std::fabs(scaled_[k]);
    for (std::size_t k = 0; k < highs_.size(); ++k) {
        high = std::max(high, highs_[k]);
        low = std::min(low, lows_[k]);
    }
    out[DailyFeature::d_rsi_14] = clip(share_of(sum_of(scaled_, 14), moved), 1.0);
    out[DailyFeature::d_ma_20] = distance(20);
    out[DailyFeature::d_ma_50] = distance(50);
    out[DailyFeature::d_ma_200] = distance(200);
    const double close = exp2_fast(prices_[0] * detail::inverse_ln2);
    const double position = high > low ? clip((close - low) / (high - low) - 0.5, 0.5) : 0.0;
    out[DailyFeature::d_position_60] = known(low) ? position : unknown;
    out[DailyFeature::d_close_location] = location_;
}

void DailySymbol::write_volume(double* out) const {
    const double n = 60.0, mean = sum_of(volumes_, 60) / n;
    double squares = 0.0;
    for (std::size_t k = 0; k < 60; ++k) squares += (volumes_[k] - mean) * (volumes_[k] - mean);
    const double deviation = std::sqrt(squares / n);
    const auto z = [&](std::size_t k) {
        return clip(share_of(sum_of(volumes_, k) / static_cast<double>(k) - mean, deviation), 4.0);
    };
    out[DailyFeature::d_volume_1] = z(1);
    out[DailyFeature::d_volume_5] = z(5);
    out[DailyFeature::d_volume_20] = z(20);
}

void DailySymbol::write_cross(double market_5, double* out) const {
    out[DailyFeature::d_market_5] = clip(market_5 * sign_, 5.0);
    out[DailyFeature::d_beta] = clip(beta(), 3.0);
    out[DailyFeature::d_resid_1] = clip(sum_of(resid_, 1), 5.0);
    out[DailyFeature::d_resid_5] = clip(scaled_sum(resid_, 5), 5.0);
    out[DailyFeature::d_resid_20] = clip(scaled_sum(resid_, 20), 5.0);
    out[DailyFeature::d_sector_resid_5] = clip(scaled_sum(sector_, 5), 5.0);
    out[DailyFeature::d_sector_resid_20] = clip(scaled_sum(sector_, 20), 5.0);
}

DailyCore::DailyCore(std::vector<double> signs, std::vector<int> groups)
    : signs_(std::move(signs)),
      groups_(std::move(groups)),
      values_(signs_.size() * DailyFeature::count, unknown),
      sigma_(signs_.size(), unknown),
      scaled_(signs_.size()),
      resid_(signs_.size()),
      signed_resid_(signs_.size()),
      group_mean_(signs_.size()) {
    for (const double sign : signs_) symbols_.emplace_back(sign);
}

void DailyCore::update(std::span<const BarRow> bars) {
    for (std::size_t i = 0; i < symbols(); ++i) {
        if (bars[i].observed()) symbols_[i].observe(bars[i]);
        scaled_[i] = bars[i].observed() ? signs_[i] * symbols_[i].z() : unknown;
    }
    const double market = sorted_mean(scaled_, scratch_);
    if (known(market)) {
        market_.push(market);
        market_square_.push(market * market);
    }
    residuals(market);
    const double market_5 = share_of(scaled_sum(market_, 5), std::sqrt(market_square_.value()));
    std::fill(values_.begin(), values_.end(), unknown);
    for (std::size_t i = 0; i < symbols(); ++i) {
        if (!bars[i].observed()) continue;
        symbols_[i].take_cross(market, resid_[i], resid_[i] - signs_[i] * group_mean_[i]);
        symbols_[i].write(market_5, values_.data() + i * DailyFeature::count);
        sigma_[i] = symbols_[i].sigma();
    }
    write_ranks();
}

void DailyCore::residuals(double market) {
    for (std::size_t i = 0; i < symbols(); ++i) {
        resid_[i] = known(scaled_[i]) ? symbols_[i].z() - symbols_[i].beta() * market : unknown;
        signed_resid_[i] = signs_[i] * resid_[i];
    }
    groups_.means(signed_resid_, group_mean_);
}

void DailyCore::write_ranks() {
    const auto rank = [&](std::size_t of, std::size_t to) {
        ranker_.rank(values_.data() + of, values_.data() + to, symbols(), DailyFeature::count);
    };
    rank(DailyFeature::d_ret_5, DailyFeature::d_rank_ret_5);
    rank(DailyFeature::d_ret_20, DailyFeature::d_rank_ret_20);
    rank(DailyFeature::d_ret_120, DailyFeature::d_rank_ret_120);
}

}  // namespace workbench
