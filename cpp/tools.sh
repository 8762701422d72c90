# Sourced by the scripts of this folder with $root set: which Python, CMake and generator to use.
PYTHON="${PYTHON:-$root/.venv/bin/python}"
[ -x "$PYTHON" ] || PYTHON="$(command -v python3)"
bin="$(dirname "$PYTHON")"
CMAKE="$bin/cmake"
[ -x "$CMAKE" ] || CMAKE="$(command -v cmake || true)"
CTEST="$(dirname "$CMAKE")/ctest"
JOBS="${JOBS:-2}"
if [ -z "$CMAKE" ]; then
    echo "cmake was not found: run '$PYTHON -m pip install cmake ninja'" >&2
    exit 1
fi

# configure BUILD_FOLDER [-DNAME=VALUE ...]
configure() {
    local build="$1"
    shift
    local generator=()
    # A build folder keeps the generator it was made with.
    if [ ! -f "$build/CMakeCache.txt" ] && [ -x "$bin/ninja" ]; then
        generator=(-G Ninja -DCMAKE_MAKE_PROGRAM="$bin/ninja")
    fi
    "$CMAKE" -S "$root/cpp" -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE="${BUILD_TYPE:-Release}" \
        -DPython_EXECUTABLE="$PYTHON" --log-level=WARNING "$@" >/dev/null
}
