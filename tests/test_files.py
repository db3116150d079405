import pytest

from mmclip.files import write_whole


def test_a_file_appears_whole_and_its_folder_with_it(tmp_path):
    target = tmp_path / 'new' / 'a.txt'

    def write(path):
        assert path.suffix == '.txt'
        assert not target.exists()
        path.write_text('all')

    write_whole(str(target), write)
    assert target.read_text() == 'all'
    assert list(target.parent.iterdir()) == [target]


def test_what_was_there_outlives_a_failure(tmp_path):
    target = tmp_path / 'a.txt'
    target.write_text('old')

    def fail(path):
        path.write_text('half')
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(target, fail)
    assert target.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [target]
