import pytest

from mmclip.clipasso.dataset import SketchImageDataset
from tests.clipasso.sketching import draw_picture


@pytest.fixture
def folder(tmp_path):
    for name in ('b.png', 'a.JPG', '.hidden.png'):
        draw_picture(tmp_path / 'in' / name)
    (tmp_path / 'in' / 'notes.txt').write_text('no image')
    return tmp_path / 'in'


def names(dataset):
    return [dataset.get_data_info(k)['name'] for k in range(len(dataset))]


def test_a_folder_a_file_a_pattern_and_a_list_are_taken(folder):
    assert names(SketchImageDataset(str(folder))) == ['a', 'b']
    assert names(SketchImageDataset(folder / 'b.png')) == ['b']
    assert names(SketchImageDataset(str(folder / '*.png'))) == ['b']
    both = SketchImageDataset([folder / 'b.png', str(folder)])
    assert names(both) == ['b', 'a', 'b-2']


def test_masks_and_classes_belong_to_their_images(folder, tmp_path):
    for name in ('a.png', 'b.webp', 'c.png'):
        draw_picture(tmp_path / 'masks' / name)
    dataset = SketchImageDataset(
        str(folder),
        masks=str(tmp_path / 'masks'),
        class_names=dict(a='cat'),
    )
    first, second = (dataset.get_data_info(k) for k in (0, 1))
    assert first['mask_path'].endswith('masks/a.png')
    assert second['mask_path'].endswith('masks/b.webp')
    assert (first['class_name'], second['class_name']) == ('cat', None)
    one = SketchImageDataset(str(folder), class_names='dog')
    assert one.get_data_info(1)['class_name'] == 'dog'


def test_what_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image '.*x\.png'"):
        SketchImageDataset(str(folder / 'x.png'))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='holds no image'):
        SketchImageDataset(str(tmp_path / 'empty'))
    with pytest.raises(FileNotFoundError, match='no image is named'):
        SketchImageDataset([])
    draw_picture(tmp_path / 'masks' / 'b.png')
    with pytest.raises(FileNotFoundError, match=r"no mask called 'a\.\*'"):
        SketchImageDataset(str(folder), masks=str(tmp_path / 'masks'))
    with pytest.raises(ValueError, match='1 masks for 2 images'):
        SketchImageDataset(str(folder), masks=[folder / 'b.png'])
    with pytest.raises(ValueError, match='3 class_names for 2 images'):
        SketchImageDataset(str(folder), class_names=['a', 'b', 'c'])
