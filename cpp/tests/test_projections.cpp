#include <cmath>

#include "support.hpp"
#include "workbench/limited_prox.hpp"
#include "workbench/limits.hpp"
#include "workbench/monotone.hpp"
#include "workbench/qp.hpp"
#include "workbench/simplex.hpp"

using namespace workbench;
using test::Numbers;

namespace {

double dot(const Numbers& a, const Numbers& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}

struct Case {
    Numbers w, cap, leverage;
    double gross, net;
    Limits limits() const { return {cap, gross, net, leverage}; }
};

Case random_case(test::Random& random, std::size_t n) {
    Case c{random.normals(n, 0.5), random.uniforms(n, 0.0, 0.6), Numbers(n, 1.0), random.uniform(0.0, 1.5),
           random.uniform(0.0, 0.8)};
    for (double& l : c.leverage) l = random.chance(0.3) ? (random.chance(0.5) ? 3.0 : -2.0) : 1.0;
    if (random.chance(0.2)) c.net = 0.0;
    return c;
}

bool holds(const Case& c, const Numbers& w, double slack) {
    double gross = 0.0, net = 0.0;
    for (std::size_t i = 0; i < w.size(); ++i) {
        const double exposure = c.leverage[i] * w[i];
        if (std::abs(exposure) > c.cap[i] + slack) return false;
        gross += std::abs(exposure);
        net += exposure;
    }
    return gross <= c.gross + slack && std::abs(net) <= c.net + slack;
}

// A point that holds the limits, by brute force: a random one in the box, shrunk until it does.
Numbers admissible(test::Random& random, const Case& c) {
    Numbers v(c.w.size());
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = random.uniform(-1.0, 1.0) * c.cap[i] / std::abs(c.leverage[i]);
    if (c.net == 0.0) {  // the net must vanish: move it onto one name, or give up
        double net = 0.0;
        for (std::size_t i = 1; i < v.size(); ++i) net += c.leverage[i] * v[i];
        v[0] = -net / c.leverage[0];
    }
    for (int k = 0; k < 60 && !holds(c, v, 1e-13); ++k)
        for (double& x : v) x *= 0.8;
    return v;
}

Numbers project(const Case& c, const Numbers& w) {
    Numbers out(w.size());
    LimitsWorkspace workspace;
    project_limits(w, c.limits(), {}, workspace, out);
    return out;
}

}  // namespace

TEST_CASE("monotone_root against plain bisection") {
    test::Random random(1);
    for (int trial = 0; trial < 300; ++trial) {
        const std::size_t n = 1 + random.index(20);
        const Numbers e = random.normals(n), high = random.uniforms(n, 0.0, 1.0);
        const auto f = [&](double theta) {
            double sum = 0.0;
            for (std::size_t i = 0; i < n; ++i) sum += std::clamp(e[i] - theta, -high[i], high[i]);
            return sum;
        };
        Numbers breakpoints;
        for (std::size_t i = 0; i < n; ++i) breakpoints.insert(breakpoints.end(), {e[i] - high[i], e[i] + high[i]});
        const double target = random.uniform(-0.9, 0.9) * f(-100.0);
        double low = -100.0, up = 100.0;
        for (int k = 0; k < 100; ++k) (f(0.5 * (low + up)) > target ? low : up) = 0.5 * (low + up);
        REQUIRE(std::abs(f(monotone_root(breakpoints, target, f)) - target) < 1e-14 * static_cast<double>(n));
        REQUIRE(std::abs(f(low) - target) < 1e-13 * static_cast<double>(n));
    }
}

TEST_CASE("project_simplex: no vertex lies on the far side") {
    test::Random random(2);
    for (int trial = 0; trial < 300; ++trial) {
        const Numbers w = random.normals(1 + random.index(30), 2.0);
        Numbers x(w.size()), workspace;
        project_simplex(w, workspace, x);
        double sum = 0.0, inner = 0.0;
        for (std::size_t i = 0; i < w.size(); ++i) {
            REQUIRE(x[i] >= 0.0);
            sum += x[i];
            inner += (w[i] - x[i]) * x[i];
        }
        REQUIRE(std::abs(sum - 1.0) < 1e-14 * static_cast<double>(w.size()));
        for (std::size_t i = 0; i < w.size(); ++i) REQUIRE(w[i] - x[i] - inner < 1e-13);
    }
}

