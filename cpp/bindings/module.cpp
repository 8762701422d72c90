// The Python module: one bind_<topic> function per file of this folder.
#include "topics.hpp"

PYBIND11_MODULE(ibkr_trading_engine_py, module) {
    module.doc() = "Compiled kernels of workbench; use them through workbench.kernels, which documents them.";
    bind_build_info(module);
    bind_elementwise(module);
    bind_features(module);
    bind_sizing(module);
    bind_time_series(module);
}
