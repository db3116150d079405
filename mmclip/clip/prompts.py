"""Turn names into the sentences that the text tower reads.

A prompt set is a list of templates with ``{}`` where the name goes and, in
some, ``{article}`` where "a" or "an" goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from string import Formatter

# The released ViLD notebook's list, as in mmpretrain's multiple_templates.
VILD = (
    'There is {article} {} in the scene.',
    'There is the {} in the scene.',
    'a photo of {article} {} in the scene.',
    'a photo of the {} in the scene.',
    'a photo of one {} in the scene.',
    'itap of {article} {}.',
    'itap of my {}.',
    'itap of the {}.',
    'a photo of {article} {}.',
    'a photo of my {}.',
    'a photo of the {}.',
    'a photo of one {}.',
    'a photo of many {}.',
    'a good photo of {article} {}.',
    'a good photo of the {}.',
    'a bad photo of {article} {}.',
    'a bad photo of the {}.',
    'a photo of a nice {}.',
    'a photo of the nice {}.',
    'a photo of a cool {}.',
    'a photo of the cool {}.',
    'a photo of a weird {}.',
    'a photo of the weird {}.',
    'a photo of a small {}.',
    'a photo of the small {}.',
    'a photo of a large {}.',
    'a photo of the large {}.',
    'a photo of a clean {}.',
    'a photo of the clean {}.',
    'a photo of a dirty {}.',
    'a photo of the dirty {}.',
    'a bright photo of {article} {}.',
    'a bright photo of the {}.',
    'a dark photo of {article} {}.',
    'a dark photo of the {}.',
    'a photo of a hard to see {}.',
    'a photo of the hard to see {}.',
    'a low resolution photo of {article} {}.',
    'a low resolution photo of the {}.',
    'a cropped photo of {article} {}.',
    'a cropped photo of the {}.',
    'a close-up photo of {article} {}.',
    'a close-up photo of the {}.',
    'a jpeg corrupted photo of {article} {}.',
    'a jpeg corrupted photo of the {}.',
    'a blurry photo of {article} {}.',
    'a blurry photo of the {}.',
    'a pixelated photo of {article} {}.',
    'a pixelated photo of the {}.',
    'a black and white photo of the {}.',
    'a black and white photo of {article} {}.',
    'a plastic {}.',
    'the plastic {}.',
    'a toy {}.',
    'the toy {}.',
    'a plushie {}.',
    'the plushie {}.',
    'a cartoon {}.',
    'the cartoon {}.',
    'an embroidered {}.',
    'the embroidered {}.',
    'a painting of the {}.',
    'a painting of a {}.',
)

# detpro (Apache-2.0), class_name.py: no final dot.
DETPRO = (
    'This is a {}',
    'There is a {}',
    'a photo of a {} in the scene',
    'a photo of a small {} in the scene',
    'a photo of a medium {} in the scene',
    'a photo of a large {} in the scene',
    'a photo of a {}',
    'a photo of a small {}',
    'a photo of a medium {}',
    'a photo of a large {}',
    'This is a photo of a {}',
    'This is a photo of a small {}',
    'This is a photo of a medium {}',
    'This is a photo of a large {}',
    'There is a {} in the scene',
    'There is the {} in the scene',
    'There is one {} in the scene',
    'This is a {} in the scene',
    'This is the {} in the scene',
    'This is one {} in the scene',
    'This is one small {} in the scene',
    'This is one medium {} in the scene',
    'This is one large {} in the scene',
    'There is a small {} in the scene',
    'There is a medium {} in the scene',
    'There is a large {} in the scene',
    'There is a {} in the photo',
    'There is the {} in the photo',
    'There is one {} in the photo',
    'There is a small {} in the photo',
    'There is the small {} in the photo',
    'There is one small {} in the photo',
    'There is a medium {} in the photo',
    'There is the medium {} in the photo',
    'There is one medium {} in the photo',
    'There is a large {} in the photo',
    'There is the large {} in the photo',
    'There is one large {} in the photo',
    'There is a {} in the picture',
    'There is the {} in the picture',
    'There is one {} in the picture',
    'There is a small {} in the picture',
    'There is the small {} in the picture',
    'There is one small {} in the picture',
    'There is a medium {} in the picture',
    'There is the medium {} in the picture',
    'There is one medium {} in the picture',
    'There is a large {} in the picture',
    'There is the large {} in the picture',
    'There is one large {} in the picture',
    'This is a {} in the photo',
    'This is the {} in the photo',
    'This is one {} in the photo',
    'This is a small {} in the photo',
    'This is the small {} in the photo',
    'This is one small {} in the photo',
    'This is a medium {} in the photo',
    'This is the medium {} in the photo',
    'This is one medium {} in the photo',
    'This is a large {} in the photo',
    'This is the large {} in the photo',
    'This is one large {} in the photo',
    'This is a {} in the picture',
    'This is the {} in the picture',
    'This is one {} in the picture',
    'This is a small {} in the picture',
    'This is the small {} in the picture',
    'This is one small {} in the picture',
    'This is a medium {} in the picture',
    'This is the medium {} in the picture',
    'This is one medium {} in the picture',
    'This is a large {} in the picture',
    'This is the large {} in the picture',
    'This is one large {} in the picture',
)


@dataclass(frozen=True)
class PromptSet:
    """Hold templates and how a name is written into them.

    Args:
        templates: Sentences with ``{}``, optionally with ``{article}``.
        clean: Whether names are cleaned by :func:`clean_name` first.
        introduce: Whether "This is " goes in front of a sentence that
            starts with "a" or "the".
    """

    templates: tuple[str, ...]
    clean: bool = True
    introduce: bool = False

    def sentences(self, phrase: str) -> list[str]:
        """Write ``phrase`` into every template."""
        word = clean_name(phrase) if self.clean else phrase
        # The article follows the raw first letter: "an unicycle", "a Apple".
        article = 'an' if phrase[0] in 'aeiou' else 'a'
        filled = [t.format(word, article=article) for t in self.templates]
        if not self.introduce:
            return filled
        return [
            f'This is {s}' if s.startswith(('a', 'the')) else s for s in filled
        ]


PROMPT_SETS = {
    'vild': PromptSet(VILD, introduce=True),
    'detpro': PromptSet(DETPRO, clean=False),
    'single': PromptSet(('a photo of a {}.',)),
    'name': PromptSet(('{}',), clean=False),
}


def clean_name(name: str) -> str:
    """Write a category name as ViLD does.

    ``_`` becomes a space, ``/`` becomes " or ", letters become lower case,
    trailing dots go and parentheses stay: ``'Bat_(animal)'`` becomes
    ``'bat (animal)'``.
    """
    spaced = name.replace('_', ' ').replace('/', ' or ')
    return spaced.lower().rstrip('.')


def prompt_set(prompts: str | Sequence[str]) -> PromptSet:
    """Return the prompt set of a name, or one made of a user's templates.

    Args:
        prompts: ``'vild'`` (63 templates), ``'detpro'`` (74, raw names),
            ``'imagenet'`` (OpenAI's 80), ``'imagenet-7'`` (the seven of them
            that OpenAI found to do), ``'single'`` ("a photo of a {}."),
            ``'name'`` (the raw name alone), or a list of templates.

    Raises:
        ValueError: The set is unknown, or a template has no ``{}`` or a
            field other than ``{}`` and ``{article}``.

    Example:
        >>> prompt_set('single').sentences('traffic_light')
        ['a photo of a traffic light.']
    """
    if not isinstance(prompts, str):
        return PromptSet(checked_templates(prompts))
    if prompts in ('imagenet', 'imagenet-7'):
        return PromptSet(_imagenet_templates(prompts == 'imagenet-7'))
    if prompts not in PROMPT_SETS:
        known = sorted([*PROMPT_SETS, 'imagenet', 'imagenet-7'])
        near = get_close_matches(prompts, known, n=2, cutoff=0.4) or known
        raise ValueError(
            f"unknown prompt set '{prompts}': did you mean "
            f'{" or ".join(near)}? A list of templates such as '
            "['a photo of a {}.'] is also taken"
        )
    return PROMPT_SETS[prompts]


def checked_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Return ``templates`` as a tuple once each is known to take a name.

    Raises:
        ValueError: The list is empty or a template cannot be filled.
    """
    if len(templates) == 0:
        raise ValueError("no templates: pass at least one, such as '{}'")
    for template in templates:
        if not isinstance(template, str) or not _takes_a_name(template):
            raise ValueError(
                f'cannot write a name into the template {template!r}: it '
                "needs one '{}' (and may have '{article}'), such as "
                "'a photo of {article} {}.'"
            )
    return tuple(templates)


def _takes_a_name(template: str) -> bool:
    try:
        parts = list(Formatter().parse(template))
    except ValueError:  # a lone brace
        return False
    fields = [
        field + (spec or '') + (convert or '')
        for _, field, spec, convert in parts
        if field is not None
    ]
    return fields.count('') == 1 and set(fields) <= {'', 'article'}


def _imagenet_templates(few: bool) -> tuple[str, ...]:
    from open_clip import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

    writers = SIMPLE_IMAGENET_TEMPLATES if few else OPENAI_IMAGENET_TEMPLATES
    return tuple(write('{}') for write in writers)
