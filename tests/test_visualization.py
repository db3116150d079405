import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmclip.visualization import (
    PALETTE,
    colour_of,
    draw_detections,
    draw_sample,
    draw_segmentation,
    save_labels,
    save_picture,
)

GREY = np.full((40, 60, 3), 128, np.uint8)


def test_a_box_is_drawn_where_it_is_in_the_colour_of_its_name():
    picture = draw_detections(GREY, [[20, 20, 50, 35]], ['cat'])
    assert picture.shape == GREY.shape
    assert (picture[35, 21:50] == PALETTE[0]).all()
    assert (picture[25:30, 30:40] == 128).all()
    assert (GREY == 128).all(), 'the image itself stays'


def test_every_name_has_a_colour_of_its_own():
    colours = {tuple(colour_of(k).tolist()) for k in range(100)}
    assert len(colours) == 100


def test_equal_names_share_a_colour():
    boxes = [[5, 20, 15, 30], [20, 20, 30, 30], [40, 20, 50, 30]]
    picture = draw_detections(GREY, boxes, ['cat', 'dog', 'cat'])
    first, second, third = picture[30, 10], picture[30, 25], picture[30, 45]
    assert (first == third).all()
    assert (first != second).any()


def test_a_mask_tints_its_pixels_alone():
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 30:35, 10:20] = True
    picture = draw_detections(GREY, [[0, 20, 59, 39]], ['cat'], masks=mask)
    assert (picture[32, 15] != 128).any()
    assert (picture[32, 30] == 128).all()


def test_a_small_image_is_enlarged_with_its_boxes():
    picture = draw_detections(GREY, [[20, 20, 50, 35]], ['cat'], min_side=240)
    assert picture.shape == (160, 240, 3)
    assert (picture[140, 90:190] == PALETTE[0]).all()


@pytest.mark.parametrize('image', [GREY, np.zeros((1, 1, 3), np.uint8)])
def test_nothing_found_leaves_the_image(image):
    picture = draw_detections(image, np.zeros((0, 4)), [], np.zeros(0))
    assert (picture == image).all()


def sample(**instances):
    made = DetDataSample(
        metainfo=dict(img_shape=(40, 60), scale_factor=(1.0, 1.0))
    )
    for key, value in instances.items():
        setattr(made, key, InstanceData(**value))
    return made


def test_truth_stands_beside_what_was_found():
    inputs = torch.full((3, 40, 64), 128, dtype=torch.uint8)  # padded
    truth = sample(
        gt_instances=dict(
            bboxes=torch.tensor([[20.0, 20, 50, 35]]), labels=torch.tensor([1])
        )
    )
    found = sample(
        pred_instances=dict(
            bboxes=torch.tensor([[20.0, 20, 50, 35], [0.0, 0, 9, 9]]),
            scores=torch.tensor([0.9, 0.1]),
            labels=torch.tensor([0, 0]),
            label_names=['dog', 'dog'],
        )
    )
    picture = draw_sample(inputs, truth, found, ['cat', 'dog'], 0.3, 0)
    assert picture.shape == (40, 120, 3)
    left, right = picture[:, :60], picture[:, 60:]
    assert (left[35, 25:45] == PALETTE[0]).all()
    assert (right[35, 25:45] == PALETTE[0]).all()
    assert (right[9, 2:8] == 128).all(), 'a low score is not drawn'


def test_boxes_of_the_original_image_fit_the_resized_one():
    inputs = torch.full((3, 40, 60), 128, dtype=torch.uint8)
    box = dict(bboxes=torch.tensor([[40.0, 40, 100, 70]]))
    truth = sample(gt_instances=dict(box, labels=torch.tensor([0])))
    found = sample(
        pred_instances=dict(
            box, scores=torch.ones(1), labels=torch.tensor([0])
        )
    )
    found.set_metainfo(dict(scale_factor=(0.5, 0.5)))
    picture = draw_sample(inputs, truth, found, ['cat'], 0.3, 0)
    for side in (picture[:, :60], picture[:, 60:]):
        assert (side[35, 25:45] == PALETTE[0]).all()


def test_a_picture_is_written_whole_in_its_colours(tmp_path):
    import cv2

    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    save_picture(tmp_path / 'new' / 'red.png', red)
    assert (cv2.imread(str(tmp_path / 'new/red.png')) == [0, 0, 255]).all()
    assert len(list((tmp_path / 'new').iterdir())) == 1


def test_a_map_tints_what_has_a_name_and_lists_it_below():
    label = np.full((40, 60), 255)
    label[:20, :30], label[30:] = 1, 0
    picture = draw_segmentation(GREY, label, ['background', 'cat'])
    assert picture.shape[0] > 40
    assert (picture[5:15, 5:25] != 128).any(axis=-1).all()
    assert (picture[22:38, 5:55] == 128).all()
    below = picture[40:]
    assert (below == PALETTE[0]).all(axis=-1).any()
    assert not (below == PALETTE[1]).all(axis=-1).any()


def test_the_legend_of_many_names_says_how_many_are_left_out():
    label = np.arange(60)[None].repeat(40, axis=0)
    names = [f'name {k}' for k in range(60)]
    few = draw_segmentation(GREY, label % 8, names)
    many = draw_segmentation(GREY, label, names)
    assert few.shape == (40 + 4 * 20, 60, 3)
    assert many.shape == (40 + 12 * 20, 60, 3)
    all_said = draw_segmentation(GREY, label % 24, names)
    assert (all_said[-20:] != many[-20:]).any()


def test_a_sample_of_maps_shows_truth_and_finding():
    inputs = torch.full((3, 40, 60), 128, dtype=torch.uint8)
    truth, found = SegDataSample(), SegDataSample()
    found.pred_sem_seg = PixelData(data=torch.zeros(1, 40, 60).long())
    found.set_metainfo(dict(label_names=['dog']))
    alone = draw_sample(inputs, truth, found, ['cat'], 0.3, 60)
    truth.gt_sem_seg = PixelData(data=torch.zeros(1, 40, 60).long())
    both = draw_sample(inputs, truth, found, ['cat'], 0.3, 60)
    assert alone.shape[1] == 60
    assert both.shape[1] == 120


def test_the_surest_box_is_drawn_on_top():
    image = np.zeros((60, 60, 3), np.uint8)
    boxes = [[10, 20, 50, 50]] * 2
    picture = draw_detections(image, boxes, ['sure', 'not'], [0.9, 0.1])
    assert (picture[50, 30] == colour_of(0)).all()


@pytest.mark.parametrize(('count', 'mode'), [(256, 'P'), (257, 'I;16')])
def test_label_maps_hold_the_labels(tmp_path, count, mode):
    labels = np.arange(count, dtype=np.int32)[None].repeat(2, 0)
    save_labels(tmp_path / 'new' / 'a.png', labels, ['name'] * count)
    with Image.open(tmp_path / 'new' / 'a.png') as stored:
        assert stored.mode == mode
        assert (np.array(stored) == labels).all()
        if mode == 'P':
            assert stored.getpalette()[3:6] == colour_of(1).tolist()
