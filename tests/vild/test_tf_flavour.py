"""The recipe of the TensorFlow release as a whole, made small."""

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm

from mmclip.hooks import names_of
from mmclip.vild.convert import build_model
from tests.vild.test_convert import SMALL
from tests.vild.tiny import tiny_batch

METAINFO = dict(
    classes=('cat', 'dog', 'cow'),
    base_classes=('cat', 'dog', 'cow'),
    novel_classes=('yak', 'emu'),
)


@pytest.fixture(params=['', '-ensemble'])
def model(request, tmp_path):
    (tmp_path / 'small.py').write_text(SMALL.format(request.param))
    torch.manual_seed(0)
    made = build_model(Config.fromfile(tmp_path / 'small.py'))
    made.init_weights()
    names, novel = names_of(METAINFO, with_novel=True)
    made.set_vocabulary(torch.randn(len(names), 6), names)
    made.roi_head.set_novel(novel)
    return revert_sync_batchnorm(made).train()


@pytest.mark.parametrize('boxes', [2, 0])
def test_every_parameter_trains_with_and_without_boxes(model, boxes):
    losses = model.loss(*tiny_batch((4, 3), boxes=boxes, width=6))
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    assert losses['loss_distill'] > 0
    lacking = [n for n, p in model.named_parameters() if p.grad is None]
    assert not lacking
    for name, buffer in model.named_buffers():
        assert torch.isfinite(buffer.float()).all(), name


def test_rare_names_stay_in_the_softmax_as_constants(model):
    model.loss(*tiny_batch((4, 3), width=6))
    loss_cls = model.roi_head.bbox_head.loss_cls
    assert loss_cls.novel.tolist() == [False] * 3 + [True] * 2
    masked = loss_cls.mask(torch.ones(2, 6))
    assert masked[0].tolist() == [1, 1, 1, 0, 0, 1]
    assert model.roi_head.base_names.names == ['cat', 'dog', 'cow']


@torch.no_grad()
def test_it_detects_among_names_it_never_saw(model):
    model.eval()
    images, samples = tiny_batch((None, None))
    found = model.predict(images, samples)
    assert [len(s.pred_instances) for s in found] == [9, 9]
    assert found[0].pred_instances.masks.shape == (9, 64, 64)
