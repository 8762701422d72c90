"""cpp/build_kernels.sh: after it ran, this interpreter imports the build it made, and no other."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "cpp" / "build_kernels.sh"
MODULE = "ibkr_trading_engine_py" + sysconfig.get_config_var("EXT_SUFFIX")
ENVIRONMENT = os.environ | {"PYTHON": sys.executable}


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def python(code, cwd, **extra):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT | extra, capture_output=True, text=True, check=False)


def build(**extra):
    done = subprocess.run([SCRIPT], cwd="/", env=ENVIRONMENT | extra, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_new_build_is_what_python_imports():
    assert f"built {ROOT / MODULE}" in build()
    imported = python("import ibkr_trading_engine_py as m; print(m.__file__)", ROOT).stdout.strip()
    assert digest(imported) == digest(ROOT / MODULE)


def test_a_stale_copy_that_comes_first_is_replaced(tmp_path):
    (tmp_path / MODULE).write_bytes(b"stale")
    where = python(
        "import importlib.util as u; print(u.find_spec('ibkr_trading_engine_py').origin)", "/", PYTHONPATH=str(tmp_path)
    )
    if where.stdout.strip() != str(tmp_path / MODULE):
        pytest.skip("an editable install comes before PYTHONPATH here; the test above covers it")
    assert f"built {tmp_path / MODULE}" in build(PYTHONPATH=str(tmp_path))
    assert digest(tmp_path / MODULE) == digest(ROOT / MODULE)


def test_a_missing_build_is_one_error_that_names_the_command():
    code = "import sys; sys.modules['ibkr_trading_engine_py'] = None; import workbench.kernels"
    done = python(code, ROOT)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: the compiled kernels (ibkr_trading_engine_py) are missing")
    assert "`make build`, or `cpp/build_kernels.sh`" in last


def test_importing_leaves_the_environment_as_it_was():
    code = "import os; before = dict(os.environ); import workbench.kernels; assert dict(os.environ) == before"
    assert python(code, ROOT).returncode == 0


def test_the_module_links_no_python_and_no_blas():
    """Wheels must load anywhere: no libpython, no BLAS, nothing but the compiler's runtime."""
    if not Path("/usr/bin/readelf").exists():
        pytest.skip("readelf is not installed")
    listing = subprocess.run(
        ["/usr/bin/readelf", "-d", ROOT / MODULE], capture_output=True, text=True, check=True
    ).stdout
    needed = {line.split("[")[1].rstrip("]") for line in listing.splitlines() if "NEEDED" in line}
    assert {name.split(".so")[0] for name in needed} <= {
        "libstdc++",
        "libm",
        "libgcc_s",
        "libgomp",
        "libc",
        "ld-linux-x86-64",
    }
