#include "arrays.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <sstream>
#include <vector>

namespace workbench::python {
namespace {

std::vector<py::ssize_t> dims(const py::array& array) { return {array.shape(), array.shape() + array.ndim()}; }

bool same_shape(const py::array& a, const py::array& b) {
    return a.ndim() == b.ndim() && std::equal(a.shape(), a.shape() + a.ndim(), b.shape());
}

// As Python prints a tuple.
std::string text_of(const std::vector<py::ssize_t>& shape) {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (i > 0) text += ", ";
        text += std::to_string(shape[i]);
    }
    return text + (shape.size() == 1 ? ",)" : ")");
}

std::string shape_of(const py::array& array) { return text_of(dims(array)); }

std::string number(double x) { return py::str(py::float_(x)); }

[[noreturn]] void fail(const std::string& message) { throw py::value_error(message); }

std::string type_name(py::handle object) { return py::str(py::type::handle_of(object).attr("__name__")); }

bool is_aligned(const py::array& array) {
    return reinterpret_cast<std::uintptr_t>(array.data()) % alignof(double) == 0;
}

// Contiguous and aligned, copied only where it is not already so.
py::array_t<double> contiguous(const py::array& array) {
    if ((array.flags() & py::array::c_style) && is_aligned(array))
        return py::reinterpret_borrow<py::array_t<double>>(array);
    return array.attr("copy")("C");
}

py::array_t<double> checked(py::handle object, const char* name, int ndim, const char* shape) {
    const auto wanted = [&] { return std::string(name) + " must be a float64 array of shape " + shape + ", got "; };
    if (!py::isinstance<py::array>(object))
        fail(wanted() + type_name(object) + "; pass numpy.asarray(" + name + ", dtype=float)");
    const auto array = py::reinterpret_borrow<py::array>(object);
    if (!py::isinstance<py::array_t<double>>(object))
        fail(wanted() + "dtype " + std::string(py::str(array.dtype())) + "; pass " + name + ".astype(float)");
    if (array.ndim() != ndim) fail(wanted() + "shape " + shape_of(array) + "; reshape " + name);
    return contiguous(array);
}

}  // namespace

Array::Array(py::handle object, const char* name, int ndim, const char* shape)
    : name_(name), array_(checked(object, name, ndim, shape)) {}

std::string Array::index(std::size_t flat) const {
    std::ostringstream text;
    text << name_ << '[';
    if (array_.ndim() == 2)
        text << flat / cols() << ", " << flat % cols();
    else
        text << flat;
    text << ']';
    return text.str();
}

void Array::refuse(std::size_t flat, const char* remedy) const {
    fail(index(flat) + " is " + number(data()[flat]) + "; " + remedy);
}

const Array& Array::like(const Array& other) const {
    if (!same_shape(array_, other.array_))
        fail(std::string(name_) + " must have the shape of " + other.name_ + ", " + shape_of(other.array_) + ", got " +
             shape_of(array_) + "; align both to the same symbols");
    return *this;
}

const Array& Array::has_rows(std::size_t n, const char* as) const {
    if (rows() != n)
        fail(std::string(name_) + " must have one entry for each of the " + std::to_string(n) + " entries of " + as +
             ", got shape " + shape_of(array_) + "; align both to the same symbols");
    return *this;
}

const Array& Array::square() const {
    if (rows() != cols())
        fail(std::string(name_) + " must be square, (N, N), got shape " + shape_of(array_) + "; pass a covariance");
    return *this;
}

const Array& Array::symmetric() const {
    double largest = 0.0;
    for (std::size_t i = 0; i < size(); ++i) largest = std::max(largest, std::abs(data()[i]));
    const Matrix m = matrix();
    for (std::size_t i = 0; i < m.rows; ++i)
        for (std::size_t j = 0; j < i; ++j)
            if (std::abs(m(i, j) - m(j, i)) > 1e-8 * largest)
                fail(index(i * m.cols + j) + " is " + number(m(i, j)) + " but " + index(j * m.cols + i) + " is " +
                     number(m(j, i)) + "; " + name_ + " must be symmetric: pass 0.5 * (" + name_ + " + " + name_ +
                     ".T) if that is rounding");
    return *this;
}

const Array& Array::not_empty() const {
    if (size() == 0)
        fail(std::string(name_) + " must not be empty, got shape " + shape_of(array_) + "; pass at least one entry");
    return *this;
}

const Array& Array::finite() const {
    for (std::size_t i = 0; i < size(); ++i)
        if (!std::isfinite(data()[i]))
            refuse(i, "it must be finite: leave the symbol or row out, or mark it unknown before this call");
    return *this;
}

const Array& Array::no_infinity() const {
    for (std::size_t i = 0; i < size(); ++i)
        if (std::isinf(data()[i])) refuse(i, "it must be finite, or NaN where it is unknown");
    return *this;
}

const Array& Array::at_least_zero() const {
    for (std::size_t i = 0; i < size(); ++i)
        if (data()[i] < 0.0) refuse(i, "it must be >= 0: check its sign and units");
    return *this;
}

double in_range(double value, const char* name, double low, double high, bool open_below) {
    const bool above = open_below ? value > low : value >= low;
    if (above && value <= high && std::isfinite(value)) return value;
    std::string bound = std::string(open_below ? "> " : ">= ") + number(low);
    if (std::isfinite(high)) bound += " and <= " + number(high);
    if (!std::isfinite(low)) bound = "finite";
    fail(std::string(name) + " must be " + bound + ", got " + number(value) + "; pass a value within the bounds");
}

Result::Result(py::handle out, std::vector<py::ssize_t> shape, std::initializer_list<const Array*> inputs,
               bool in_place) {
    if (out.is_none()) {
        array_ = py::array_t<double>(std::move(shape));
        return;
    }
    const auto remedy = [&] { return "; pass numpy.empty(" + text_of(shape) + ") or leave it out"; };
    if (!py::isinstance<py::array_t<double>>(out))
        fail("out must be a float64 array, got " + type_name(out) + remedy());
    auto given = py::reinterpret_borrow<py::array>(out);
    if (dims(given) != shape) fail("out must have shape " + text_of(shape) + ", got " + shape_of(given) + remedy());
    if (!given.writeable() || !(given.flags() & py::array::c_style) || !is_aligned(given))
        fail("out must be writeable, contiguous and aligned" + remedy());
    array_ = py::reinterpret_borrow<py::array_t<double>>(out);
    for (const Array* input : inputs) {
        const double *begin = input->data(), *end = begin + input->size(), *first = array_.data();
        const bool overlaps = first < end && begin < first + array_.size();
        const bool same = first == begin && static_cast<std::size_t>(array_.size()) == input->size();
        if (overlaps && !(in_place && same)) fail(std::string("out shares memory with ") + input->name() + remedy());
    }
}

}  // namespace workbench::python
