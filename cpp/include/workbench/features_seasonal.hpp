#pragma once
// What a time of day is like: the profile of variance and of volume over the 78 slots of a full session, learned at each
// session's end; and what each symbol's own level is.
#include <array>
#include <cstddef>
#include <vector>

#include "workbench/features_window.hpp"

namespace workbench {

inline constexpr std::size_t slots = 78;             ///< five-minute bars of a full session
inline constexpr std::size_t slots_from_close = 12;  ///< the last hour of a short session is like that of a full one
inline constexpr std::size_t half_hours = slots / 6;

/// The slot of a full session that bar `bar` of a session of `bars` <= 78 bars is like.
inline std::size_t slot_of(std::size_t bar, std::size_t bars) {
    return bar + slots_from_close < bars ? bar : slots - (bars - bar);
}

struct FeatureParameters {
    double sigma_halflife_sessions = 7.0, profile_halflife_sessions = 20.0;
    std::size_t warmup_sessions = 5;
};

/// What one symbol did in the session so far; NaN where a bar is missing. Indexed by slot.
struct SessionRecord {
    std::array<double, slots> square;  ///< r^2 of bars whose predecessor is there
    std::array<double, slots> volume;
    std::array<double, half_hours> sum, mass;  ///< of returns and of profile variance, by half hour from the open
    double volume_share = 0.0, volume_total = 0.0;
    std::size_t observed = 0;
    SessionRecord() { clear(); }
    void clear();
};

/// One symbol's level of variance (deseasonalised, of one five-minute return), overnight ratio and daily volume.
class Level {
  public:
    explicit Level(const FeatureParameters& p);

    /// Variance of a five-minute return with profile 1, as known now; NaN before the first return.
    double variance() const { return variance_.value(); }
    /// `variance()` once `warmup_sessions` sessions have been seen, else NaN.
    double reported() const { return sessions_ >= warmup_ ? variance_.value() : unknown; }
    /// Slow mean of the same: four times its half-life.
    double slow_variance() const { return slow_.value(); }
    /// Whether at least one whole session has been seen.
    bool started() const { return sessions_ > 0; }
    double daily_volume() const { return daily_volume_.value(); }
    /// Variance at the session's start; NaN in the first session.
    double start_variance() const { return start_variance_; }
    const Ewma& overnight() const { return overnight_; }
    /// Overnight variance in units of `slots` x variance, shrunk to `pooled`.
    double overnight_ratio(double pooled) const;

    void take_return(double r, double mass);
    void take_gap(double gap);
    void begin_session() { start_variance_ = started() ? variance() : unknown; }
    void end_session(const SessionRecord& record, std::size_t bars);

  private:
    Ewma variance_, slow_, overnight_, daily_volume_;
    double start_variance_ = unknown;
    std::size_t sessions_ = 0, warmup_;
};

/// Overnight variance over that of the session, all symbols together; starts from .43 with the weight of five sessions.
double pooled_overnight_ratio(const std::vector<Level>& levels, std::vector<double>& scratch);

/// The two profiles, common to all symbols: variance with mean 1, volume with sum 1.
class Profile {
  public:
    explicit Profile(const FeatureParameters& p);
    const std::array<double, slots>& variance() const { return variance_; }
    const std::array<double, slots>& volume() const { return volume_; }
    bool started() const { return sessions_ > 0; }
    /// Learns from a full session; `levels` and `records` (N,).
    void end_session(const std::vector<Level>& levels, const std::vector<SessionRecord>& records);

  private:
    void learn_variance(const std::vector<Level>& levels, const std::vector<SessionRecord>& records);
    void learn_volume(const std::vector<SessionRecord>& records);

    std::array<Ewma, slots> variance_mean_, volume_mean_;
    std::array<double, slots> variance_, volume_;
    std::vector<double> values_, scratch_;
    std::size_t sessions_ = 0;
};

}  // namespace workbench
