"""Importing bars: what is guessed, refused, quarantined and told; nothing lost, twice the same, resumable."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.core.calendar import sessions_between
from workbench.core.errors import DataError
from workbench.core.universe import Instrument, Universe
from workbench.data import importers
from workbench.data.import_report import ImportReport
from workbench.data.importers import import_bars
from workbench.data.store import Store

SHARED = Path(os.environ.get("WORKBENCH_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"SKIPPED: no real bars at {SHARED}")
MINUTE = 60_000_000_000


def frame(
    symbols: tuple[str, ...] = ("AA", "BB"), first: str = "2025-06-30", last: str = "2025-07-11", interval: int = 5
) -> pd.DataFrame:
    """Plausible bars on the whole grid, an early close among them."""
    ts = sessions_between(first, last).grid(interval)[0]
    rng = np.random.default_rng(1)
    parts = []
    for i, symbol in enumerate(symbols):
        close = 50 * (i + 1) * np.exp(np.cumsum(rng.normal(0, 1e-3, len(ts))))
        opened = np.r_[close[0], close[:-1]]
        parts.append(pd.DataFrame({
            "symbol": symbol, "ts": pd.DatetimeIndex(ts, tz="UTC"), "open": opened, "high": np.maximum(opened, close),
            "low": np.minimum(opened, close), "close": close, "volume": rng.integers(5000, 9000, len(ts)).astype(float),
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def run(data: pd.DataFrame, folder: Path, name: str = "bars.parquet", **how: object) -> tuple[ImportReport, Store]:
    """Write the frame as a file, import it, and check that no row got lost."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    data.to_parquet(path) if name.endswith("parquet") else data.to_csv(path, index=False)
    report = import_bars(path, folder / "store", **how)
    assert report.rows_in == len(data) == report.rows_kept + report.rows_quarantined
    assert sum(report.reasons.values()) == report.rows_quarantined
    lost = folder / "store" / "quarantine.parquet"
    if report.rows_quarantined:
        kept = pd.read_parquet(lost)
        assert len(kept) == report.rows_quarantined
        assert (kept["reason"].value_counts().to_dict()) == report.reasons
        assert set(kept["file"]) == {name}
    else:
        assert not lost.exists()
    return report, Store(folder / "store")


def refused(data: pd.DataFrame, folder: Path, name: str = "bars.parquet", **how: object) -> str:
    with pytest.raises(DataError) as error:
        run(data, folder, name, **how)
    return str(error.value)


def kinds(report: ImportReport) -> dict[str, str]:
    return {f.kind: f"{f.symbol} {f.when} {f.detail}" for f in report.findings}


# clean data --------------------------------------------------------------------------------------------------------


def test_clean_bars_arrive_whole(tmp_path: Path) -> None:
    data = frame()
    report, store = run(data, tmp_path)
    bars = store.serve(5)
    assert report.rows_quarantined == 0
    assert not report.findings
    assert bars.symbols == ("AA", "BB")
    assert np.isfinite(bars.close).all()
    assert np.array_equal(bars.close[:, 1], data.loc[data.symbol == "BB", "close"])
    assert bars.data_origin == report.data_origin == "bars.parquet"
    assert store.universe() == Universe.of(["AA", "BB"])


def test_twice_the_same_is_the_same_and_instant(tmp_path: Path) -> None:
    data = frame()
    first, store = run(data, tmp_path)
    stamps = {p: p.stat().st_mtime_ns for p in store.root.rglob("*.parquet")}
    again, _ = run(data, tmp_path)
    assert again.unchanged
    assert not first.unchanged
    assert again.store_digest == first.store_digest == store.digest
    assert {p: p.stat().st_mtime_ns for p in store.root.rglob("*.parquet")} == stamps
    fresh, _ = run(data, tmp_path / "elsewhere")
    assert fresh.store_digest == first.store_digest


def test_a_report_is_json_and_back(tmp_path: Path) -> None:
    bad = frame()
    bad.loc[3, "close"] = -1
    report, _ = run(bad, tmp_path)
    assert ImportReport.from_dict(report.to_dict()) == report


