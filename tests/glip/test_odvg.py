"""What mmdet's ODVGDataset reads goes through our transforms to a model."""

import json

import numpy as np
import pytest
from mmdet.datasets import CocoDataset, ODVGDataset
from PIL import Image

from mmclip.data.shapes_export import export
from mmclip.glip.grounding import ground
from mmclip.glip.token_maps import positive_map
from mmclip.glip.tokenizer import build_tokenizer

TOKENIZER = dict(
    type='mmclip.CLIPSpanTokenizer', source='shapes-clip', max_tokens=256
)
KEYS = ('img_path', 'text', 'tokens_positive', 'row_names', 'dataset_mode')


def pipeline(**pack):
    return [
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmdet.RandomFlip', prob=0.5),
        dict(type='mmclip.SampleNegativeClasses', tokenizer=TOKENIZER),
        dict(type='mmclip.PackNegativeCaptions', tokenizer=TOKENIZER, **pack),
        dict(type='mmdet.PackDetInputs', meta_keys=KEYS),
    ]


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('odvg')
    export('odvg', folder, 6, seed=3, size=64)
    return folder


def dataset(folder, ann_file, kind=ODVGDataset, **kwargs):
    pack = dict(captions=str(folder / 'grounding.jsonl'), no_pack_prob=0.2)
    settings = dict(
        data_root=str(folder),
        data_prefix=dict(img='images/'),
        return_classes=True,
        pipeline=pipeline(**pack),
    )
    return kind(ann_file=ann_file, **(settings | kwargs))


def read(sample):
    """Return what the caption's tokens say of each box."""
    tokenizer = build_tokenizer(TOKENIZER)
    (one,) = ground(
        sample.text, tokenizer, tokens_positive=sample.tokens_positive
    )
    rows = positive_map(one, tokenizer, sample.gt_instances.labels)
    _, spans = tokenizer.encode(sample.text)
    return [
        ' '.join(
            dict.fromkeys(
                sample.text[slice(*spans[k])]
                for k in row.nonzero().flatten().tolist()
            )
        )
        for row in rows
    ]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_classes_become_captions_whose_tokens_name_the_boxes(world):
    data = dataset(world, 'detection.jsonl', label_map_file='label_map.json')
    truth = lines(world / 'detection.jsonl')
    for index in range(len(data)):
        sample = data[index]['data_samples']
        expected = [
            e['category'] for e in truth[index]['detection']['instances']
        ]
        assert read(sample) == expected
        assert len(sample.text.split('. ')) > len(set(expected))


def test_cocos_dataset_is_read_as_it_is(tmp_path):
    export('coco', tmp_path, 3, seed=3, size=64)
    truth = json.loads((tmp_path / 'annotations.json').read_text())
    names = [c['name'] for c in truth['categories']]
    data = CocoDataset(
        ann_file='annotations.json',
        data_root=str(tmp_path),
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=names),
        return_classes=True,
        pipeline=pipeline(),
    )
    for index in range(len(data)):
        sample = data[index]['data_samples']
        own = [a for a in truth['annotations'] if a['image_id'] == index]
        assert read(sample) == [names[a['category_id'] - 1] for a in own]


def test_phrases_become_tokens_of_the_packed_caption(world):
    data = dataset(world, 'grounding.jsonl')
    truth = lines(world / 'grounding.jsonl')
    packed = 0
    for index in range(len(data)):
        sample = data[index]['data_samples']
        grounding = truth[index]['grounding']
        expected = [e['phrase'] for e in grounding['regions']]
        assert read(sample) == expected
        packed += sample.text != grounding['caption']
    assert packed


@pytest.fixture
def one_line(tmp_path):
    (tmp_path / 'images').mkdir()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(
        tmp_path / 'images/a.png'
    )

    def write(caption, *regions):
        line = dict(filename='a.png', height=32, width=32)
        line['grounding'] = dict(caption=caption, regions=list(regions))
        (tmp_path / 'a.jsonl').write_text(json.dumps(line) + '\n')
        return dataset(tmp_path, 'a.jsonl', pipeline=pipeline())

    return write


def region(span, bbox=(1, 1, 9, 9)):
    return dict(bbox=bbox, phrase='', tokens_positive=[list(span)])


def test_an_image_without_boxes_and_caption_is_a_negative(one_line):
    sample = one_line('')[0]['data_samples']
    assert (sample.text, sample.tokens_positive) == ('', {})
    assert len(sample.gt_instances) == 0


def test_a_region_of_several_boxes_has_one_phrase(one_line):
    boxes = [[1, 1, 9, 9], [10, 10, 20, 20]]
    sample = one_line('a red ring', region((2, 10), boxes))[0]['data_samples']
    assert read(sample) == ['red ring', 'red ring']


def test_a_degenerate_box_leaves_a_gap_in_the_labels(one_line):
    data = one_line(
        'a red ring and a star',
        region((2, 10), [3, 3, 3, 9]),
        region((15, 21)),
    )
    sample = data[0]['data_samples']
    assert sample.gt_instances.labels.tolist() == [1]
    assert read(sample) == ['a star']


def test_a_phrase_outside_the_caption_is_told(one_line):
    data = one_line('a red ring', region((2, 40)))
    with pytest.raises(ValueError, match=r'a\.png: phrase 0 stands at'):
        data[0]
