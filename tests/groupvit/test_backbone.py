import pytest
import torch
from torch.nn import LayerNorm

from mmclip.groupvit import GroupViTBackbone
from mmclip.registry import MODELS
from tests.groupvit.tiny import IMAGE, backbone, images, noise


@torch.no_grad()
def test_an_image_is_grouped_alike_alone_and_in_a_batch():
    model, batch = backbone().eval(), images(2)
    both, alone = model.encode(batch), model.encode(batch[1:])
    torch.testing.assert_close(both.segments[1:], alone.segments)
    other = both.labels()[1:] != alone.labels()
    assert other.float().mean() < 0.01  # near ties may round otherwise
    assert alone.pooled.shape == (1, 32)


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (8, 8), (64, 24)])
@torch.no_grad()
def test_images_of_any_size_get_maps_of_their_size(size):
    grouping = backbone().eval().encode(images(1, *size))
    grid = (-(-size[0] // 8), -(-size[1] // 8))
    assert grouping.grid == grid
    for stage, groups in ((0, 6), (1, 3), (-1, 3)):
        maps = grouping.maps(stage)
        assert maps.shape == (1, groups, *size)
        torch.testing.assert_close(maps.sum(dim=1), torch.ones(1, *size))
    assert grouping.labels(0).max() < 6


@torch.no_grad()
def test_an_odd_image_is_one_padded_with_zeros():
    model, odd = backbone().eval(), images(1, 30, 29)
    padded = torch.nn.functional.pad(odd, (0, 3, 0, 2))
    ours, whole = model.encode(odd), model.encode(padded)
    torch.testing.assert_close(ours.segments, whole.segments)
    torch.testing.assert_close(ours.maps(), whole.maps()[..., :30, :29])


@torch.no_grad()
def test_several_groups_are_used():
    grouping = backbone().eval().encode(images(2))
    assert len(grouping.labels(0).unique()) > 2
    assert len(grouping.labels().unique()) > 1


@torch.no_grad()
def test_positions_follow_the_grid_and_not_only_its_count():
    model = backbone()
    assert model.positions((4, 4)) is model.pos_embed
    assert model.positions((2, 8)).shape == (1, 16, 32)
    assert not torch.allclose(model.positions((2, 8)), model.pos_embed)
    model.pos_embed.fill_(0.5)  # resizing keeps what does not vary
    flat = model.positions((3, 7))
    torch.testing.assert_close(flat, torch.full((1, 21, 32), 0.5))


@torch.no_grad()
def test_a_hard_map_of_the_tokens_shows_each_segment_where_it_lies():
    model = backbone(out_indices=(0, 1, 2)).eval()
    first, second, third = model(images(2))
    assert first.shape == second.shape == third.shape == (2, 32, 4, 4)
    grouping = model.encode(images(2))
    patches = grouping.tokens[0].mT.unflatten(2, (4, 4))
    torch.testing.assert_close(first, patches)
    shares = grouping.assignments[1] @ grouping.assignments[0]
    spread = grouping.tokens[2].mT @ shares
    torch.testing.assert_close(third, spread.unflatten(2, (4, 4)))


@pytest.mark.parametrize(
    ('out_type', 'shape'), [('raw', (2, 3, 32)), ('avg_featmap', (2, 32))]
)
@torch.no_grad()
def test_tokens_and_their_mean_can_be_asked_for(out_type, shape):
    (out,) = backbone(out_type=out_type).eval()(images(2))
    assert out.shape == shape


@pytest.mark.parametrize(
    'stages',
    [
        dict(depths=(1, 1), num_group_tokens=(5, 0), num_output_groups=(4,)),
        dict(depths=(1,), num_group_tokens=(4,), num_output_groups=(2,)),
        dict(
            depths=(1, 1, 1, 1),
            num_group_tokens=(9, 6, 4, 0),
            num_output_groups=(8, 5, 2, 0),
        ),
        dict(  # a stage of patches alone, and one that keeps its tokens
            depths=(1, 1, 1),
            num_group_tokens=(0, 5, 2),
            num_output_groups=(0, 5),
        ),
        dict(depths=(2,), num_group_tokens=(0,), num_output_groups=()),
    ],
)
@torch.no_grad()
def test_stages_are_free_in_number_and_size(stages):
    model = backbone(**stages, out_indices=range(len(stages['depths'])))
    grouping = model.eval().encode(images(1))
    counts = [a.shape[1] for a in grouping.assignments]
    assert counts == [n for n in stages['num_output_groups'] if n]
    assert grouping.segments.shape[1] == (counts or [16])[-1]
    assert {m.shape for m in model(images(1))} == {(1, 32, 4, 4)}


def test_given_noise_decides_a_training_pass():
    model = backbone().train()
    with torch.no_grad():
        first = model.encode(images(2), noise(2)).segments
        again = model.encode(images(2), noise(2)).segments
        other = model.encode(images(2), noise(2, seed=9)).segments
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_noise_for_another_number_of_blocks_is_refused():
    with pytest.raises(ValueError, match='1 noise tensors for 2'):
        backbone().encode(images(1), noise(1)[:1])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_group_tokens=(6, 3)), '3 depths.*2 num_group_tokens'),
        (dict(num_group_tokens=(0, 3, 0)), 'stage 0 puts out 6 groups'),
        (dict(out_type='cls_token'), "out_type='cls_token'"),
    ],
)
def test_settings_that_do_not_fit_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        backbone(**options)


