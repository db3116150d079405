import json
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader, default_collate

from mmclip.data import pair_stream
from mmclip.data.pair_stream import ImageTextStream
from mmclip.registry import DATASETS
from tests.data.pairs import pair, picture, shards, write_jsonl, write_tar


def number(sample) -> int:
    return int(sample['img'][0, 0, 0])


def stream(data, **options) -> ImageTextStream:
    options = dict(shuffle=5, epochs=1) | options
    return DATASETS.build(
        dict(type='mmclip.ImageTextStream', data=data, **options)
    )


def of_rank(monkeypatch, data, rank=0, world=1, workers=0, **options):
    """Return the numbers of a rank's pairs."""
    monkeypatch.setattr(pair_stream, 'get_dist_info', lambda: (rank, world))
    loader = DataLoader(
        stream(data, **options),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context='fork' if workers else None,
    )
    return [number(sample) for sample in loader]


def test_a_pair_comes_as_the_pipeline_wants_it(tmp_path):
    sample = next(iter(stream(shards(tmp_path, 1, 3), shuffle=0)))
    assert sample['img'].dtype == np.uint8
    assert sample['img'].shape == (8, 8, 3)
    assert sample['caption'] == 'a picture of number 0'
    assert sample['img_path'] == '0000'


def test_colours_come_as_bgr(tmp_path):
    import io

    from PIL import Image

    data = io.BytesIO()
    Image.new('RGB', (4, 4), (10, 20, 30)).save(data, 'PNG')
    write_tar(
        tmp_path / 'a.tar',
        [('a.png', data.getvalue()), ('a.txt', b'a word')],
    )
    sample = next(iter(stream(str(tmp_path / 'a.tar'))))
    assert sample['img'][0, 0].tolist() == [30, 20, 10]


def test_pairs_are_shuffled_alike_by_one_seed(tmp_path):
    data = shards(tmp_path, 4, 10)

    def order(**options):
        return [number(s) for s in stream(data, **options)]

    assert order(shuffle=0) == list(range(40))
    assert sorted(order()) == list(range(40))
    assert order() == order()
    assert order() != order(seed=1)
    two = order(epochs=2)
    assert two[:40] == order()
    assert sorted(two[40:]) == list(range(40))
    assert two[40:] != two[:40]


