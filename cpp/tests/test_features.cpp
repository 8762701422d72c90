#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "support.hpp"
#include "workbench/features.hpp"
#include "workbench/features_daily.hpp"

using namespace workbench;
using test::Numbers;

namespace {

bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

// One session's bars of N symbols, (bars, N): a random walk with a trade range and volume.
struct Day {
    std::vector<std::vector<BarRow>> bars;
    std::vector<std::vector<QuoteRow>> quotes;
};

Day random_day(test::Random& random, Numbers& price, std::size_t bars, double missing) {
    Day day;
    for (std::size_t b = 0; b < bars; ++b) {
        day.bars.emplace_back();
        day.quotes.emplace_back();
        for (double& p : price) {
            const double open = p * std::exp(random.normal(b == 0 ? 0.01 : 0.0001)), close = open * std::exp(random.normal(0.002));
            const double high = std::max(open, close) * (1 + random.uniform(0, 0.001));
            const double low = std::min(open, close) * (1 - random.uniform(0, 0.001));
            p = close;
            BarRow row{open, high, low, close, random.uniform(1e3, 1e5)};
            if (random.chance(missing)) row = {unknown, unknown, unknown, unknown, unknown};
            day.bars.back().push_back(row);
            day.quotes.back().push_back({close * 0.9999, close * 1.0001, random.uniform(0, 900), random.uniform(1, 900), random.normal(1e4)});
        }
    }
    return day;
}

// Runs the days through an engine whose symbols are permuted by `order`; values (rows, N, F) in the engine's order.
Numbers run(const std::vector<Day>& days, const std::vector<std::size_t>& order, bool has_quotes) {
    const std::size_t n = order.size();
    std::vector<double> signs;
    std::vector<int> groups;
    for (const std::size_t i : order) {
        signs.push_back(i == 1 ? -1.0 : 1.0);
        groups.push_back(i == 0 ? -1 : static_cast<int>(i % 2));
    }
    FeatureCore core(signs, groups, has_quotes, {5.0, 5.0, 2});
    Numbers values, row(n * core.features()), level(n);
    for (const Day& day : days) {
        core.begin_session(day.bars.size());
        for (std::size_t b = 0; b < day.bars.size(); ++b) {
            std::vector<BarRow> bars;
            std::vector<QuoteRow> quotes;
            for (const std::size_t i : order) {
                bars.push_back(day.bars[b][i]);
                quotes.push_back(day.quotes[b][i]);
            }
            core.advance(b, bars, quotes, row.data(), core.features(), level.data());
            values.insert(values.end(), row.begin(), row.end());
        }
        core.end_session();
    }
    return values;
}

std::vector<Day> random_days(double missing) {
    test::Random random(5);
    Numbers price{20.0, 50.0, 100.0, 7.0, 300.0};
    std::vector<Day> days;
    for (std::size_t bars : {78, 78, 78, 42, 78}) days.push_back(random_day(random, price, bars, missing));
    return days;
}

}  // namespace

TEST_CASE("a ring gives back what was pushed, newest first") {
    Ring ring(3);
    REQUIRE(!known(ring[0]));
    for (double x : {1.0, 2.0, 3.0, 4.0}) ring.push(x);
    REQUIRE(ring[0] == 4.0);
    REQUIRE(ring[2] == 2.0);
    REQUIRE(ring.full());
    ring.shift(1.0);
    REQUIRE(ring[1] == 2.0);
}

TEST_CASE("sums over a window agree with brute force, and resumming ends their drift") {
    test::Random random(1);
    Window window(12);
    Numbers all;
    for (int k = 0; k < 5000; ++k) {
        all.push_back(random.normal());
        window.push(all.back());
        if (all.size() < 12) {
            REQUIRE(!known(window.sum()));
            continue;
        }
        double sum = 0.0, squares = 0.0;
        for (std::size_t j = all.size() - 12; j < all.size(); ++j) sum += all[j], squares += all[j] * all[j];
        REQUIRE(std::abs(window.sum() - sum) < 1e-11);
        const double variance = squares / 12 - sum / 12 * sum / 12;
        REQUIRE(std::abs(window.deviation() - std::sqrt(variance)) < 1e-9);
        if (k % 500 == 0) {
            window.resum();
            REQUIRE(window.sum() == sum);
        }
    }
}

TEST_CASE("an exponential mean has no start-up bias") {
    Ewma mean(3.0);
    REQUIRE(!known(mean.value()));
    mean.push(5.0);
    REQUIRE(std::abs(mean.value() - 5.0) < 1e-15);
    mean.push(1.0);
    const double keep = std::pow(0.5, 1.0 / 3.0);
    REQUIRE(std::abs(mean.value() - (1.0 + keep * 5.0) / (1.0 + keep)) < 1e-14);
    REQUIRE(std::abs(mean.count() - (1.0 + keep)) < 1e-14);
    REQUIRE(std::abs(mean.total() - (1.0 + keep * 5.0)) < 1e-14);
}

