// The feature engines, as classes: FeatureCore (five-minute bars) and DailyCore (daily bars).
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "topics.hpp"
#include "workbench/features.hpp"
#include "workbench/features_daily.hpp"

namespace py = pybind11;

namespace {

using Array = py::array_t<double, py::array::c_style>;
using Output = py::array_t<double, py::array::c_style>;
using Rows = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;

void check(const std::string& name, const Array& a, std::vector<std::size_t> shape) {
    bool same = static_cast<std::size_t>(a.ndim()) == shape.size();
    for (std::size_t d = 0; same && d < shape.size(); ++d) same = static_cast<std::size_t>(a.shape(d)) == shape[d];
    if (same) return;
    std::string want, got;
    for (const auto n : shape) want += std::to_string(n) + ", ";
    for (py::ssize_t d = 0; d < a.ndim(); ++d) got += std::to_string(a.shape(d)) + ", ";
    throw py::value_error(name + " has shape (" + got + "), expected (" + want + ")");
}

py::array_t<double> copy(const double* data, std::vector<py::ssize_t> shape) {
    return py::array_t<double>(std::move(shape), data);
}
py::array_t<double> copy(const std::vector<double>& v) { return copy(v.data(), {static_cast<py::ssize_t>(v.size())}); }

workbench::FeatureParameters parameters(double sigma_halflife, double profile_halflife, std::size_t warmup) {
    if (!(sigma_halflife > 0) || !(profile_halflife > 0))
        throw py::value_error("half-lives must be > 0 sessions, got " + std::to_string(sigma_halflife) + " and " +
                              std::to_string(profile_halflife));
    return {sigma_halflife, profile_halflife, warmup};
}

// `table`: bars (T, 5, N) open, high, low, close, volume; or quotes (T, 5, N) bid, ask, sizes, imbalance.
template <class Row>
void gather(const Array& table, std::size_t t, std::vector<Row>& rows) {
    const std::size_t n = rows.size();
    const double* p = table.data() + t * 5 * n;
    for (std::size_t i = 0; i < n; ++i) rows[i] = {p[i], p[n + i], p[2 * n + i], p[3 * n + i], p[4 * n + i]};
}

void advance(workbench::FeatureCore& core, const Rows& bar, const Array& bars, const std::optional<Array>& quotes,
             Output& values, Output& level) {
    const std::size_t n = core.symbols(), rows = static_cast<std::size_t>(bar.size());
    const std::size_t stride = values.ndim() == 3 ? static_cast<std::size_t>(values.shape(2)) : 0;
    check("bars", bars, {rows, 5, n});
    if (quotes) check("quotes", *quotes, {rows, 5, n});
    check("level", level, {rows, n});
    check("values", values, {rows, n, std::max(stride, core.features())});
    if ((core.features() > workbench::Feature::bar_count) != quotes.has_value())
        throw py::value_error("quotes must be given exactly where the engine was made for them");
    std::vector<workbench::BarRow> bar_rows(n);
    std::vector<workbench::QuoteRow> quote_rows(n);
    double *out = values.mutable_data(), *levels = level.mutable_data();
    const std::int64_t* numbers = bar.data();
    for (std::size_t t = 0; t < rows; ++t)
        if (numbers[t] < 0 || static_cast<std::size_t>(numbers[t]) >= core.bars_in_session())
            throw py::value_error("bar_of_session " + std::to_string(numbers[t]) + " is outside a session of " +
                                  std::to_string(core.bars_in_session()) + " bars");
    py::gil_scoped_release release;
    for (std::size_t t = 0; t < rows; ++t) {
        gather(bars, t, bar_rows);
        if (quotes) gather(*quotes, t, quote_rows);
        core.advance(static_cast<std::size_t>(numbers[t]), bar_rows, quote_rows, out + t * n * stride, stride,
                     levels + t * n);
    }
}

void begin_session(workbench::FeatureCore& core, std::int64_t bars) {
    if (bars < 1 || bars > static_cast<std::int64_t>(workbench::slots))
        throw py::value_error("bars_in_session " + std::to_string(bars) + " must be 1 to 78 (five-minute bars)");
    core.begin_session(static_cast<std::size_t>(bars));
}

void daily_update(workbench::DailyCore& core, const Array& bars) {
    check("bars", bars, {5, core.symbols()});
    std::vector<workbench::BarRow> rows(core.symbols());
    gather(bars, 0, rows);
    core.update(rows);
}

}  // namespace

void bind_features(py::module_& module) {
    using workbench::DailyCore;
    using workbench::FeatureCore;
    module.def("feature_names", &workbench::feature_names, py::arg("has_quotes"));
    module.def("daily_feature_names", &workbench::daily_feature_names);

    py::class_<FeatureCore>(module, "FeatureCore", "Features of five-minute bars; see workbench.features.engine.")
        .def(py::init([](std::vector<double> signs, std::vector<int> groups, bool has_quotes, double sigma_halflife,
                         double profile_halflife, std::size_t warmup) {
                 if (signs.size() != groups.size()) throw py::value_error("signs and groups must be of one length");
                 return FeatureCore(std::move(signs), std::move(groups), has_quotes,
                                    parameters(sigma_halflife, profile_halflife, warmup));
             }),
             py::kw_only(), py::arg("signs"), py::arg("groups"), py::arg("has_quotes"),
             py::arg("sigma_halflife_sessions"), py::arg("profile_halflife_sessions"), py::arg("warmup_sessions"))
        .def("begin_session", &begin_session, py::arg("bars_in_session"))
        .def("advance", &advance, py::arg("bar_of_session").noconvert(), py::arg("bars").noconvert(),
             py::arg("quotes").noconvert(), py::arg("values").noconvert(), py::arg("level").noconvert())
        .def("end_session", &FeatureCore::end_session)
        .def_property_readonly("profile", [](const FeatureCore& c) {
            return copy(c.profile().variance().data(), {static_cast<py::ssize_t>(workbench::slots)});
        })
        .def_property_readonly("volume_profile", [](const FeatureCore& c) {
            return copy(c.profile().volume().data(), {static_cast<py::ssize_t>(workbench::slots)});
        })
        .def_property_readonly("overnight_variance", [](const FeatureCore& c) { return copy(c.overnight_variance()); })
        .def_property_readonly("daily_volume", [](const FeatureCore& c) { return copy(c.daily_volume()); })
        .def_property_readonly("half_hour_returns", [](const FeatureCore& c) {
            return copy(c.half_hour_returns().data(), {static_cast<py::ssize_t>(workbench::half_hours),
                                                       static_cast<py::ssize_t>(c.symbols())});
        });

    py::class_<DailyCore>(module, "DailyCore", "Features of daily bars; see workbench.features.engine.")
        .def(py::init([](std::vector<double> signs, std::vector<int> groups) {
                 if (signs.size() != groups.size()) throw py::value_error("signs and groups must be of one length");
                 return DailyCore(std::move(signs), std::move(groups));
             }),
             py::kw_only(), py::arg("signs"), py::arg("groups"))
        .def("update", &daily_update, py::arg("bars").noconvert())
        .def_property_readonly("values", [](const DailyCore& c) {
            return copy(c.values().data(), {static_cast<py::ssize_t>(c.symbols()),
                                            static_cast<py::ssize_t>(workbench::DailyFeature::count)});
        })
        .def_property_readonly("sigma", [](const DailyCore& c) { return copy(c.sigma()); });
}
