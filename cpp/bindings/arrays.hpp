#pragma once
// What comes in from Python is checked here, once: type, dtype, shape, finiteness, range. Every message names the
// parameter, what it got and the remedy. Strided arrays are copied; other dtypes are refused, never converted silently.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "workbench/types.hpp"

namespace workbench::python {

namespace py = pybind11;

/// A float64 argument, contiguous and aligned, kept alive as long as this lives.
class Array {
public:
    /// `shape` as it reads in messages, such as "(N,)"; `ndim` its number of axes.
    Array(py::handle object, const char* name, int ndim, const char* shape);

    const char* name() const { return name_; }
    std::size_t size() const { return static_cast<std::size_t>(array_.size()); }
    std::size_t rows() const { return static_cast<std::size_t>(array_.shape(0)); }
    std::size_t cols() const { return static_cast<std::size_t>(array_.shape(1)); }
    const double* data() const { return array_.data(); }
    const py::array_t<double>& array() const { return array_; }

    Input vector() const { return {data(), size()}; }
    Matrix matrix() const { return {data(), rows(), cols()}; }

    const Array& like(const Array& other) const;                 ///< same shape as another argument
    const Array& has_rows(std::size_t n, const char* as) const;  ///< first axis n, as the argument `as` has it
    const Array& square() const;                                 ///< (N, N)
    const Array& symmetric() const;                              ///< to 1e-8 of the largest entry
    const Array& not_empty() const;
    const Array& finite() const;       ///< neither NaN nor infinity
    const Array& no_infinity() const;  ///< NaN passes
    const Array& at_least_zero() const;

private:
    std::string index(std::size_t flat) const;
    [[noreturn]] void refuse(std::size_t flat, const char* remedy) const;

    const char* name_;
    py::array_t<double> array_;
};

inline Array vector_argument(py::handle object, const char* name) { return {object, name, 1, "(N,)"}; }
inline Array matrix_argument(py::handle object, const char* name, const char* shape) {
    return {object, name, 2, shape};
}

/// `value` if low <= value <= high (or > low where `open`); else a ValueError.
double in_range(double value, const char* name, double low, double high, bool open_below = false);

/// The result: a new array of `shape`, or the caller's `out`, checked. A caller's array that shares memory with an
/// input is refused; where `in_place` holds, exactly the input's own memory is fine.
class Result {
public:
    Result(py::handle out, std::vector<py::ssize_t> shape, std::initializer_list<const Array*> inputs,
           bool in_place = false);

    Output vector() { return {array_.mutable_data(), static_cast<std::size_t>(array_.size())}; }
    MatrixOutput matrix() {
        return {array_.mutable_data(), static_cast<std::size_t>(array_.shape(0)),
                static_cast<std::size_t>(array_.shape(1))};
    }
    py::array_t<double> array() const { return array_; }

private:
    py::array_t<double> array_;
};

/// Runs a kernel that takes about `work_ns`, without the GIL where that pays: under contention, taking it back can cost
/// milliseconds, which a kernel of a microsecond should never risk.
template <class Kernel>
auto unlocked(double work_ns, Kernel kernel) {
    constexpr double worth_it_ns = 20'000.0;
    if (work_ns < worth_it_ns) return kernel();
    py::gil_scoped_release release;
    return kernel();
}

}  // namespace workbench::python
