#include <cmath>
#include <limits>

#include "support.hpp"
#include "workbench/ewma.hpp"
#include "workbench/ridge.hpp"
#include "workbench/shrinkage.hpp"
#include "workbench/softmax.hpp"

using namespace workbench;
using test::Numbers;

namespace {

const double nan_value = std::numeric_limits<double>::quiet_NaN();

Numbers panel(test::Random& random, std::size_t size, double missing) {
    Numbers x = random.normals(size, 0.01);
    for (double& v : x)
        if (random.chance(missing)) v = nan_value;
    return x;
}

}  // namespace

TEST_CASE("ewma_vol is the weighted mean of all squares seen") {
    test::Random random(1);
    const std::size_t rows = 60, columns = 5;
    const Numbers r = panel(random, rows * columns, 0.3);
    Numbers vol(rows * columns), workspace;
    ewma_vol({r.data(), rows, columns}, 0.1, workspace, {vol.data(), rows, columns});
    for (std::size_t j = 0; j < columns; ++j) {
        for (std::size_t t = 0; t < rows; ++t) {
            double weight = 1.0, sum = 0.0, total = 0.0;
            for (std::size_t s = t + 1; s-- > 0;) {
                const double x = r[s * columns + j];
                if (std::isnan(x)) continue;
                sum += weight * x * x;
                total += weight;
                weight *= 0.9;
            }
            const double got = vol[t * columns + j];
            if (total == 0.0)
                REQUIRE(std::isnan(got));
            else
                REQUIRE(std::abs(got / std::sqrt(sum / total) - 1.0) < 1e-13);
        }
    }
}

TEST_CASE("ewma_covariance pair by pair") {
    test::Random random(2);
    const std::size_t rows = 40, columns = 11;
    const Numbers r = panel(random, rows * columns, 0.3);
    Numbers covariance(columns * columns);
    ewma_covariance({r.data(), rows, columns}, 7.0, {covariance.data(), columns, columns});
    for (std::size_t i = 0; i < columns; ++i) {
        for (std::size_t j = 0; j < columns; ++j) {
            double weight = 1.0, sum = 0.0, total = 0.0;
            for (std::size_t t = rows; t-- > 0;) {
                const double x = r[t * columns + i] * r[t * columns + j];
                if (std::isnan(x)) continue;
                sum += weight * x;
                total += weight;
                weight *= std::exp2(-1.0 / 7.0);
            }
            REQUIRE(std::abs(covariance[i * columns + j] - sum / total) < 1e-17);
        }
    }
}

TEST_CASE("ledoit_wolf by its definition") {
    test::Random random(3);
    for (const std::size_t columns : {1U, 3U, 60U}) {
        const std::size_t rows = 25;
        const Numbers x = random.normals(rows * columns);
        const auto at = [&](std::size_t t, std::size_t i) { return x[t * columns + i]; };
        Numbers S(columns * columns, 0.0), covariance(columns * columns);
        double mean = 0.0, d2 = 0.0, b2 = 0.0;
        for (std::size_t i = 0; i < columns; ++i)
            for (std::size_t j = 0; j < columns; ++j)
                for (std::size_t t = 0; t < rows; ++t) S[i * columns + j] += at(t, i) * at(t, j) / rows;
        for (std::size_t i = 0; i < columns; ++i) mean += S[i * columns + i] / static_cast<double>(columns);
        for (std::size_t i = 0; i < columns; ++i) {
            for (std::size_t j = 0; j < columns; ++j) {
                d2 += std::pow(S[i * columns + j] - (i == j ? mean : 0.0), 2);
                for (std::size_t t = 0; t < rows; ++t)
                    b2 += std::pow(at(t, i) * at(t, j) - S[i * columns + j], 2) / (rows * rows);
            }
        }
        const double expected = columns == 1 ? 0.0 : std::min(1.0, b2 / d2);
        const double shrinkage = ledoit_wolf({x.data(), rows, columns}, {covariance.data(), columns, columns});
        REQUIRE(std::abs(shrinkage - expected) < 1e-12);
        for (std::size_t k = 0; k < S.size(); ++k) {
            const double target = k % (columns + 1) == 0 ? mean : 0.0;
            REQUIRE(std::abs(covariance[k] - ((1.0 - expected) * S[k] + expected * target)) < 1e-12);
        }
    }
}

TEST_CASE("risk_parity_ridge solves its equation") {
    test::Random random(4);
    for (const std::size_t n : {1U, 2U, 17U, 70U}) {
        const Numbers x = random.normals(2 * n * n), z = random.normals(n);
        Numbers sigma(n * n, 0.0), y(n);
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < n; ++j)
                for (std::size_t t = 0; t < 2 * n; ++t)
                    sigma[i * n + j] += x[t * n + i] * x[t * n + j] / static_cast<double>(2 * n);
        RidgeWorkspace workspace;
        risk_parity_ridge(z, {sigma.data(), n, n}, 0.7, workspace, y);
        for (std::size_t i = 0; i < n; ++i) {
            double left = 0.7 * y[i];
            for (std::size_t j = 0; j < n; ++j) left += sigma[i * n + j] * y[j];
            REQUIRE(std::abs(left - 0.7 * z[i]) < 1e-12);
        }
    }
}

TEST_CASE("risk_parity_ridge refuses what is not positive definite") {
    const Numbers z{1.0, 1.0}, sigma{1.0, 3.0, 3.0, 1.0};
    Numbers y(2);
    RidgeWorkspace workspace;
    REQUIRE_THROWS_AS(risk_parity_ridge(z, {sigma.data(), 2, 2}, 1.0, workspace, y), std::invalid_argument);
}

TEST_CASE("horizon_softmax in long double") {
    test::Random random(5);
    const std::size_t rows = 300, horizons = 9;
    const Numbers alpha = random.normals(rows * horizons), vol = random.uniforms(rows * horizons, 0.0, 2.0);
    Numbers mixed(rows), workspace, total(horizons, 0.0);
    const std::size_t best =
        horizon_softmax({alpha.data(), rows, horizons}, {vol.data(), rows, horizons}, 2.0, workspace, mixed);
    for (std::size_t i = 0; i < rows; ++i) {
        std::vector<long double> weight(horizons);
        long double top = -std::numeric_limits<long double>::infinity(), sum = 0.0L, mix = 0.0L;
        for (std::size_t h = 0; h < horizons; ++h) {
            weight[h] = 2.0L * alpha[i * horizons + h] / (vol[i * horizons + h] + 1e-8L);
            top = std::max(top, weight[h]);
        }
        for (auto& w : weight) sum += w = std::exp(w - top);
        for (std::size_t h = 0; h < horizons; ++h) {
            mix += weight[h] / sum * alpha[i * horizons + h];
            total[h] += static_cast<double>(weight[h] / sum);
        }
        REQUIRE(std::abs(mixed[i] - static_cast<double>(mix)) < 1e-12);
    }
    REQUIRE(total[best] == Approx(*std::max_element(total.begin(), total.end())).epsilon(1e-12));
}
