"""What to say for the names of a data set, where the name is not it.

A list is ``{name: [phrases]}``; names that it lacks speak for themselves.
"""

from collections.abc import Mapping

# Of ADE20K's 150 names these have several words. The released code splits its
# label file at each blank and keeps the first piece, so its models were
# trained on 'chest' for 'chest of drawers', and on 'screen' twice.
ADE20K_SEVERAL_WORDS = (
    'chest of drawers',
    'pool table',
    'screen door',
    'coffee table',
    'kitchen island',
    'swivel chair',
    'arcade machine',
    'television receiver',
    'dirt track',
    'conveyer belt',
    'swimming pool',
    'trade name',
    'traffic light',
    'crt screen',
    'bulletin board',
)
WORD_LISTS = {
    # mmseg's names are the right ones, but for a trailing blank.
    'ade20k': {'bed ': ['bed']},
    # For checkpoints as released, and to compare with their figures.
    'ade20k-released': {
        'bed ': ['bed'],
        **{name: [name.split()[0]] for name in ADE20K_SEVERAL_WORDS},
    },
    # VOC's spelling, as the few-shot benchmarks and the released code say it.
    'pascal-words': {
        'aeroplane': ['airplane'],
        'diningtable': ['dining table'],
        'motorbike': ['motorcycle'],
        'pottedplant': ['potted plant'],
        'tvmonitor': ['tv monitor'],
    },
}


def word_list(phrases: str | Mapping | None) -> dict[str, list[str]]:
    """Return the list of a name, or a user's own.

    Args:
        phrases: A key of ``WORD_LISTS``, ``{name: phrase or phrases}``, or
            None for an empty list.

    Raises:
        ValueError: There is no list of that name.
    """
    if phrases is None:
        return {}
    if isinstance(phrases, str):
        if phrases not in WORD_LISTS:
            raise ValueError(
                f"there is no word list '{phrases}': known are "
                f'{sorted(WORD_LISTS)}; {{name: [phrases]}} is also taken'
            )
        phrases = WORD_LISTS[phrases]
    return {
        name: [some] if isinstance(some, str) else list(some)
        for name, some in phrases.items()
    }


def spoken(names: list[str], phrases: Mapping[str, list[str]]) -> dict:
    """Return ``{name: [phrases]}`` for every name, in their order."""
    return {name: phrases.get(name, [name]) for name in names}