def test_stochastic_depth_grows_to_its_rate():
    model = backbone(drop_path_rate=0.3)
    rates = [
        getattr(block.drop_path1, 'drop_prob', 0.0)
        for stage in model.layers
        for block in stage.blocks
    ]
    torch.testing.assert_close(rates, [0.0, 0.1, 0.2, 0.3])


def test_it_is_a_backbone_in_a_config_of_mmseg():
    from tests.groupvit.tiny import IMAGE

    model = MODELS.build(
        dict(
            type='mmseg.EncoderDecoder',
            data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
            backbone=dict(
                type='mmclip.GroupViTBackbone', out_indices=(0, 2), **IMAGE
            ),
            decode_head=dict(
                type='mmseg.FCNHead',
                in_channels=[32, 32],
                in_index=[0, 1],
                input_transform='resize_concat',
                channels=8,
                num_convs=1,
                num_classes=4,
                norm_cfg=dict(type='BN'),
            ),
            test_cfg=dict(mode='whole'),
        )
    )
    with torch.no_grad():
        logits = model.eval()(images(1), mode='tensor')
    assert logits.shape == (1, 4, 4, 4)


def test_a_stem_keeps_the_grid_and_images_apart():
    model = backbone(stem_channels=(8, 12)).train()
    model.eval()
    x = images(3)
    whole = model.encode(x)
    assert whole.grid == (4, 4)
    alone = model.encode(x[1:2])
    torch.testing.assert_close(alone.segments, whole.segments[1:2])
    assert 'patch_embed.stem.0.0.weight' in model.state_dict()
    assert not any('stem' in key for key in backbone().state_dict())


def test_a_stem_that_does_not_divide_the_patch_is_refused():
    with pytest.raises(ValueError, match='does not divide patch_size=8'):
        backbone(stem_channels=(8, 8, 8, 8))


def test_a_stem_may_hold_convolutions_that_keep_the_size():
    model = backbone(stem_channels=(8, 12, 12), stem_strides=(2, 2, 1)).eval()
    assert model.encode(images(1)).grid == (4, 4)
    assert [conv[0].stride for conv in model.patch_embed.stem] == [
        (2, 2),
        (2, 2),
        (1, 1),
    ]
    with pytest.raises(ValueError, match='1 stem_strides for 2'):
        backbone(stem_channels=(8, 8), stem_strides=(2,))


def test_training_may_look_at_some_of_the_patches():
    model = backbone(patch_keep=0.3).train()
    x = images(2)
    seen, again = model.encode(x), model.encode(x)
    assert seen.assignments[0].shape == (2, 6, 5)  # of 16 patches
    assert not torch.equal(seen.tokens[0], again.tokens[0])  # others
    patches = torch.arange(16.0)[None, :, None].expand(2, 16, 3)
    kept = model.kept(patches)
    assert (kept == kept[..., :1]).all()  # a patch stays in one piece
    first, second = (set(row[:, 0].tolist()) for row in kept)
    assert len(first) == len(second) == 5
    assert first != second
    assert model.eval().encode(images(2)).maps().shape == (2, 3, 32, 32)


def test_a_gain_acts_on_the_first_weights_of_the_assignment_alone():
    torch.manual_seed(0)
    plain = GroupViTBackbone(**IMAGE).state_dict()
    torch.manual_seed(0)
    ours = GroupViTBackbone(**IMAGE, gain=4.0).state_dict()
    for key, value in plain.items():
        amplified = 'assign.q_proj.weight' in key or (
            'assign.k_proj.weight' in key
        )
        expected = value * 4 if amplified else value
        torch.testing.assert_close(ours[key], expected)


def test_without_the_residual_a_segment_is_what_was_merged():
    # a group without a patch then knows nothing of the image
    model = backbone(residual=False, num_output_groups=(6, 3)).eval()
    blocks = [s.downsample for s in model.layers if s.downsample is not None]
    groups = torch.randn(2, 6, 32)
    merged = torch.zeros(2, 6, 32)
    assert torch.equal(
        blocks[0].finish(merged, groups), blocks[0].finish(merged, -groups)
    )
    published = backbone().eval().layers[0].downsample
    assert not torch.equal(
        published.finish(merged, groups), published.finish(merged, -groups)
    )


def test_a_backbone_without_groups_takes_every_patch_for_one():
    model = backbone(num_group_tokens=(0, 0, 0), num_output_groups=()).eval()
    grouping = model.encode(images(2))
    assert grouping.segments.shape == (2, 16, 32)
    assert grouping.patch_maps().shape == (2, 16, 4, 4)
    labels = grouping.labels()
    assert labels[0, ::8, ::8].flatten().tolist() == list(range(16))


def test_an_empty_group_does_not_drown_the_others_gradients():
    model = backbone(residual=False)
    assert {model.norm.eps, model.layers[0].downsample.norm_new_x.eps} == {
        1e-2
    }
    published = backbone()
    eps = {m.eps for m in published.modules() if isinstance(m, LayerNorm)}
    assert eps == {1e-5}
