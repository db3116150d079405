import numpy as np
import pytest

from mmclip.clip.shapes_clip import ShapesTokenizer, read_config
from mmclip.data.shapes import concepts, draw_scene
from mmclip.data.shapes_pairs import tell
from mmclip.registry import DATASETS


def pairs(**options):
    options = dict(vocabulary='shapes-solid', size=32) | options
    return DATASETS.build(dict(type='mmclip.ShapesPairDataset', **options))


def test_a_pair_follows_from_its_seed_and_number():
    first, again = pairs()[3], pairs()[3]
    assert first['caption'] == again['caption']
    assert np.array_equal(first['img'], again['img'])
    other = pairs(seed=1)[3]
    assert not np.array_equal(first['img'], other['img'])


def test_a_caption_names_what_is_in_the_scene_and_nothing_else():
    data = pairs(objects=(1, 4))
    names = {c.name for c in concepts(vocabulary='shapes-solid')}
    for index in range(30):
        sample = data[index]
        scene = draw_scene((0, index), 32, data.among, (1, 4))
        there = {o.concept.name for o in scene.objects}
        assert {n for n in names if n in sample['caption']} == there
        assert np.array_equal(sample['img'], scene.image[..., ::-1])


def test_nothing_but_words_that_the_tokenizer_knows_is_said():
    config = read_config()
    tokenizer = ShapesTokenizer(config['words'], config['bpe_ids'], 48)
    data = pairs(vocabulary='shapes-80')
    ids = tokenizer([data[i]['caption'] for i in range(60)])
    assert len(ids) == 60
    with pytest.raises(ValueError, match='zebra'):  # one that it does not
        tokenizer(['a red zebra'])


@pytest.mark.parametrize('count', [0, 1, 3])
def test_any_number_of_names_can_be_told(count):
    names = ['red star', 'orange oval', 'blue ring'][:count]
    rng = np.random.default_rng(0)
    said = {tell(names, rng) for _ in range(40)}
    assert (len(said) > 5) == (count > 0)
    assert all(all(n in text for n in names) for text in said)
    assert not any('a orange' in text for text in said)


def test_unseen_pairs_of_colour_and_shape_are_not_drawn():
    seen = pairs().metainfo['classes']
    assert len(seen) == 21
    unseen = concepts('unseen', vocabulary='shapes-solid')
    assert len(unseen) == 8
    assert not {c.name for c in unseen} & set(seen)
