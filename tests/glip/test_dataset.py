import json

import numpy as np
import pytest
from mmdet.registry import DATASETS
from PIL import Image

from mmclip.data.shapes_export import export
from mmclip.glip.pseudo_labels import label_captions

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


def test_lines_that_leave_nothing_out_are_read_as_by_mmdet(tmp_path):
    export('odvg', tmp_path, 2, seed=3, size=64)
    own, mmdets = (
        read(tmp_path, 'grounding.jsonl', type=kind, pipeline=[])
        for kind in ('mmclip.GroundingDataset', 'mmdet.ODVGDataset')
    )
    for mine, theirs in zip(own, mmdets, strict=True):
        assert mine.pop('unboxed') == []
        assert mine == theirs
    classes = read(
        tmp_path, 'detection.jsonl', label_map_file='label_map.json'
    )
    assert 'unboxed' not in classes.get_data_info(0)
