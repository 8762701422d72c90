#include "workbench/dispatch.hpp"