TEST_CASE("cross-sectional means do not depend on the order, to the bit") {
    test::Random random(2);
    std::vector<double> scratch;
    for (int k = 0; k < 200; ++k) {
        Numbers x = random.normals(17);
        x[3] = unknown;
        const double mean = sorted_mean(x, scratch), trimmed = trimmed_mean(x, 0.25, scratch), capped = capped_mean(x, 3, scratch);
        std::shuffle(x.begin(), x.end(), std::mt19937_64(static_cast<unsigned>(k)));
        REQUIRE(same_bits(mean, sorted_mean(x, scratch)));
        REQUIRE(same_bits(trimmed, trimmed_mean(x, 0.25, scratch)));
        REQUIRE(same_bits(capped, capped_mean(x, 3, scratch)));
    }
    REQUIRE(!known(sorted_mean(Numbers{unknown}, scratch)));
    REQUIRE(trimmed_mean(Numbers{9.0, 1.0, 2.0, -50.0}, 0.25, scratch) == 1.5);
    REQUIRE(capped_mean(Numbers{1, 1, 1, 1, 100}, 3, scratch) == 7.0 / 5);
}

TEST_CASE("ranks count pairs") {
    test::Random random(3);
    Ranker ranker;
    for (int k = 0; k < 100; ++k) {
        Numbers x(9), out(9);
        for (double& v : x) v = random.chance(0.2) ? unknown : std::floor(random.uniform(0, 5));
        ranker.rank(x.data(), out.data(), 9, 1);
        const double there = static_cast<double>(std::count_if(x.begin(), x.end(), known));
        for (std::size_t i = 0; i < 9; ++i) {
            if (!known(x[i])) {
                REQUIRE(!known(out[i]));
                continue;
            }
            double below = 0.0;
            for (std::size_t j = 0; j < 9; ++j)
                if (j != i && known(x[j])) below += x[j] < x[i] ? 1.0 : x[j] == x[i] ? 0.5 : 0.0;
            REQUIRE(std::abs(out[i] - (there > 1 ? below / (there - 1) - 0.5 : 0.0)) < 1e-15);
        }
    }
}

TEST_CASE("means over groups") {
    Groups groups({0, 0, 1, -1, 2, 2});
    Numbers means(6);
    groups.means(Numbers{1.0, 3.0, 5.0, 7.0, 4.0, unknown}, means);
    REQUIRE(means == Numbers{2.0, 2.0, 0.0, 0.0, 0.0, 0.0});
}

TEST_CASE("slots of a short session: the open from the front, the last hour from the back") {
    for (std::size_t b = 0; b < slots; ++b) REQUIRE(slot_of(b, slots) == b);
    REQUIRE(slot_of(29, 42) == 29);
    REQUIRE(slot_of(30, 42) == 66);
    REQUIRE(slot_of(41, 42) == 77);
    REQUIRE(slot_of(0, 5) == 73);
}

TEST_CASE("permuting symbols permutes the features, to the bit, with missing bars") {
    const std::vector<Day> days = random_days(0.1);
    const std::vector<std::size_t> plain{0, 1, 2, 3, 4}, other{3, 1, 4, 0, 2};
    for (const bool has_quotes : {false, true}) {
        const Numbers a = run(days, plain, has_quotes), b = run(days, other, has_quotes);
        const std::size_t f = feature_names(has_quotes).size(), rows = a.size() / f / 5;
        std::size_t there = 0;
        for (std::size_t t = 0; t < rows; ++t)
            for (std::size_t i = 0; i < 5; ++i)
                for (std::size_t k = 0; k < f; ++k) {
                    const double x = a[(t * 5 + other[i]) * f + k];
                    REQUIRE(same_bits(x, b[(t * 5 + i) * f + k]));
                    there += known(x) ? 1 : 0;
                }
        REQUIRE(there > rows * f);
    }
}

TEST_CASE("features stay in their bounds and are finite after the warm-up") {
    const std::vector<Day> days = random_days(0.0);
    const Numbers values = run(days, {0, 1, 2, 3, 4}, true);
    const std::size_t row = 5 * Feature::count;
    for (std::size_t at = 0; at < values.size(); ++at) {
        if (at < 2 * 78 * row) REQUIRE(!known(values[at]));
        if (at >= 3 * 78 * row) REQUIRE(std::abs(values[at]) <= 5.0);
    }
}

TEST_CASE("the daily engine keeps a symbol's state over a missing day") {
    test::Random random(7);
    Numbers price{20.0, 50.0};
    DailyCore core({1.0, 1.0}, {-1, -1}), other({1.0, 1.0}, {-1, -1});
    for (int d = 0; d < 80; ++d) {
        Day day = random_day(random, price, 1, 0.0);
        core.update(day.bars[0]);
        other.update(day.bars[0]);
    }
    const BarRow none{unknown, unknown, unknown, unknown, unknown};
    const Numbers before = core.values(), sigma = core.sigma();
    core.update(std::vector<BarRow>{none, none});
    REQUIRE(std::none_of(core.values().begin(), core.values().end(), known));
    REQUIRE(core.sigma() == sigma);
    REQUIRE(std::count_if(before.begin(), before.end(), known) == static_cast<long>(before.size()));
    const Day next = random_day(random, price, 1, 0.0);
    core.update(next.bars[0]);
    other.update(next.bars[0]);
    for (std::size_t k = 0; k < before.size(); ++k) REQUIRE(same_bits(core.values()[k], other.values()[k]));
}
