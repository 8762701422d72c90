# Sourced by the scripts of this folder with $root set: which Python, CMake and generator to use.
PYTHON="${PYTHON:-$root/.venv/bin/python}"
[ -x "$PYTHON" ] || PYTHON="$(command -v "$PYTHON" || command -v python3)"
bin="$(cd "$(dirname "$PYTHON")" && pwd)"
PYTHON="$bin/$(basename "$PYTHON")"
CMAKE="$bin/cmake"
[ -x "$CMAKE" ] || CMAKE="$(command -v cmake || true)"
JOBS="${JOBS:-$(getconf _NPROCESSORS_ONLN)}"
if [ -z "$CMAKE" ]; then
    echo "cmake was not found: run '$PYTHON -m pip install cmake ninja'" >&2
    exit 1
fi
CTEST="$(dirname "$CMAKE")/ctest"

# Two builds at once, of two terminals or two test workers, would write over each other: the second one waits.
mkdir -p "$root/cpp/build"
exec 9>"$root/cpp/build/.lock"
if command -v flock >/dev/null; then flock 9; fi

# configure BUILD_FOLDER [-DNAME=VALUE ...]
configure() {
    local build="$1" generator=()
    shift
    # A folder configured for a checkout that has moved since is of no use.
    local cache="$build/CMakeCache.txt"
    if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root/cpp" "$cache"; then rm -rf "$build"; fi
    if [ ! -f "$cache" ] && [ -x "$bin/ninja" ]; then
        generator=(-G Ninja -DCMAKE_MAKE_PROGRAM="$bin/ninja")
    fi
    "$CMAKE" -S "$root/cpp" -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DPython_EXECUTABLE="$PYTHON" \
        --log-level=WARNING "$@" >/dev/null
}
