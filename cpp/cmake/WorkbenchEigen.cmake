# Target `workbench_eigen`: Eigen's headers.
# The PyPI package cmeel-eigen (<site-packages>/cmeel.prefix) comes first and alone, so that a system Eigen of another
# version is never taken silently; Debian's libeigen3-dev is the fallback.
execute_process(
  COMMAND "${Python_EXECUTABLE}" -c
          "import os, sys; places = [os.path.join(d, 'cmeel.prefix') for d in sys.path]; \
print(next(filter(os.path.isdir, places), ''))"
  OUTPUT_VARIABLE cmeel_prefix OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

# A cached folder of a build environment that pip has since deleted is no answer.
if(Eigen3_DIR AND NOT EXISTS "${Eigen3_DIR}")
  unset(Eigen3_DIR CACHE)
endif()
if(cmeel_prefix)
  find_package(Eigen3 3.4 CONFIG QUIET NO_DEFAULT_PATH PATHS "${cmeel_prefix}")
endif()
if(NOT Eigen3_FOUND)
  find_package(Eigen3 3.4 CONFIG QUIET)
endif()
if(NOT Eigen3_FOUND)
  message(FATAL_ERROR "Eigen 3.4 was not found: run `pip install cmeel-eigen==3.4.1` "
                      "(or `apt-get install libeigen3-dev`)")
endif()
message(STATUS "Eigen ${Eigen3_VERSION} from ${Eigen3_DIR}")

# Re-exported as SYSTEM headers: warnings are errors in our code, not in theirs.
get_target_property(eigen_include Eigen3::Eigen INTERFACE_INCLUDE_DIRECTORIES)
add_library(workbench_eigen INTERFACE)
target_include_directories(workbench_eigen SYSTEM INTERFACE ${eigen_include})
# MPL2_ONLY: no LGPL code. DONT_PARALLELIZE: Eigen's own threads would make the bits depend on their number.
target_compile_definitions(workbench_eigen INTERFACE EIGEN_MPL2_ONLY EIGEN_DONT_PARALLELIZE)
if(WORKBENCH_TESTS)
  target_compile_definitions(workbench_eigen INTERFACE EIGEN_RUNTIME_NO_MALLOC)  # a test forbids malloc
endif()
