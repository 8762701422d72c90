"""Out-of-fold forecasts as Parquet, exact to the last bit; what is not a column stands in the schema's metadata."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.errors import ArtifactError
from workbench.core.horizon import horizon
from workbench.core.types import ModelKey, OofForecasts

INTS = ("known_at", "matured_at", "fitted_until", "session", "symbol", "bucket", "fold")
FLOATS = ("label", "skip_label", "naive_label", "sigma_h", "peak", "valley")
MATRICES = ("forecast", "p_peak", "p_valley")
METADATA = b"workbench"


def write_oof(oof: OofForecasts) -> bytes:
    """Parquet (zstd) of one horizon's forecasts; the same forecasts give the same bytes."""
    columns = {name: getattr(oof, name) for name in (*INTS, *FLOATS)}
    for name in MATRICES:
        matrix = getattr(oof, name)
        columns |= {f"{name}:{i}": np.ascontiguousarray(matrix[:, i]) for i in range(matrix.shape[1])}
    about = {
        "horizon": oof.horizon.label,
        "symbols": oof.symbols,
        "keys": [list(key) for key in oof.keys],
        "barrier_families": oof.barrier_families,
        "embargo_ns": oof.embargo_ns,
        "data_origin": oof.data_origin,
    }
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(about, sort_keys=True)})
    floats = [name for name in columns if name not in INTS]
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", use_dictionary=list(INTS), write_statistics=False,
                   use_byte_stream_split=floats)  # fmt: skip
    return out.getvalue()


def read_oof(content: bytes, name: str = "oof") -> OofForecasts:
    """The forecasts of :func:`write_oof`; their provenance is checked again by construction."""
    try:
        table = pq.read_table(io.BytesIO(content))
        about = json.loads(table.schema.metadata[METADATA])
    except (pa.ArrowInvalid, TypeError, KeyError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{name} is not a Parquet table of out-of-fold forecasts: {error}") from None
    arrays: dict[str, Any] = {c: table.column(c).to_numpy() for c in (*INTS, *FLOATS)}
    for matrix, width in zip(MATRICES, (len(about["keys"]), *[len(about["barrier_families"])] * 2)):
        parts = [table.column(f"{matrix}:{i}").to_numpy() for i in range(width)]
        arrays[matrix] = np.column_stack(parts) if parts else np.empty((table.num_rows, 0))
    return OofForecasts(
        horizon=horizon(about["horizon"]), symbols=tuple(about["symbols"]),
        keys=tuple(ModelKey(*key) for key in about["keys"]), barrier_families=tuple(about["barrier_families"]),
        embargo_ns=about["embargo_ns"], data_origin=about["data_origin"], **arrays,
    )  # fmt: skip
