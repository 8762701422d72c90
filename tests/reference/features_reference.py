"""A slow, obvious feature engine: everything is recomputed from lists of all that was seen. Shares no code with cpp/.

`run(bars, signs, groups, sigma_halflife, profile_halflife, warmup)` gives a dict name -> (T, N) of most features, and
`level` (T, N), `profile` and `volume_profile` (S, 78), `overnight` and `daily_volume` (S, N).
"""

from __future__ import annotations

import math

import numpy as np

SLOTS = 78


def ewm(values, halflife):
    """Exponentially weighted mean of a list; NaN when empty."""
    if not len(values):
        return math.nan
    weights = 0.5 ** (np.arange(len(values))[::-1] / halflife)
    return float(np.dot(weights, values) / weights.sum())


def ewm_sum(values, halflife):
    weights = 0.5 ** (np.arange(len(values))[::-1] / halflife)
    return float(np.dot(weights, values)) if len(values) else 0.0


def ewm_count(values, halflife):
    return ewm_sum(np.ones(len(values)), halflife)


def clip(x, bound):
    return x if math.isnan(x) else min(max(x, -bound), bound)


def log_ratio(ratio, scale, bound):
    return math.nan if math.isnan(ratio) else (clip(scale * math.log(ratio), bound) if ratio > 1e-9 else -bound)


def over(a, b):
    return 0.0 if b == 0 else a / b


def last(values, n):
    """The last n of a list as an array; NaNs if there are fewer."""
    return np.array(values[-n:], float) if len(values) >= n else np.full(n, np.nan)


class Symbol:
    """Lists of all observed bars of one symbol, newest last."""

    def __init__(self):
        names = (
            "price mass z parkinson gk volume expected signed log_volume resid sector market squares day_volume gaps"
        )
        for name in names.split():
            setattr(self, name, [])
        self.sessions = 0
        self.seasonal = {b: [] for b in range(SLOTS)}
        self.products = []


def slot_of(bar, bars):
    return bar if bar + 12 < bars else SLOTS - (bars - bar)


def normalised(values, total):
    return values * total / values.sum()


def learn_variance(means, sessions_before):
    """Profile from the lists of session means by slot."""
    raw = np.array([max(ewm(m, run.profile_halflife), 0.02) if m else 1.0 for m in means])
    smooth = raw.copy()
    for b in range(3, SLOTS - 2):
        smooth[b] = raw[b - 1] / 4 + raw[b] / 2 + raw[b + 1] / 4
    return normalised(smooth, SLOTS)


