// Placeholder: the feature engine is bound here.
#include "topics.hpp"

void bind_features(pybind11::module_&) {}
