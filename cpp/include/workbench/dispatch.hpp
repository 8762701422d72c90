#pragma once
// WORKBENCH_CLONES before a function with a plain loop: the compiler builds it once per x86-64 level and the loader
// picks one. Contraction is off, so each clone gives the same bits. Not for Eigen, whose code is chosen by macros.
#if defined(WORKBENCH_CLONES_ENABLED) && defined(__x86_64__)
#define WORKBENCH_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define WORKBENCH_CLONES
#endif