def test_an_interrupted_import_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = frame()
    folder = tmp_path / "bars"
    folder.mkdir()
    for symbol, part in data.groupby("symbol"):
        part.to_parquet(folder / f"{symbol}.parquet")
    read, seen = importers.read_bars, []

    def interrupted(file: Path, *rest: object) -> object:
        if file.name == "BB.parquet" and "interrupt" not in seen:
            seen.append("interrupt")
            raise KeyboardInterrupt
        seen.append(file.name)
        return read(file, *rest)

    monkeypatch.setattr(importers, "read_bars", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_bars(folder, tmp_path / "store")
    report = import_bars(folder, tmp_path / "store")
    assert seen == ["AA.parquet", "interrupt", "BB.parquet"]  # AA was not read again
    assert report.rows_kept == len(data)
    assert not (tmp_path / "store" / "imports" / "parts").exists()
    assert import_bars(folder, tmp_path / "again").store_digest == report.store_digest


def test_an_interruption_while_writing_is_repaired_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = frame()
    data.to_parquet(tmp_path / "bars.parquet")
    write = Store.write_rows

    def torn(self: Store, rows: pd.DataFrame, *rest: object) -> None:
        write(self, rows.iloc[: len(rows) // 2], *rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write_rows", torn)
    with pytest.raises(KeyboardInterrupt):
        import_bars(tmp_path / "bars.parquet", tmp_path / "store")
    monkeypatch.setattr(Store, "write_rows", write)
    report = import_bars(tmp_path / "bars.parquet", tmp_path / "store")
    assert np.isfinite(Store(tmp_path / "store").serve(5).close).all()
    assert report.store_digest == import_bars(tmp_path / "bars.parquet", tmp_path / "new").store_digest


def test_a_second_import_adds_to_the_store(tmp_path: Path) -> None:
    run(frame(last="2025-07-03"), tmp_path, "june.parquet")
    more = frame(("BB", "CC"), first="2025-07-07")
    more.to_parquet(tmp_path / "july.parquet")
    import_bars(tmp_path / "july.parquet", tmp_path / "store")
    bars = Store(tmp_path / "store").serve(5)
    assert bars.symbols == ("AA", "BB", "CC")
    assert bars.data_origin == "july.parquet+june.parquet"
    assert np.isnan(bars.close[:78, 2]).all()
    assert np.isfinite(bars.close[-78:, 2]).all()


# columns, zones, stamps --------------------------------------------------------------------------------------------


def test_columns_are_guessed_whatever_their_case_and_shown(tmp_path: Path) -> None:
    names = {
        "symbol": "Ticker",
        "ts": "DateTime",
        "open": "O",
        "high": "H",
        "low": "L",
        "close": "PX_LAST",
        "volume": "Vol.",
    }
    report, _ = run(frame().rename(columns=names).assign(note="x"), tmp_path)
    assert report.files[0].columns == names
    assert report.files[0].ignored == ("note",)
    assert "close = PX_LAST" in report.text()
    assert "not read: note" in report.text()


def test_columns_can_be_told(tmp_path: Path) -> None:
    data = frame().rename(columns={"close": "quux"})
    assert (
        "no column for close; it has symbol, ts, open, high, low, quux, volume. Map with --column close=NAME"
        in refused(data, tmp_path)
    )
    report, _ = run(data, tmp_path, columns={"close": "quux"})
    assert report.rows_quarantined == 0
    assert "has no column 'nope' for close; it has symbol" in refused(data, tmp_path, columns={"close": "nope"})
    assert "field 'clos' is unknown. Did you mean 'close'?" in refused(data, tmp_path, columns={"clos": "quux"})


def test_a_file_named_after_its_symbol_needs_no_symbol_column(tmp_path: Path) -> None:
    one = frame(("AA",)).drop(columns="symbol")
    report, _ = run(one, tmp_path, "BRK.B.csv")
    assert report.symbols == ("BRK.B",)
    assert "no column for symbol, and the file is not named after one" in refused(one, tmp_path, "2025.csv")


@pytest.mark.parametrize(
    "how", ["csv_iso", "csv_naive", "parquet_naive", "seconds", "milliseconds", "offsets", "split", "ib"]
)
def test_times_of_every_kind_mean_the_same_bar(tmp_path: Path, how: str) -> None:
    data = frame(first="2025-10-27", last="2025-11-07")  # daylight saving ends in between
    want = run(data, tmp_path / "want")[1].serve(5)
    local = data["ts"].dt.tz_convert("America/New_York")
    zone: dict[str, str] = {}
    if how == "csv_naive" or how == "parquet_naive":
        data["ts"], zone = local.dt.tz_localize(None), {"timezone": "America/New_York"}
    elif how in ("seconds", "milliseconds"):
        data["ts"] = data["ts"].dt.as_unit("ns").astype("int64") // (10**9 if how == "seconds" else 10**6)
    elif how == "offsets":
        data["ts"] = [t.isoformat() for t in local]
        assert data["ts"].str[-6:].nunique() == 2
    elif how == "ib":
        data["ts"], zone = local.dt.strftime("%Y%m%d %H:%M:%S"), {"timezone": "America/New_York"}
    elif how == "split":
        data["date"], data["time"] = local.dt.strftime("%Y-%m-%d"), local.dt.strftime("%H:%M:%S")
        data, zone = data.drop(columns="ts"), {"timezone": "America/New_York"}
    name = "bars.parquet" if how == "parquet_naive" else "bars.csv"
    got = run(data, tmp_path / "got", name, **zone)[1].serve(5)
    assert np.array_equal(got.ts, want.ts)
    assert np.array_equal(got.close, want.close)


def test_naive_times_are_refused_with_the_remedy(tmp_path: Path) -> None:
    data = frame()
    data["ts"] = data["ts"].dt.tz_localize(None)
    for name in ("bars.csv", "bars.parquet"):
        message = refused(data, tmp_path, name)
        assert "times have no time zone (the first is 2025-06-30 13:35:00)" in message
        assert "--timezone America/New_York" in message
    assert "no such zone" in refused(data, tmp_path, timezone="New York")


def test_times_with_and_without_zone_are_refused(tmp_path: Path) -> None:
    data = frame()
    text = data["ts"].astype(str)
    text[7] = text[7][:19]
    message = refused(data.assign(ts=text), tmp_path, "bars.csv")
    assert "some times have a zone (row 0" in message
    assert "some have none (row 7: 2025-06-30 14:10:00)" in message


def test_unreadable_times_go_to_quarantine(tmp_path: Path) -> None:
    data = frame()
    text = data["ts"].map(lambda t: t.isoformat())
    text[7] = "soonZ"
    text[9] = ""
    report, _ = run(data.assign(ts=text), tmp_path, "bars.csv")
    assert report.reasons == {"unreadable time": 2}
    assert report.examples["unreadable time"] == "AA unreadable time (bars.csv, row 7)"
    assert "cannot be read; write ISO 8601" in refused(data.assign(ts="soonZ"), tmp_path / "b", "bars.csv")


def test_start_stamps_are_detected_shown_and_moved_to_the_end(tmp_path: Path) -> None:
    data = frame()
    want = run(data, tmp_path / "end")[1].serve(5)
    early = data.assign(ts=data["ts"] - pd.Timedelta(minutes=5))
    report, store = run(early, tmp_path / "start")
    assert report.files[0].stamp == "start"
    assert "stamped with the bar's start (18 sessions have a bar at the open, 0 at the close)" in report.text()
    assert np.array_equal(store.serve(5).close, want.close)


def test_extended_hours_are_told_apart_by_the_opening_volume(tmp_path: Path) -> None:
    data = frame(("AA",))
    opening = data["ts"].dt.strftime("%H:%M") == "13:35"
    data.loc[opening, "volume"] = 50_000
    before = data[opening].assign(ts=lambda d: d["ts"] - pd.Timedelta(minutes=5), volume=100.0)
    both = pd.concat([data, before], ignore_index=True)
    ends, _ = run(both, tmp_path / "a")
    assert ends.files[0].stamp == "end"
    assert ends.reasons == {"outside regular hours": opening.sum()}
    after = data[data["ts"].dt.strftime("%H:%M") == "20:00"].assign(ts=lambda d: d["ts"] + pd.Timedelta(minutes=5))
    starts, _ = run(pd.concat([data, after]).assign(ts=lambda d: d["ts"] - pd.Timedelta(minutes=5)), tmp_path / "b")
    assert starts.files[0].stamp == "start"


def test_without_evidence_the_stamp_must_be_told(tmp_path: Path) -> None:
    data = frame()
    middle = data[data["ts"].dt.hour.between(15, 16)]
    assert "say --stamp start or --stamp end. A wrong answer would let the future in" in refused(middle, tmp_path)
    report, _ = run(middle, tmp_path, stamp="end")
    assert report.files[0].stamp_why == "as told"
    named, _ = run(middle.rename(columns={"ts": "bar_start"}), tmp_path / "named")
    assert named.files[0].stamp == "start"
    assert "--stamp middle: say start or end" in refused(middle, tmp_path, stamp="middle")


def test_the_interval_is_guessed_and_odd_ones_are_refused(tmp_path: Path) -> None:
    minutes, store = run(frame(interval=1, last="2025-07-02"), tmp_path / "one")
    assert minutes.interval_minutes == 1
    assert store.serve(5).shape == (3 * 78, 2)
    data = frame()
    data["ts"] = data["ts"].iloc[0] + pd.to_timedelta(np.arange(len(data)) * 7, unit="min")
    assert "bars lie 7 minutes apart; the workbench reads bars of 1 and 5 minutes" in refused(data, tmp_path)
    assert "too few bars to tell their length; give --interval" in refused(frame().iloc[[0]], tmp_path / "few")


def test_files_of_different_lengths_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    frame().to_parquet(folder / "a.parquet")
    frame(interval=1).to_parquet(folder / "b.parquet")
    with pytest.raises(DataError, match=r"different bar lengths \(1 minutes in b.parquet, 5 minutes in a.parquet\)"):
        import_bars(folder, tmp_path / "store")


def test_daily_bars_by_date_and_by_close(tmp_path: Path) -> None:
    data = frame(interval=390)
    by_close = run(data, tmp_path / "a")[1].serve(390)
    dates = data.assign(ts=data["ts"].dt.strftime("%Y-%m-%d"))
    report, store = run(dates.rename(columns={"ts": "Date"}), tmp_path / "b", "bars.csv")
    assert report.interval_minutes == 390
    assert np.array_equal(store.serve(390).close, by_close.close)
    assert np.array_equal(store.serve(390).ts, by_close.ts)
    holiday = pd.concat([dates, dates.iloc[:1].assign(ts="2025-07-04")])
    assert run(holiday, tmp_path / "c", "bars.csv")[0].reasons == {"outside regular hours": 1}


def test_hours_become_days(tmp_path: Path) -> None:
    data = frame(("AA",), interval=30)
    data = data[data["ts"].dt.minute == 0]
    report, store = run(data, tmp_path)
    assert report.files[0].interval == 60
    assert report.interval_minutes == 390
    daily = store.serve(390)
    first = data[data["ts"].dt.date == pd.Timestamp("2025-06-30").date()]
    assert daily.volume[0, 0] == first["volume"].sum()
    assert daily.high[0, 0] == first["high"].max()
    assert daily.close[0, 0] == first["close"].iloc[-1]


# bad rows ------------------------------------------------------------------------------------------------------------

BAD = {
    "no symbol": {"symbol": " "},
    "price missing": {"low": np.nan},
    "price not above zero": {"low": 0.0},
    "high and low contradict": {"high": 1.0},
    "volume missing or negative": {"volume": -5.0},
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_is_quarantined_with_its_reason_file_symbol_and_bar(tmp_path: Path, reason: str) -> None:
    data = frame()
    for column, value in BAD[reason].items():
        data.loc[10, column] = value
    report, store = run(data, tmp_path)
    assert report.reasons == {reason: 1}
    name = "" if reason == "no symbol" else "AA"
    assert report.examples[reason] == f"{name} 2025-06-30T14:25:00Z (bars.parquet, row 10)"
    assert np.isnan(store.serve(5).close[10, 0])
    lost = pd.read_parquet(store.root / "quarantine.parquet").iloc[0]
    assert (lost["row"], lost["file"], lost["reason"]) == (10, "bars.parquet", reason)


def test_bars_off_the_grid_and_outside_the_session(tmp_path: Path) -> None:
    data = frame()
    data.loc[10, "ts"] += pd.Timedelta(seconds=90)
    data.loc[77, "ts"] += pd.Timedelta(minutes=5)  # after the close
    night = data.iloc[:1].assign(ts=pd.Timestamp("2025-07-04 15:00", tz="UTC"))  # a holiday
    report, _ = run(pd.concat([data, night]), tmp_path)
    assert report.reasons == {"off grid": 1, "outside regular hours": 2}


def test_text_where_a_number_should_be(tmp_path: Path) -> None:
    data = frame().astype({"close": object})
    data.loc[4, "close"] = "n.a."
    assert run(data, tmp_path, "bars.csv")[0].reasons == {"price missing": 1}


def test_duplicates_keep_the_fuller_bar(tmp_path: Path) -> None:
    data = frame()
    thin = data.iloc[[5]].assign(volume=1.0, close=lambda d: d["low"])
    report, store = run(pd.concat([thin, data, data.iloc[[5, 6]]], ignore_index=True), tmp_path)
    assert report.reasons == {"duplicate": 2, "duplicate with other values": 1}
    assert store.serve(5).volume[5, 0] == data["volume"][5]


def test_the_same_bar_in_two_files_is_a_duplicate(tmp_path: Path) -> None:
    data = frame()
    folder = tmp_path / "two"
    folder.mkdir()
    data.to_parquet(folder / "a.parquet")
    data.iloc[:3].to_parquet(folder / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: nothing tells"):  # three bars in the middle of a day
        import_bars(folder, tmp_path / "store")
    report = import_bars(folder, tmp_path / "store", stamp="end")
    assert report.reasons == {"duplicate": 3}
    assert report.rows_in == len(data) + 3


def test_quotes_without_a_trade_are_kept_and_bad_quotes_are_not(tmp_path: Path) -> None:
    data = frame().assign(
        bid=lambda d: d["close"] - 0.01, ask=lambda d: d["close"] + 0.01, bid_size=300.0, ask_size=200.0
    )
    data.loc[3, ["open", "high", "low", "close"]] = np.nan
    data.loc[3, "volume"] = 0
    data.loc[4, "bid"] = data.loc[4, "ask"] + 1
    data.loc[5, "ask_size"] = 0
    report, store = run(data, tmp_path)
    assert report.reasons == {"crossed quote": 1, "quote not above zero": 1}
    bars = store.serve(5)
    assert bars.has_quotes
    assert np.isnan(bars.close[3, 0])
    assert np.isfinite(bars.bid[3, 0])
    assert bars.ofi is None


def test_a_second_source_seam_is_found_per_symbol(tmp_path: Path) -> None:
    data = frame(first="2025-06-02", last="2025-07-11")
    late = data["ts"] >= pd.Timestamp("2025-07-08", tz="UTC")
    data.loc[late & (data["symbol"] == "AA"), "volume"] /= 40
    report, store = run(data, tmp_path)
    assert report.reasons == {"second source": 4 * 78}
    assert "AA 2025-07-08 to 2025-07-11 volume is 40 times smaller than usual" in kinds(report)["second source"]
    assert np.isnan(store.serve(5).close[-1, 0])
    kept, _ = run(data, tmp_path / "kept", accept=("second source",))
    assert kept.rows_quarantined == 0
    assert "second source" in kinds(kept)
    assert "only second source and reused ticker can be accepted" in refused(data, tmp_path, accept=("duplicate",))


def test_a_reused_ticker_keeps_its_last_owner(tmp_path: Path) -> None:
    data = frame(first="2024-01-02", last="2024-12-31", interval=390)
    gone = (data["symbol"] == "AA") & data["ts"].between("2024-03-01", "2024-08-01")
    report, store = run(data[~gone], tmp_path)
    assert set(report.reasons) == {"reused ticker"}
    assert "AA 2024-02-29 to 2024-08-0" in kinds(report)["reused ticker"]
    bars = store.serve(390)
    assert np.isnan(bars.close[:41, 0]).all()
    assert np.isfinite(bars.close[-100:, 0]).all()
    assert "starts late" in kinds(report)


def test_a_hole_that_all_symbols_share_is_no_reuse(tmp_path: Path) -> None:
    data = frame(first="2024-01-02", last="2024-12-31", interval=390)
    report, _ = run(data[~data["ts"].between("2024-03-01", "2024-08-01")], tmp_path)
    assert report.rows_quarantined == 0
    assert "2024-03-01 to 2024-07-31 the exchange was open for 105 sessions" in kinds(report)["day without bars"]


def test_splits_are_told_with_their_ratio_and_crashes_are_not_splits(tmp_path: Path) -> None:
    data = frame(("AA", "BB", "CC"), first="2025-05-01", interval=390)
    late = data["ts"] >= pd.Timestamp("2025-06-16", tz="UTC")
    prices = ["open", "high", "low", "close"]
    data.loc[late & (data["symbol"] == "AA"), prices] /= 4
    data.loc[late & (data["symbol"] == "AA"), "volume"] *= 4
    data.loc[late & (data["symbol"] == "BB"), prices] /= 2
    data.loc[late & (data["symbol"] == "BB"), "volume"] *= 30
    report, _ = run(data, tmp_path)
    assert report.rows_quarantined == 0
    assert "AA 2025-06-16 price ratio 4" in kinds(report)["split"]
    assert "a split 4 for 1? Give adjusted prices" in kinds(report)["split"]
    assert "BB 2025-06-16" in kinds(report)["price jump"]
    assert "CC" not in str(kinds(report))


def test_late_starts_deaths_holes_and_lost_sessions_are_told(tmp_path: Path) -> None:
    data = frame(tuple("ABCDEFG"), first="2025-06-02")
    day = data["ts"].dt.strftime("%Y-%m-%d")
    drop = (
        ((data["symbol"] == "B") & (day < "2025-06-20"))
        | ((data["symbol"] == "C") & (day > "2025-06-20"))
        | ((data["symbol"] == "D") & (day == "2025-06-24"))
        | ((data["symbol"] == "E") & (day == "2025-06-24") & data["ts"].dt.hour.between(15, 16))
        | (day == "2025-06-26")
    )
    report, store = run(data[~drop], tmp_path)
    assert report.rows_quarantined == 0
    told = kinds(report)
    assert told["starts late"] == "B 2025-06-20 the others start on 2025-06-02"
    assert told["dies"] == "C 2025-06-20 the others go on to 2025-07-11"
    assert "D" in told["sessions missing"]
    assert told["missing bars"].startswith(
        "E 2025-06-24 1 sessions lack 30 minutes or more in a row; the longest run is 120"
    )
    assert told["day without bars"].startswith(" 2025-06-26 the exchange was open")
    bars = store.serve(5)
    assert np.isnan(bars.close[bars.session == np.datetime64("2025-06-26").astype(int)]).all()


def test_one_symbol_is_allowed_and_said(tmp_path: Path) -> None:
    report, store = run(frame(("AA",)), tmp_path)
    assert kinds(report)["one symbol"].startswith("AA the whole range nothing to compare it with")
    assert store.serve(5).shape[1] == 1


def test_symbols_with_nothing_usable_are_named(tmp_path: Path) -> None:
    data = frame(("AA", "BB", "CC"))
    data.loc[data["symbol"] == "CC", "close"] = 0
    report, store = run(data, tmp_path)
    assert report.unusable == ("CC",)
    assert "nothing usable at all: CC" in report.text()
    assert store.universe().symbols == ("AA", "BB")


def test_nothing_usable_at_all_is_an_error_that_names_the_first_bar(tmp_path: Path) -> None:
    message = refused(frame().assign(close=-1.0), tmp_path)
    assert "no usable bar in bars.parquet: all" in message
    assert "the first is AA 2025-06-30T13:35:00Z (bars.parquet, row 0)" in message


# files ---------------------------------------------------------------------------------------------------------------


def test_empty_and_unreadable_files(tmp_path: Path) -> None:
    assert "has a header but no rows" in refused(frame().iloc[:0], tmp_path)
    assert "has a header but no rows" in refused(frame().iloc[:0], tmp_path, "bars.csv")
    (tmp_path / "none.csv").write_bytes(b"")
    (tmp_path / "broken.parquet").write_bytes(b"not parquet at all")
    (tmp_path / "notes.txt").write_text("hello")
    for name, message in (
        ("none.csv", "none.csv is empty"),
        ("broken.parquet", "cannot be read as parquet"),
        ("notes.txt", "the workbench reads .parquet"),
        ("missing.csv", "does not exist; give a file of bars or a folder"),
    ):
        with pytest.raises(DataError, match=message):
            import_bars(tmp_path / name, tmp_path / "store")
    (tmp_path / "void").mkdir()
    with pytest.raises(DataError, match="holds no file of bars"):
        import_bars(tmp_path / "void", tmp_path / "store")


def test_an_empty_file_among_others_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "bars"
    folder.mkdir()
    frame().to_csv(folder / "a.csv.gz", index=False)
    (folder / "b.csv").write_bytes(b"")
    report = import_bars(folder, tmp_path / "store")
    assert kinds(report)["empty file"].endswith("b.csv is empty; leave it out or export it again")
    assert report.rows_kept == len(frame())


# the universe --------------------------------------------------------------------------------------------------------


def test_a_universe_file_chooses_and_orders_the_symbols(tmp_path: Path) -> None:
    data = frame(("AA", "BB", "CC"))
    listed = Universe((Instrument("CC", "ETF", 3.0), Instrument("AA", sector="TECH"), Instrument("DD")))
    report, store = run(data, tmp_path, universe=listed)
    assert report.reasons == {"not in the universe": len(data) // 3}
    assert report.unusable == ("BB",)
    assert store.universe().instruments == listed.instruments[:2]
    assert store.serve(5).symbols == ("CC", "AA")
    assert kinds(report)["no bars"].startswith("DD")


def test_real_and_simulated_bars_never_mix(tmp_path: Path) -> None:
    from workbench.data.simulate import MarketSettings, simulate

    market = simulate(MarketSettings(symbols=2, intraday_sessions=2, daily_sessions=4, minute=False))
    Store(tmp_path / "store").write(market.bars)
    assert "must not mix" in refused(frame(), tmp_path)
    frame().to_parquet(tmp_path / "embedded")
    (tmp_path / "x" / "embedded").mkdir(parents=True)
    frame().to_parquet(tmp_path / "x" / "embedded" / "a.parquet")
    assert import_bars(tmp_path / "x" / "embedded", tmp_path / "other").data_origin == "embedded (imported)"


# real bars -----------------------------------------------------------------------------------------------------------


@needs_shared
def test_a_month_of_real_bars_is_clean(tmp_path: Path) -> None:
    report = import_bars(SHARED / "us_equity_5min" / "2025-11.parquet", tmp_path)
    bars = Store(tmp_path).serve(5)
    assert report.rows_quarantined == 0
    assert len(report.symbols) == bars.shape[1] == 61
    assert len(np.unique(bars.session)) == 19
    assert (bars.bars_in_session[bars.session == np.datetime64("2025-11-28").astype(int)] == 42).all()


@needs_shared
def test_real_dirt_is_found(tmp_path: Path) -> None:
    report = import_bars(SHARED / "us_equity_5min_dirty.parquet", tmp_path)
    assert report.reasons == {"outside regular hours": 431, "second source": 507}
    seams = [f for f in report.findings if f.kind == "second source"]
    assert {f.symbol for f in seams} == {"AAPL", "QQQ", "SPY"}
    assert all(f.when == "2026-03-10 to 2026-03-12" for f in seams)


@needs_shared
def test_real_reused_tickers_and_splits_are_found(tmp_path: Path) -> None:
    data = pd.read_parquet(SHARED / "us_equity_quotes" / "daily.parquet")
    some = data[data["symbol"].isin(["SPY", "AAPL", "WM", "FB", "AAA", "USO", "BNO"])]
    report, store = run(some, tmp_path)
    reused = {f.symbol for f in report.findings if f.kind == "reused ticker"}
    assert {"WM", "FB", "AAA", "USO", "BNO"} <= reused
    splits = {(f.symbol, f.when) for f in report.findings if f.kind == "split"}
    assert {("AAPL", d) for d in ("2000-06-21", "2005-02-28", "2014-06-09", "2020-08-31")} <= splits
    assert ("AAPL", "2000-09-29") not in splits  # a crash of 48 %
    assert ("USO", "2020-04-29") in splits
    bars = store.serve(390)
    wm = np.isfinite(bars.close[:, bars.symbols.index("WM")])
    assert bars.session[wm][0] == np.datetime64("2009-08-05").astype(int)


@needs_shared
def test_real_minutes_with_quotes_and_hours(tmp_path: Path) -> None:
    data = pd.read_parquet(SHARED / "us_equity_quotes" / "minute.parquet")
    part = data[(data["symbol"] == "IBM") & (data["ts"] >= "2013-10-01") & (data["ts"] < "2013-11-01")]
    report, store = run(part, tmp_path / "minute")
    bars = store.serve(1)
    assert report.interval_minutes == 1
    assert bars.has_quotes
    assert (bars.ask[np.isfinite(bars.ask)] >= bars.bid[np.isfinite(bars.bid)]).all()
    hours = pd.read_parquet(SHARED / "us_equity_quotes" / "hour.parquet")
    part = hours[(hours["symbol"] == "IBM") & (hours["ts"] >= "2020-01-01")]
    days = run(part, tmp_path / "hour")[1].serve(390)
    daily = pd.read_parquet(SHARED / "us_equity_quotes" / "daily.parquet")
    real = daily[(daily["symbol"] == "IBM") & (daily["ts"] >= "2020-01-01")]
    assert len(days.ts) == len(real)
    assert np.median(np.abs(days.close[:, 0] / real["close"].to_numpy() - 1)) < 1e-3


@needs_shared
@pytest.mark.slow
def test_the_whole_panel_imports_in_time(tmp_path: Path) -> None:
    import time

    start = time.monotonic()
    report = import_bars(SHARED / "us_equity_5min", tmp_path)
    assert report.rows_kept == 767_952
    assert time.monotonic() - start < 60  # alone on 2 cores: under 20


def test_a_parquet_file_with_its_times_as_index_is_read(tmp_path: Path) -> None:
    data = frame(last="2025-07-02").set_index("ts")
    data.to_parquet(tmp_path / "indexed.parquet")
    report = import_bars(tmp_path / "indexed.parquet", tmp_path / "store")
    assert report.rows_kept == len(data)


def test_files_that_are_cut_short_and_columns_that_come_twice_are_named(tmp_path: Path) -> None:
    text = frame(last="2025-07-02").to_csv(index=False)
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(text.encode())[:2000])
    with pytest.raises(DataError, match=r"cut.csv.gz cannot be read .* export it again"):
        import_bars(tmp_path / "cut.csv.gz", tmp_path / "store")
    (tmp_path / "twice.csv").write_text(
        text.replace("volume", "volume,close", 1).replace("\n", ",1\n").replace(",1", "", 1)
    )
    with pytest.raises(DataError, match=r"twice\.csv has 2 columns named 'close'"):
        import_bars(tmp_path / "twice.csv", tmp_path / "store")
    (tmp_path / "semicolon.csv").write_text(text.replace(",", ";"))
    with pytest.raises(DataError, match="separated by ';'; export it separated by commas"):
        import_bars(tmp_path / "semicolon.csv", tmp_path / "store")
    table = pa.Table.from_pandas(frame(last="2025-07-02"), preserve_index=False)
    pq.write_table(table.append_column("close", table["close"]), tmp_path / "twice.parquet")
    with pytest.raises(DataError, match=r"twice\.parquet has 2 columns named 'close'"):
        import_bars(tmp_path / "twice.parquet", tmp_path / "store")


def test_a_bar_length_that_contradicts_the_bars_is_refused(tmp_path: Path) -> None:
    """Daily bars made of one 5-minute bar each, or 5-minute bars of one minute, would be wrong without a word."""
    data = frame(last="2025-07-02")
    assert "--interval 390, but its bars lie 5 minutes apart" in refused(data, tmp_path / "a", interval=390)
    assert "--interval 7: minutes per bar must be 1, 2, 3, 5," in refused(data, tmp_path / "b", interval=7)
    report, _ = run(data, tmp_path / "c", interval=1)  # sparse minutes are no contradiction
    assert report.interval_minutes == 1
