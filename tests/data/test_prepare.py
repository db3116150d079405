import json

import pytest

from mmclip.data import prepare
from tests.data.test_official import coco_file, lvis_file


@pytest.fixture
def root(tmp_path):
    """Both datasets in one folder, without images."""
    folder = tmp_path / 'annotations'
    folder.mkdir()
    for split in ('train', 'val'):
        for name, content in (
            (f'instances_{split}2017', coco_file(split)),
            (f'lvis_v1_{split}', lvis_file(split)),
        ):
            for annotation in content['annotations']:
                annotation['area'] = 81
            (folder / f'{name}.json').write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize(
    ('source', 'read', 'novel'),
    [('coco', '2 of the 2', 'novel: 17'), ('lvis', '2 of the 2', '337')],
)
def test_the_files_are_checked_and_the_leak_disproved(
    root, capsys, source, read, novel
):
    assert prepare.main(source, 'Check.', [str(root), '--no-images']) == 0
    printed = capsys.readouterr().out
    assert f'training reads {read} annotations of base classes' in printed
    assert novel in printed


def test_missing_images_are_a_fault_unless_not_asked_for(root, capsys):
    assert prepare.main('coco', 'Check.', [str(root)]) == 1
    assert 'images are missing' in capsys.readouterr().out


def test_a_base_file_is_written_on_demand(root, capsys):
    out = root / 'base.json'
    arguments = [str(root), '--no-images', '--write-base', str(out)]
    assert prepare.main('lvis', 'Check.', arguments) == 0
    assert len(json.loads(out.read_text())['annotations']) == 2
    assert 'wrote 2 annotations' in capsys.readouterr().out


def test_nothing_is_written_from_a_faulty_file(root, capsys):
    annotations = root / 'annotations'
    (annotations / 'instances_val2017.json').replace(
        annotations / 'instances_train2017.json'
    )
    (annotations / 'instances_val2017.json').write_text(
        json.dumps(coco_file('val'))
    )
    out = root / 'base.json'
    arguments = [str(root), '--no-images', '--write-base', str(out)]
    assert prepare.main('coco', 'Check.', arguments) == 1
    assert 'this is the val set' in capsys.readouterr().out
    assert not out.exists()


def test_an_absent_or_damaged_file_is_one_line(root, capsys):
    path = root / 'annotations' / 'lvis_v1_train.json'
    path.write_text(path.read_text()[:1000])
    assert prepare.main('lvis', 'Check.', [str(root)]) == 1
    assert 'cut short' in capsys.readouterr().err
    path.unlink()
    assert prepare.main('lvis', 'Check.', [str(root)]) == 1
    assert 'lvis_v1_train.json' in capsys.readouterr().err


def test_a_leak_would_be_seen(root, monkeypatch, capsys):
    leaking = prepare.SOURCES['coco']._replace(
        dataset=dict(
            type='mmclip.OVCocoDataset',
            base_classes=('person', 'airplane'),
        )
    )
    monkeypatch.setitem(prepare.SOURCES, 'coco', leaking)
    assert prepare.main('coco', 'Check.', [str(root), '--no-images']) == 1
    assert 'none of a base class' in capsys.readouterr().err
