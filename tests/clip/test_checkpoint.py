import pickle

import pytest
import torch
from safetensors.torch import save_file

from mmclip.clip.checkpoint import fit_state, read_state
from mmclip.clip.weights import load_clip


class Foreign:
    """An object that weights have no business to hold."""


@pytest.mark.parametrize(
    'form', ['safetensors', 'plain', 'lightning', 'ddp', 'script', 'half']
)
def test_every_form_of_the_same_weights_gives_the_same_model(
    tmp_path, form, tiny_clip, tiny_config
):
    clip = tiny_clip()
    state = clip.state_dict()
    path = tmp_path / ('x.safetensors' if form == 'safetensors' else 'x.pt')
    if form == 'safetensors':
        save_file(state, path)
    elif form == 'plain':
        torch.save(state, path)
    elif form == 'lightning':
        torch.save({'state_dict': state, 'epoch': 3}, path)
    elif form == 'ddp':
        torch.save({f'module.{k}': v for k, v in state.items()}, path)
    elif form == 'script':
        inputs = torch.zeros(1, 3, 32, 32), torch.zeros(1, 77).long()
        torch.jit.trace(clip, inputs, check_trace=False).save(str(path))
    else:
        torch.save({k: v.half() for k, v in state.items()}, path)
    read, _ = load_clip(tiny_config(), str(path))
    for name, value in read.state_dict().items():
        torch.testing.assert_close(value, state[name], atol=1e-2, rtol=1e-2)
        assert value.dtype == torch.float32
        assert form == 'half' or torch.equal(value, state[name])


def test_a_text_tower_of_its_own_takes_the_joint_layout(
    tmp_path, tiny_clip, tiny_config
):
    path = tmp_path / 'x.safetensors'
    save_file(tiny_clip().state_dict(), path)
    clip, tokenizer = load_clip(dict(tiny_config(), custom_text=True), path)
    ids = tokenizer(['a cat'])
    assert torch.equal(clip.encode_text(ids), tiny_clip().encode_text(ids))


def test_position_embeddings_fit_another_image_size(tiny_clip, tiny_config):
    config = tiny_config()
    config['vision_cfg'] = {**config['vision_cfg'], 'image_size': 48}
    clip, _ = load_clip(config)
    fit_state(clip, tiny_clip().state_dict(), 'x', 'y')
    assert len(clip.visual.positional_embedding) == 1 + 6 * 6


@pytest.mark.parametrize('suffix', ['pt', 'safetensors'])
@pytest.mark.parametrize('damage', ['cut', 'page', 'empty', 'pointer'])
def test_a_damaged_file_is_named_with_what_it_begins_with(
    tmp_path, tiny_clip, suffix, damage
):
    path = tmp_path / f'x.{suffix}'
    save = torch.save if suffix == 'pt' else save_file
    save(tiny_clip().state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(
        {
            'cut': whole[: len(whole) // 2],
            'page': b'<!DOCTYPE html><html>Sign in</html>',
            'empty': b'',
            'pointer': b'version https://git-lfs.github.com/spec/v1\n',
        }[damage]
    )
    with pytest.raises(ValueError, match=rf'x\.{suffix}.*begins with'):
        read_state(path)


def test_foreign_objects_are_never_unpickled(tmp_path):
    path = tmp_path / 'x.pt'
    torch.save({'state_dict': {}, 'callback': Foreign()}, path)
    with pytest.raises(ValueError, match='unpickling it could run code'):
        read_state(path)
    path.write_bytes(pickle.dumps(Foreign()))
    with pytest.raises(ValueError, match=r'x\.pt'):
        read_state(path)


def test_weights_of_another_model_are_refused_with_examples(
    tmp_path, tiny_clip, tiny_config
):
    path = tmp_path / 'x.safetensors'
    save_file(tiny_clip('resnet').state_dict(), path)
    with pytest.raises(ValueError, match='do not fit.*missing.*unknown'):
        load_clip(tiny_config(), str(path))
    narrow = dict(tiny_config(), embed_dim=16)
    save_file(tiny_clip().state_dict(), path)
    with pytest.raises(ValueError, match=r'\(48, 24\) for \(48, 16\)|another'):
        load_clip(narrow, str(path))
    torch.save([1, 2], tmp_path / 'list.pt')
    with pytest.raises(ValueError, match='holds no state dict'):
        load_clip(tiny_config(), str(tmp_path / 'list.pt'))
