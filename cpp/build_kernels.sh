#!/usr/bin/env bash
# Build the compiled module `ibkr_trading_engine_py` in place: into the root of the checkout, and over the copy that the
# interpreter would otherwise import (an editable install puts one into site-packages, and its finder comes first).
#   PYTHON=...  the interpreter to build for (default: .venv/bin/python, else python3)
#   JOBS=...    compilers at once (default: one per processor)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/cpp/tools.sh"

tag="$("$PYTHON" -c 'import sys; print(sys.implementation.cache_tag)')"
build="$root/cpp/build/inplace-$tag"
configure "$build" -DWORKBENCH_PYTHON=ON
if ! "$CMAKE" --build "$build" --target ibkr_trading_engine_py --parallel "$JOBS" >"$build/build.log" 2>&1; then
    cat "$build/build.log" >&2
    exit 1
fi
grep -A5 "warning:" "$build/build.log" >&2 || true

suffix="$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')"
built="$build/bindings/ibkr_trading_engine_py$suffix"
in_place="$root/$(basename "$built")"

# A copy beside the target and a rename: a running process keeps the file that it has mapped.
place() {
    cp "$built" "$1.new"
    mv -f "$1.new" "$1"
    echo "built $1"
}
place "$in_place"
installed="$(cd / && "$PYTHON" -c '
import importlib.util
spec = importlib.util.find_spec("ibkr_trading_engine_py")
print(spec.origin if spec else "")')"
if [ -n "$installed" ] && [ "$installed" != "$in_place" ]; then place "$installed"; fi

(cd "$root" && "$PYTHON" -c '
import ibkr_trading_engine_py as module
print("version", module.build_info()["version"], "from", module.__file__)')
