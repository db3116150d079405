"""A small release is written, converted by the command, loaded and run."""

import json

import numpy as np
import pytest
import torch

from mmclip.cli import main
from mmclip.vild.convert import DX_FIRST, moved
from mmclip.vild.tf_variables import Step, plan
from tests.vild.test_tf_bundle import write_bundle
from tests.vild.test_tf_variables import released

CATEGORIES = [
    dict(id=3, name='cow', frequency='f'),
    dict(id=1, name='cat', frequency='c'),
    dict(id=2, name='yak', frequency='r'),
]
SMALL = """
_base_ = ['mmclip::vild/vild{}-tf_r50_fpn_64xb4-lsj-180k_lvis-v1.py']
extractor = dict(out_channels=4)
head = dict(in_channels=4, conv_out_channels=4)
model = dict(
    data_preprocessor=dict(pad_size_divisor=64),
    backbone=dict(base_channels=2),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=4),
    rpn_head=dict(in_channels=4, feat_channels=4),
    roi_head=dict(
        bbox_roi_extractor=extractor, mask_roi_extractor=extractor,
        mask_head=head,
        bbox_head=dict(fc_out_channels=8, cls_predictor_cfg=dict(
            temperature=1.0, vocabulary=dict(embed_dims=6)), **head)),
    test_cfg=dict(rcnn=dict(nms=dict(
        _delete_=True, type='nms', iou_threshold=0.5), max_per_img=9)))
"""


def theirs(array, step):
    """Bring one of our arrays into the layout of TensorFlow."""
    if 'dx first' in step.moved:
        shape = array.shape
        array = array.reshape(-1, 4, *shape[1:])[:, DX_FIRST].reshape(shape)
    if step.moved == 'flattened':
        return array[:, None]
    if 'regions' in step.moved:
        out = array.reshape(len(array), -1, 7, 7)  # (out, C, h, w)
        return out.transpose(2, 3, 1, 0).reshape(-1, len(array))
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T


@pytest.fixture(scope='module')
def release(tmp_path_factory):
    """Return a folder with a small ensemble release and what it holds."""
    from mmengine.config import Config

    from mmclip.vild.convert import build_model

    folder = tmp_path_factory.mktemp('release')
    for kind in ('', '-ensemble'):
        (folder / f'small{kind}.py').write_text(SMALL.format(kind))
    (folder / 'lvis.json').write_text(json.dumps(dict(categories=CATEGORIES)))
    model = build_model(Config.fromfile(folder / 'small-ensemble.py'))
    model.set_vocabulary(np.ones((3, 6)), ['a', 'b', 'c'])
    rng = np.random.default_rng(0)
    ours = {
        key: (0.3 * rng.normal(size=value.shape)).astype('<f4')
        for key, value in model.state_dict().items()
        if value.dtype == torch.float32
    }
    for key, value in ours.items():
        if key.endswith('running_var'):
            value += 1
    texts = 'roi_head.bbox_head.fc_cls.vocabulary.embeddings'
    ours[texts] /= np.linalg.norm(ours[texts], axis=1, keepdims=True)
    steps = plan(released('ensemble_r50'))
    written = {
        name: np.ascontiguousarray(theirs(ours[step.key], step))
        for name, step in steps.items()
    }
    written['global_step'] = np.array(180000, '<i8')
    written['resnet50/conv2d/kernel/Momentum'] = np.ones(4, '<f4')
    write_bundle(folder / 'model.ckpt-180000', written)
    return folder, ours, written


def convert(folder, *arguments, source='model.ckpt-180000', target='x.pth'):
    return main(
        [
            'convert',
            'vild',
            str(folder / source),
            str(folder / target),
            '--annotations',
            str(folder / 'lvis.json'),
            '--config',
            *(arguments or [str(folder / 'small-ensemble.py')]),
        ]
    )


@pytest.mark.parametrize('ending', ['.pth', '.safetensors'])
def test_a_release_becomes_a_checkpoint_that_mmengine_loads(
    release, ending, capsys
):
    from mmengine.config import Config
    from mmengine.runner import load_checkpoint

    from mmclip.vild.convert import build_model

    folder, ours, written = release
    assert convert(folder, target='done' + ending) == 0
    printed = capsys.readouterr().out
    assert f'{len(written) - 2} tensors converted, 0 of ours' in printed
    assert (
        'mask_head/conv5-mask/kernel [2, 2, 4, 4] -> '
        'roi_head.mask_head.upsample.0.weight [4, 4, 2, 2] (transposed)'
    ) in printed
    assert "the optimiser's, left out: global_step" in printed
    model = build_model(Config.fromfile(folder / 'small-ensemble.py'))
    loaded = load_checkpoint(
        model, str(folder / ('done' + ending)), 'cpu', strict=True
    )
    state = model.state_dict()
    for key, value in ours.items():
        np.testing.assert_allclose(state[key], value, rtol=1e-6, err_msg=key)
    assert model.roi_head.vocabulary.names == ['cat', 'yak', 'cow']
    assert model.roi_head.novel.tolist() == [False, True, False]
    assert loaded['meta']['dataset_meta']['classes'] == ['cat', 'yak', 'cow']
    assert 'ViLDConvFCBBoxHead' in loaded['meta']['cfg']


