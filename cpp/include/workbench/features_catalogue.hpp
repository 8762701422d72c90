#pragma once
// The order of the features in every row. workbench/features/catalogue.py describes each; a test compares the names.
#include <cstddef>
#include <string>
#include <vector>

// Known from bars alone.
#define WORKBENCH_BAR_FEATURES(X)                                                                                     \
    X(ret_1) X(ret_2) X(ret_3) X(ret_6) X(ret_12) X(ret_24) X(ret_78) X(ret_open) X(ret_first30) X(gap)               \
    X(vol_fast) X(vol_slow) X(vol_level) X(vol_parkinson) X(vol_garman_klass)                                         \
    X(rsi_12) X(rsi_39) X(ma_12) X(ma_39) X(ma_78) X(macd) X(bollinger_24)                                            \
    X(volume_ratio) X(volume_ratio_6) X(volume_z) X(volume_day)                                                       \
    X(signed_volume) X(signed_volume_6) X(signed_volume_24) X(vwap) X(day_position) X(day_range) X(body)              \
    X(autocov) X(seasonal_1) X(seasonal_6)                                                                            \
    X(market_1) X(market_3) X(market_12) X(resid_1) X(resid_3) X(resid_12)                                            \
    X(sector_resid_1) X(sector_resid_3) X(sector_resid_12) X(beta) X(breadth) X(dispersion)                           \
    X(time_open) X(time_close)                                                                                        \
    X(rank_ret_1) X(rank_ret_12) X(rank_volume) X(rank_resid_3) X(rank_resid_12)

// Known only where the bars carry quotes with sizes and order-flow imbalance; always after the others.
#define WORKBENCH_QUOTE_FEATURES(X)                                                                                   \
    X(ofi_1) X(ofi_6) X(rank_ofi) X(queue_imbalance) X(queue_imbalance_6) X(microprice) X(mid_ret_1) X(close_mid)     \
    X(quoted_spread) X(spread_ratio) X(depth_ratio)

// Known before a session opens, from daily bars.
#define WORKBENCH_DAILY_FEATURES(X)                                                                                   \
    X(d_ret_1) X(d_ret_2) X(d_ret_5) X(d_ret_20) X(d_ret_60) X(d_ret_120) X(d_ret_250) X(d_gap_1) X(d_gap_5)          \
    X(d_intraday_5) X(d_vol_fast) X(d_vol_slow) X(d_range) X(d_rsi_14) X(d_ma_20) X(d_ma_50) X(d_ma_200)              \
    X(d_position_60) X(d_close_location) X(d_volume_1) X(d_volume_5) X(d_volume_20) X(d_autocov)                      \
    X(d_market_5) X(d_beta) X(d_resid_1) X(d_resid_5) X(d_resid_20) X(d_sector_resid_5) X(d_sector_resid_20)          \
    X(d_rank_ret_5) X(d_rank_ret_20) X(d_rank_ret_120)

namespace workbench {

#define WORKBENCH_ENUM(name) name,
struct Feature {
    enum Index : std::size_t {
        WORKBENCH_BAR_FEATURES(WORKBENCH_ENUM) bar_count,
        last_bar_feature = bar_count - 1,
        WORKBENCH_QUOTE_FEATURES(WORKBENCH_ENUM) count
    };
};
struct DailyFeature {
    enum Index : std::size_t { WORKBENCH_DAILY_FEATURES(WORKBENCH_ENUM) count };
};
#undef WORKBENCH_ENUM

#define WORKBENCH_NAME(name) #name,
inline std::vector<std::string> feature_names(bool has_quotes) {
    std::vector<std::string> names{WORKBENCH_BAR_FEATURES(WORKBENCH_NAME)};
    if (has_quotes)
        for (const char* name : {WORKBENCH_QUOTE_FEATURES(WORKBENCH_NAME)}) names.emplace_back(name);
    return names;
}
inline std::vector<std::string> daily_feature_names() { return {WORKBENCH_DAILY_FEATURES(WORKBENCH_NAME)}; }
#undef WORKBENCH_NAME

}  // namespace workbench
