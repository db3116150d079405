import pytest

from mmclip.data.tar_index import index_tar, split_name
from tests.data.pairs import pair, picture, write_tar

IMAGES = ('.jpg', '.png')


def test_pairs_are_found_where_they_lie(tmp_path):
    path = tmp_path / 'a.tar'
    write_tar(path, [*pair(1), ('0001.json', b'{}'), *pair(2)])
    pairs, faults = index_tar(path, IMAGES, '.txt')
    assert [key for key, _, _ in pairs] == ['0001', '0002']
    assert not faults
    data = path.read_bytes()
    start, size = pairs[1][1]
    assert data[start : start + size] == picture(2)


def test_a_key_that_comes_again_is_left_out(tmp_path):
    path = tmp_path / 'a.tar'
    write_tar(path, [*pair(1), *pair(7, key='0001'), *pair(2), *pair(1)])
    pairs, faults = index_tar(path, IMAGES, '.txt')
    assert [key for key, _, _ in pairs] == ['0001', '0002']
    assert faults == {'duplicate key': 2}
    start, size = pairs[0][1]
    assert path.read_bytes()[start : start + size] == picture(1)  # the first


def test_half_a_pair_is_left_out(tmp_path):
    path = tmp_path / 'a.tar'
    write_tar(path, [pair(1)[0], *pair(2), pair(3)[1]])
    pairs, faults = index_tar(path, IMAGES, '.txt')
    assert [key for key, _, _ in pairs] == ['0002']
    assert faults == {'lacks image or text': 2}


def cut(tmp_path, size):
    path = tmp_path / 'cut.tar'
    write_tar(path, [*pair(1), *pair(2), *pair(3)])
    path.write_bytes(path.read_bytes()[:size])
    return index_tar(path, IMAGES, '.txt')


@pytest.mark.parametrize(
    ('size', 'whole'),
    [
        (512 * 8 + 100, 2),  # within a header
        (512 * 9 + 30, 2),  # within an image
        (512 * 11 + 3, 2),  # within a text
        (512 * 4 + 300, 1),
        (100, 0),
    ],
)
def test_a_shard_cut_anywhere_keeps_what_is_whole(tmp_path, size, whole):
    pairs, faults = cut(tmp_path, size)
    assert [key for key, _, _ in pairs] == ['0001', '0002'][:whole]
    assert faults['cut shard'] == 1


@pytest.mark.parametrize('data', [b'', b'no tar at all' * 100])
def test_a_file_that_is_no_tar_counts_as_cut(tmp_path, data):
    path = tmp_path / 'a.tar'
    path.write_bytes(data)
    assert index_tar(path, IMAGES, '.txt') == ([], {'cut shard': 1})


def test_a_name_is_cut_at_the_first_dot_of_its_base():
    assert split_name('a.b/c.seg.PNG') == ('a.b/c', '.seg.png')
    assert split_name('c') == ('c', '')
