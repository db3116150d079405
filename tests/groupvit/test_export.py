import numpy as np
import pytest
import torch

from mmclip.clip.segmentor_export import (
    ExportedSegmentor,
    difference,
    export_segmentor,
)
from mmclip.groupvit.segmentor import GroupViTSegmentor
from tests.groupvit.tiny import IMAGE, sharpened

pytest.importorskip('onnxruntime')
NAMES = [f'thing {k}' for k in range(7)]
COLOURS = dict(
    type='mmseg.SegDataPreProcessor',
    bgr_to_rgb=True,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)


def segmentor(names=NAMES, **options):
    """A tiny network whose groups have different names."""
    torch.manual_seed(0)
    model = GroupViTSegmentor(
        img_encoder=IMAGE | options.pop('img_encoder', {}),
        text_encoder=dict(embed_dims=16, layers=1),
        hidden_channels=20,
        out_channels=12,
        data_preprocessor=COLOURS,
        **options,
    ).eval()
    sharpened(model.img_encoder)
    torch.nn.init.constant_(model.logit_scale, 2.0)
    if names is not None:
        model.set_vocabulary(table(model, names), names)
    return model


@torch.no_grad()
def table(model, names):
    """Embeddings near those of a picture's groups; zeros for a background."""
    torch.manual_seed(3)
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    image = torch.from_numpy(picture((48, 64))).permute(2, 0, 1)[None]
    groups = model.encode_image((image - mean) / std)[1][0]
    rows = (groups - groups.mean(dim=0)).repeat(len(names), 1)[: len(names)]
    rows = rows + 0.3 * rows.std() * torch.randn_like(rows)
    silent = torch.tensor([name == 'background' for name in names])
    return rows.masked_fill(silent[:, None], 0.0)


def picture(size, seed=0):
    """Noise on a few large blotches."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (4, 4, 3))
    zoom = [-(-side // 4) for side in size]
    image = np.kron(coarse, np.ones((*zoom, 1)))[: size[0], : size[1]]
    return (image + rng.integers(0, 56, (*size, 3))).astype(np.uint8)


@pytest.mark.parametrize(
    ('size', 'options'),
    [
        ((32, 32), {}),
        ((48, 64), dict(topk=None, assignment='hard')),
        ((36, 50), dict(topk=2)),  # sides that the patch does not divide
        ((32, 32), dict(img_encoder=dict(stem_channels=(4, 6)))),
    ],
)
def test_the_file_answers_as_torch_does(tmp_path, size, options):
    model, path = segmentor(**options), tmp_path / 'a.onnx'
    export_segmentor(model, path, size)
    exported = ExportedSegmentor(path, threads=1)
    assert exported.names == NAMES
    for seed in (0, 1):
        gap, other = difference(model, exported, picture(size, seed))
        assert gap < 1e-4
        assert other == 0
    assert len(np.unique(exported(picture(size))['labels'])) > 1


@pytest.mark.parametrize('count', [1, 4, 7, 30])
def test_other_names_are_asked_for_by_their_embeddings(exported, count):
    model, file = exported
    image = picture((48, 64))
    names = [f'other {k}' for k in range(count)]
    texts = table(model, names)
    found = file(image, texts.numpy(), scores=True)
    model.set_vocabulary(texts, names)
    with torch.no_grad():
        pixels = torch.from_numpy(image).permute(2, 0, 1)
        inputs = model.data_preprocessor(dict(inputs=[pixels.flip(0)]))
        wanted = model(inputs['inputs'])[0].numpy()
    assert found['scores'].shape == wanted.shape == (count, 48, 64)
    assert np.abs(found['scores'] - wanted).max() < 1e-4
    assert (found['labels'] == wanted.argmax(axis=0)).all()


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    model = segmentor()
    path = tmp_path_factory.mktemp('file') / 'a.onnx'
    export_segmentor(model, path, (48, 64), vocabulary_input=True)
    return model, ExportedSegmentor(path, threads=1)


def test_its_own_names_are_the_default(exported):
    model, file = exported
    model.set_vocabulary(table(model, NAMES), NAMES)
    gap, other = difference(model, file, picture((48, 64), 1))
    assert gap < 1e-4
    assert other == 0


def test_a_background_is_baked_in_but_no_input(tmp_path):
    names = ['background', *NAMES]
    model = segmentor(names, background=dict(kind='threshold', threshold=0.3))
    path = tmp_path / 'a.onnx'
    export_segmentor(model, path, (48, 64))
    file = ExportedSegmentor(path, threads=1)
    gap, other = difference(model, file, picture((48, 64)))
    assert gap < 1e-4
    assert other == 0
    assert 0 in file(picture((48, 64)))['labels']
    with pytest.raises(ValueError, match='background stands for one'):
        export_segmentor(model, path, (48, 64), vocabulary_input=True)


def test_what_is_merged_image_by_image_is_refused(tmp_path):
    model = segmentor(regions=dict(threshold=0.5))
    with pytest.raises(ValueError, match='regions= is not exported'):
        export_segmentor(model, tmp_path / 'a.onnx', (32, 32))
    assert not list(tmp_path.iterdir())