@pytest.mark.parametrize('count', [6, 2])  # of shards, for up to 4 readers
@pytest.mark.parametrize(('world', 'workers'), [(1, 2), (2, 0), (2, 2)])
def test_readers_share_all_pairs_without_duplicates(
    tmp_path, monkeypatch, count, world, workers
):
    data = shards(tmp_path, count, 30 // count)
    found = [
        of_rank(monkeypatch, data, rank, world, workers)
        for rank in range(world)
    ]
    assert all(found)
    assert sorted(sum(found, [])) == list(range(30))


def test_several_sources_make_one_stream(tmp_path):
    data = shards(tmp_path, 1, 3)
    (tmp_path / '7.png').write_bytes(picture(7))
    write_jsonl(
        tmp_path / 'list.jsonl', [dict(image='7.png', caption='seven')]
    )
    found = stream([data, str(tmp_path / 'list.jsonl')])
    assert sorted(map(number, found)) == [0, 1, 2, 7]


def faulty(tmp_path):
    """Write two shards in which much is wrong; return their pattern."""
    good, cut = tmp_path / '0.tar', tmp_path / '1.tar'
    broken = picture(3, kind='JPEG', side=64)
    write_tar(
        good,
        [
            *pair(0),
            *pair(1, ''),
            *pair(2, 'ein Hund auf dem Rasen mit einem Ball'),
            ('0003.jpg', broken[: len(broken) // 2]),
            ('0003.txt', b'half a picture'),
            ('0004.png', b'no picture'),
            ('0004.txt', b'none'),
            *pair(5, '一只狗在草地上'),
            *pair(0),
            *pair(6, b'\xff a word'.decode('latin1')),
            ('0007.png', picture(7, side=2)),
            ('0007.txt', b'small'),
            *pair(8),
        ],
    )
    write_tar(cut, [*pair(10), *pair(11), *pair(12)])
    cut.write_bytes(cut.read_bytes()[: 512 * 9 + 20])
    return str(tmp_path / '*.tar')


def test_what_is_wrong_is_skipped_and_counted(tmp_path):
    samples = list(stream(faulty(tmp_path), min_side=4, shuffle=0))
    assert [number(s) for s in samples] == [0, 6, 8, 10, 11]
    place = json.loads(samples[-1]['stream'])
    assert place['given'] == 5
    assert place['skipped'] == {
        'broken image': 2,
        'empty caption': 1,
        'not English': 2,
        'duplicate key': 1,
        'small image': 1,
        'cut shard': 1,
    }


def test_other_languages_are_kept_on_request(tmp_path):
    data = faulty(tmp_path)
    samples = list(stream(data, english_only=False))
    assert {2, 5} <= set(map(number, samples))


def test_files_that_vanish_are_counted(tmp_path):
    (tmp_path / '1.png').write_bytes(picture(1))
    write_jsonl(
        tmp_path / 'list.jsonl',
        [dict(image=f'{n}.png', caption='one') for n in range(3)],
    )
    samples = list(stream(str(tmp_path / 'list.jsonl'), shuffle=0, epochs=2))
    assert [number(s) for s in samples] == [1, 1]
    assert json.loads(samples[-1]['stream'])['skipped'] == {'missing file': 3}


def test_a_shard_that_vanishes_between_passes_is_no_end(tmp_path):
    data = shards(tmp_path, 2, 3)
    reading = iter(stream(data, shuffle=0, epochs=2))
    assert [number(next(reading)) for _ in range(6)] == list(range(6))
    (tmp_path / '000.tar').unlink()
    rest = list(reading)
    assert [number(s) for s in rest] == [3, 4, 5]
    assert json.loads(rest[-1]['stream'])['skipped'] == {'cut shard': 1}


def test_a_stream_of_nothing_usable_says_so_instead_of_looping(tmp_path):
    write_tar(tmp_path / 'a.tar', [*pair(1, ''), *pair(2, '...')])
    with pytest.raises(RuntimeError, match="'empty caption': 2"):
        next(iter(stream(str(tmp_path / 'a.tar'), epochs=None)))


@pytest.mark.parametrize('shuffle', [0, 5])
@pytest.mark.parametrize('stop', [1, 8, 13, 14, 15, 27])
def test_a_stream_goes_on_behind_any_of_its_pairs(tmp_path, shuffle, stop):
    data = faulty(tmp_path)
    shards(tmp_path, 2, 5)
    options = dict(shuffle=shuffle, epochs=2)
    whole = list(stream(data, **options))
    place = json.loads(whole[stop - 1]['stream'])
    again = stream(data, **options)
    again.resume({place.pop('worker'): place})
    rest = list(again)
    assert [number(s) for s in rest] == [number(s) for s in whole[stop:]]
    # counts go on too, no fault of a unit is counted twice
    assert [s['stream'] for s in rest] == [s['stream'] for s in whole[stop:]]


def test_a_stream_without_end_goes_on_at_the_end_of_a_pass(tmp_path):
    data = shards(tmp_path, 1, 4)
    whole = iter(stream(data, epochs=None))
    last = json.loads([next(whole) for _ in range(4)][-1]['stream'])
    again = stream(data, epochs=None)
    again.resume({last.pop('worker'): last})
    assert number(next(iter(again))) == number(next(whole))


def test_transforms_draw_the_same_for_a_pair_and_disturb_nothing(tmp_path):
    def jitter(results):
        drawn = random.random(), np.random.rand(), torch.rand(()).item()
        return dict(drawn=drawn)

    data = shards(tmp_path, 1, 6)
    torch.manual_seed(0)
    expected = torch.rand(())
    torch.manual_seed(0)
    first = [s['drawn'] for s in stream(data, pipeline=[jitter])]
    assert torch.equal(torch.rand(()), expected)
    again = stream(data, pipeline=[jitter])
    assert [s['drawn'] for s in again] == first
    assert len(set(first)) == 6
    other = stream(data, pipeline=[jitter], seed=1)
    assert not set(first) & {s['drawn'] for s in other}


def test_a_pipeline_may_leave_a_pair_out(tmp_path):
    data = shards(tmp_path, 1, 4)
    samples = list(
        stream(
            data,
            pipeline=[lambda r: r if number(r) else None],
        )
    )
    assert len(samples) == 3
    place = json.loads(samples[-1]['stream'])
    assert sum(place['skipped'].values()) <= 1


@pytest.mark.parametrize('collate', [pseudo_collate, default_collate])
def test_batches_carry_the_place_of_their_last_pair(tmp_path, collate):
    data = stream(
        faulty(tmp_path), pipeline=[lambda r: dict(img=r['img'])], min_side=4
    )
    batch = next(iter(DataLoader(data, batch_size=3, collate_fn=collate)))
    assert json.loads(batch['stream'][-1])['given'] == 3
