#include <bit>
#include <cmath>
#include <limits>

#include "support.hpp"
#include "workbench/elementary.hpp"
#include "workbench/gate.hpp"
#include "workbench/ofi.hpp"

using namespace workbench;
using test::Numbers;

namespace {
const double nan_value = std::numeric_limits<double>::quiet_NaN();
}

TEST_CASE("exp2 and log2 agree with the library to a few roundings") {
    test::Random random(1);
    for (int i = 0; i < 200'000; ++i) {
        const double y = random.uniform(-1021.0, 1000.0), x = std::exp2(random.uniform(-1000.0, 1000.0));
        REQUIRE(std::abs(exp2_fast(y) / std::exp2(y) - 1.0) < 5e-16);
        REQUIRE(std::abs(log2_fast(x) - std::log2(x)) <= 5e-16 * std::max(1.0, std::abs(std::log2(x))));
    }
    for (int e = -1021; e <= 1000; ++e) {
        REQUIRE(exp2_fast(e) == std::ldexp(1.0, e));
        REQUIRE(log2_fast(std::ldexp(1.0, e)) == e);
    }
    REQUIRE(exp2_fast(-1e300) == 0.0);
    REQUIRE(unit_power(0.0, 0.0) == 1.0);
    REQUIRE(unit_power(0.0, 0.3) == 0.0);
    REQUIRE(unit_power(1.0, 1e300) == 1.0);
}

TEST_CASE("barrier_gate_batch is the product of powers, clipped") {
    test::Random random(2);
    for (const double gamma : {0.0, 1.0, 1.7}) {
        for (const double delta : {0.0, 0.5, 3.0}) {
            const Numbers peak = random.uniforms(133, -0.2, 1.2), valley = random.uniforms(133, -0.2, 1.2);
            Numbers gate(133);
            barrier_gate_batch(peak, valley, {0.1, gamma, delta}, gate);
            for (std::size_t i = 0; i < gate.size(); ++i) {
                const double p = std::clamp(peak[i], 0.0, 1.0), v = std::clamp(valley[i], 0.0, 1.0);
                const double expected = std::clamp(std::pow(1.0 - p, gamma) * std::pow(0.5 + v / 2.0, delta), 0.1, 1.0);
                REQUIRE(std::abs(gate[i] - expected) < 1e-15);
            }
        }
    }
}

TEST_CASE("barrier_gate_batch keeps NaN, on every path and in every lane") {
    for (const double delta : {0.5, 0.7}) {
        for (std::size_t at = 0; at < 37; ++at) {
            Numbers peak(37, 0.3), valley(37, 0.4), gate(37);
            (at % 2 ? peak : valley)[at] = nan_value;
            barrier_gate_batch(peak, valley, {0.0, 1.0, delta}, gate);
            for (std::size_t i = 0; i < gate.size(); ++i) REQUIRE(std::isnan(gate[i]) == (i == at));
        }
    }
}

TEST_CASE("ofi_batch over all orders of prices") {
    for (const double bid1 : {9.0, 10.0, 11.0}) {
        for (const double ask1 : {11.0, 12.0, 13.0}) {
            const Numbers bid0{10.0}, ask0{12.0}, q{100.0}, r{30.0}, s{7.0}, t{2.0}, b{bid1}, a{ask1};
            Numbers out(1);
            ofi_batch({bid0, ask0, q, r}, {b, a, s, t}, out);
            const double demand = bid1 > 10.0 ? 7.0 : bid1 < 10.0 ? -100.0 : 7.0 - 100.0;
            const double supply = ask1 < 12.0 ? 2.0 : ask1 > 12.0 ? -30.0 : 2.0 - 30.0;
            REQUIRE(out[0] == demand - supply);
        }
    }
}

TEST_CASE("ofi_batch gives NaN for a NaN anywhere") {
    for (int which = 0; which < 8; ++which) {
        std::array<Numbers, 8> x;
        for (int k = 0; k < 8; ++k) x[static_cast<std::size_t>(k)] = Numbers(21, 5.0 + k);
        x[static_cast<std::size_t>(which)][13] = nan_value;
        Numbers out(21);
        ofi_batch({x[0], x[1], x[2], x[3]}, {x[4], x[5], x[6], x[7]}, out);
        for (std::size_t i = 0; i < out.size(); ++i) REQUIRE(std::isnan(out[i]) == (i == 13));
    }
}
