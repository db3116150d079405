"""The zoo's entries say what OpenMMLab's tools and ours read in them."""

import shlex
from pathlib import Path

import pytest
from mmengine.fileio import load

from mmclip.jobs import config_folder

FILES = sorted(config_folder().glob('*/metafile.yml'))
MODELS = [model for file in FILES for model in load(file)['Models']]
RELEASED = [m for m in MODELS if m.get('Weights') or m.get('Converter')]
COLLECTION = {'Name', 'Metadata', 'Paper', 'README', 'Code'}
MODEL = {'Name', 'In Collection', 'Config', 'Metadata', 'Results', 'Weights'}


def test_every_folder_of_configs_has_a_readme_and_a_metafile():
    folders = {p.parent for p in config_folder().glob('[!_]*/*.py')}
    assert {p.parent for p in FILES} == folders
    for folder in folders:
        assert (folder / 'README.md').is_file(), folder


@pytest.mark.parametrize('file', FILES, ids=lambda p: p.parent.name)
def test_a_metafile_has_the_keys_that_are_read(file):
    content = load(file)
    (collection,) = content['Collections']
    assert set(collection) == COLLECTION
    assert (config_folder().parent / collection['README']).is_file()
    assert collection['Paper']['URL'].startswith('https://arxiv.org/')
    for model in content['Models']:
        assert set(model) <= MODEL | {'Converter'}, model
        assert model['In Collection'] == collection['Name']
        assert model['Name'] == Path(model['Config']).stem
        assert model['Metadata']['Training Data']
        for result in model.get('Results', []):
            assert set(result) == {'Task', 'Dataset', 'Metrics'}
            assert result['Metrics']


def test_names_are_used_once():
    names = [model['Name'] for model in MODELS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize('model', RELEASED, ids=lambda m: m['Name'])
def test_released_weights_have_a_source_and_a_licence(model):
    meta = model['Metadata']
    source = model.get('Weights') or meta['Source']
    assert source.startswith('https://')
    assert meta['License']
    digits = meta.get('sha256', '')
    assert set(digits) <= set('0123456789abcdef')
    assert digits in source or len(digits) == 64


@pytest.mark.parametrize('model', RELEASED, ids=lambda m: m['Name'])
def test_a_converter_is_a_command_that_is_there(model):
    from mmclip.cli import build_parser

    if 'Converter' not in model:
        assert model['Weights'].endswith('.pth')  # in our layout as it is
        return
    program, *words = shlex.split(model['Converter'])
    assert program == 'mmclip'
    args = build_parser().parse_args(words)
    assert (args.source, args.target) == ('SRC', 'DST')
    if args.config:
        assert args.config == model['Name']
