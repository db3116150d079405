import pytest

from mmclip.clip.prompts import clean_name, prompt_set


@pytest.mark.parametrize(
    ('name', 'count'),
    [('vild', 63), ('detpro', 74), ('imagenet', 80), ('single', 1)],
)
def test_each_set_has_as_many_sentences_as_published(name, count):
    sentences = prompt_set(name).sentences('cat')
    assert len(sentences) == len(set(sentences)) == count
    assert all('cat' in s and '{' not in s for s in sentences)


@pytest.mark.parametrize(
    ('raw', 'clean'),
    [
        ('aerosol_can', 'aerosol can'),
        ('arctic_(type_of_shoe)', 'arctic (type of shoe)'),
        ('Brush/Eyeliner Pencil', 'brush or eyeliner pencil'),
        ('hot dog.', 'hot dog'),
    ],
)
def test_names_are_cleaned_as_vild_does(raw, clean):
    assert clean_name(raw) == clean


@pytest.mark.parametrize(
    ('name', 'article'),
    [('iPod', 'an'), ('Airplane', 'a'), ('unicycle', 'an'), ('cat', 'a')],
)
def test_the_article_follows_the_raw_first_letter(name, article):
    first = prompt_set('vild').sentences(name)[0]
    assert first == f'There is {article} {name.lower()} in the scene.'


def test_vild_introduces_sentences_that_start_with_an_article():
    sentences = prompt_set('vild').sentences('cat')
    assert 'This is a photo of the cat.' in sentences
    assert sum(s.startswith('This is ') for s in sentences) == 58
    assert prompt_set('single').sentences('cat') == ['a photo of a cat.']


def test_detpro_and_name_take_the_raw_name():
    raw = 'bat_(animal)'
    assert prompt_set('name').sentences(raw) == [raw]
    assert prompt_set('detpro').sentences(raw)[0] == f'This is a {raw}'


def test_own_templates_take_cleaned_names_and_an_article():
    own = prompt_set(['{article} {} at night', 'my {}'])
    assert own.sentences('ice_cream') == [
        'an ice cream at night',
        'my ice cream',
    ]


def test_a_name_with_braces_is_text():
    assert prompt_set(['a {}']).sentences('{0} x') == ['a {0} x']


def test_an_unknown_set_names_the_nearest():
    with pytest.raises(ValueError, match="'vlid'.*vild"):
        prompt_set('vlid')


@pytest.mark.parametrize(
    'bad', [[], ['no place'], ['{} and {}'], ['{name}'], ['{'], [3], ['{:>9}']]
)
def test_a_template_that_takes_no_name_is_refused(bad):
    with pytest.raises(ValueError, match='template'):
        prompt_set(bad)
