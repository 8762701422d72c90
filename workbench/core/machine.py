"""What this machine is, as far as results may depend on it."""

from __future__ import annotations

from pathlib import Path

ISA_FLAGS = ("sse4_2", "avx", "avx2", "fma", "avx512f")


def instruction_sets() -> list[str] | None:
    """Vector instruction sets of this processor that matter here; None where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return None
    flags = next((x.split(":")[1].split() for x in cpuinfo.read_text().splitlines() if x.startswith("flags")), [])
    return [f for f in ISA_FLAGS if f in flags]
