import json

import numpy as np
import pytest
import torch

from mmclip.clip.segmentor_export import (
    ExportedSegmentor,
    difference,
    export_segmentor,
)
from tests.lseg.tiny import NAMES, TABLE, tiny_lseg

pytest.importorskip('onnxruntime')
BLOCKS = [None, dict(kind='bottleneck', depth=2), dict(kind='depthwise')]


def image_of(size, seed=1):
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3))
    return noise.astype(np.uint8)


@pytest.mark.parametrize('block', BLOCKS)
@pytest.mark.parametrize('size', [(64, 96), (50, 70), (64, 64)])
def test_the_file_answers_as_torch_does(tmp_path, block, size):
    model = tiny_lseg(head=dict(spatial_block=block))
    path = tmp_path / 'a.onnx'
    export_segmentor(model, path, size)
    exported = ExportedSegmentor(path, threads=1)
    assert exported.names == NAMES[:4]
    assert exported.size == size
    for seed in (1, 2):
        gap, other = difference(model, exported, image_of(size, seed))
        assert gap < 1e-4
        assert other < 1e-3


def test_labels_alone_are_what_is_computed_by_default(tmp_path):
    model, path = tiny_lseg(), tmp_path / 'a.onnx'
    export_segmentor(model, path, (64, 64))
    found = ExportedSegmentor(path, threads=1)(image_of((64, 64)))
    assert found.keys() == {'labels'}
    assert found['labels'].shape == (64, 64)
    assert not model.training  # the exporter left it as it was


@pytest.mark.parametrize('block', BLOCKS)
@pytest.mark.parametrize('count', [1, 4, 8])
def test_other_names_are_asked_for_by_their_embeddings(tmp_path, block, count):
    model, path = tiny_lseg(head=dict(spatial_block=block)), tmp_path / 'a'
    export_segmentor(model, path, (64, 64), vocabulary_input=True)
    exported, image = ExportedSegmentor(path, threads=1), image_of((64, 64))
    own, _ = difference(model, exported, image)
    assert own < 1e-4  # its own names are the default
    model.set_vocabulary(NAMES[:count])
    texts = model.decode_head.vocabulary.embeddings.numpy()
    with torch.no_grad():
        x = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
        wanted = model(x)[0].numpy()
    found = exported(image, texts, scores=True)['scores']
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_a_background_is_baked_in_but_no_input(tmp_path):
    background = dict(kind='threshold', threshold=0.1, name='other')
    model = tiny_lseg(None, head=dict(background=background))
    model.set_vocabulary(TABLE[[0, 1, 6]], ['sky', 'dog', 'other'])
    path = tmp_path / 'a.onnx'
    export_segmentor(model, path, (64, 64))
    gap, _ = difference(model, ExportedSegmentor(path), image_of((64, 64)))
    assert gap < 1e-4
    with pytest.raises(ValueError, match='background stands for one'):
        export_segmentor(model, path, (64, 64), vocabulary_input=True)


def test_what_cannot_be_exported_is_said(tmp_path):
    path = tmp_path / 'a.onnx'
    with pytest.raises(ValueError, match='no names to bake in'):
        export_segmentor(tiny_lseg(None), path, (64, 64))
    with pytest.raises(ValueError, match='a Linear without a vocabulary'):
        export_segmentor(torch.nn.Linear(1, 1), path, (64, 64))
    assert not list(tmp_path.iterdir())


def test_the_file_says_what_it_is(tmp_path):
    path = tmp_path / 'a.onnx'
    export_segmentor(tiny_lseg(), path, (64, 64))
    session = ExportedSegmentor(path).session
    stored = session.get_modelmeta().custom_metadata_map
    assert json.loads(stored['channel_order']) == 'rgb'
    assert json.loads(stored['embed_dims']) == 16
