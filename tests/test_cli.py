import os
import subprocess
import sys

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
