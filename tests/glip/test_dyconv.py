from functools import partial

import pytest
import torch
from mmdet.models.dense_heads import atss_vlfusion_head as mmdet_head

from mmclip.glip.dyconv import DyConv


def levels(batch=1, channels=16):
    generator = torch.Generator().manual_seed(5)
    return [
        torch.randn(batch, channels, *size, generator=generator)
        for size in ((9, 12), (5, 6), (3, 3))
    ]


def both(use_dcn=True, **kwargs):
    torch.manual_seed(0)
    ours = DyConv(16, 16, num_groups=4, use_dcn=use_dcn, **kwargs)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    theirs = mmdet_head.DyConv(
        partial(mmdet_head.Conv3x3Norm, use_dcn=use_dcn, norm_type=['gn', 4]),
        16,
        16,
        use_dcn=use_dcn,
        **{'use_dyfuse': True, 'use_dyrelu': True, **kwargs},
    )
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('batch', [1, 2])
@pytest.mark.parametrize(
    'options',
    [{}, dict(use_dcn=False), dict(use_dyfuse=False, use_dyrelu=False)],
    ids=str,
)
def test_it_computes_what_mmdets_computes(batch, options):
    ours, theirs = both(**options)
    given = levels(batch)
    found = ours(given)
    wanted = theirs(dict(visual=given, lang=None))['visual']
    for a, b in zip(found, wanted):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_the_offsets_learn_through_all_three_branches():
    ours, _ = both()
    for branch in range(3):
        given = levels()
        found = ours.branches(given, 1)
        found[branch].square().sum().backward()
        assert ours.offset.weight.grad.abs().sum() > 0
        ours.zero_grad()


def test_a_single_level_mixes_with_nothing():
    ours, _ = both()
    (found,) = ours(levels()[:1])
    assert found.shape == (1, 16, 9, 12)
