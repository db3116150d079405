import warnings

import pytest
import torch
import torch.nn.functional as F

from mmclip.vild.tf_layers import (
    SameConv2d,
    SameMaxPool2d,
    VectorNorm,
    biased_conv,
    pad_same,
)


@pytest.mark.parametrize(
    ('size', 'kernel', 'stride', 'before', 'after'),
    [  # worked out from TensorFlow's rule: outputs = ceil(size / stride)
        (8, 3, 2, 0, 1),
        (7, 3, 2, 1, 1),
        (8, 3, 1, 1, 1),
        (8, 1, 2, 0, 0),
        (9, 7, 2, 3, 3),
        (10, 7, 2, 2, 3),
    ],
)
def test_the_odd_pixel_is_padded_behind(size, kernel, stride, before, after):
    padded = pad_same(torch.ones(1, 1, size, size + 0), kernel, stride)
    row = padded[0, 0, padded.shape[2] // 2]
    assert len(row) == before + size + after
    assert row.nonzero().flatten().tolist() == list(
        range(before, before + size)
    )


def test_height_and_width_are_padded_each_by_its_own():
    assert pad_same(torch.ones(1, 1, 7, 8), 3, 2).shape == (1, 1, 9, 9)


def test_pooling_begins_at_the_first_pixel_and_never_takes_the_padding():
    image = -torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    pooled = SameMaxPool2d(3, 2)(image)
    assert pooled.flatten().tolist() == [-1, -3, -9, -11]
    assert not torch.equal(pooled, F.max_pool2d(image, 3, 2, 1))


def test_a_strided_convolution_begins_at_the_first_pixel():
    conv = SameConv2d(1, 1, 3, stride=2, bias=False)
    torch.nn.init.zeros_(conv.weight)
    conv.weight.data[0, 0, 0, 0] = 1
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert conv(image).flatten().tolist() == [0, 2, 8, 10]


@pytest.mark.parametrize('kind', ['BN', 'SyncBN', 'GN'])
def test_any_norm_takes_vectors(kind):
    options = dict(num_groups=2) if kind == 'GN' else {}
    norm = VectorNorm(dict(type=kind, **options), 8).eval()
    assert norm(torch.randn(3, 8)).shape == (3, 8)


def test_batch_statistics_are_those_of_one_dimension():
    vectors = torch.randn(5, 8)
    torch.testing.assert_close(
        VectorNorm(dict(type='BN'), 8)(vectors),
        torch.nn.BatchNorm1d(8)(vectors),
    )


def test_a_bias_before_a_norm_is_no_reason_to_warn():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        layer = biased_conv(2, 4, dict(type='BN'))
    assert layer.conv.bias is not None
    assert (layer(torch.randn(2, 2, 5, 5)) >= 0).all()
