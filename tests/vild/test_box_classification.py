import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample

from mmclip.vild.box_classification import (
    box_logits,
    dataset_logits,
    named_logits,
)
from tests.vild.tiny import NAMES, tiny_distilling, tiny_vild


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return MODELS.build(tiny_vild()).eval()


class TwoImages:
    """Two pictures of 32 x 32, shown to the network at twice the size."""

    def __init__(self, boxes_of_first=2):
        box = dict(bbox=[0, 0, 16, 16], bbox_label=0, ignore_flag=0)
        crowd = dict(box, ignore_flag=1, bbox_label=4)
        other = dict(box, bbox=[8, 0, 32, 30], bbox_label=3)
        self.instances = [[box, crowd, other][: boxes_of_first + 1], []]

    def __len__(self):
        return 2

    def get_data_info(self, index):
        return dict(instances=self.instances[index])

    def __getitem__(self, index):
        sample = DetDataSample(
            metainfo=dict(img_shape=(64, 64), scale_factor=(2.0, 2.0))
        )
        image = torch.full((3, 64, 64), index + 1, dtype=torch.uint8)
        return dict(inputs=image, data_samples=sample)


def test_boxes_are_scored_alone_and_without_background(model):
    images = torch.randn(2, 3, 64, 64)
    a = torch.tensor([[0.0, 0, 32, 32], [8, 8, 60, 40]])
    b = torch.tensor([[4.0, 4, 50, 50]])
    both = box_logits(model, images, [a, b])
    assert both.shape == (3, len(NAMES))
    alone = box_logits(model, images[1:], [b])
    torch.testing.assert_close(both[2:], alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(both[0], both[1])
    none = a[:0]
    assert box_logits(model, images, [none, none]).shape == (0, len(NAMES))


def test_a_second_branch_has_its_say():
    torch.manual_seed(0)
    both = MODELS.build(tiny_distilling(dict(temperature=1.0))).eval()
    image, box = torch.randn(1, 3, 64, 64), torch.tensor([[4.0, 4, 50, 50]])
    both.roi_head.set_novel(NAMES[:1])
    fused = box_logits(both, image, [box])
    both.roi_head.set_novel(NAMES[1:])
    assert not torch.allclose(fused, box_logits(both, image, [box]))
    both.roi_head.score_fusion.base = both.roi_head.score_fusion.novel = 0.0
    text = box_logits(both, image, [box])
    both.roi_head.image_head = None
    logits = box_logits(both, image, [box])
    torch.testing.assert_close(text.log().diff(), logits.diff())


def test_boxes_of_a_dataset_follow_the_resized_image(model):
    logits, labels = dataset_logits(model, TwoImages())
    assert labels.tolist() == [0, 3]  # neither the crowd nor an empty image
    item = TwoImages()[0]
    batch = model.data_preprocessor(
        dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
    )
    box = torch.tensor([[16.0, 0, 64, 60]])
    torch.testing.assert_close(
        logits[1:], box_logits(model, batch['inputs'], [box])
    )


def test_a_dataset_without_boxes_is_an_error(model):
    with pytest.raises(ValueError, match='none of the 2 images has a box'):
        dataset_logits(model, TwoImages(boxes_of_first=-1))


def test_only_the_names_wanted_are_asked_for_in_their_order(model):
    data = TwoImages()
    data.metainfo = dict(classes=tuple(NAMES))
    every, _ = dataset_logits(model, data)
    some, labels = named_logits(model, data, [NAMES[3], NAMES[1]])
    assert labels.tolist() == [0]  # the other box is of another class
    torch.testing.assert_close(some, every[1:, [3, 1]])
