import json
import signal
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import mmclip
from mmclip import cli
from mmclip.clip import efficientnet_lite0 as lite0
from mmclip.inference.sketcher import Sketcher
from tests.clip.conftest import make_clip, make_config
from tests.clipasso.conftest import config_text_as_it_is  # noqa: F401
from tests.clipasso.sketching import draw_picture, pictures
from tests.clipasso.test_foreground_loss import two_objects
from tests.clipasso.test_loop import SignalAt  # noqa: F401

QUICK = dict(clip='shapes-clip', iters=3, seeds=1, formats=('svg',))
FAST = ['--clip', 'shapes-clip', '--iters', '6', '--seeds', '1', '--quiet']


def array(channels=3):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (50, 40, channels), np.uint8).squeeze()


@pytest.fixture(scope='module')
def tiny_clip_file(tmp_path_factory):
    """A tiny ViT under a name of open_clip's, and its weights."""
    folder = tmp_path_factory.mktemp('open_clip')
    (folder / 'tiny-sketch-vit.json').write_text(json.dumps(make_config()))
    open_clip.add_model_config(folder / 'tiny-sketch-vit.json')
    path = folder / 'tiny.safetensors'
    save_file(make_clip().state_dict(), path)
    return path


@pytest.mark.parametrize('strokes', [1, 4])
def test_an_image_becomes_a_plain_dict(strokes):
    found = mmclip.sketch(array(), strokes, size=80, **QUICK)
    assert found['points'].shape == (strokes, 1, 4, 2)
    assert found['picture'].shape == (80, 80, 3)
    assert found['svg'].count('<path') == strokes
    assert found['network'] == 'shapes-clip (knows drawn shapes only)'
    assert found['strokes'] == strokes
    assert 'files' not in found
    json.dumps(found['losses'])


@pytest.mark.parametrize(
    'image',
    [
        array(1),
        Image.fromarray(array(4)),
    ],
    ids=['grey array', 'rgba picture'],
)
def test_images_of_any_kind_are_sketched(image):
    assert mmclip.sketch(image, 2, **QUICK)['loss'] > 0


def test_an_iterator_is_sketched_a_batch_at_a_time(tmp_path):
    path = Path(draw_picture(tmp_path / 'a.png'))
    read = []

    def source():
        for each in (path.read_bytes(), array(), path):
            read.append(each)
            yield each

    sketcher = Sketcher(2, batch_size=2, clip='shapes-clip', iters=1, seeds=1)
    found = sketcher(source())
    assert not read
    first = next(found)
    assert len(read) == 2
    rest = list(found)
    assert len(read) == 3
    assert first['loss'] == pytest.approx(rest[1]['loss'], rel=1e-3)
    with pytest.raises(ValueError, match='sketched without out='):
        sketcher(source(), out=tmp_path / 'out')
    with pytest.raises(ValueError, match='is an address'):
        sketcher('https://a.org/b.png')


def test_a_broken_image_of_a_folder_is_told_and_the_rest_goes_on(
    tmp_path, capsys
):
    pictures(tmp_path / 'in', 2)
    (tmp_path / 'in/p00.png').write_bytes(b'no image')
    out = tmp_path / 'out'
    words = ['sketch', str(tmp_path / 'in'), '--out', str(out), *FAST]
    words[-4] = '1'
    assert cli.main([*words, '--strokes', '2', '--formats', 'svg']) == 1
    captured = capsys.readouterr()
    assert "p00.png' cannot be read" in captured.err
    assert '1 of the images could not be read' in captured.err
    assert captured.out.count('2 strokes') == 2
    assert {path.stem for path in out.glob('*.svg')} == {'p0', 'p1'}


def test_a_folder_and_a_list_give_a_list_and_files(tmp_path):
    pictures(tmp_path / 'in', 2)
    sketcher = Sketcher(2, batch_size=2, **QUICK)
    found = sketcher(tmp_path / 'in', out=tmp_path / 'out')
    assert [f['name'] for f in found] == ['p0', 'p1']
    assert found[0]['files'] == sorted(
        str(tmp_path / 'out' / f'p0{end}')
        for end in ('.svg', '.json', '_beside.png')
    )
    again = sketcher([tmp_path / 'in/p1.png'])
    assert again[0]['loss'] == pytest.approx(found[1]['loss'], rel=1e-4)


def test_any_clip_of_open_clips_with_a_local_file(tiny_clip_file):
    found = mmclip.sketch(
        array(),
        3,
        clip='tiny-sketch-vit',
        pretrained=str(tiny_clip_file),
        iters=3,
        seeds=2,
    )
    assert 'tiny-sketch-vit' in found['network']
    assert str(tiny_clip_file) in found['network']
    assert found['saliency'] == found['network']


def test_weights_of_another_network_are_refused(tiny_clip_file, tmp_path):
    state = make_clip('resnet').state_dict()
    save_file(state, tmp_path / 'other.safetensors')
    with pytest.raises(ValueError, match='does not hold the image tower'):
        mmclip.sketch(
            array(),
            clip='tiny-sketch-vit',
            pretrained=str(tmp_path / 'other.safetensors'),
        )


def test_features_from_pip_say_that_they_are_no_clip(tmp_path, monkeypatch):
    from tests.clip.test_efficientnet_lite0 import packages_state

    torch.save(packages_state(), tmp_path / 'lite0.pth')
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path))
    monkeypatch.setattr(lite0, 'packaged_file', lambda: tmp_path / 'lite0.pth')
    found = mmclip.sketch(array(), 2, iters=1, seeds=1)
    assert 'no CLIP: geometric loss only' in found['network']


