import copy
import pickle

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint

from mmclip.checkpoint import CheckpointError
from mmclip.glip.convert import convert_release, read_published, recipe_for
from tests.glip.test_layout import published
from tests.glip.tiny import NAMES, build, images, sample, tiny_glip


@pytest.fixture
def detector():
    return build(tiny_glip(), seed=3).eval()


def config():
    return Config(dict(model=tiny_glip(), default_scope='mmdet'))


def own_layout(detector):
    """What a file of OpenMMLab's would hold."""
    return {k: v.clone() for k, v in detector.state_dict().items()}


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_converted_file_finds_what_its_source_found(
    tmp_path, detector, suffix
):
    source, target = tmp_path / 'source.pth', tmp_path / f'ours{suffix}'
    torch.save(dict(state_dict=own_layout(detector), meta={}), source)
    report = convert_release(read_published(source), target, config())
    assert report.complete
    assert report.layout == "OpenMMLab's"
    other = build(tiny_glip(), seed=9).eval()
    load_checkpoint(other, str(target), strict=True)
    with torch.no_grad():
        a, b = (
            m.predict(images(), [sample(NAMES)])[0].pred_instances
            for m in (detector, other)
        )
    torch.testing.assert_close(a.scores, b.scores)
    torch.testing.assert_close(a.bboxes, b.bboxes)


class Settings:
    """Stands for what a training pickles beside its weights."""

    def __reduce__(self):
        return (print, ('this must not run',))


def test_microsofts_wrapping_is_read_without_running_it(
    tmp_path, detector, capsys
):
    theirs = published(own_layout(detector))
    source = tmp_path / 'glip.pth'
    torch.save(dict(model=theirs, iteration=7, optimizer={}), source)
    assert set(read_published(source)) == set(theirs)
    torch.save(dict(model=theirs, settings=Settings()), source)
    with pytest.raises(CheckpointError, match='asks to run'):
        read_published(source)
    assert 'must not run' not in capsys.readouterr().out


def test_nothing_is_written_where_the_sides_do_not_fit(tmp_path, detector):
    state = own_layout(detector)
    state.pop('bbox_head.head.bias0')
    report = convert_release(state, tmp_path / 'x.pth', config())
    assert report.absent == ['bbox_head.head.bias0']
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r'neither of .safetensors'):
        convert_release(state, tmp_path / 'x.bin', config())


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save(dict(weight=torch.zeros(1)), tmp_path / 'x.pth')
    with pytest.raises(CheckpointError, match='holds no GLIP'):
        read_published(tmp_path / 'x.pth')
    with pytest.raises(FileNotFoundError):
        read_published(tmp_path / 'absent.pth')
    (tmp_path / 'y.pth').write_bytes(pickle.dumps([1])[:4])
    with pytest.raises(CheckpointError):
        read_published(tmp_path / 'y.pth')


@pytest.mark.parametrize(
    ('width', 'fused', 'name'),
    [(96, False, 'glip-a'), (96, True, 'glip-t'), (192, True, 'glip-l')],
)
def test_the_config_is_known_by_width_and_fusion(width, fused, name):
    state = {
        'module.backbone.body.patch_embed.norm.weight': torch.zeros(width),
        'module.rpn.head.dyhead_tower.0.DyConv.0.conv.bias': torch.zeros(1),
    }
    if fused:
        key = 'module.rpn.head.dyhead_tower.0.b_attn.gamma_v'
        state[key] = torch.zeros(1)
    assert recipe_for(state).startswith(name)
    odd = copy.copy(state)
    odd['module.backbone.body.patch_embed.norm.weight'] = torch.zeros(128)
    with pytest.raises(ValueError, match='--config'):
        recipe_for(odd)


def test_the_command_converts(tmp_path, detector, capsys):
    from mmclip.cli import main

    torch.save(own_layout(detector), tmp_path / 'theirs.pth')
    written = tmp_path / 'config.py'
    written.write_text(config().pretty_text)
    target = tmp_path / 'ours.safetensors'
    code = main(
        [
            'convert',
            'glip',
            str(tmp_path / 'theirs.pth'),
            str(target),
            '--config',
            str(written),
        ]
    )
    assert code == 0
    assert target.is_file()
    assert "OpenMMLab's layout" in capsys.readouterr().out
