import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmclip import __version__, cli


def test_a_reader_that_has_seen_enough_is_no_error():
    process = subprocess.Popen(
        [sys.executable, '-m', 'mmclip.cli', 'models'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONUNBUFFERED='1'),
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait() == 0
    assert process.stderr.read() == b''


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(['--version'])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == __version__


def test_every_command_explains_itself(capsys):
    for name, _, _, text in cli.commands():
        with pytest.raises(SystemExit) as ended:
            cli.main([name, '--help'])
        assert ended.value.code == 0
        said = ' '.join(capsys.readouterr().out.split())
        assert text in said
        assert '--debug' in said


def test_every_option_of_every_command_is_explained():
    lacking = [
        f'{name} {action.option_strings or action.dest}'
        for name, parser in commands_of(cli.build_parser()).items()
        for action in parser._actions
        if not action.help
    ]
    assert not lacking


def commands_of(parser) -> dict:
    (subparsers,) = (
        action
        for action in parser._actions
        if hasattr(action, 'choices') and isinstance(action.choices, dict)
    )
    return subparsers.choices


SCENE = str(Path(__file__).parents[1] / 'docs/en/_static/shapes_scene.png')
MISUSED = [  # words, exit code, what is said
    ('', 2, 'arguments are required: COMMAND'),
    ('detct', 2, "'detct'", 'did you mean detect'),
    ('segmnt a.png', 2, 'did you mean segment'),
    ('detect', 2, 'arguments are required: IMAGE'),
    ('detect a.png --txt dog', 2, 'not understood: --txt', 'mean --text'),
    ('detect a.png --batch-size 0', 2, 'a whole number from 1, got 0'),
    ('detect a.png --batch-size x', 2, 'a whole number from 1, got x'),
    ('detect a.png --formats coca', 2, 'did you mean coco?'),
    ('detect none.png --text dog', 1, 'there is no image none.png'),
    ('detect https://a.org/b.png', 1, 'is an address', 'download'),
    ('detect . --text dog', 1, 'holds no image'),
    ('detect {scene} --text a.json', 1, 'no file of names a.json'),
    ('detect {scene} --model x.pth', 1, 'there is no checkpoint x.pth'),
    ('detect {scene} --model glip-tt', 1, 'did you mean glip-t'),
    ('detect {scene} --model vild_r18', 1, 'mmclip train vild_r18'),
    ('detect {scene} --text dog', 1, 'mmclip models fetch glip-t'),
    ('segment none.png --text dog', 1, 'there is no image none.png'),
    ('segment {scene} --text dog', 1, 'mmclip://ViT-B-16-quickgelu/openai'),
    ('segment {scene} --precision int8', 2, "invalid choice: 'int8'"),
    ('segment {scene} --model mmclip://shapes', 1, 'is not packaged'),
    ('segment {scene} --model mmclip://shapes-clip', 1, 'say what to look'),
    ('embed-pixels none.png', 1, 'there is no image none.png'),
    ('groups none.png --model random', 1, 'there is no image none.png'),
    ('groups {scene}', 2, 'arguments are required: --model'),
    ('sketch none.png', 1, "no image 'none.png'"),
    ('sketch https://a.org/b.png', 1, 'is an address'),
    ('sketch {scene} --clip RN999', 1, 'did you mean RN'),
    ('sketch {scene} --strokes many', 2, "invalid int value: 'many'"),
    ('sketch {scene} --batch-size 0', 2, 'a whole number from 1, got 0'),
    ('train no-such-config', 1, 'no config no-such-config'),
    ('train vild_r18_fpn_shape', 1, 'near to it: vild_r18_fpn_shapes'),
    ('train vild_r18_fpn_shapes --cfg-options a', 2, 'takes KEY=VALUE'),
    ('train vild_r18_fpn_shapes --resume a.pth', 1, 'a.pth does not exist'),
    ('test vild_r18_fpn_shapes', 2, 'arguments are required: checkpoint'),
    ('test vild_r18_fpn_shapes a.pth', 1, 'a.pth does not exist'),
    ('models show', 1, 'takes one name'),
    ('models show glop', 1, 'did you mean glip'),
    ('models fetch groupvit_shapes', 1, 'no weights of groupvit_shapes'),
    ('convert glipp a b.pth', 2, 'did you mean glip?'),
    ('convert glip a.pth b.pth', 1, "there is no checkpoint 'a.pth'"),
    ('convert groupvit a.pth b.bin', 1, 'b.bin'),
    ('export vild_r18_fpn_shapes a.pth b.onnx', 1, 'no checkpoint a.pth'),
    ('doctor no-such-config', 1, 'no config no-such-config'),
    ('check-data no-such-config', 1, 'no config no-such-config'),
    ('shapes cocoo out', 2, 'did you mean coco?'),
]


@pytest.mark.parametrize('row', MISUSED, ids=lambda row: row[0] or 'nothing')
def test_a_misuse_is_answered_in_words(row, tmp_path, monkeypatch, capsys):
    words, code, *said = row
    monkeypatch.chdir(tmp_path)
    words = words.format(scene=SCENE).split()
    try:
        ended = cli.main(words)
    except SystemExit as stopped:
        ended = stopped.code
    error = capsys.readouterr().err
    assert ended == code
    for each in said:
        assert each in error
    assert 'Traceback' not in error
    assert ('usage: mmclip' in error) == (code == 2)
    assert ('--debug shows' in error) == (code == 1)
    assert not list(tmp_path.iterdir())


def test_the_way_to_an_error_is_shown_on_demand(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no image none\.png'):
        cli.main(['detect', 'none.png', '--debug'])


def test_an_error_says_its_file_and_line(capsys):
    assert cli.main(['detect', 'none.png']) == 1
    assert '(image.py, line ' in capsys.readouterr().err


def test_a_config_that_cannot_be_built_is_told(tmp_path, capsys):
    words = ['train', 'vild_r18_fpn_shapes', '--work-dir', str(tmp_path)]
    words += ['--cfg-options', 'model.neck=3', 'log_level=ERROR']
    assert cli.main(words) == 1
    error = capsys.readouterr().err
    assert 'the config cannot be built' in error
    assert 'mmclip doctor' in error


def test_an_interruption_ends_with_its_own_code(monkeypatch, capsys):
    from mmclip import zoo_command

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(zoo_command, 'show_list', interrupted)
    assert cli.main(['models']) == 130
    assert 'interrupted' in capsys.readouterr().err
