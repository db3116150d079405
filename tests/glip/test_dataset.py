import json

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config
from PIL import Image

from mmclip.data.shapes_export import export
from mmclip.glip.pseudo_labels import label_captions
from mmclip.jobs import find_config

TOKENIZER = dict(
    type='mmclip.CLIPSpanTokenizer', source='shapes-clip', max_tokens=64
)
CAPTION = 'a red circle, a blue star'


def teacher(images, asked):
    """Be sure of the first phrase alone."""
    boxes = [[4.0, 4, 20, 20], [1, 1, 9, 9]]
    return [dict(boxes=boxes, scores=[0.9, 0.2], labels=[0, 1]) for _ in asked]


@pytest.fixture(scope='module')
def labels(tmp_path_factory):
    folder = tmp_path_factory.mktemp('labels')
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / 'a.png')
    pair = json.dumps(dict(image='a.png', caption=CAPTION))
    (folder / 'pairs.jsonl').write_text(pair)
    label_captions(teacher, folder / 'pairs.jsonl', folder, folder / 'out')
    return folder


def read(folder, ann_file, unboxed='ignore', **kwargs):
    pack = dict(type='mmclip.PackNegativeCaptions', tokenizer=TOKENIZER)
    keys = ('text', 'tokens_positive', 'tokens_ignored')
    settings = dict(
        type='mmclip.GroundingDataset',
        ann_file=ann_file,
        data_root=str(folder),
        data_prefix=dict(img=''),
        return_classes=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmdet.LoadAnnotations', with_bbox=True),
            dict(pack, unboxed=unboxed),
            dict(type='mmdet.PackDetInputs', meta_keys=keys),
        ],
    )
    return DATASETS.build(settings | kwargs)


def test_what_the_teacher_did_not_find_is_ignored(labels):
    (packed,) = read(labels, 'out/labels.jsonl')
    sample = packed['data_samples']
    assert [sample.text[a:b] for a, b in sample.tokens_ignored] == [
        'a blue star'
    ]
    ((start, stop),) = sample.tokens_positive[0]
    assert sample.text[start:stop] == 'a red circle'
    assert sample.gt_instances.labels.tolist() == [0]


def test_or_taken_for_absent_as_published(labels):
    (packed,) = read(labels, 'out/labels.jsonl', unboxed='negative')
    assert packed['data_samples'].tokens_ignored == []


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('odvg')
    export('odvg', folder, 2, seed=3, size=64)
    return folder


def test_lines_that_leave_nothing_out_are_read_as_by_mmdet(world):
    own, mmdets = (
        read(world, 'grounding.jsonl', type=kind, pipeline=[])
        for kind in ('mmclip.GroundingDataset', 'mmdet.ODVGDataset')
    )
    for mine, theirs in zip(own, mmdets, strict=True):
        assert mine.pop('unboxed') == []
        assert mine == theirs
    classes = read(world, 'detection.jsonl', label_map_file='label_map.json')
    assert 'unboxed' not in classes.get_data_info(0)


def test_pre_training_reads_classes_and_phrases_alike(world):
    config = find_config('glip-c_swin-t_fpn_32xb2-30e_o365-goldg')
    dataset = Config.fromfile(config).train_dataloader.dataset
    for part in dataset.datasets:
        part.update(data_root=str(world), data_prefix=dict(img='images/'))
        part.ann_file = 'grounding.jsonl'
        if 'label_map_file' in part:
            part.ann_file = 'detection.jsonl'
            part.label_map_file = 'label_map.json'
        *_, sample, pack, _ = part.pipeline
        sample.tokenizer = pack.tokenizer = TOKENIZER
        pack.captions = str(world / 'grounding.jsonl')
    data = DATASETS.build(dataset)
    assert len(data) == 3 * 2
    for packed in data:
        sample = packed['data_samples']
        labels = set(sample.gt_instances.labels.tolist())
        assert labels <= set(sample.tokens_positive)
        assert min(packed['inputs'].shape[1:]) in (480, 560, 640, 720, 800)


def test_a_data_set_is_built_where_its_files_are_not(tmp_path):
    absent = dict(label_map_file='label_map.json', lazy_init=True)
    data = read(tmp_path, 'detection.jsonl', **absent)
    with pytest.raises(FileNotFoundError, match='label_map'):
        data.full_init()