def capped_mean(values, times):
    values = sorted(v for v in values if not math.isnan(v))
    if not values:
        return math.nan
    if len(values) >= 5 and values[len(values) // 2] > 0:
        values = [min(v, times * values[len(values) // 2]) for v in values]
    return sum(values) / len(values)


def trimmed_mean(values):
    values = sorted(v for v in values if not math.isnan(v))
    cut = int(0.25 * len(values))
    values = values[cut : len(values) - cut]
    return sum(values) / len(values) if values else math.nan


def run(bars, signs, groups, sigma_halflife, profile_halflife, warmup):
    run.profile_halflife = profile_halflife
    n_bars, n = bars.close.shape
    per_bar = sigma_halflife * SLOTS
    symbols = [Symbol() for _ in range(n)]
    out = {}
    level = np.full((n_bars, n), np.nan)
    profile, volume_profile = np.ones(SLOTS), np.full(SLOTS, 1 / SLOTS)
    variance_means, volume_means = [[] for _ in range(SLOTS)], [[] for _ in range(SLOTS)]
    market_list, facts, full_sessions = (
        [],
        {k: [] for k in ("profile", "volume_profile", "overnight", "daily_volume")},
        0,
    )

    def put(name, t, i, value):
        out.setdefault(name, np.full((n_bars, n), np.nan))[t, i] = value

    for _session, start, stop in bars.sessions():
        count = int(bars.bars_in_session[start])
        slots = [slot_of(b, count) for b in range(count)]
        pooled = (sum(ewm_sum(s.gaps, profile_halflife) for s in symbols) + 0.43 * 5) / (
            sum(ewm_count(s.gaps, profile_halflife) for s in symbols) + 5
        )
        ratio = [
            (ewm_sum(s.gaps, profile_halflife) + 10 * pooled) / (ewm_count(s.gaps, profile_halflife) + 10)
            for s in symbols
        ]
        v_start = [ewm(s.squares, per_bar) if s.sessions else math.nan for s in symbols]
        facts["profile"].append(profile)
        facts["volume_profile"].append(volume_profile)
        facts["overnight"].append(
            [r * SLOTS * v if s.sessions >= warmup else math.nan for r, v, s in zip(ratio, v_start, symbols)]
        )
        facts["daily_volume"].append([ewm(s.day_volume, sigma_halflife) for s in symbols])
        today = [{"bars": [], "squares": {}, "z": [], "mass": 0.0, "first30": math.nan} for _ in symbols]
        for t in range(start, stop):
            b = int(bars.bar_of_session[t])
            z_now, there = np.full(n, np.nan), ~np.isnan(bars.close[t])
            now = [None] * n
            for i in np.flatnonzero(there):
                s, d = symbols[i], today[i]
                o, h, l, c, volume = (x[t, i] for x in (bars.open, bars.high, bars.low, bars.close, bars.volume))  # noqa: E741
                v = ewm(s.squares, per_bar) if s.sessions else math.nan
                first = not d["bars"]
                before = math.log(o) if first else s.price[-1]
                r = math.log(c) - before
                since = b if first else d["bars"][-1] + 1
                mass = sum(profile[slots[k]] for k in range(since, b + 1))
                gap, gap_mass = math.nan, 0.0
                if first and s.price:
                    gap, gap_mass = math.log(o) - s.price[-1], ratio[i] * SLOTS
                    if s.sessions:
                        s.gaps.append(min(gap**2 / (SLOTS * v_start[i]), 100))
                if first:
                    d |= {"open": math.log(o), "before": s.price[-1] if s.price else math.nan, "gap": gap,
                          "high": h, "low": l, "volume": 0.0, "expected": 0.0, "value": 0.0}  # fmt: skip
                if first or b == d["bars"][-1] + 1:
                    d["squares"][slots[b]] = r * r
                d["bars"].append(b)
                d["mass"] += mass
                d["high"], d["low"] = max(d["high"], h), min(d["low"], l)
                z = clip(r / math.sqrt(v * mass), 10) if s.sessions else math.nan
                square = r * r / mass
                s.squares.append(min(square, 100 * ewm(s.squares, per_bar)) if s.sessions else square)
                s.price.append(math.log(c))
                s.mass.append((s.mass[-1] if s.mass else 0.0) + mass + gap_mass)
                if math.isnan(d["first30"]) or b < 6:
                    base = d["open"] if math.isnan(d["before"]) else d["before"]
                    extra = 0.0 if math.isnan(d["before"]) else ratio[i] * SLOTS
                    d["first30"] = (math.log(c) - base) / math.sqrt(v * (d["mass"] + extra)) if s.sessions else math.nan
                if s.sessions:
                    if d["z"]:
                        s.products.append(z * d["z"][-1])
                    d["z"].append(z)
                    s.z.append(z)
                    expected = v * profile[slots[b]]
                    s.parkinson.append(math.log(h / l) ** 2 / (4 * math.log(2)) / expected)
                    s.gk.append((0.5 * math.log(h / l) ** 2 - (2 * math.log(2) - 1) * math.log(c / o) ** 2) / expected)
                place = over(2 * c - h - l, h - l)
                usual = ewm(s.day_volume, sigma_halflife) * volume_profile[slots[b]]
                s.volume.append(volume)
                s.signed.append(place * volume)
                d["volume"] += volume
                d["value"] += volume * (h + l + c) / 3
                vr = math.nan
                if usual > 0:
                    d["expected"] += usual
                    s.expected.append(usual)
                    vr = volume / usual
                    s.log_volume.append(log_ratio(vr, 1, 5))
                z_now[i] = z
                now[i] = (v, gap, vr, place, o, h, l, c)
                level[t, i] = ewm(s.squares, per_bar)
            for i in range(n):
                if symbols[i].sessions < warmup:
                    level[t, i] = math.nan
                elif not there[i]:
                    level[t, i] = ewm(symbols[i].squares, per_bar)
            known = [i for i in range(n) if not math.isnan(z_now[i])]
            market = float(np.mean([signs[i] * z_now[i] for i in known])) if known else math.nan
            if known:
                market_list.append(market)
            resid = np.full(n, np.nan)
            betas = [beta(s, signs[i]) for i, s in enumerate(symbols)]
            for i in known:
                resid[i] = z_now[i] - betas[i] * market
            sector = resid.copy()
            for i in known:
                peers = [signs[j] * resid[j] for j in known if groups[j] == groups[i]]
                if groups[i] >= 0 and len(peers) > 1:
                    sector[i] -= signs[i] * np.mean(peers)
            for i in np.flatnonzero(there):
                s, d = symbols[i], today[i]
                if i in known:
                    s.market.append((z_now[i], market))
                    s.resid.append(resid[i])
                    s.sector.append(sector[i])
                    s.seasonal[slots[b]].append(resid[i])
                if s.sessions < warmup:
                    continue
                v, gap, vr, place, o, h, l, c = now[i]  # noqa: E741
                price, mass = np.array(s.price), np.array(s.mass)
                for k in (1, 2, 3, 6, 12, 24, 78):
                    if len(price) > k:
                        put(
                            f"ret_{k}",
                            t,
                            i,
                            clip((price[-1] - price[-1 - k]) / math.sqrt(v * (mass[-1] - mass[-1 - k])), 5),
                        )
                put("ret_open", t, i, clip((price[-1] - d["open"]) / math.sqrt(v * d["mass"]), 5))
                put("ret_first30", t, i, clip(d["first30"], 5))
                put("gap", t, i, clip(d["gap"] / math.sqrt(v * ratio[i] * SLOTS), 5))
                put("vol_fast", t, i, log_ratio(ewm([x * x for x in s.z], 6), 0.5, 2))
                put("vol_slow", t, i, log_ratio(ewm([x * x for x in s.z], 39), 0.5, 2))
                put("vol_level", t, i, log_ratio(v / ewm(s.squares[:-1], 4 * per_bar), 0.5, 1.5))
                put("vol_parkinson", t, i, log_ratio(last(s.parkinson, 12).mean(), 0.5, 2))
                put("vol_garman_klass", t, i, log_ratio(last(s.gk, 12).mean(), 0.5, 2))
                for k in (12, 39):
                    put(f"rsi_{k}", t, i, over(last(s.z, k).sum(), np.abs(last(s.z, k)).sum()))
                for k in (12, 39, 78):
                    scale = math.sqrt(v * (mass[-1] - mass[-k]) / 3) if len(mass) >= k else math.nan
                    put(f"ma_{k}", t, i, clip((price[-1] - last(s.price, k).mean()) / scale, 5))
                put("macd", t, i, clip((ewm(s.price, 6) - ewm(s.price, 24)) / math.sqrt(v) / 2.79, 5))
                put("bollinger_24", t, i, clip((price[-1] - last(s.price, 24).mean()) / last(s.price, 24).std(), 4))
                put("volume_ratio", t, i, log_ratio(vr, 1, 3))
                put("volume_ratio_6", t, i, log_ratio(last(s.volume, 6).sum() / last(s.expected, 6).sum(), 1, 3))
                put(
                    "volume_z",
                    t,
                    i,
                    clip(over(s.log_volume[-1] - last(s.log_volume, 78).mean(), last(s.log_volume, 78).std()), 4),
                )
                put("volume_day", t, i, log_ratio(d["volume"] / d["expected"], 1, 2))
                put("signed_volume", t, i, place * min(3.0, vr))
                for k in (6, 24):
                    put(f"signed_volume_{k}", t, i, over(last(s.signed, k).sum(), last(s.volume, k).sum()))
                put(
                    "vwap",
                    t,
                    i,
                    clip((price[-1] - math.log(d["value"] / d["volume"])) / math.sqrt(v * d["mass"] / 3), 5),
                )
                put("day_position", t, i, (c - d["low"]) / (d["high"] - d["low"]) - 0.5)
                put(
                    "day_range",
                    t,
                    i,
                    log_ratio(math.log(d["high"] / d["low"]) / math.sqrt(v * d["mass"]) / 1.596, 1, 2),
                )
                put("body", t, i, over(c - o, h - l))
                put("autocov", t, i, clip(ewm(s.products, 39), 1))
                rms = math.sqrt(ewm([m * m for m in market_list], 390))
                for k in (1, 3, 12):
                    put(f"market_{k}", t, i, clip(signs[i] * last(market_list, k).sum() / math.sqrt(k) / rms, 5))
                    put(f"resid_{k}", t, i, clip(last(s.resid, k).sum() / math.sqrt(k), 5))
                    put(f"sector_resid_{k}", t, i, clip(last(s.sector, k).sum() / math.sqrt(k), 5))
                put("beta", t, i, clip(betas[i], 3))
                ahead = [seasonal(s.seasonal[(slots[b] + j) % SLOTS], profile_halflife) for j in range(1, 7)]
                put("seasonal_1", t, i, clip(ahead[0], 4))
                put("seasonal_6", t, i, clip(sum(ahead) / math.sqrt(6), 4))
        if count == SLOTS:
            scale = [v if v > 0 else np.mean(list(d["squares"].values()) or [math.nan]) for v, d in zip(v_start, today)]
            means = [
                capped_mean([d["squares"].get(k, math.nan) / s for d, s in zip(today, scale)], 25) for k in range(SLOTS)
            ]
            if full_sessions >= 5:
                means = [min(m, 20 * p) for m, p in zip(means, profile)]
            usual = min(1.0, 4 * sum(not math.isnan(m) for m in means) / np.nansum(means)) if full_sessions else 1.0
            for k in range(SLOTS):
                if not math.isnan(means[k]):
                    variance_means[k].append(means[k] * usual)
            new_profile = learn_variance(variance_means, full_sessions)
            for k in range(SLOTS):
                shares = []
                for i, d in enumerate(today):
                    rows = {slot_of(int(bars.bar_of_session[t]), count): bars.volume[t, i] for t in range(start, stop)}
                    whole = len(d["bars"]) >= 0.95 * SLOTS
                    shares.append(rows[k] / d["volume"] if whole else math.nan)
                if not math.isnan(share := trimmed_mean(shares)):
                    volume_means[k].append(share)
            new_volume = normalised(
                np.array([max(ewm(m, profile_halflife), 1e-4) if m else 1 / SLOTS for m in volume_means]), 1.0
            )
            full_sessions += 1
        else:
            new_profile, new_volume = profile, volume_profile
        for s, d in zip(symbols, today):
            if 2 * len(d["bars"]) < count:
                continue
            s.sessions += 1
            share = sum(volume_profile[slots[b]] for b in d["bars"])
            if share >= 0.5 * count / SLOTS:
                volume, mean = d["volume"] / share, ewm(s.day_volume, sigma_halflife)
                s.day_volume.append(min(volume, 6 * mean) if mean > 0 else volume)
        profile, volume_profile = new_profile, new_volume
    return out | {"level": level} | {k: np.array(v) for k, v in facts.items()}


def beta(symbol, sign):
    if not symbol.market:
        return sign
    z, m = np.array(symbol.market).T
    total, square = ewm_sum(m * m, 390), ewm(m * m, 390)
    return (ewm_sum(z * m, 390) + 39 * square * sign) / (total + 39 * square)


def seasonal(values, halflife):
    if not values:
        return 0.0
    weights = 0.5 ** (np.arange(len(values))[::-1] / halflife)
    return float(np.dot(weights, values) / math.sqrt((weights**2).sum()))
