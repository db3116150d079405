import pytest

from mmclip.data.captions import caption_fault, is_english


@pytest.mark.parametrize(
    'caption',
    [
        'a dog on the grass',
        'IMG 2041 jpg',
        'Café in München at night',
        'red circle',
        'Le Corbusier, the architect, in a hotel on the Riviera',
        'pizza al taglio',
    ],
)
def test_english_and_names_pass(caption):
    assert is_english(caption)
    assert caption_fault(caption) is None


@pytest.mark.parametrize(
    'caption',
    [
        '一只狗在草地上',
        'собака на траве',
        'un chien sur la pelouse avec une balle',
        'ein Hund auf dem Rasen mit einem Ball',
        'un perro en el jardín con una pelota',
        'een hond op het gras met een bal',
        'สุนัข dog',
    ],
)
def test_other_languages_do_not(caption):
    assert caption_fault(caption) == 'not English'
    assert caption_fault(caption, english_only=False) is None


@pytest.mark.parametrize('caption', ['', '  \n', '...', '¿?!'])
def test_a_caption_without_a_letter_is_empty(caption):
    assert caption_fault(caption) == 'empty caption'
    assert caption_fault(caption, english_only=False) == 'empty caption'
