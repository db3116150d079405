from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from PIL import Image

from mmclip.cli import main
from mmclip.inference.export import fit, pipeline_size, window_size
from mmclip.vild.export import ExportedDetector
from tests.end_to_end.tiny import tiny_config


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Paths of a tiny config that speaks shapes-clip, and a checkpoint."""
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    folder = tmp_path_factory.mktemp('trained')
    cfg = tiny_config(folder)
    head = cfg.model.roi_head.bbox_head.cls_predictor_cfg
    head.vocabulary = dict(
        type='mmclip.Vocabulary',
        embed_dims=128,
        prompts='single',
        text_encoder=dict(type='mmclip.CLIPTextEncoder', model='shapes-clip'),
    )
    head.test_temperature = 0.3
    cfg.dump(folder / 'tiny.py')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    model.set_vocabulary(['red circle', 'blue square'])
    torch.save(dict(state_dict=model.state_dict()), folder / 'tiny.pth')
    return str(folder / 'tiny.py'), str(folder / 'tiny.pth')


def export(trained, *options):
    return main(['export', *trained, *map(str, options)])


def test_the_saved_names_go_into_a_file_that_is_checked(
    trained, tmp_path, capsys
):
    out = tmp_path / 'a.onnx'
    assert export(trained, out, '--size', 64, 96, '--check') == 0
    said = capsys.readouterr().out
    assert '2 names, images of 64 x 96' in said
    assert 'noise: equal' in said
    assert 'a drawn scene: equal' in said
    assert ExportedDetector(out).names == ['red circle', 'blue square']


def test_names_come_from_the_command_line_or_a_file(trained, tmp_path):
    out, names = tmp_path / 'a.onnx', tmp_path / 'names.txt'
    names.write_text('green star\n\n yellow circle \nred square')
    assert export(trained, out, '--text', 'a green star . red circle') == 0
    first = ExportedDetector(out)
    assert first.names == ['green star', 'red circle']
    assert first.size == (128, 128)  # of the config's test pipeline
    more = ('--names-file', names, '--vocabulary-input')
    assert export(trained, out, *more) == 0
    second = ExportedDetector(out)
    assert second.names == ['green star', 'yellow circle', 'red square']
    inputs = second.session.get_overridable_initializers()
    assert [one.name for one in inputs] == ['text_embeddings']


def test_a_file_that_answers_otherwise_is_an_exit_code(
    trained, tmp_path, capsys, monkeypatch
):
    from mmclip.vild import export as room

    image = tmp_path / 'scene.png'
    Image.fromarray(np.full((30, 60, 3), 90, np.uint8)).save(image)
    found = ExportedDetector.__call__

    def shifted(self, image):
        outputs = found(self, image)
        return dict(outputs, boxes=outputs['boxes'] + 0.1)

    monkeypatch.setattr(room.ExportedDetector, '__call__', shifted)
    out = tmp_path / 'a.onnx'
    assert export(trained, out, '--size', 64, 64, '--check', image) == 1
    said = capsys.readouterr().out
    assert f'{image}: DIFFERS' in said
    assert 'drawn scene' not in said


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--text', 'red dog'], "'dog'"),
        (['--text', ' . '], 'no name in the text'),
        (['--names-file', '{empty}'], 'holds no name'),
        (['--names-file', 'none.txt'], 'none.txt'),
        (['--size', '-1', '-1'], 'of one size'),
        (['--check', 'none.png'], 'there is no image none.png'),
    ],
)
def test_a_mistake_is_told_in_one_message(
    trained, tmp_path, capsys, options, said
):
    (tmp_path / 'empty.txt').write_text('\n')
    options = [o.format(empty=tmp_path / 'empty.txt') for o in options]
    assert export(trained, tmp_path / 'a.onnx', *options) == 1
    error = capsys.readouterr().err
    assert said in error
    assert 'Traceback' not in error
    assert not (tmp_path / 'a.onnx').exists()


def test_a_pretrained_groupvit_is_exported_by_the_same_command(
    tmp_path, capsys
):
    from mmclip.clip.scheme import PACKAGED
    from mmclip.clip.segmentor_export import ExportedSegmentor

    out = tmp_path / 'groups.onnx'
    trained = ('groupvit_shapes', str(PACKAGED['groupvit-shapes']))
    text = 'red circle . blue square . background'
    assert export(trained, out, '--text', text, '--check') == 0
    said = capsys.readouterr().out
    assert '3 names, images of 96 x 96' in said
    assert 'a drawn scene: equal' in said
    assert ExportedSegmentor(out).names == text.split(' . ')


def test_a_file_takes_one_window():
    sliding = dict(mode='slide', crop_size=(448, 320), stride=(224, 160))
    assert window_size(SimpleNamespace(test_cfg=sliding)) == (448, 320)
    assert window_size(SimpleNamespace(test_cfg=dict(mode='whole'))) is None
    assert window_size(SimpleNamespace(test_cfg=None)) is None


def test_an_image_keeps_its_ratio_on_the_mean_colour():
    image = np.full((10, 20, 3), 200, np.uint8)
    fitted = fit(image, (40, 40), (122.7, 0, 3.2))
    assert (fitted[:20] == 200).all()
    assert (fitted[20:] == (123, 0, 3)).all()
    assert fit(image, (5, 100), (0, 0, 0))[:, 10:].max() == 0


def test_a_pipeline_without_one_scale_asks_for_the_size():
    resize = dict(type='mmdet.Resize', scale=(133, 80), keep_ratio=True)
    assert pipeline_size(Compose([resize])) == (80, 133)
    short = dict(resize, scale=(2048, 448))  # as good as no longer side
    assert pipeline_size(Compose([short])) == (448, 448)
    with pytest.raises(ValueError, match='--size H W'):
        pipeline_size(Compose([]))
