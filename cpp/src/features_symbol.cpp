// What one symbol learns from a bar. What it then writes: features_write.cpp.
#include "workbench/features_symbol.hpp"

#include <algorithm>
#include <cmath>

namespace workbench {
namespace {

constexpr double z_cap = 10.0;             // a scaled return enters the averages as 10 at most
constexpr double beta_prior_bars = 39.0;   // weight of beta = sign of the leverage

}  // namespace

void SessionScale::set(const Profile& profile, std::size_t bars_in_session) {
    bars = bars_in_session;
    variance_before[0] = share_before[0] = 0.0;
    for (std::size_t b = 0; b < bars; ++b) {
        slot[b] = slot_of(b, bars);
        variance[b] = profile.variance()[slot[b]];
        share[b] = profile.volume()[slot[b]];
        variance_before[b + 1] = variance_before[b] + variance[b];
        share_before[b + 1] = share_before[b] + share[b];
    }
}

SymbolFeatures::SymbolFeatures(const FeatureParameters& p, double sign)
    : sign_(sign), seasonal_keep_(exp2_fast(-1.0 / p.profile_halflife_sessions)) {}

void SymbolFeatures::begin_session(double overnight_ratio) {
    in_session_ = false;
    overnight_ratio_ = overnight_ratio;
    previous_z_ = first30_ = unknown;
    mass_ = day_volume_ = day_expected_ = day_value_ = 0.0;
    if (prices_.size() > 0) {
        const double by = price_ - reference_;
        reference_ = price_;
        prices_.shift(by);
        masses_.shift(masses_[0]);
        for (Window* w : {&ma12_, &ma24_, &ma39_, &ma78_}) w->shift(by);
    }
    for (Window* w : {&z12_, &abs12_, &z39_, &abs39_, &parkinson_, &garman_klass_, &volume6_, &expected6_, &signed6_,
                      &signed24_, &volume24_, &log_volume_, &resid3_, &resid12_, &sector3_, &sector12_, &ofi6_, &queue6_})
        w->resum();
}

void SymbolFeatures::observe(const BarRow& row, std::size_t bar, const SessionScale& scale, Level& level,
                             SessionRecord& record) {
    const std::size_t before = at_;
    scale_ = &scale;
    at_ = bar;
    bar_ = row;
    variance_ = level.started() ? level.variance() : unknown;
    slow_variance_ = level.slow_variance();
    quote_there_ = false;
    if (in_session_) {
        step_mass_ = scale.variance_before[bar + 1] - scale.variance_before[before + 1];
        gap_mass_ = 0.0;
    } else {
        open_session(row, level);
        step_mass_ = scale.variance[bar];
    }
    const bool single = !in_session_ || bar == before + 1;
    in_session_ = true;
    if (single) record.square[scale.slot[bar]] = 0.0;
    take_price(row, scale, level, record);
    take_range(row);
    take_volume(row, level, record);
}

// The first bar of the session that is there: its own return starts at its open, and the gap comes before.
void SymbolFeatures::open_session(const BarRow& row, Level& level) {
    open_price_ = natural_log(row.open);
    close_before_ = price_;
    gap_ = open_price_ - price_;
    gap_mass_ = known(gap_) ? overnight_ratio_ * static_cast<double>(slots) : 0.0;
    if (known(gap_)) level.take_gap(gap_);
    price_ = open_price_;
    day_high_ = row.high;
    day_low_ = row.low;
}

void SymbolFeatures::take_price(const BarRow& row, const SessionScale& scale, Level& level, SessionRecord& record) {
    const double price = natural_log(row.close), r = price - price_;
    price_ = price;
    mass_ += step_mass_;
    level.take_return(r, step_mass_);
    ++record.observed;
    if (double& square = record.square[scale.slot[at_]]; known(square)) square = r * r;
    record.sum[at_ / 6] += r;
    record.mass[at_ / 6] += step_mass_;

    z_ = clip(scaled(r, step_mass_), z_cap);
    prices_.push(price - reference_);
    masses_.push((masses_.size() > 0 ? masses_[0] : 0.0) + step_mass_ + gap_mass_);
    for (Window* w : {&ma12_, &ma24_, &ma39_, &ma78_}) w->push(price - reference_);
    ema6_.push(price);
    ema24_.push(price);
    if (!known(z_)) return;
    for (Window* w : {&z12_, &z39_}) w->push(z_);
    for (Window* w : {&abs12_, &abs39_}) w->push(std::fabs(z_));
    fast_.push(z_ * z_);
    slow_.push(z_ * z_);
    if (known(previous_z_)) autocov_.push(z_ * previous_z_);
    previous_z_ = z_;
}

void SymbolFeatures::take_range(const BarRow& row) {
    day_high_ = std::max(day_high_, row.high);
    day_low_ = std::min(day_low_, row.low);
    location_ = share_of(2.0 * row.close - row.high - row.low, row.high - row.low);
    if (!known(first30_) || at_ < 6) {
        const bool from_before = known(close_before_);
        const double gap_mass = from_before ? overnight_ratio_ * static_cast<double>(slots) : 0.0;
        first30_ = scaled(price_ - (from_before ? close_before_ : open_price_), mass_ + gap_mass);
    }
    const double expected = variance_ * scale_->variance[at_];
    if (!(expected > 0.0)) return;
    const double range = natural_log(row.high / row.low), body = natural_log(row.close / row.open);
    parkinson_.push(range * range / (4.0 * detail::ln2) / expected);
    garman_klass_.push((0.5 * range * range - (2.0 * detail::ln2 - 1.0) * body * body) / expected);
}

void SymbolFeatures::take_volume(const BarRow& row, const Level& level, SessionRecord& record) {
    volume_ratio_ = unknown;
    if (!(row.volume >= 0.0)) return;
    const double share = scale_->share[at_], expected = level.daily_volume() * share;
    record.volume[scale_->slot[at_]] = row.volume;
    record.volume_total += row.volume;
    record.volume_share += share;
    day_volume_ += row.volume;
    day_value_ += row.volume * (row.high + row.low + row.close) / 3.0;
    signed6_.push(location_ * row.volume);
    signed24_.push(location_ * row.volume);
    volume24_.push(row.volume);
    volume6_.push(row.volume);
    if (!(expected > 0.0)) return;
    day_expected_ += expected;
    expected6_.push(expected);
    volume_ratio_ = row.volume / expected;
    log_volume_.push(log_ratio(volume_ratio_, 1.0, 5.0));
}

void SymbolFeatures::observe_quote(const QuoteRow& quote) {
    quote_there_ = quote.standing();
    if (!quote_there_) {
        mid_ = unknown;
        return;
    }
    quote_ = quote;
    const double mid = 0.5 * (quote.bid + quote.ask), depth = quote.bid_size + quote.ask_size;
    mid_move_ = natural_log(mid) - mid_;
    mid_ = natural_log(mid);
    spread_mean_.push((quote.ask - quote.bid) / mid);
    depth_mean_.push(depth);
    queue6_.push((quote.bid_size - quote.ask_size) / depth);
    if (!known(quote.ofi)) return;
    ofi_square_.push(quote.ofi * quote.ofi);
    ofi6_.push(quote.ofi);
}

double SymbolFeatures::beta() const {
    const double prior = beta_prior_bars * market_square_.value(), total = market_square_.total() + prior;
    return total > 0.0 ? (with_market_.total() + prior * sign_) / total : sign_;
}

void SymbolFeatures::take_cross(const CrossRow& cross) {
    if (known(cross.market) && known(z_)) {
        with_market_.push(z_ * cross.market);
        market_square_.push(cross.market * cross.market);
    }
    resid1_ = cross.resid;
    sector1_ = cross.sector_resid;
    if (!known(cross.resid)) return;
    resid3_.push(cross.resid);
    resid12_.push(cross.resid);
    sector3_.push(cross.sector_resid);
    sector12_.push(cross.sector_resid);
    double &sum = seasonal_sum_[scale_->slot[at_]], &square = seasonal_square_[scale_->slot[at_]];
    sum = seasonal_keep_ * sum + cross.resid;
    square = seasonal_keep_ * seasonal_keep_ * square + 1.0;
}

double SymbolFeatures::seasonal(std::size_t slot) const {
    const double square = seasonal_square_[slot % slots];
    return square > 0.0 ? seasonal_sum_[slot % slots] / std::sqrt(square) : 0.0;
}

}  // namespace workbench
