import json
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from mmdet.datasets import ODVGDataset
from PIL import Image

from mmclip.clip.folders import ShardError
from mmclip.clip.ranks import Rank
from mmclip.glip.caption_file import CaptionFile, captioned
from mmclip.glip.pseudo_labels import label_captions

CAPTIONS = ['a dog near a cat', 'a red bus', 'running', 'a dog and a dog']


def teacher(images, asked, score=0.9):
    """Find each phrase twice, at its number; the second box is unsure."""
    found = []
    for one in asked:
        count = len(one.names)
        boxes = [[4 * k, 2, 4 * k + 3, 9] for k in range(count)]
        found.append(
            dict(
                boxes=np.array(boxes + boxes, float) + [0, 0, 0.123, 99],
                scores=[score] * count + [0.4] * count,
                labels=[*range(count), *range(count)],
            )
        )
    return found


@pytest.fixture
def world(tmp_path):
    (tmp_path / 'images').mkdir()
    lines = []
    for k, caption in enumerate(CAPTIONS * 2):
        image = np.full((20, 30, 3), k, np.uint8)
        Image.fromarray(image).save(tmp_path / f'images/{k}.png')
        lines.append(dict(image=f'{k}.png', caption=caption))
    write_lines(tmp_path / 'pairs.jsonl', lines)
    return tmp_path


def write_lines(path, lines):
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def label(world, out='out', asked=teacher, **kwargs):
    settings = dict(shard_size=3, rank=Rank(0, 1), every=1e9) | kwargs
    return label_captions(
        asked,
        world / 'pairs.jsonl',
        world / 'images',
        world / out,
        **settings,
    )


def read(world, out='out'):
    text = (world / out / 'labels.jsonl').read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_phrases_get_the_boxes_that_the_teacher_is_sure_of(world):
    counts = label(world)
    assert counts == dict(captions=8, images=6, phrases=8, boxes=8, failed=0)
    first = read(world)[0]
    assert (first['filename'], first['height'], first['width']) == (
        *('0.png', 20, 30),
    )
    assert first['grounding'] == dict(
        caption=CAPTIONS[0],
        regions=[
            dict(
                bbox=[[0.0, 2.0, 3.12, 20.0]],  # cut at the image's border
                score=[0.9],
                phrase='a dog',
                tokens_positive=[[0, 5]],
            ),
            dict(
                bbox=[[4.0, 2.0, 7.12, 20.0]],
                score=[0.9],
                phrase='a cat',
                tokens_positive=[[11, 16]],
            ),
        ],
        unboxed=[],
    )
    assert [line['filename'] for line in read(world)] == [
        f'{k}.png' for k in (0, 1, 3, 4, 5, 7)
    ]


def test_a_phrase_said_twice_is_one_region_of_two_spans(world):
    label(world)
    (region,) = read(world)[2]['grounding']['regions']
    assert region['tokens_positive'] == [[0, 5], [10, 15]]


def test_a_phrase_without_a_sure_box_is_noted_as_such(world):
    def first_alone(images, asked):
        found = teacher(images, asked)
        for one in found:
            one['scores'] = [0.9] + [0.1] * (len(one['scores']) - 1)
        return found

    label(world, asked=first_alone)
    grounding = read(world)[0]['grounding']
    assert [one['phrase'] for one in grounding['regions']] == ['a dog']
    assert grounding['unboxed'] == [
        dict(phrase='a cat', tokens_positive=[[11, 16]])
    ]


def test_the_threshold_and_suppression_are_as_asked(world):
    assert label(world, score_thr=0.3)['boxes'] == 16
    assert label(world, 'nms', score_thr=0.3, nms_thr=0.7)['boxes'] == 8
    counts = label(world, 'sure', score_thr=0.95)
    assert (counts['images'], read(world, 'sure')) == (0, [])
    assert label(world, 'two', min_boxes=2)['images'] == 2
    assert label(world, 'all', min_boxes=0)['images'] == 8


@pytest.mark.parametrize('shard_size', [1, 3, 100])
@pytest.mark.parametrize('batch_size', [1, 2, 5])
def test_shards_and_batches_change_nothing(world, shard_size, batch_size):
    label(world, 'one', batch_size=1, shard_size=8)
    label(world, shard_size=shard_size, batch_size=batch_size)
    assert read(world) == read(world, 'one')


def test_ranks_share_the_shards(world):
    label(world, 'one')
    assert label(world, rank=Rank(1, 2)) is None
    assert not (world / 'out/labels.jsonl').exists()
    assert label(world, rank=Rank(0, 2))['captions'] == 8
    assert read(world) == read(world, 'one')


def test_labels_are_what_mmdets_dataset_trains_on(world):
    label(world)
    data = ODVGDataset(
        ann_file='out/labels.jsonl',
        data_root=str(world),
        data_prefix=dict(img='images/'),
        return_classes=True,
        pipeline=[],
    )
    info = data.get_data_info(0)
    assert len(data) == 6
    assert [i['bbox_label'] for i in info['instances']] == [0, 1]
    assert info['phrases'][1]['tokens_positive'] == [[11, 16]]


