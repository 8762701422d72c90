#!/usr/bin/env bash
# The C++ tests: built with warnings as errors and run plainly, then once more under AddressSanitizer and
# UndefinedBehaviorSanitizer. Extra arguments go to the test program, for example `cpp/run_tests.sh "qp_size*"`.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/cpp/tools.sh"

fetch_catch2() {
    local headers="$root/cpp/build/catch2"
    if [ -d "$headers" ] || [ -e /usr/include/catch2 ] || [ -e /usr/local/include/catch2 ]; then return; fi
    # Headers only, whatever Python the wheel says it is for; the hash is checked.
    "$PYTHON" -m pip install --quiet --no-deps --ignore-requires-python --require-hashes --target "$headers.new" \
        -r "$root/cpp/tests/catch2_requirement.txt" && mv "$headers.new" "$headers" && return
    echo "Catch2 could not be fetched: install it with 'apt-get install catch2'" >&2
    exit 1
}

# build_and_run NAME [-DNAME=VALUE ...]
build_and_run() {
    local build="$root/cpp/build/tests-$1"
    shift
    configure "$build" -DWORKBENCH_PYTHON=OFF -DWORKBENCH_TESTS=ON "$@"
    "$CMAKE" --build "$build" --parallel "$JOBS" >"$build/build.log" 2>&1 || { cat "$build/build.log"; exit 1; }
    if [ "${#test_arguments[@]}" -gt 0 ]; then
        "$build/tests/workbench_tests" "${test_arguments[@]}"
    else
        "$CTEST" --test-dir "$build" --output-on-failure --no-tests=error --quiet
        "$build/tests/workbench_tests" | tail -n 2
    fi
}

test_arguments=("$@")
fetch_catch2
echo "plain"
build_and_run plain
echo "sanitized"
export UBSAN_OPTIONS=print_stacktrace=1
build_and_run sanitized -DWORKBENCH_SANITIZE=ON -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1"
