"""The word list that the published GLIPs read: where it is, how to get it."""

from pathlib import Path

from mmclip.clip.download import fetch_file
from mmclip.clip.places import cache_dir, file_at_hand

NAMES = (  # that it may have in a folder of weights
    'bert-base-uncased-vocab.txt',
    'bert-base-uncased/vocab.txt',
)
URLS = (
    'https://huggingface.co/bert-base-uncased/resolve/main/vocab.txt',
    'https://huggingface.co/google-bert/bert-base-uncased/resolve/main/'
    'vocab.txt',
)


def bert_words() -> Path | None:
    """Return BERT's word list, if it lies on this machine."""
    found = (file_at_hand(NAMES, url) for url in URLS)
    return next(filter(None, found), None)


def fetch_bert_words(progress: bool = True) -> Path:
    """Return BERT's word list, fetched if need be.

    Raises:
        ConnectionError: It cannot be fetched.
    """
    place = cache_dir('weights') / NAMES[0]
    return bert_words() or fetch_file(URLS[0], place, progress=progress)


def with_words(cfg):
    """Fill in the word list where a config names one that is not there.

    Args:
        cfg: Config of a run; that of a language model without a file named,
            or with one that is there, stays as it is.

    Raises:
        FileNotFoundError: It is nowhere on this machine.
    """
    language = cfg.model.get('language_model') or {}
    named = language.get('vocab_file')
    if not isinstance(named, str) or Path(named).is_file():
        return cfg
    found = bert_words()
    if found is None:
        raise FileNotFoundError(
            f"there is no word list of BERT at '{named}', which GLIP reads: "
            'put vocab.txt of bert-base-uncased (30522 lines) at '
            f"'{cache_dir('weights') / NAMES[0]}' (source: {URLS[0]})"
        )
    language.vocab_file = str(found)
    return cfg