def slow(images, asked):
    time.sleep(0.05)
    return teacher(images, asked)


@pytest.mark.dist
def test_a_killed_run_keeps_what_it_had_done(world):
    label(world, 'one')
    work = multiprocessing.get_context('fork').Process(
        target=label, args=(world, 'out', slow), kwargs=dict(batch_size=1)
    )
    work.start()
    shard = world / 'out/shards/00001.jsonl.part'
    while not shard.exists() or shard.read_text().count('\n') < 1:
        time.sleep(0.005)
    os.kill(work.pid, signal.SIGKILL)
    work.join()
    before = (world / 'out/shards/00000.jsonl').read_text()
    done = 3 + shard.read_text().count('\n')
    asked = []

    def counting(images, groundings):
        asked.extend(groundings)
        return teacher(images, groundings)

    label(world, asked=counting)
    assert len(asked) <= 8 - done  # of these, two have no phrase
    assert (world / 'out/shards/00000.jsonl').read_text() == before
    assert read(world) == read(world, 'one')


@pytest.mark.parametrize('tail', ['{"filename": "4.p', '{}{"a"', '\x00'])
def test_a_line_cut_off_is_done_again(world, tail):
    label(world, 'one')
    label(world)
    shards = world / 'out/shards'
    whole = (shards / '00001.jsonl').read_text()
    (shards / '00001.jsonl').unlink()
    first = whole.splitlines(keepends=True)[0]
    (shards / '00001.jsonl.part').write_text(first + tail)
    label(world)
    assert (shards / '00001.jsonl').read_text() == whole
    assert read(world) == read(world, 'one')


def test_a_whole_run_asks_nobody_again(world):
    label(world)

    def never(images, asked):
        raise AssertionError

    assert label(world, asked=never)['boxes'] == 8


@pytest.mark.parametrize(
    'change', [dict(score_thr=0.6), dict(source=dict(checkpoint='x'))]
)
def test_other_settings_do_not_go_on_in_the_same_folder(world, change):
    label(world)
    with pytest.raises(ShardError, match=next(iter(change))):
        label(world, **change)


def test_bad_pairs_are_counted_and_left_out(world):
    (world / 'images/1.png').unlink()
    (world / 'images/4.png').write_text('no image')

    def picky(images, asked):
        if any('red' in one.caption for one in asked):
            raise ValueError('too long')
        return teacher(images, asked)

    counts = label(world, asked=picky)
    assert counts['failed'] == 3  # 1 and 4 have no image, 5 is red
    assert [line['filename'] for line in read(world)] == [
        *('0.png', '3.png', '7.png'),
    ]
    text = (world / 'out/shards/00001.jsonl').read_text()
    assert 'ValueError: too long' in text


def test_nothing_that_can_be_labelled_is_told(world):
    for path in (world / 'images').iterdir():
        path.unlink()
    with pytest.raises(ValueError, match='none of 8 captions.*0.png'):
        label(world)
    write_lines(world / 'pairs.jsonl', [])
    with pytest.raises(ValueError, match='holds no caption'):
        label(world, 'other')


def test_a_teacher_that_does_not_read_is_told(world):
    def blind(images, asked):
        return [dict(boxes=[[0, 0, 9, 9]], scores=[1], labels=[7])] * len(
            images
        )

    with pytest.raises(LookupError, match='label 7 to 2 phrases'):
        label(world, asked=blind)


def pairs_of(path, shard_size=2):
    file = CaptionFile(path, shard_size)
    shards = [file.shard(k) for k in range(len(file.starts))]
    assert sum(map(len, shards)) == len(file)
    return [[captioned(line) for line in lines] for lines in shards]


def test_captions_are_read_from_lines_odvg_and_coco(tmp_path):
    path = tmp_path / 'a.jsonl'
    lines = [
        dict(image='ä.png', caption='x'),
        dict(filename='b.png', grounding=dict(caption='y')),
        dict(file_name='c.png', caption='z'),
    ]
    text = '\n\n'.join(json.dumps(x, ensure_ascii=False) for x in lines)
    path.write_text(text, encoding='utf8')
    expected = [[('ä.png', 'x'), ('b.png', 'y')], [('c.png', 'z')]]
    assert pairs_of(path) == expected
    coco = tmp_path / 'captions.json'
    content = dict(
        images=[dict(id=7, file_name='d.png')],
        annotations=[dict(image_id=7, caption=c) for c in 'uvw'],
    )
    coco.write_text(json.dumps(content))
    assert pairs_of(coco) == [
        [('d.png', 'u'), ('d.png', 'v')],
        [('d.png', 'w')],
    ]


def test_a_file_of_another_kind_is_told_and_a_bad_line_left_out(world):
    path = world / 'pairs.jsonl'
    good = path.read_text().splitlines()
    path.write_text('\n'.join([good[0], 'no json', '{"a": 1}', good[3]]))
    counts = label(world)
    assert (counts['captions'], counts['failed']) == (4, 2)
    assert len(read(world)) == 2
    path.write_text('{"a": 1}')
    with pytest.raises(ValueError, match=r"the line has \['a'\]"):
        label(world, 'other')