def test_one_object_alone_is_sketched_if_that_is_asked_for(tmp_path):
    image, circle, square = two_objects()
    for of, place in (('object', square), ('red circle', circle)):
        found = mmclip.sketch(image, 4, of=of, **QUICK)
        starts = found['points'][:, 0, 0, ::-1]  # (row, column)
        assert (abs(starts - place) < 26).all()
    with pytest.raises(ValueError, match='of and foreground exclude'):
        Sketcher(of='cat', foreground=dict(config='x.py'))
    with pytest.raises(ValueError, match='of and masks exclude'):
        Sketcher(2, of='object', **QUICK)(image, masks=['mask.png'])


def test_the_command_takes_an_object_or_the_weights_of_u2net(tmp_path, capsys):
    Image.fromarray(two_objects()[0]).save(tmp_path / 'a.png')
    command = ['sketch', str(tmp_path / 'a.png'), '--strokes', '2', *FAST]
    command += ['--out', str(tmp_path / 'out')]
    assert cli.main([*command, '--of', 'blue square']) == 0
    assert cli.main([*command, '--of', 'cat']) == 1
    assert "does not know the word 'cat'" in capsys.readouterr().err
    masked = [*command, '--foreground', 'u2net', str(tmp_path / 'none.pth')]
    assert cli.main([*masked, '--names', 'cat']) == 1
    assert 'reads no --names' in capsys.readouterr().err
    assert cli.main(masked) == 1
    assert 'none.pth' in capsys.readouterr().err


def test_what_cannot_be_sketched_is_an_error(tmp_path):
    sketcher = Sketcher(2, **QUICK)
    with pytest.raises(ValueError, match='scale a float image'):
        sketcher(array().astype(float))
    with pytest.raises(FileNotFoundError, match='no image'):
        sketcher(tmp_path / 'none.png')
    (tmp_path / 'b.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r"b\.png' cannot be read"):
        sketcher(tmp_path / 'b.png', out=tmp_path / 'out')
    with (
        pytest.warns(match=r"b\.png' cannot be read"),
        pytest.raises(ValueError, match='none of the 1 images'),
    ):
        sketcher([tmp_path / 'b.png'], out=tmp_path / 'out')
    assert not (tmp_path / 'out').exists()  # before any work
    with pytest.raises(ValueError, match='num_strokes is 0'):
        mmclip.sketch(array(), 0, **QUICK)
    with pytest.raises(ValueError, match='resume needs out'):
        sketcher(array(), resume=True)
    with pytest.raises(ValueError, match='exclude each other'):
        Sketcher(config='x.py', clip='RN50')
    empty = Image.new('L', (50, 40))
    empty.save(tmp_path / 'mask.png')
    draw_picture(tmp_path / 'a.png')
    with pytest.raises(ValueError, match='the mask is empty'):
        sketcher(tmp_path / 'a.png', masks=[tmp_path / 'mask.png'])


def test_the_command_says_which_network_looked(tmp_path, capsys):
    image = draw_picture(tmp_path / 'a.png')
    out = tmp_path / 'out'
    code = cli.main(
        ['sketch', image, '--strokes', '3', '--out', str(out), *FAST]
    )
    assert code == 0
    said = capsys.readouterr().out
    assert f'{image}: 3 strokes, loss' in said
    assert 'network: shapes-clip (knows drawn shapes only)' in said
    assert (out / 'a.svg').is_file()
    assert (out / 'a.png').is_file()
    assert (out / 'a_animated.svg').is_file()


def test_without_any_network_the_command_fails_in_words(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv('MMCLIP_CACHE', str(tmp_path))
    monkeypatch.setattr(lite0, 'PACKAGE', 'no_such_package')
    assert cli.main(['sketch', draw_picture(tmp_path / 'a.png')]) == 1
    assert 'no network is at hand' in capsys.readouterr().err


def test_a_missing_image_is_told_before_any_network(tmp_path, capsys):
    missing = str(tmp_path / 'nothing.png')
    assert cli.main(['sketch', missing]) == 1
    assert f"no image '{missing}'" in capsys.readouterr().err


def test_an_interrupted_command_goes_on_with_resume(
    tmp_path, capsys, monkeypatch
):
    image = draw_picture(tmp_path / 'a.png')
    whole, out = tmp_path / 'whole', tmp_path / 'out'
    command = ['sketch', image, '--strokes', '2', *FAST, '--out']
    assert cli.main([*command, str(whole)]) == 0
    run = Sketcher.hooks

    def hooks(self, *args):
        stop = dict(type='mmclip.SignalAt', step=3, number=signal.SIGINT)
        return [*run(self, *args), stop]

    with monkeypatch.context() as patch:
        patch.setattr(Sketcher, 'hooks', hooks)
        assert cli.main([*command, str(out)]) == 130
    assert 'with --resume goes on' in capsys.readouterr().err
    assert not json.loads((out / 'a.json').read_text())['finished']
    assert cli.main([*command, str(out), '--resume']) == 0
    same = [json.loads(Path(f, 'a.json').read_text()) for f in (whole, out)]
    assert same[0] == same[1]
    assert (whole / 'a.svg').read_text() == (out / 'a.svg').read_text()
