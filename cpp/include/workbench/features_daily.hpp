#pragma once
// Features of daily bars: what is known after a session's close about the sessions to come. One update per session;
// sums are taken over the rings anew each time, for a day is long.
#include <cstddef>
#include <span>
#include <vector>

#include "workbench/features_catalogue.hpp"
#include "workbench/features_cross.hpp"
#include "workbench/features_symbol.hpp"
#include "workbench/features_window.hpp"

namespace workbench {

class DailySymbol {
  public:
    explicit DailySymbol(double sign) : sign_(sign) {}
    void observe(const BarRow& row);
    void take_cross(double market, double resid, double sector_resid);
    void write(double market_5, double* out) const;
    double z() const { return z_; }
    double beta() const;
    /// Deviation of a close-to-close return; NaN before ten of them.
    double sigma() const;

  private:
    void write_returns(double* out) const;
    void write_volatility(double* out) const;
    void write_trend(double* out) const;
    void write_volume(double* out) const;
    void write_cross(double market_5, double* out) const;

    double sign_, z_ = unknown, previous_z_ = unknown, location_ = 0.0;
    Ring prices_{251}, highs_{60}, lows_{60}, gaps_{5}, intraday_{5}, ranges_{5}, scaled_{14}, volumes_{60};
    Ring resid_{20}, sector_{20};
    Ewma variance_{20}, slow_variance_{120}, fast_{3}, autocov_{20}, with_market_{120}, market_square_{120};
};

class DailyCore {
  public:
    /// signs (N,): sign of each symbol's leverage; groups (N,): sector number, -1 for none.
    DailyCore(std::vector<double> signs, std::vector<int> groups);

    std::size_t symbols() const { return signs_.size(); }
    /// One session, closed; bars (N,). A symbol whose bar is missing keeps its state, and its features are NaN.
    void update(std::span<const BarRow> bars);
    /// (N, DailyFeature::count) and (N,), as of the last update; NaN before the first.
    const std::vector<double>& values() const { return values_; }
    const std::vector<double>& sigma() const { return sigma_; }

  private:
    void residuals(double market);
    void write_ranks();

    std::vector<double> signs_;
    std::vector<DailySymbol> symbols_;
    Groups groups_;
    Ranker ranker_;
    Ring market_{5};
    Ewma market_square_{120};
    std::vector<double> values_, sigma_, scaled_, resid_, signed_resid_, group_mean_, scratch_;
};

}  // namespace workbench
