# Target `workbench_flags`: how every file of ours is compiled.
include(CheckCXXSourceCompiles)

add_library(workbench_flags INTERFACE)
target_compile_features(workbench_flags INTERFACE cxx_std_20)

# Same bits on every machine: no contraction into FMA, no -march=native, no -ffast-math.
# no-math-errno and no-trapping-math change no value; they let the compiler vectorise sqrt and selects.
set(workbench_compile_options -ffp-contract=off -fno-math-errno -fno-trapping-math -Wall -Wextra -Wpedantic)
if(WORKBENCH_TESTS)
  list(APPEND workbench_compile_options -Werror)
endif()
if(WORKBENCH_SANITIZE)
  # GCC's maybe-uninitialized is wrong about instrumented code, and says so in its manual.
  list(APPEND workbench_compile_options -Wno-maybe-uninitialized -fsanitize=address,undefined
       -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(workbench_flags INTERFACE -fsanitize=address,undefined)
endif()
target_compile_options(workbench_flags INTERFACE ${workbench_compile_options})

# Run-time dispatch of plain loops. With contraction off every clone computes the same bits. Clones are chosen by an
# ifunc resolver, which runs before the sanitizers are ready: off there.
set(clones_source "__attribute__((target_clones(\"default\",\"arch=x86-64-v3\",\"arch=x86-64-v4\")))
                   int f(int x) { return x; } int main() { return f(0); }")
check_cxx_source_compiles("${clones_source}" WORKBENCH_HAS_CLONES)
if(WORKBENCH_HAS_CLONES AND NOT WORKBENCH_SANITIZE)
  target_compile_definitions(workbench_flags INTERFACE WORKBENCH_CLONES_ENABLED)
endif()

find_package(OpenMP COMPONENTS CXX)
if(OpenMP_CXX_FOUND AND NOT WORKBENCH_SANITIZE)
  target_link_libraries(workbench_flags INTERFACE OpenMP::OpenMP_CXX)
endif()
