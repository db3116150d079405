import errno
import json
import multiprocessing
import os
import pickle
import signal

import numpy as np
import pytest

from mmclip.clip.folders import open_folder
from mmclip.vild import shards
from mmclip.vild.shards import (
    ShardError,
    Shards,
    fault_of,
    shard_path,
    write_shard,
)
from tests.vild.teaching import bytes_of

MANIFEST = dict(format='test', num_images=5, shard_size=2, what='numbers')
IDS = [30, 10, 20, 50, 40]
PARTS = [range(0, 2), range(2, 4), range(4, 5)]


def rows_of(index):
    """Return index % 3 rows, so that some images have none."""
    return np.full((index % 3, 2), index, np.float16)


def write(folder, number):
    part = PARTS[number]
    ids = [IDS[i] for i in part]
    write_shard(folder, number, ids, dict(emb=[rows_of(i) for i in part]))


def write_all(folder, manifest=MANIFEST):
    open_folder(folder, manifest)
    for number in range(3):
        if fault_of(folder, number, len(PARTS[number]), thorough=True):
            write(folder, number)
    return reader(folder)


def reader(folder, **expected):
    return Shards(folder, 'test', expected, 'extract_embeddings')


@pytest.fixture
def folder(tmp_path):
    write_all(tmp_path / 'whole')
    return tmp_path / 'whole'


def test_every_image_gets_its_own_rows_back(folder):
    stored = reader(folder)
    for index, image_id in enumerate(IDS):
        (rows,) = stored.rows(image_id, None, 'emb')
        np.testing.assert_array_equal(rows, rows_of(index))
    (rows,) = stored.rows(20, 1, 'emb')
    assert rows.shape == (1, 2)


def test_ids_may_be_text(tmp_path):
    manifest = dict(MANIFEST, num_images=2)
    open_folder(tmp_path / 'text', manifest)
    parts = dict(emb=[rows_of(1), rows_of(2)])
    write_shard(tmp_path / 'text', 0, ['b', 'a'], parts)
    (rows,) = reader(tmp_path / 'text').rows('a', None, 'emb')
    np.testing.assert_array_equal(rows, rows_of(2))


@pytest.mark.parametrize('image_id', [31, 60, 0, 'x', None])
def test_an_image_that_is_not_there_is_named(folder, image_id):
    with pytest.raises(ShardError, match=f'image {image_id!r} is not among'):
        reader(folder).rows(image_id, None, 'emb')


def killed_at(call, folder, moment):
    """Write all shards in a process that is killed at its n-th rename."""
    stock, count = getattr(os, call), 0

    def deadly(*args):
        nonlocal count
        count += 1
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return stock(*args)

    setattr(os, call, deadly)
    write_all(folder)