@torch.no_grad()
def test_the_converted_model_detects(release):
    from mmclip.inference.detector import Detector

    folder, *_ = release
    assert convert(folder, target='run.pth') == 0
    detector = Detector(str(folder / 'run.pth'), device='cpu')
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    found = detector(image, score_thr=0.0)
    assert set(found['labels']) <= {'cat', 'yak', 'cow'}
    assert len(found['labels']) == 9


def test_a_missing_variable_is_named_and_nothing_is_written(release, capsys):
    folder, _, written = release
    kept = dict(written)
    del kept['fpn/p6/bias']
    write_bundle(folder / 'fewer', kept)
    assert convert(folder, source='fewer', target='fewer.pth') == 1
    printed = capsys.readouterr()
    assert (
        'not filled by any variable: neck.fpn_convs.4.conv.bias' in printed.out
    )
    assert 'was not written' in printed.err
    assert not (folder / 'fewer.pth').exists()


def test_a_branch_that_the_config_lacks_is_named(release, capsys):
    folder, *_ = release
    small = str(folder / 'small.py')
    assert convert(folder, small, target='single.pth') == 1
    assert (
        'no place in this config: frcnn_layer_0/fast_rcnn_head/distill_conv_0'
        in capsys.readouterr().out
    )
    assert not (folder / 'single.pth').exists()


def test_an_unknown_variable_is_listed_and_left_out(release, capsys):
    folder, _, written = release
    np.savez(folder / 'more.npz', **written, **{'new/kernel': np.ones(2)})
    assert convert(folder, source='more.npz', target='more.pth') == 0
    assert 'unknown, left out: new/kernel' in capsys.readouterr().out


def test_another_shape_is_an_error(release, capsys):
    folder, _, written = release
    other = dict(written, **{'fpn/l2/bias': np.ones(5, '<f4')})
    np.savez(folder / 'other.npz', **other)
    assert convert(folder, source='other.npz', target='other.pth') == 1
    assert 'fpn/l2/bias (5,)' in capsys.readouterr().err


def test_names_must_be_as_many_as_embeddings(release, capsys):
    folder, *_ = release
    assert (
        main(
            [
                'convert',
                'vild',
                str(folder / 'model.ckpt-180000'),
                str(folder / 'x.pth'),
                '--config',
                str(folder / 'small-ensemble.py'),
            ]
        )
        == 1
    )
    assert '3 names but 1203 are known' in capsys.readouterr().err


def test_the_targets_name_tells_its_format(release, capsys):
    assert convert(release[0], target='x.npz') == 1
    assert '.safetensors' in capsys.readouterr().err


def test_what_was_there_stays_if_writing_fails(release, monkeypatch):
    from mmclip.vild import convert as room

    folder, *_ = release
    target = folder / 'kept.pth'
    target.write_text('old')

    def fail(path, state, meta):
        path.write_text('half')
        raise OSError('disk full')

    monkeypatch.setitem(room.WRITERS, '.pth', fail)
    assert convert(folder, target='kept.pth') == 1
    assert target.read_text() == 'old'
    assert not list(folder.glob('.kept*'))


# ---- layouts, against what TensorFlow computes ----


def test_a_matrix_over_regions_sees_the_same_region():
    rng = np.random.default_rng(0)
    region, kernel = rng.normal(size=(7, 7, 4)), rng.normal(size=(196, 5))
    step = Step('', 'x.shared_fcs.0.0.weight', 'transposed, regions (C, h, w)')
    ours = moved(kernel, step, channels=4)
    np.testing.assert_allclose(
        ours @ region.transpose(2, 0, 1).reshape(-1),
        region.reshape(-1) @ kernel,
        rtol=1e-4,
    )


def test_a_transposed_convolution_writes_the_same_pixels():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(3, 3, 2)).astype('<f4')  # (h, w, in)
    kernel = rng.normal(size=(2, 2, 5, 2)).astype('<f4')  # (kh, kw, out, in)
    expected = np.einsum('hwi,aboi->hawbo', image, kernel).reshape(6, 6, 5)
    weight = torch.from_numpy(moved(kernel, Step('', '', 'transposed')))
    ours = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(image).permute(2, 0, 1)[None], weight, stride=2
    )
    np.testing.assert_allclose(
        ours[0].permute(1, 2, 0), expected, rtol=1e-4, atol=1e-5
    )


def test_deltas_of_every_anchor_begin_with_x():
    bias = np.array([1, 2, 3, 4, 5, 6, 7, 8])  # dy, dx, dh, dw, twice
    ours = moved(bias, Step('', '', 'dx first'))
    assert ours.tolist() == [2, 1, 4, 3, 6, 5, 8, 7]
