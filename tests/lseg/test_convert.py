import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import load_checkpoint

from mmclip.cli import main
from mmclip.lseg.convert import convert_release, recipe_for
from tests.lseg.test_layout import released
from tests.lseg.test_text_tower import clip  # noqa: F401
from tests.lseg.tiny import NAMES, tiny_lseg, vocabulary

MODEL = """
default_scope = 'mmseg'
model = dict(
    type='mmclip.LSeg',
    backbone=dict(
        type='mmclip.LSegViT',
        model=dict(img_size=64, patch_size=16, embed_dims=32, depth=4,
                   num_heads=2),
        out_indices=(0, 1, 2, 3)),
    neck=dict(
        type='mmclip.DPTNeck', in_channels=[32] * 4, channels=8,
        reassemble=dict(out_channels=[8, 8, 16, 16], factors=[4, 2, 1, 0.5])),
    decode_head=dict(
        type='mmclip.LSegHead', in_channels=8,
        phrases={'house': 'small house'},
        vocabulary=dict(
            type='mmclip.Vocabulary', embed_dims=16, prompts='name',
            names=['sky', 'dog', 'house'],
            text_encoder=dict(type='mmclip.CLIPTextEncoder',
                              model='nowhere'))))
"""


@pytest.fixture
def config(tmp_path):
    file = tmp_path / 'tiny.py'
    file.write_text(MODEL)
    return str(file)


@pytest.fixture
def model():
    return tiny_lseg(NAMES[:3])


@pytest.fixture
def release(model, clip):  # noqa: F811
    tower = {
        f'net.clip_pretrained.{k}': v for k, v in clip.state_dict().items()
    }
    return {**released(model), **tower}


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
def test_a_release_becomes_a_file_that_mmengine_loads(
    tmp_path,
    config,
    release,
    model,
    clip,  # noqa: F811
    suffix,
    capsys,
):
    source, target = tmp_path / 'demo.ckpt', tmp_path / f'out/x{suffix}'
    torch.save({'state_dict': release, 'epoch': 3}, source)
    words = ['convert', 'lseg', str(source), str(target), '--config', config]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert 'net.' not in printed
    assert (
        'scratch.head1.weight -> decode_head.project.weight [16, 8, 1, 1]'
        in printed
    )
    assert '0 of ours missing' in printed
    assert '3 names encoded' in printed

    loaded = tiny_lseg(None)
    meta = load_checkpoint(loaded, str(target), strict=True)['meta']
    assert meta['dataset_meta']['classes'] == ['sky', 'dog', 'house']
    assert loaded.decode_head.vocabulary.names == ['sky', 'dog', 'house']
    from mmclip.clip.text import CLIPTextEncoder

    texts = CLIPTextEncoder(clip).encode(['sky', 'dog', 'small house'])
    torch.testing.assert_close(loaded.decode_head.vocabulary.embeddings, texts)
    model.set_vocabulary(texts, ['sky', 'dog', 'house'])
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(image), model(image))


def test_a_release_that_does_not_fit_writes_nothing(
    tmp_path, config, release, capsys
):
    del release['net.scratch.head1.bias']
    source, target = tmp_path / 'demo.ckpt', tmp_path / 'x.pth'
    torch.save({'state_dict': release}, source)
    words = ['convert', 'lseg', str(source), str(target), '--config', config]
    assert main(words) == 1
    assert (
        'not filled by any tensor: decode_head.project.bias'
        in capsys.readouterr().out
    )
    assert not target.exists()


def test_the_text_tower_is_checked_against_a_clip(
    tmp_path,
    config,
    release,
    clip,  # noqa: F811
):
    cfg = Config.fromfile(config)
    other = {k: v + 1 for k, v in clip.state_dict().items()}
    for known, warned in ((clip.state_dict(), False), (other, True)):
        report = convert_release(release, tmp_path / 'x.pth', cfg, known)
        assert any('against --clip' in line for line in report.text)
        assert any('warning' in line for line in report.text) == warned


def test_a_release_without_text_tower_needs_a_clip(
    tmp_path,
    config,
    model,
    clip,  # noqa: F811
):
    cfg = Config.fromfile(config)
    with pytest.raises(ValueError, match='--clip FILE'):
        convert_release(released(model), tmp_path / 'x.pth', cfg)
    report = convert_release(
        released(model), tmp_path / 'x.pth', cfg, clip.state_dict()
    )
    assert report.complete


def test_a_spatial_block_must_stand_in_the_config(tmp_path, config, clip):  # noqa: F811
    model = tiny_lseg(head=dict(spatial_block=dict(kind='depthwise')))
    with pytest.raises(ValueError, match='has a spatial block'):
        convert_release(
            released(model),
            tmp_path / 'x.pth',
            Config.fromfile(config),
            clip.state_dict(),
        )


def test_the_recipe_follows_from_the_weights():
    def release(**shapes):
        names = {'scratch.head1.weight': (1,), **shapes}
        return {k: torch.zeros(v, device='meta') for k, v in names.items()}

    patch = 'pretrained.model.patch_embed.proj.weight'
    assert 'vit-l16' in recipe_for(release(**{patch: (1024, 3, 16, 16)}))
    assert 'vit-b32' in recipe_for(release(**{patch: (768, 3, 32, 32)}))
    assert 'r101' in recipe_for(
        release(**{'pretrained.layer1.0.weight': (64, 3, 7, 7)})
    )
    with pytest.raises(ValueError, match='--config'):
        recipe_for(release(**{patch: (192, 3, 16, 16)}))


def test_every_recipe_comes_with_the_package():
    from mmclip.jobs import find_config

    patch = 'pretrained.model.patch_embed.proj.weight'
    for key, size in (
        (patch, (1024, 3, 16, 16)),
        (patch, (768, 3, 32, 32)),
        ('pretrained.layer1.0.weight', (64, 3, 7, 7)),
    ):
        state = {
            'scratch.head1.weight': torch.zeros(1),
            key: torch.zeros(size, device='meta'),
        }
        assert find_config(recipe_for(state))


def test_another_ending_is_refused(tmp_path, config, release):
    with pytest.raises(ValueError, match='ends in neither'):
        convert_release(release, tmp_path / 'x.bin', Config.fromfile(config))


def test_the_tiny_config_is_the_tiny_model(config, model):
    from mmengine.registry import MODELS, DefaultScope

    cfg = Config.fromfile(config).model
    cfg.decode_head.vocabulary = vocabulary(NAMES[:3])
    with DefaultScope.overwrite_default_scope('mmseg'):
        built = MODELS.build(cfg)
    assert built.state_dict().keys() == model.state_dict().keys()