@pytest.mark.parametrize('call', ['replace', 'fsync'])
@pytest.mark.parametrize('moment', range(1, 14))
def test_a_kill_loses_the_shard_in_work_and_no_other(
    tmp_path, folder, call, moment
):
    hit = tmp_path / 'hit'
    process = multiprocessing.get_context('fork').Process(
        target=killed_at, args=(call, hit, moment)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    done = max(moment - 2, 0) // 4  # a manifest, then four files a shard
    faults = [fault_of(hit, k, len(part)) for k, part in enumerate(PARTS)]
    assert [fault is None for fault in faults] == [k < done for k in range(3)]
    kept = {p: p.stat().st_mtime_ns for p in hit.glob('00000.*')}
    write_all(hit)
    assert bytes_of(hit) == bytes_of(folder)
    if done:
        assert kept == {p: p.stat().st_mtime_ns for p in kept}


@pytest.mark.parametrize('kind', ['emb', 'id', 'offset', 'seal'])
@pytest.mark.parametrize('harm', ['cut', 'flip', 'gone'])
def test_a_damaged_shard_is_found_and_redone(folder, kind, harm):
    wanted, path = bytes_of(folder), shard_path(folder, 1, kind)
    raw = bytearray(path.read_bytes())
    raw[-1 if kind != 'seal' else 30] ^= 255
    if harm == 'gone':
        path.unlink()
    else:
        path.write_bytes(raw if harm == 'flip' else raw[:-1])
    assert fault_of(folder, 1, 2, thorough=True)
    if harm != 'flip':
        with pytest.raises(ShardError, match='lacks 1 of 3 shards'):
            reader(folder).check()
    write_all(folder)
    assert bytes_of(folder) == wanted


def test_a_full_disc_leaves_nothing_that_counts(tmp_path, monkeypatch):
    stock, calls = np.save, []

    def full(file, array, **options):
        calls.append(file)
        if len(calls) == 5:
            file.write(b'half')
            raise OSError(errno.ENOSPC, 'No space left on device')
        stock(file, array, **options)

    monkeypatch.setattr(shards.np, 'save', full)
    with pytest.raises(OSError, match=r'00001.id.npy.*disc full.*goes on'):
        write_all(tmp_path / 'full')
    assert fault_of(tmp_path / 'full', 0, 2) is None
    assert fault_of(tmp_path / 'full', 1, 2)
    assert not list((tmp_path / 'full').glob('*.part'))


def test_another_manifest_is_refused_field_by_field(folder):
    other = dict(MANIFEST, what='letters', shard_size=3)
    with pytest.raises(ShardError) as error:
        open_folder(folder, other)
    assert "what: got 'numbers', expected 'letters'" in str(error.value)
    assert 'shard_size: got 2, expected 3' in str(error.value)
    assert 'num_images' not in str(error.value)
    with pytest.raises(ShardError, match='what: got'):
        reader(folder, what='words').rows(10, None, 'emb')


def test_a_folder_of_nothing_says_who_writes_it(tmp_path):
    with pytest.raises(ShardError, match='there is no .*manifest.json'):
        reader(tmp_path).rows(10, None, 'emb')
    (tmp_path / 'manifest.json').write_text('{')
    with pytest.raises(ShardError, match='is no JSON'):
        reader(tmp_path).rows(10, None, 'emb')


def test_nothing_is_opened_before_the_first_question(tmp_path):
    assert pickle.loads(pickle.dumps(reader(tmp_path / 'absent')))


def read_in_child(stored, queue):
    before = len(stored._maps) if stored._process == os.getpid() else 0
    (rows,) = stored.rows(20, None, 'emb')
    queue.put((before, rows.tolist()))


def test_each_process_opens_the_files_for_itself(folder):
    context = multiprocessing.get_context('fork')
    stored, queue = reader(folder), context.Queue()
    stored.rows(20, None, 'emb')
    process = context.Process(target=read_in_child, args=(stored, queue))
    process.start()
    before, rows = queue.get(timeout=60)
    process.join()
    assert before == 0
    assert rows == rows_of(2).tolist()


def test_pickling_leaves_the_maps_behind(folder):
    stored = reader(folder)
    stored.rows(20, None, 'emb')
    copy = pickle.loads(pickle.dumps(stored))
    assert stored._maps
    assert not copy._maps


def test_an_empty_shard_is_a_shard(tmp_path):
    open_folder(tmp_path, dict(MANIFEST, num_images=1))
    write_shard(tmp_path, 0, [7], dict(emb=[np.zeros((0, 2), np.float16)]))
    (rows,) = reader(tmp_path).rows(7, None, 'emb')
    assert rows.shape == (0, 2)


def test_the_hash_changes_with_any_row(folder, tmp_path):
    first = reader(folder).content_hash()
    other = write_all(tmp_path / 'same')
    assert other.content_hash() == first
    changed = dict(emb=[rows_of(i) + 1 for i in PARTS[2]])
    write_shard(tmp_path / 'same', 2, [40], changed)
    assert reader(tmp_path / 'same').content_hash() != first


def test_the_manifest_is_readable(folder):
    assert json.loads((folder / 'manifest.json').read_text()) == MANIFEST
