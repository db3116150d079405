import pytest

from mmclip.data.pair_sources import (
    PairFolder,
    PairList,
    PairShards,
    source_of,
)
from tests.data.pairs import picture, shards, write_jsonl


def everything(source):
    """Read all pairs; return them and all faults."""
    units = [source.entries(u) for u in range(len(source))]
    pairs = [source.read(entry) for unit in units for entry in unit.entries]
    faults = sum((unit.faults for unit in units[1:]), units[0].faults)
    return [(p.key, p.caption, p.image) for p in pairs], faults


@pytest.fixture
def images(tmp_path):
    for number in range(3):
        (tmp_path / f'{number}.png').write_bytes(picture(number))
    return tmp_path


NONE, ONE = picture(0), picture(1)


def test_shards_are_read(tmp_path):
    pairs, faults = everything(source_of(shards(tmp_path, 2, 3)))
    assert [key for key, _, _ in pairs] == [f'{n:04d}' for n in range(6)]
    assert pairs[4][1] == 'a picture of number 4'
    assert not faults


def test_a_folder_is_read_with_what_is_below_it(images):
    (images / '0.txt').write_text('none')
    (images / 'below').mkdir()
    (images / 'below' / 'x.jpg').write_bytes(picture(9, kind='JPEG'))
    (images / 'below' / 'x.txt').write_text('ix')
    (images / '2.txt').write_text('two')
    (images / '2.jpg').write_bytes(picture(2, kind='JPEG'))
    source = source_of(str(images))
    assert isinstance(source, PairFolder)
    pairs, faults = everything(source)
    assert [p[:2] for p in pairs] == [
        ('0.png', 'none'),
        ('2.jpg', 'two'),
        ('below/x.jpg', 'ix'),
    ]
    assert faults == {'duplicate key': 1}


def test_a_jsonl_list_is_read_and_its_bad_rows_counted(images):
    write_jsonl(
        images / 'list.jsonl',
        [
            dict(image='0.png', caption='none'),
            'no json',
            dict(image='1.png', caption='one'),
            dict(image='1.png', caption='one'),
            dict(image='1.png', caption='uno'),
            '[1, 2]',
            dict(image='2.png'),
        ],
    )
    pairs, faults = everything(source_of(str(images / 'list.jsonl')))
    assert pairs == [
        ('0.png', 'none', NONE),
        ('1.png', 'one', ONE),
        ('1.png', 'uno', ONE),
    ]
    assert faults == {'unreadable row': 3, 'duplicate key': 1}


def test_a_csv_list_may_have_commas_quotes_and_line_breaks(images):
    (images / 'list.csv').write_text(
        'id,caption,image\n7,"a ""cat"",\nand a dog",0.png\n8,one,1.png\n'
        '9,too,many,2.png\n8,two,2.png'
    )
    source = PairList(images / 'list.csv', key='id')
    pairs, faults = everything(source)
    assert pairs == [
        ('7', 'a "cat",\nand a dog', NONE),
        ('8', 'one', ONE),
    ]
    assert faults == {'unreadable row': 1, 'duplicate key': 1}


def test_a_quotation_mark_that_is_never_closed_costs_its_row(images):
    rows = [f'text {n},0.png' for n in range(9000)]
    rows[1] = '"' + rows[1]
    (images / 'list.csv').write_text('\n'.join(['caption,image', *rows]))
    pairs, faults = everything(PairList(images / 'list.csv'))
    assert faults == {'unreadable row': 1}
    assert pairs[0][1] == 'text 0'
    assert pairs[-1][1] == 'text 8999'
    assert 500 < len(pairs) < 9000


def test_a_tsv_list_takes_quotation_marks_as_they_are(images):
    (images / 'list.tsv').write_text('caption\timage\na 5" cat\t0.png\n')
    assert everything(source_of(str(images / 'list.tsv')))[0] == [
        ('0.png', 'a 5" cat', NONE)
    ]


def test_a_key_is_looked_for_in_the_whole_list(images):
    rows = [dict(image='0.png', caption='c', id=n) for n in range(1500)]
    write_jsonl(images / 'list.jsonl', [*rows, rows[3]])
    source = PairList(images / 'list.jsonl', key='id')
    assert [len(source.entries(u).entries) for u in (0, 1)] == [1000, 500]
    assert source.entries(1).faults == {'duplicate key': 1}


def test_options_stand_beside_the_path(images):
    write_jsonl(images / 'list.jsonl', [dict(url='0.png', text='none')])
    where = dict(path=str(images / 'list.jsonl'), image='url', caption='text')
    assert everything(source_of(where))[0] == [('0.png', 'none', NONE)]


def test_what_is_not_there_is_said(images):
    with pytest.raises(FileNotFoundError, match='no tar file at'):
        PairShards(str(images / '*.tar'))
    with pytest.raises(FileNotFoundError, match='no image with a .txt'):
        PairFolder(str(images))
    (images / 'list.csv').write_text('image,text\n')
    with pytest.raises(ValueError, match=r"none named \['caption'\]"):
        PairList(images / 'list.csv')
    with pytest.raises(ValueError, match='expected .jsonl, .csv or .tsv'):
        PairList(images / 'list.xml')