TEST_CASE("project_limits: no admissible point makes an acute angle") {
    test::Random random(3);
    for (int trial = 0; trial < 1500; ++trial) {
        const Case c = random_case(random, 1 + random.index(7));
        const Numbers x = project(c, c.w);
        REQUIRE(holds(c, x, 1e-15));
        Numbers away = c.w;
        for (std::size_t i = 0; i < away.size(); ++i) away[i] -= x[i];
        for (int k = 0; k < 40; ++k) {
            const Numbers v = admissible(random, c);
            if (holds(c, v, 1e-13)) REQUIRE(dot(away, v) - dot(away, x) < 1e-11);
        }
    }
}

TEST_CASE("project_limits mirrors bit for bit") {
    test::Random random(4);
    for (int trial = 0; trial < 1500; ++trial) {
        const Case c = random_case(random, 1 + random.index(9));
        Numbers minus = c.w;
        for (double& x : minus) x = -x;
        const Numbers x = project(c, c.w), y = project(c, minus);
        for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(y[i] == -x[i]);
    }
}

TEST_CASE("limited_prox: no nearby admissible point is better") {
    test::Random random(5);
    for (int trial = 0; trial < 600; ++trial) {
        const std::size_t n = 1 + random.index(6);
        Case c = random_case(random, n);
        for (double& l : c.leverage) l = std::abs(l);
        Numbers cap(n), kink = random.uniforms(n, 0.0, 0.3), anchor = random.normals(n, 0.2), z(n), breakpoints;
        for (std::size_t i = 0; i < n; ++i) cap[i] = c.cap[i] / c.leverage[i];
        if (random.chance(0.5)) anchor.assign(n, 0.0);
        limited_prox({c.w, c.leverage, cap, anchor, kink, c.gross, -c.net, c.net}, breakpoints, z);
        REQUIRE(holds(c, z, 1e-13));
        const auto objective = [&](const Numbers& x) {
            double sum = 0.0;
            for (std::size_t i = 0; i < n; ++i)
                sum += 0.5 * std::pow(x[i] - c.w[i], 2) + kink[i] * std::abs(x[i] - anchor[i]);
            return sum;
        };
        for (int k = 0; k < 60; ++k) {
            Numbers v = admissible(random, c);
            const double share = random.chance(0.5) ? 1.0 : 0.01;
            for (std::size_t i = 0; i < n; ++i) v[i] = z[i] + share * (v[i] - z[i]);
            if (holds(c, v, 1e-13)) REQUIRE(objective(v) > objective(z) - 1e-12);
        }
    }
}

TEST_CASE("qp_size: no admissible point is better") {
    test::Random random(6);
    for (int trial = 0; trial < 200; ++trial) {
        const std::size_t n = 1 + random.index(5);
        const Case c = random_case(random, n);
        const Numbers alpha = random.normals(n), held = random.normals(n, 0.1), cost = random.uniforms(n, 0.0, 0.3),
                      f = random.normals(n);
        Numbers covariance(n * n), w(n);
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < n; ++j)
                covariance[i * n + j] = f[i] * f[j] + (i == j ? random.uniform(0.1, 1.0) : 0.0);
        qp_size({alpha, {covariance.data(), n, n}, held, cost, 2.0}, c.limits(), w);
        REQUIRE(holds(c, w, 1e-15));
        const auto objective = [&](const Numbers& x) {
            double sum = dot(alpha, x);
            for (std::size_t i = 0; i < n; ++i) {
                sum -= cost[i] * std::abs(x[i] - held[i]);
                for (std::size_t j = 0; j < n; ++j) sum -= x[i] * covariance[i * n + j] * x[j];
            }
            return sum;
        };
        for (int k = 0; k < 60; ++k) {
            Numbers v = admissible(random, c);
            const double share = random.chance(0.5) ? 1.0 : 0.01;
            for (std::size_t i = 0; i < n; ++i) v[i] = w[i] + share * (v[i] - w[i]);
            if (holds(c, v, 1e-13)) REQUIRE(objective(v) < objective(w) + 1e-11);
        }
    }
}
