#pragma once
// One symbol's memory and its own features. A bar that is missing changes nothing here.
#include <array>
#include <cstddef>

#include "workbench/features_catalogue.hpp"
#include "workbench/features_seasonal.hpp"
#include "workbench/features_window.hpp"

namespace workbench {

/// One symbol's bar, USD and shares; a price that is not a number > 0 means that the bar is missing.
struct BarRow {
    double open, high, low, close, volume;
    bool observed() const { return open > 0 && high > 0 && low > 0 && close > 0 && high >= low; }
};

/// The quote standing at the bar's end and the order-flow imbalance of the bar.
struct QuoteRow {
    double bid, ask, bid_size, ask_size, ofi;
    bool standing() const { return bid > 0 && ask >= bid && bid_size >= 0 && ask_size >= 0 && bid_size + ask_size > 0; }
};

/// The session's scale, by bar: profile variance and volume share, and their sums before each bar.
struct SessionScale {
    std::array<double, slots> variance, share;
    std::array<double, slots + 1> variance_before, share_before;
    std::array<std::size_t, slots> slot;
    std::size_t bars = slots;
    void set(const Profile& profile, std::size_t bars);
};

/// What the cross-section says to one symbol at one bar; NaN where it says nothing.
struct CrossRow {
    double market, resid, sector_resid, market_1, market_3, market_12, breadth, dispersion, beta;
};

class SymbolFeatures {
  public:
    SymbolFeatures(const FeatureParameters& p, double sign);

    void begin_session(double overnight_ratio);
    /// Takes in a bar that is there; afterwards `z()` is its scaled return.
    void observe(const BarRow& row, std::size_t bar, const SessionScale& scale, Level& level, SessionRecord& record);
    void observe_quote(const QuoteRow& quote);
    /// The bar's return over its expected deviation; NaN in the first session.
    double z() const { return z_; }
    /// Slope of own on the market's scaled returns, shrunk to the sign of the leverage.
    double beta() const;
    double sign() const { return sign_; }
    /// Takes in the cross-section and writes all features but the ranks.
    void finish(const CrossRow& cross, bool has_quotes, double* out);

  private:
    void take_price(const BarRow& row, const SessionScale& scale, Level& level, SessionRecord& record);
    void open_session(const BarRow& row, Level& level);
    void take_range(const BarRow& row);
    void take_volume(const BarRow& row, const Level& level, SessionRecord& record);
    void take_cross(const CrossRow& cross);
    /// A move of the log price over its expected deviation.
    double scaled(double move, double mass) const { return move / std::sqrt(variance_ * mass); }
    double seasonal(std::size_t slot) const;
    void write_returns(double* out) const;
    void write_volatility(double* out) const;
    void write_trend(double* out) const;
    void write_volume(double* out) const;
    void write_cross(const CrossRow& cross, double* out) const;
    void write_quotes(double* out) const;

    double sign_, seasonal_keep_;
    // the bar now; `mass` is expected variance in units of `variance_`
    BarRow bar_{};
    QuoteRow quote_{};
    const SessionScale* scale_ = nullptr;
    std::size_t at_ = 0;
    double price_ = unknown, z_ = unknown, variance_ = unknown, slow_variance_ = unknown, step_mass_ = 0.0;
    double volume_ratio_ = unknown, location_ = 0.0, mid_ = unknown, mid_move_ = unknown;
    bool quote_there_ = false;
    // the session so far
    bool in_session_ = false;
    double overnight_ratio_ = unknown, open_price_ = unknown, close_before_ = unknown, gap_ = unknown, gap_mass_ = 0.0;
    double mass_ = 0.0, first30_ = unknown, previous_z_ = unknown, day_high_ = 0.0, day_low_ = 0.0;
    double day_volume_ = 0.0, day_expected_ = 0.0, day_value_ = 0.0;
    // rings and windows, in observed bars; prices are logs relative to `reference_`
    double reference_ = 0.0;
    Ring prices_{79}, masses_{79};
    Window ma12_{12}, ma24_{24}, ma39_{39}, ma78_{78};
    Window z12_{12}, abs12_{12}, z39_{39}, abs39_{39}, parkinson_{12}, garman_klass_{12};
    Window volume6_{6}, expected6_{6}, signed6_{6}, signed24_{24}, volume24_{24}, log_volume_{78};
    Window resid3_{3}, resid12_{12}, sector3_{3}, sector12_{12};
    double resid1_ = unknown, sector1_ = unknown;
    Ewma fast_{6}, slow_{39}, autocov_{39}, with_market_{390}, market_square_{390}, ema6_{6}, ema24_{24};
    Ewma ofi_square_{390}, spread_mean_{156}, depth_mean_{156};
    Window ofi6_{6}, queue6_{6};
    std::array<double, slots> seasonal_sum_{}, seasonal_square_{};  // of residuals by slot; of the squared weights
};

}  // namespace workbench
