#pragma once
// log2 and exp2 in IEEE arithmetic alone: the C library picks another implementation per processor, so its last bit
// differs from machine to machine; these do not, and the compiler can vectorise them. Relative error below 3e-16 of
// exp2, absolute error below 4e-16 of log2 (of its value where that is above one).
#include <array>
#include <bit>
#include <cstdint>
#include <limits>

namespace workbench {

namespace detail {
// Adding this rounds a double to the nearest integer, which then sits in the low bits.
inline constexpr double round_magic = 0x1.8p52;
inline constexpr double ln2 = 0x1.62e42fefa39efp-1;
inline constexpr double inverse_ln2 = 0x1.71547652b82fep+0;

// 1/j!, j = 0..13: the Taylor series of exp on |z| <= ln(2)/2 is exact to 1e-17 there.
inline constexpr auto exp_series = [] {
    std::array<double, 14> c{};
    double factorial = 1.0;
    for (int j = 0; j < 14; ++j) {
        c[j] = 1.0 / factorial;
        factorial *= j + 1;
    }
    return c;
}();
}  // namespace detail

/// 2^y for y <= 1023; 0 below -1022 (no subnormals).
inline double exp2_fast(double y) {
    const double bounded = y < -1022.0 ? -1022.0 : y;
    const double shifted = bounded + detail::round_magic;
    const double whole = shifted - detail::round_magic;
    const double z = (bounded - whole) * detail::ln2;
    const double z2 = z * z;  // even and odd terms apart: two short chains instead of a long one
    double even = detail::exp_series[12], odd = detail::exp_series[13];
    for (int j = 10; j >= 0; j -= 2) {
        even = even * z2 + detail::exp_series[j];
        odd = odd * z2 + detail::exp_series[j + 1];
    }
    const double series = even + z * odd;
    // The low bits of `shifted` are the integer; moved into the exponent they multiply by 2^whole.
    const std::uint64_t scale = (std::bit_cast<std::uint64_t>(shifted) + 1023) << 52;
    const double result = series * std::bit_cast<double>(scale);
    return y < -1022.0 ? 0.0 : result;
}

/// log2(x) for normal x > 0.
inline double log2_fast(double x) {
    const std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
    // x = m 2^e with m in [sqrt(1/2), sqrt(2)): subtract the bits of sqrt(1/2), keep the exponent part.
    const std::uint64_t offset = bits - 0x3fe6a09e00000000ULL;
    const std::uint64_t exponent_bits = offset & 0xfff0000000000000ULL;
    const double m = std::bit_cast<double>(bits - exponent_bits);
    // The exponent is signed: bias it, then convert through the mantissa of 2^52 (vector code has no int64 -> double).
    const std::uint64_t biased = (exponent_bits + (std::uint64_t{1024} << 52)) >> 52;
    const double e = std::bit_cast<double>(biased | 0x4330000000000000ULL) - 0x1p52 - 1024.0;
    const double s = (m - 1.0) / (m + 1.0);
    const double s2 = s * s, s4 = s2 * s2;
    double even = 1.0 / 21.0, odd = 1.0 / 19.0;  // atanh(s)/s = sum of s^2j / (2j+1), to j = 10; s^2 < 0.0295
    for (int j = 17; j >= 5; j -= 4) {
        even = even * s4 + 1.0 / j;
        odd = odd * s4 + 1.0 / (j - 2);
    }
    const double series = (even * s4 + 1.0) + odd * s2;
    return e + 2.0 * detail::inverse_ln2 * s * series;
}

/// x^power for x in [0, 1], power >= 0; 0^0 = 1 and 0^power = 0. A NaN must be handled by the caller.
inline double unit_power(double x, double power) {
    const double smallest = std::numeric_limits<double>::min();
    const double value = exp2_fast(power * log2_fast(x < smallest ? smallest : x));
    const double at_zero = power == 0.0 ? 1.0 : 0.0;
    return x == 0.0 ? at_zero : value;
}

}  // namespace workbench
