import json

import pytest

from mmclip.data.few_shot import (
    counts,
    few_shot_images,
    few_shot_split,
    main,
)


def world(*images, classes='abc'):
    """Return annotations; each image is a string of its classes."""
    entries = [(i, letter) for i, own in enumerate(images) for letter in own]
    return dict(
        info='kept',
        images=[dict(id=i) for i in range(len(images))],
        annotations=[
            dict(id=k, image_id=i, category_id=classes.index(letter) + 1)
            for k, (i, letter) in enumerate(entries)
        ],
        categories=[
            dict(id=k + 1, name=name) for k, name in enumerate(classes)
        ],
    )


MANY = world(*['a', 'b', 'c', 'ab', 'aab', ''] * 8)


@pytest.mark.parametrize('shots', [1, 3, 5])
@pytest.mark.parametrize('seed', [3, 30, 300])
def test_every_class_is_in_as_many_images_as_wanted(shots, seed):
    split = few_shot_split(MANY, shots, seed)
    few = counts(split)
    assert min(few.values()) == shots
    assert len(split['images']) <= 3 * shots
    chosen = {image['id'] for image in split['images']}
    expected = [a for a in MANY['annotations'] if a['image_id'] in chosen]
    assert split['annotations'] == expected
    assert split['info'] == 'kept'
    assert split['categories'] == MANY['categories']


def test_no_image_is_taken_in_vain():
    for seed in range(20):
        wanted = dict(zip('abc', [2] * 3))
        labels = ['a', 'b', 'c', 'ab', 'aab', ''] * 8
        for image in few_shot_images(MANY, 2, seed):
            own = set(labels[image])
            assert any(wanted[k] > 0 for k in own)
            for k in own:
                wanted[k] -= 1


def test_a_seed_gives_the_same_images_and_another_others():
    assert few_shot_images(MANY, 3, 3) == few_shot_images(MANY, 3, 3)
    assert few_shot_images(MANY, 3, 3) != few_shot_images(MANY, 3, 30)


def test_a_rare_class_gives_all_it_has():
    split = few_shot_split(world('a', 'a', 'a', 'b'), 2, 3)
    assert counts(split) == dict(a=2, b=1, c=0)


def test_an_image_counts_once_for_a_class_and_crowds_never():
    truth = world('aaa', 'b')
    truth['annotations'][-1]['iscrowd'] = 1
    assert few_shot_images(truth, 2, 3) == [0]


def test_files_of_every_pair_are_written(tmp_path, capsys):
    source = tmp_path / 'train.json'
    source.write_text(json.dumps(MANY))
    out = tmp_path / 'few'
    args = [str(source), str(out), '--shots', '1', '3', '--seeds', '3', '30']
    assert main(args) == 0
    names = {path.name for path in out.iterdir()}
    assert names == {
        f'train_{shot}shot_seed{seed}.json'
        for shot in (1, 3)
        for seed in (3, 30)
    }
    read = json.loads((out / 'train_3shot_seed30.json').read_text())
    assert read == few_shot_split(MANY, 3, 30)
    assert 'a class is in 3 to' in capsys.readouterr().out


def test_faults_are_told(tmp_path, capsys):
    assert main([str(tmp_path / 'x.json'), str(tmp_path)]) == 1
    assert 'x.json' in capsys.readouterr().err
    with pytest.raises(ValueError, match='at least 1'):
        few_shot_images(MANY, 0, 3)
