#include "workbench/features_seasonal.hpp"

#include <algorithm>
#include <cmath>

#include "workbench/features_cross.hpp"

namespace workbench {
namespace {

constexpr double return_cap = 100.0;   // a squared return counts at most as 10 sigma
constexpr double volume_cap = 6.0;     // a day's volume at most as 6 usual days
constexpr double slot_cap = 25.0;      // a symbol's squared return at most as 25 medians of its slot
constexpr double session_cap = 4.0;    // a session counts at most as 4 usual ones
constexpr double shock_cap = 20.0;     // a slot of one session at most as 20 of its usual ones, once five are known
constexpr double prior_ratio = 0.43;   // overnight variance over the session's: share .30 (MARKET_FACTS)
constexpr double prior_sessions = 5.0, own_sessions = 10.0;
constexpr double least_profile = 0.02, least_share = 1e-4;

double per_bar(double sessions) { return sessions * static_cast<double>(slots); }

// Mean of the squares that are there; NaN for none.
double mean_square(const SessionRecord& record) {
    double sum = 0.0, count = 0.0;
    for (const double x : record.square)
        if (known(x)) sum += x, count += 1.0;
    return count > 0.0 ? sum / count : unknown;
}

void scale_to_sum(std::array<double, slots>& values, double target) {
    double sum = 0.0;
    for (const double x : values) sum += x;
    for (double& x : values) x *= target / sum;
}

// Weights 1/4, 1/2, 1/4 inside the day; the first three and the last two slots are too different from their neighbours.
void smooth(std::array<double, slots>& values) {
    const auto raw = values;
    for (std::size_t b = 3; b + 2 < slots; ++b) values[b] = 0.25 * raw[b - 1] + 0.5 * raw[b] + 0.25 * raw[b + 1];
}

}  // namespace

void SessionRecord::clear() {
    square.fill(unknown);
    volume.fill(unknown);
    sum.fill(0.0);
    mass.fill(0.0);
    volume_share = volume_total = 0.0;
    observed = 0;
}

Level::Level(const FeatureParameters& p)
    : variance_(per_bar(p.sigma_halflife_sessions)),
      slow_(per_bar(4.0 * p.sigma_halflife_sessions)),
      overnight_(p.profile_halflife_sessions),
      daily_volume_(p.sigma_halflife_sessions),
      warmup_(p.warmup_sessions) {}

double Level::overnight_ratio(double pooled) const {
    return (overnight_.total() + own_sessions * pooled) / (overnight_.count() + own_sessions);
}

double pooled_overnight_ratio(const std::vector<Level>& levels, std::vector<double>& scratch) {
    std::vector<double> totals, counts;
    for (const Level& level : levels) {
        totals.push_back(level.overnight().total());
        counts.push_back(level.overnight().count());
    }
    const double n = static_cast<double>(levels.size());
    return (n * sorted_mean(totals, scratch) + prior_ratio * prior_sessions) /
           (n * sorted_mean(counts, scratch) + prior_sessions);
}

void Level::take_return(double r, double mass) {
    double x = r * r / mass;
    if (started() && variance() > 0.0) x = std::min(x, return_cap * variance());
    variance_.push(x);
    slow_.push(x);
}

void Level::take_gap(double gap) {
    if (started() && start_variance_ > 0.0)
        overnight_.push(std::min(gap * gap / (static_cast<double>(slots) * start_variance_), return_cap));
}

void Level::end_session(const SessionRecord& record, std::size_t bars) {
    if (2 * record.observed < bars) return;
    ++sessions_;
    if (!(record.volume_share >= 0.5 * static_cast<double>(bars) / static_cast<double>(slots))) return;
    const double volume = record.volume_total / record.volume_share;
    daily_volume_.push(daily_volume_.value() > 0.0 ? std::min(volume, volume_cap * daily_volume_.value()) : volume);
}

Profile::Profile(const FeatureParameters& p) {
    variance_mean_.fill(Ewma(p.profile_halflife_sessions));
    volume_mean_.fill(Ewma(p.profile_halflife_sessions));
    variance_.fill(1.0);
    volume_.fill(1.0 / static_cast<double>(slots));
}

void Profile::end_session(const std::vector<Level>& levels, const std::vector<SessionRecord>& records) {
    learn_variance(levels, records);
    learn_volume(records);
    const auto seen = [](const SessionRecord& r) { return r.observed > 0; };
    if (std::any_of(records.begin(), records.end(), seen)) ++sessions_;
}

void Profile::learn_variance(const std::vector<Level>& levels, const std::vector<SessionRecord>& records) {
    std::array<double, slots> mean;
    double total = 0.0, there = 0.0;
    for (std::size_t b = 0; b < slots; ++b) {
        values_.clear();
        for (std::size_t i = 0; i < levels.size(); ++i) {
            const double start = levels[i].start_variance(), scale = start > 0.0 ? start : mean_square(records[i]);
            values_.push_back(scale > 0.0 ? records[i].square[b] / scale : unknown);
        }
        mean[b] = capped_mean(values_, slot_cap, scratch_);
        if (sessions_ >= 5 && known(mean[b])) mean[b] = std::min(mean[b], shock_cap * variance_[b]);
        if (known(mean[b])) total += mean[b], there += 1.0;
    }
    const double usual = started() ? std::min(1.0, session_cap * there / total) : 1.0;
    for (std::size_t b = 0; b < slots; ++b)
        if (known(mean[b])) variance_mean_[b].push(mean[b] * usual);
    for (std::size_t b = 0; b < slots; ++b)
        variance_[b] = variance_mean_[b].started() ? std::max(variance_mean_[b].value(), least_profile) : 1.0;
    smooth(variance_);
    scale_to_sum(variance_, static_cast<double>(slots));
}

void Profile::learn_volume(const std::vector<SessionRecord>& records) {
    for (std::size_t b = 0; b < slots; ++b) {
        values_.clear();
        for (const SessionRecord& r : records)
            values_.push_back(r.volume_total > 0.0 && 20 * r.observed >= 19 * slots ? r.volume[b] / r.volume_total : unknown);
        const double share = trimmed_mean(values_, 0.25, scratch_);
        if (known(share)) volume_mean_[b].push(share);
    }
    for (std::size_t b = 0; b < slots; ++b)
        if (volume_mean_[b].started()) volume_[b] = std::max(volume_mean_[b].value(), least_share);
    scale_to_sum(volume_, 1.0);
}

}  // namespace workbench
