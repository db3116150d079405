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


OPEN_CLIP = dict(
    embed_dim=24,
    vision_cfg=dict(
        image_size=32, patch_size=8, width=32, layers=4, head_width=16
    ),
    text_cfg=dict(width=32, heads=2, layers=1),
)


def test_a_vit_of_open_clip_is_a_backbone_with_read_out():
    model = tiny_lseg(
        backbone=dict(
            type='mmclip.CLIPImageEncoder',
            model=OPEN_CLIP,
            out_indices=(0, 1, 2, 3),
            out_class_token=True,
            frozen=False,
        ),
        size_divisor=16,  # twice the patch
    ).train()
    image = torch.randn(2, 3, 40, 50)
    losses = model.loss(image, [sample((40, 50), label=k) for k in (0, 1)])
    losses['decode.loss_ce'].backward()
    stride_one = model.pixel_embeddings(image)
    assert stride_one.shape == (2, 16, 40, 50)
    assert model(image).shape == (2, 4, 40, 50)
    assert model.backbone.tower.visual.conv1.weight.grad.abs().sum() > 0
    assert model.neck.reassemble[0].readout[0].weight.grad.abs().sum() > 0


def test_a_resnet_is_a_backbone_without_reassembling():
    model = tiny_lseg(
        backbone=dict(
            type='mmseg.ResNet', depth=18, base_channels=8, style='pytorch'
        ),
        neck=dict(
            type='mmclip.DPTNeck', in_channels=[8, 16, 32, 64], channels=8
        ),
    )
    with torch.no_grad():
        assert model(torch.randn(1, 3, 33, 70)).shape == (1, 4, 33, 70)


def test_captions_count_whether_or_not_images_bring_their_own_names():
    model = tiny_lseg(head=dict(loss_caption=dict(loss_weight=2.0))).train()
    image = torch.randn(2, 3, 32, 32)
    size = dict(size=(32, 32))
    found = []
    for texts in ([None, None], [['sky', 'dog'], ['cow', 'boat']]):
        samples = [
            sample(**size, text=texts[0], label=0, caption='a dog'),
            sample(**size, text=texts[1], label=255, caption='a boat'),
        ]
        losses = model.loss(image, samples)
        assert losses['decode.loss_ce'].isfinite()
        found.append(losses['decode.loss_caption'])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)
    assert found[0] > 0
