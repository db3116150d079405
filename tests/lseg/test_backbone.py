import pytest
import torch
import torch.nn.functional as F

from mmclip.lseg.backbone import LSegViT

TINY = dict(img_size=64, patch_size=16, embed_dims=32, depth=4, num_heads=2)


def backbone(**options):
    torch.manual_seed(0)
    built = LSegViT(**{'model': TINY, 'out_indices': (0, 1, 2, 3), **options})
    built.init_weights()
    return built.eval()


@pytest.mark.parametrize('batch', [1, 2])
def test_each_chosen_block_gives_a_map_and_a_class_token(batch):
    layers = backbone(out_indices=(1, -1))(torch.randn(batch, 3, 32, 96))
    assert len(layers) == 2
    for places, token in layers:
        assert places.shape == (batch, 32, 2, 6)
        assert token.shape == (batch, 32)


@torch.no_grad()
def test_a_block_is_what_timm_computes_at_the_native_size():
    built, image = backbone(), torch.randn(2, 3, 64, 64)
    tokens = built.trunk.patch_embed(image)
    cls = built.trunk.cls_token.expand(2, -1, -1)
    tokens = torch.cat([cls, tokens], 1) + built.trunk.pos_embed
    for block, found in zip(built.trunk.blocks, built.tokens(image)):
        tokens = block(tokens)
        torch.testing.assert_close(found, tokens)


def test_positions_are_resized_even_where_the_count_is_equal():
    built = backbone()
    resized = built.positions((2, 8))  # 16 patches, as 4 x 4
    image = built.trunk.pos_embed[:, 1:].reshape(1, 4, 4, 32)
    wanted = F.interpolate(
        image.permute(0, 3, 1, 2), (2, 8), mode='bilinear'
    ).flatten(2)
    torch.testing.assert_close(resized[:, 1:], wanted.transpose(1, 2))
    assert torch.equal(resized[:, :1], built.trunk.pos_embed[:, :1])
    assert built.positions((4, 4)) is built.trunk.pos_embed


def test_blocks_behind_the_last_one_are_dropped_and_all_else_is_trained():
    built = backbone(out_indices=(0, 1)).train()
    layers = built(torch.randn(1, 3, 32, 32))
    sum(p.sum() + t.sum() for p, t in layers).backward()
    assert len(built.trunk.blocks) == 2
    lacks = [n for n, p in built.named_parameters() if p.grad is None]
    assert lacks == []


def test_checkpointing_gives_the_same_gradients():
    image, found = torch.randn(1, 3, 32, 64), []
    for with_cp in (False, True):
        built = backbone(with_cp=with_cp).train()
        built(image)[-1][0].square().mean().backward()
        found.append(built.trunk.pos_embed.grad)
    torch.testing.assert_close(*found)


def test_a_model_of_timm_is_named():
    built = LSegViT('vit_tiny_patch16_224', out_indices=(2, 5, 8, 11))
    assert built.out_channels == [192] * 4
    assert built(torch.randn(1, 3, 32, 32))[0][0].shape == (1, 192, 2, 2)


def test_a_model_with_register_tokens_keeps_them_out_of_the_map():
    model = dict(TINY, reg_tokens=3)
    (places, token), *_ = backbone(model=model)(torch.randn(1, 3, 32, 48))
    assert places.shape == (1, 32, 2, 3)


def test_weights_of_another_model_are_refused(tmp_path):
    file = tmp_path / 'other.pth'
    torch.save({'cls_token': torch.zeros(1, 1, 8)}, file)
    with pytest.raises(ValueError, match='does not fit'):
        LSegViT(TINY, out_indices=(0,), weights=str(file)).init_weights()


def test_weights_of_its_own_layout_are_read(tmp_path):
    state = backbone().trunk.state_dict()
    torch.save({**state, 'head.weight': torch.zeros(3)}, tmp_path / 'w.pth')
    built = LSegViT(
        TINY, out_indices=(0, 1, 2, 3), weights=str(tmp_path / 'w.pth')
    )
    built.init_weights()
    assert torch.equal(built.trunk.pos_embed, state['pos_embed'])


def test_images_of_broken_patches_are_refused():
    with pytest.raises(ValueError, match='not whole patches'):
        backbone()(torch.randn(1, 3, 40, 64))


def test_a_network_without_blocks_is_refused():
    with pytest.raises(ValueError, match='has no blocks'):
        LSegViT('test_resnet')
