"""The shapes world as a detection dataset in mmdet's pipelines."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

import mmclip  # noqa: F401  (its mends let mmdet be imported)
from mmclip.clip.phrases import split_phrases
from mmclip.data.shapes import concepts, draw_scene, parse
from mmclip.data.shapes_dataset import ShapesDataset
from mmclip.registry import DATASETS

META_KEYS = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'instances',
    'text',
)


def pipeline():
    return [
        dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='mmdet.Resize', scale=(192, 192), keep_ratio=True),
        dict(type='mmdet.PackDetInputs', meta_keys=META_KEYS),
    ]


def build(**options):
    import mmdet.datasets.transforms  # noqa: F401

    return DATASETS.build(
        dict(
            type='mmclip.ShapesDataset',
            num_images=4,
            pipeline=pipeline(),
            **options,
        )
    )


def test_classes_are_48_base_17_novel_15_unseen():
    meta = ShapesDataset(num_images=1).metainfo
    sizes = [len(meta[f'{s}_classes']) for s in ('base', 'novel', 'unseen')]
    assert sizes == [48, 17, 15]
    assert meta['classes'] == (
        meta['base_classes'] + meta['novel_classes'] + meta['unseen_classes']
    )
    assert len(meta['palette']) == 80


def test_a_base_training_set_may_know_base_names_only():
    meta = ShapesDataset(num_images=1, classes_of=('base',)).metainfo
    assert meta['classes'] == meta['base_classes']
    assert meta['novel_classes'] == meta['unseen_classes'] == ()


def test_objects_without_a_class_are_refused():
    with pytest.raises(ValueError, match="objects_of draws \\['novel'\\]"):
        ShapesDataset(objects_of=('novel',), classes_of=('base',))


def test_a_base_view_holds_no_box_mask_or_label_of_other_concepts():
    dataset = ShapesDataset(num_images=150, seed=3)
    names = dataset.metainfo['classes']
    allowed = set(concepts('base', vocabulary='shapes-80'))
    for i in range(len(dataset)):
        info = dataset[i]
        assert {
            parse(names[x['bbox_label']]) for x in info['instances']
        } <= allowed
        drawn = draw_scene((3, i), among=dataset.among).objects
        assert len(drawn) == len(info['instances'])  # nothing goes unlabelled


def test_unlabelled_objects_are_drawn_and_nothing_says_so():
    dataset = ShapesDataset(
        num_images=40, classes_of=('base',), unlabelled_of=('novel',)
    )
    names, drawn, told = dataset.metainfo['classes'], 0, 0
    for i in range(len(dataset)):
        info = dataset[i]
        scene = draw_scene((0, i), among=dataset.among)
        np.testing.assert_array_equal(info['img'][..., ::-1], scene.image)
        base = [o for o in scene.objects if o.concept.split == 'base']
        assert [names[x['bbox_label']] for x in info['instances']] == [
            o.concept.name for o in base
        ]
        for o in scene.objects:
            novel = o.concept.split == 'novel'
            drawn += novel
            told += novel and o.concept.name in ' '.join(info['captions'])
    assert drawn > 10
    assert told == 0


def test_the_image_is_bgr_as_mmdet_loads_it():
    info = ShapesDataset(num_images=1, seed=1)[0]
    scene = draw_scene((1, 0), among=concepts('base', vocabulary='shapes-80'))
    assert (info['img'][..., ::-1] == scene.image).all()


def test_samples_pack_into_mmdets_inputs():
    sample = build(return_classes=True)[0]
    truth = sample['data_samples'].gt_instances
    assert sample['inputs'].shape == (3, 192, 192)
    assert len(truth) == len(sample['data_samples'].instances) > 0
    masks = truth.masks.to_ndarray()
    for box, mask in zip(truth.bboxes.tensor, masks):
        rows, columns = np.nonzero(mask)
        tight = torch.tensor(
            [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1],
            dtype=torch.float,
        )
        assert (box - tight).abs().max() < 3  # enlarged by one half
    assert 'red circle' in sample['data_samples'].text


def test_coco_metric_needs_no_annotation_file(tmp_path):
    from mmdet.evaluation.metrics import CocoMetric

    dataset = build(objects_of=('base', 'novel', 'unseen'))
    metric = CocoMetric(metric=['bbox', 'segm'])
    metric.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        sample = dataset[i]['data_samples']
        sample.pred_instances = truth_as_prediction(sample)
        metric.process({}, [sample.to_dict()])
    scores = metric.compute_metrics(metric.results)
    assert scores['bbox_mAP'] == pytest.approx(1)
    assert scores['segm_mAP'] == pytest.approx(1)


def truth_as_prediction(sample):
    entries = sample.instances
    masks = [
        draw.mask
        for draw in draw_scene(
            (0, sample.img_id), among=concepts(vocabulary='shapes-80')
        ).objects
    ]
    return InstanceData(
        bboxes=torch.tensor([e['bbox'] for e in entries]),
        labels=torch.tensor([e['bbox_label'] for e in entries]),
        scores=torch.ones(len(entries)),
        masks=torch.tensor(np.stack(masks)),
    )


def test_category_ids_are_those_of_the_boxes():
    dataset = ShapesDataset(num_images=2)
    labels = [x['bbox_label'] for x in dataset[1]['instances']]
    assert dataset.get_cat_ids(1) == labels


# ---- segmentation ----


def build_seg(steps=('resize', 'maps'), **options):
    import mmseg.datasets.transforms  # noqa: F401

    known = dict(
        resize=dict(type='mmseg.Resize', scale=(64, 64), keep_ratio=True),
        maps=dict(type='mmseg.LoadAnnotations'),
    )
    return DATASETS.build(
        dict(
            type='mmclip.ShapesSegDataset',
            num_images=4,
            pipeline=[
                dict(type='mmcv.LoadImageFromFile'),
                *[known[step] for step in steps],
                dict(type='mmseg.PackSegInputs'),
            ],
            **options,
        )
    )


@pytest.mark.parametrize(
    ('steps', 'side'), [(('maps', 'resize'), 64), (('resize', 'maps'), 128)]
)
def test_the_map_is_there_from_loading_on(steps, side):
    sample = build_seg(steps)[1]
    assert sample['inputs'].shape == (3, 64, 64)
    assert sample['data_samples'].gt_sem_seg.data.shape == (1, side, side)
    assert sample['data_samples'].ori_shape == (128, 128)


@pytest.mark.parametrize('background', [None, 'scene'])
def test_maps_number_the_classes(background):
    dataset = build_seg(background=background)
    classes = dataset.metainfo['classes']
    assert len(classes) == len(dataset.metainfo['palette'])
    assert ('scene' in classes) == (background is not None)
    for i in range(len(dataset)):
        found = dataset[i]['data_samples'].gt_sem_seg.data[0].numpy()
        expected = np.full(found.shape, 255 if background is None else 0)
        for entry in dataset.draw(i).objects:
            expected[entry.mask] = classes.index(entry.concept.name)
        assert (found == expected).all()
        assert dataset.get_cat_ids(i) == sorted(set(found.ravel()) - {255})


def test_training_maps_know_base_names_and_test_maps_all():
    train = build_seg(classes_of=('base',))
    test = build_seg(objects_of=('base', 'novel', 'unseen'), seed=1)
    assert train.metainfo['classes'] == train.metainfo['base_classes']
    assert len(test.metainfo['classes']) == 80
    assert test.metainfo['novel_classes']


def test_mmsegs_metric_agrees_with_the_truth():
    from mmengine.structures import PixelData
    from mmseg.evaluation.metrics import IoUMetric

    dataset = build_seg(objects_of=('base', 'novel', 'unseen'))
    metric = IoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        sample = dataset[i]['data_samples']
        sample.pred_sem_seg = PixelData(data=sample.gt_sem_seg.data.clone())
        metric.process({}, [sample.to_dict()])
    assert metric.evaluate(len(dataset))['mIoU'] == pytest.approx(100)


def test_captions_name_what_is_drawn_and_come_without_a_map():
    splits = ('base', 'novel')
    dataset = build_seg(
        captioned=True, objects_of=splits, classes_of=splits, seed=10
    )
    novel = 0
    for k in range(4):
        info = dataset.get_data_info(k)
        assert (info['drawn_seg_map'] == 255).all()
        names = split_phrases(info['caption'])
        scene = dataset.draw(k)
        assert names == list(
            dict.fromkeys(o.concept.name for o in scene.objects)
        )
        novel += len({*names} & {*dataset.metainfo['novel_classes']})
    assert novel > 0
    assert (dataset[0]['data_samples'].gt_sem_seg.data == 255).all()
    assert 'caption' not in build_seg().get_data_info(0)
