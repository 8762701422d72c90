import numpy as np
import pytest

from workbench.core.errors import InsufficientDataError
from workbench.models.prepare import LABEL_CLIP, Standardiser, clean, fill, make_sample, medians
from workbench.models.registry import FAMILIES

FTRL = FAMILIES["FTRLProximal"]


def test_standardised_training_rows_have_unit_scale():
    rng = np.random.default_rng(0)
    x = clean(rng.standard_normal((5000, 3)) * [1e-6, 1, 1e6] + [1, 0, -1e6])
    x[::9, 1] = np.nan
    z = Standardiser.fit(x).apply(x)
    np.testing.assert_allclose(z.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(z[~np.isnan(x[:, 1])].std(0)[1:], 1, atol=0.03)
    assert (z[::9, 1] == 0).all()
    assert np.abs(z).max() <= 5


def test_one_wild_value_does_not_flatten_a_feature():
    x = clean(np.random.default_rng(0).standard_normal((4000, 1)))
    x[7] = 1e9
    z = Standardiser.fit(x).apply(x)
    assert np.delete(z, 7).std() > 1e-7
    assert z[7] == 5


def test_features_without_information_have_no_influence():
    x = np.column_stack([np.full(100, 3.5), np.full(100, np.nan), np.full(100, 1e-30)]).astype(np.float32)
    standardiser = Standardiser.fit(x)
    assert standardiser.inverse.tolist() == [0, 0, 0]
    assert (standardiser.apply(x) == 0).all()
    assert (standardiser.apply(x + np.float32(5)) == 0).all()


def test_medians_fill():
    x = clean([[1, np.nan, np.nan], [3, 4, np.nan], [9, np.nan, np.nan]])
    assert medians(x).tolist() == [3, 4, 0]
    assert fill(x, medians(x)).tolist() == [[1, 4, 0], [3, 4, 0], [9, 4, 0]]


def test_labels_are_centred_by_weight_and_winsorised():
    y = np.r_[np.zeros(500), 100.0]
    sample = make_sample(FTRL, np.ones((501, 2)), y, np.r_[np.ones(500), 2.0], False)
    assert sample.center == pytest.approx(200 / 502)
    assert sample.y.max() == pytest.approx(LABEL_CLIP * (y - sample.center).std())
    assert sample.weight.mean() == pytest.approx(1)


def test_later_rows_come_after_the_gap():
    n = 1000
    sample = make_sample(FTRL, np.arange(n)[:, None] + 1.0, np.sin(np.arange(n)), None, False)
    early, late = sample.split(50)
    assert (len(early), len(late)) == (750, 200)
    assert late.x[0, 0] - early.x[-1, 0] == 51
    default, _ = sample.split(None)
    assert len(default) == 780
    with pytest.raises(InsufficientDataError, match=r"FTRLProximal: 1000 rows leave 0 .* a gap of 900"):
        sample.split(900)
