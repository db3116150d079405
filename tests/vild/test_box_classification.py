import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample

from mmclip.vild.box_classification import (
    box_logits,
    dataset_logits,
    derangement,
    hits_among,
    mean_of_classes,
    measure,
    shuffled_hits,
    table,
)
from tests.vild.tiny import NAMES, tiny_distilling, tiny_vild

BASE, NOVEL = [0, 1], [2, 3, 4]


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


def test_only_the_names_that_compete_can_win():
    logits = torch.tensor([[9.0, 0.0, 2.0, 1.0], [9.0, 0.0, 1.0, 2.0]])
    labels = torch.tensor([2, 2])
    novel = torch.tensor([2, 3])
    assert hits_among(logits, labels, novel).tolist() == [True, False]
    assert not hits_among(logits, labels, torch.arange(4)).any()


def test_rare_classes_count_as_much_as_frequent_ones():
    hits = torch.tensor([True, True, True, False])
    labels = torch.tensor([5, 5, 5, 8])
    assert mean_of_classes(hits, labels) == 0.5


@pytest.mark.parametrize('count', [2, 3, 17])
def test_a_derangement_moves_everything(count):
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        order = derangement(count, generator)
        assert sorted(order.tolist()) == list(range(count))
        assert (order != torch.arange(count)).all()


def test_one_name_cannot_be_shuffled():
    with pytest.raises(ValueError, match='1 names cannot be shuffled'):
        derangement(1, torch.Generator())


def test_a_perfect_head_is_always_wrong_once_shuffled():
    labels = torch.tensor([2, 3, 4, 4])
    logits = torch.eye(5)[labels]
    novel = torch.tensor(NOVEL)
    assert hits_among(logits, labels, novel).all()
    assert shuffled_hits(logits, labels, novel, novel, 5) == [0.0] * 5
    assert torch.equal(logits, torch.eye(5)[labels])  # left as it was


def test_shuffling_novel_names_leaves_base_boxes_among_base_names_alone():
    logits, labels = torch.randn(30, 5), torch.randint(0, 2, (30,))
    base, novel = torch.tensor(BASE), torch.tensor(NOVEL)
    own = float(hits_among(logits, labels, base).float().mean())
    assert set(shuffled_hits(logits, labels, base, novel, 4)) == {own}


def test_always_the_same_answer_is_seen_through():
    labels = torch.tensor([2, 2, 2, 3])
    logits = torch.tensor([0.0, 0, 1, 0, 0]).expand(4, 5)
    row = next(r for r in measure(logits, labels, BASE, NOVEL))
    assert (row['boxes'], row['count']) == ('novel', 4)  # no base box
    assert row['top1'] == row['commonest'] == 0.75
    assert row['class_mean'] == 0.5
    assert row['chance'] == pytest.approx(1 / 3)


def test_the_table_has_a_line_for_each_question():
    logits, labels = torch.randn(40, 5), torch.arange(40) % 5
    rows = measure(logits, labels, BASE, NOVEL, shuffles=3)
    asked = [(row['boxes'], row['among']) for row in rows]
    assert asked == [
        ('base', 'base'),
        ('novel', 'novel'),
        ('base', 'all'),
        ('novel', 'all'),
    ]
    assert [row['count'] for row in rows] == [16, 24, 16, 24]
    assert len(table(rows).splitlines()) == 5


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
