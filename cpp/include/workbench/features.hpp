#pragma once
// The feature engine of five-minute bars. One update per bar; a batch is the same update in a loop, so that batch and
// streaming agree bit for bit.
//
//   FeatureCore core(signs, groups, has_quotes, parameters);
//   for each session:  core.begin_session(bars_in_session);
//                      for each bar: core.advance(bar_of_session, bars (N,), quotes (N,), values (N, F), level (N,));
//                      core.end_session();
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "workbench/features_catalogue.hpp"
#include "workbench/features_cross.hpp"
#include "workbench/features_seasonal.hpp"
#include "workbench/features_symbol.hpp"

namespace workbench {

/// The market factor: mean of the symbols' scaled returns, each with the sign of its leverage.
class MarketFactor {
  public:
    /// scaled (N,), NaN where a symbol has none.
    void observe(std::span<const double> scaled);
    void begin_session();
    /// Sums over 1, 3 and 12 bars, over their expected deviation; breadth in [-0.5, 0.5]; log dispersion.
    CrossRow row() const;
    double value() const { return value_; }

  private:
    double value_ = unknown, breadth_ = unknown, dispersion_ = unknown;
    Window sum3_{3}, sum12_{12};
    Ewma square_{390};
    std::vector<double> scratch_, values_;
};

class FeatureCore {
  public:
    /// signs (N,): sign of each symbol's leverage; groups (N,): sector number, -1 for none.
    FeatureCore(std::vector<double> signs, std::vector<int> groups, bool has_quotes, const FeatureParameters& parameters);

    std::size_t symbols() const { return symbols_.size(); }
    std::size_t features() const { return has_quotes_ ? Feature::count : Feature::bar_count; }
    std::size_t bars_in_session() const { return in_session_ ? scale_.bars : 0; }  ///< 0 between sessions

    /// Sets the session's scale from past sessions. 1 <= bars_in_session <= 78.
    void begin_session(std::size_t bars_in_session);
    /// One bar. `values`: row i of the features starts at values[i * stride]; all NaN for a symbol whose bar is missing
    /// or that is still warming up. `level` (N,): variance of a five-minute return with profile 1, after this bar.
    void advance(std::size_t bar, std::span<const BarRow> bars, std::span<const QuoteRow> quotes, double* values,
                 std::size_t stride, double* level);
    /// Learns profiles, overnight ratios and volumes from the session; nothing of it is used before.
    void end_session();

    // What the session started with.
    const Profile& profile() const { return profile_; }
    const std::vector<double>& overnight_variance() const { return overnight_; }  ///< (N,)
    const std::vector<double>& daily_volume() const { return volume_; }          ///< (N,) shares of a full session
    /// (13, N) deseasonalised returns by half hour of the session that has ended, NaN where too little of it was seen.
    const std::vector<double>& half_hour_returns() const { return half_hours_; }

  private:
    void cross(double* values, std::size_t stride);
    void residuals();
    void write_ranks(double* values, std::size_t stride);
    void keep_half_hours();

    std::vector<double> signs_;
    bool has_quotes_, in_session_ = false;
    Profile profile_;
    SessionScale scale_;
    std::vector<Level> levels_;
    std::vector<SessionRecord> records_;
    std::vector<SymbolFeatures> symbols_;
    MarketFactor market_;
    Groups groups_;
    Ranker ranker_;
    std::vector<double> overnight_, volume_, half_hours_, scratch_;
    std::vector<double> scaled_, resid_, signed_resid_, group_mean_;  // (N,) at this bar
    std::vector<char> there_;
};

}  // namespace workbench
