#pragma once
// Catch2 of either version, and random numbers for the brute-force tests.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <random>
#include <vector>

namespace workbench::test {

using Numbers = std::vector<double>;

class Random {
public:
    explicit Random(unsigned seed) : engine_(seed) {}
    double uniform(double low, double high) { return low + (high - low) * std::uniform_real_distribution<>()(engine_); }
    double normal(double scale = 1.0) { return scale * normal_(engine_); }
    bool chance(double p) { return uniform(0.0, 1.0) < p; }
    std::size_t index(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }
    Numbers normals(std::size_t n, double scale = 1.0) {
        Numbers x(n);
        for (double& v : x) v = normal(scale);
        return x;
    }
    Numbers uniforms(std::size_t n, double low, double high) {
        Numbers x(n);
        for (double& v : x) v = uniform(low, high);
        return x;
    }

private:
    std::mt19937_64 engine_;
    std::normal_distribution<> normal_;
};

}  // namespace workbench::test
