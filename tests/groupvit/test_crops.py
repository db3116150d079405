import pytest
import torch

from mmclip.groupvit.crops import merge_crops, pixels_of
from mmclip.groupvit.head import GroupFeatures
from mmclip.groupvit.segmentor import GroupViTSegmentor
from tests.groupvit.tiny import TOWERS, images, sharpened

NAMES = ['cat', 'dog', 'sofa']


def crop(groups, labels, seen=None):
    groups = torch.tensor(groups)[None]
    seen = None if seen is None else torch.tensor(seen)[None]
    image = groups.mean(dim=1)
    return GroupFeatures(image, groups, torch.tensor(labels)[None], seen)


def test_groups_that_mean_the_same_share_their_mean_by_pixels():
    first = crop([[1.0, 0.0], [0.0, 1.0]], [[0, 0, 0, 1]])
    second = crop([[4.0, 0.4], [-1.0, 0.0]], [[0, 1, 1, 1]])
    assert pixels_of(first).tolist() == [3, 1]
    a, b = merge_crops([first, second], threshold=0.9)
    near = torch.tensor([4.0, 0.4]) / torch.tensor([4.0, 0.4]).norm()
    mean = (3 * torch.tensor([1.0, 0.0]) + near) / 4
    torch.testing.assert_close(a.groups[0, 0], mean)
    torch.testing.assert_close(b.groups[0, 0], mean)
    torch.testing.assert_close(a.groups[0, 1], torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(b.groups[0, 1], torch.tensor([-1.0, 0.0]))
    assert (a.labels == first.labels).all()
    torch.testing.assert_close(a.image, b.image)


def test_what_another_clip_saw_is_shared_too():
    first = crop([[1.0, 0.0]], [[0, 0]], [[1.0, 0.0, 0.0]])
    second = crop([[1.0, 0.0]], [[0, 0]], [[0.0, 1.0, 0.0]])
    a, b = merge_crops([first, second], threshold=0.9)
    assert a.seen[0, 0].tolist() == b.seen[0, 0].tolist() == [0.5, 0.5, 0]


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    settings = TOWERS | dict(text_encoder=dict(embed_dims=16, layers=1))
    built = GroupViTSegmentor(
        **settings,
        names=NAMES,
        test_cfg=dict(
            mode='merge', crop_size=(32, 32), stride=(16, 16), threshold=1.1
        ),
    ).eval()
    sharpened(built.img_encoder)
    return built


@torch.no_grad()
def test_one_window_is_the_whole_image(model):
    found = model.inference(images(2), [dict(ori_shape=(32, 32))] * 2)
    torch.testing.assert_close(found, model.encode_decode(images(2)))


@torch.no_grad()
def test_windows_are_averaged_and_images_alike_alone(model):
    model.decode_head.topk = None  # the image's names follow from all windows
    model.test_cfg.threshold = 1.1  # nothing is merged
    image = images(2, 32, 48)
    both = model.inference(image, [dict(ori_shape=(32, 48))] * 2)
    assert both.shape == (2, 3, 32, 48)
    left = model.encode_decode(image[..., :32])
    torch.testing.assert_close(both[..., :16], left[..., :16])
    model.test_cfg.threshold = 0.5
    both = model.inference(image, [dict(ori_shape=(32, 48))] * 2)
    alone = model.inference(image[1:], [dict(ori_shape=(32, 48))])
    torch.testing.assert_close(both[1:], alone)


@torch.no_grad()
def test_all_merged_is_one_name_everywhere(model):
    model.test_cfg.threshold = -1.1
    found = model(images(1, 32, 48), mode='predict')[0]
    assert len(found.pred_sem_seg.data.unique()) == 1
