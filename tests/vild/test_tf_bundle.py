"""Checkpoints are written here in TensorFlow's format, byte by byte."""

import struct

import numpy as np
import pytest

from mmclip.vild.tf_bundle import MAGIC, masked_crc32c, open_variables

CODES = {'<f4': 1, '<f8': 2, '<i8': 9, '<f2': 19}


def varint(value):
    out = b''
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def text(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def entry(array, code, shard, offset, extra=b''):
    dims = b''.join(text(2, number(1, side)) for side in array.shape)
    data = array.tobytes()
    return (
        number(1, code)
        + text(2, dims)
        + number(3, shard)
        + number(4, offset)
        + number(5, len(data))
        + varint(6 << 3 | 5)
        + struct.pack('<I', masked_crc32c(data))
        + extra
    )


def block(items, every=16):
    """A LevelDB block; keys share their beginning with the one before."""
    out, restarts, before = b'', [], b''
    for i, (key, value) in enumerate(items):
        shared = 0
        if i % every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)):
                if key[shared] != before[shared]:
                    break
                shared += 1
        out += varint(shared) + varint(len(key) - shared)
        out += varint(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    return out + struct.pack(
        f'<{len(restarts) + 1}I', *restarts, len(restarts)
    )


def table(items, per_block=40):
    """A LevelDB table."""
    out, index = b'', []

    def append(data):
        nonlocal out
        handle = varint(len(out)) + varint(len(data))
        out += data + b'\0'
        out += struct.pack('<I', masked_crc32c(data + b'\0'))
        return handle

    items = sorted(items.items())
    for start in range(0, len(items), per_block):
        part = items[start : start + per_block]
        index.append((part[-1][0] + b'~', append(block(part))))
    meta = append(block([]))
    footer = meta + append(block(index, every=1))
    return out + footer.ljust(40, b'\0') + struct.pack('<Q', MAGIC)


def write_bundle(path, arrays, shards=2, extra=b''):
    """Write ``path``.index and its data files; return the prefix."""
    files = [b''] * shards
    items = {b'': number(1, shards) + text(3, number(1, 1))}
    for i, (name, array) in enumerate(arrays.items()):
        code = CODES.get(array.dtype.str, 14)
        shard = i % shards
        items[name.encode()] = entry(
            array, code, shard, len(files[shard]), extra
        )
        files[shard] += array.tobytes()
    path.with_name(path.name + '.index').write_bytes(table(items))
    for i, data in enumerate(files):
        name = f'{path.name}.data-{i:05d}-of-{shards:05d}'
        path.with_name(name).write_bytes(data)
    return path


def arrays():
    rng = np.random.default_rng(0)
    made = {
        f'resnet50/batch_normalization_{i}/gamma': rng.normal(size=i + 1)
        for i in range(90)
    }
    made = {k: v.astype('<f4') for k, v in made.items()}
    made['global_step'] = np.array(180000, '<i8')
    made['a/kernel'] = rng.normal(size=(3, 3, 64, 64)).astype('<f4')
    made['b/half'] = rng.normal(size=(2, 5)).astype('<f2')
    return made


def test_the_checksum_is_crc32c():
    # RFC 3720, B.4: 32 bytes of zeros give 8a9136aa
    crc = 0x8A9136AA
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert masked_crc32c(bytes(32)) == masked


@pytest.mark.parametrize('ending', ['', '.index', '.data-00000-of-00002'])
def test_every_variable_comes_back(tmp_path, ending):
    written = arrays()
    prefix = write_bundle(tmp_path / 'model.ckpt-180000', written)
    read = open_variables(str(prefix) + ending)
    assert set(read) == set(written)
    for name, array in written.items():
        assert read.shapes[name] == array.shape
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


def test_a_folder_with_one_checkpoint_names_it(tmp_path):
    write_bundle(tmp_path / 'one', arrays())
    assert len(open_variables(tmp_path)) == len(arrays())
    write_bundle(tmp_path / 'two', arrays())
    with pytest.raises(ValueError, match="'one', 'two'"):
        open_variables(tmp_path)


def test_bfloat16_is_read_as_float32(tmp_path):
    values = np.array([1.5, -2.0, 0.0], '<f4')
    upper = (values.view('<u4') >> 16).astype('<u2')
    prefix = write_bundle(tmp_path / 'x', dict(a=upper))
    np.testing.assert_array_equal(open_variables(prefix)['a'], values)


def test_an_npz_is_read_without_unpickling(tmp_path):
    np.savez(tmp_path / 'x.npz', **{'a/kernel': np.ones((2, 3))})
    read = open_variables(tmp_path / 'x.npz')
    assert read.shapes == {'a/kernel': (2, 3)}
    np.savez(tmp_path / 'y.npz', a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match='allow_pickle=False'):
        open_variables(tmp_path / 'y.npz')


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no TensorFlow checkpoint'):
        open_variables(tmp_path / 'model')


@pytest.mark.parametrize('damage', ['cut', 'flipped', 'other', 'empty'])
def test_a_damaged_index_is_said(tmp_path, damage):
    prefix = write_bundle(tmp_path / 'x', arrays())
    index = prefix.with_name('x.index')
    data = index.read_bytes()
    index.write_bytes(
        dict(
            cut=data[: len(data) // 2],
            flipped=data[:200] + bytes([data[200] ^ 1]) + data[201:],
            other=b'PK' * 50,
            empty=b'',
        )[damage]
    )
    with pytest.raises(ValueError, match='copy it again|not the index'):
        open_variables(prefix)


@pytest.mark.parametrize('damage', ['cut', 'flipped'])
def test_damaged_data_are_said(tmp_path, damage):
    small = dict(a=np.arange(10, dtype='<f4'))
    prefix = write_bundle(tmp_path / 'x', small, shards=1)
    file = prefix.with_name('x.data-00000-of-00001')
    data = file.read_bytes()
    flipped = bytes([data[0] ^ 1]) + data[1:]
    file.write_bytes(data[:-4] if damage == 'cut' else flipped)
    with pytest.raises(ValueError, match="'a' .* copy it again"):
        open_variables(prefix)['a']


def test_sliced_variables_are_refused(tmp_path):
    small = dict(a=np.arange(10, dtype='<f4'))
    prefix = write_bundle(tmp_path / 'x', small, extra=text(7, b''))
    with pytest.raises(ValueError, match='slices'):
        open_variables(prefix)['a']
