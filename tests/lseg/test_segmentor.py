import torch
from mmengine.config import ConfigDict
from mmseg.models.segmentors import SegTTAModel

from mmclip.lseg.multi_scale import multi_scale_scores
from mmclip.lseg.segmentor import SumLogitsTTAModel
from tests.lseg.tiny import sample, tiny_lseg

PROTOCOL = dict(base_size=52, crop_size=48, scales=(0.5, 1.0), flip=True)


def test_the_authors_test_is_a_mode_of_the_config():
    model = tiny_lseg()
    model.test_cfg = ConfigDict(mode='multi_scale', **PROTOCOL)
    image = torch.randn(1, 3, 40, 60)
    with torch.no_grad():
        (found,) = model.predict(image, [sample((40, 60))])
        wanted = multi_scale_scores(
            model.encode_decode, image, padding=model.black, **PROTOCOL
        )
    torch.testing.assert_close(found.seg_logits.data, wanted[0])
    assert (model.black == -1).all()


def test_it_takes_more_names_than_a_chunk():
    model = tiny_lseg(chunk=2)
    model.test_cfg = ConfigDict(mode='multi_scale', **PROTOCOL)
    with torch.no_grad():
        (found,) = model.predict(torch.randn(1, 3, 32, 32), [sample((32, 32))])
    assert found.seg_logits.data.shape == (4, 32, 32)
    assert model.chunk == 2


def augmented():
    """One image as it is and mirrored, as mmengine's TTA hands them over."""
    torch.manual_seed(0)
    image = torch.randint(0, 255, (3, 64, 96), dtype=torch.uint8)
    flipped = dict(flip=True, flip_direction='horizontal')
    return image, dict(
        inputs=[[image], [image.flip(2)]],
        data_samples=[
            [sample((64, 96), img_path='x')],
            [sample((64, 96), img_path='x', **flipped)],
        ],
    )


@torch.no_grad()
def test_test_time_augmentation_sums_raw_scores():
    model = tiny_lseg()
    image, data = augmented()
    (found,) = SumLogitsTTAModel(module=model).test_step(data)
    x = model.data_preprocessor(
        dict(inputs=[image], data_samples=[sample((64, 96))])
    )['inputs']
    wanted = model(x) + model(x.flip(3)).flip(3)
    torch.testing.assert_close(
        found.seg_logits.data, wanted[0], rtol=1e-3, atol=1e-4
    )
    assert torch.equal(
        found.pred_sem_seg.data[0], found.seg_logits.data.argmax(dim=0)
    )


@torch.no_grad()
def test_mmsegs_own_augmentation_works_too():
    (found,) = SegTTAModel(module=tiny_lseg()).test_step(augmented()[1])
    assert found.pred_sem_seg.data.shape[-2:] == (64, 96)
