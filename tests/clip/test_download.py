"""Files come whole, from a server of this machine or a file."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mmclip.clip.download import fetch_file

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serve CONTENT, from a byte on if asked for, or cut short."""

    asked: list[str] = []
    ranges, cut = True, None

    def do_GET(self):
        wanted = self.headers.get('Range')
        self.asked.append(wanted)
        start = 0
        if wanted and self.ranges:
            start = int(re.search(r'\d+', wanted)[0])
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header('Content-Range', f'bytes */{len(CONTENT)}')
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header('Content-Length', str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : self.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """The address of a file, and the handler that serves it."""
    monkeypatch.setattr(Handler, 'asked', [])
    served = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=served.serve_forever, args=(0.02,))
    thread.start()
    yield f'http://127.0.0.1:{served.server_port}/weights.pth'
    served.shutdown()
    served.server_close()
    thread.join()


def test_a_file_comes_whole_and_nothing_is_left_beside_it(server, tmp_path):
    target = tmp_path / 'new' / 'weights.pth'
    assert fetch_file(server, target, SHA256, progress=False) == target
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert Handler.asked == [None]


def test_what_broke_off_is_gone_on_with(server, tmp_path, monkeypatch):
    target = tmp_path / 'weights.pth'
    monkeypatch.setattr(Handler, 'cut', 300_000)
    with pytest.raises(ConnectionError, match='goes on where a download'):
        fetch_file(server, target, SHA256, progress=False)
    assert not target.exists()
    assert (tmp_path / 'weights.pth.part').stat().st_size == 300_000
    monkeypatch.setattr(Handler, 'cut', None)
    fetch_file(server, target, SHA256, progress=False)
    assert target.read_bytes() == CONTENT
    assert Handler.asked == [None, 'bytes=300000-']


@pytest.mark.parametrize('ranges', [True, False])
@pytest.mark.parametrize('size', [300_000, len(CONTENT)])
def test_any_server_and_any_beginning_give_the_file(
    server, tmp_path, monkeypatch, ranges, size
):
    monkeypatch.setattr(Handler, 'ranges', ranges)
    (tmp_path / 'weights.pth.part').write_bytes(CONTENT[:size])
    target = fetch_file(server, tmp_path / 'weights.pth', SHA256, False)
    assert target.read_bytes() == CONTENT


def test_a_beginning_that_is_too_long_is_thrown_away(server, tmp_path):
    partial = tmp_path / 'weights.pth.part'
    partial.write_bytes(CONTENT + b'more')
    with pytest.raises(ConnectionError):
        fetch_file(server, tmp_path / 'weights.pth', SHA256, False)
    assert not partial.exists()
    fetch_file(server, tmp_path / 'weights.pth', SHA256, False)


def test_another_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(ValueError, match='is damaged: its sha256'):
        fetch_file(server, tmp_path / 'a.pth', '0' * 64, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_the_first_digits_of_a_checksum_are_enough(server, tmp_path, capsys):
    fetch_file(server, tmp_path / 'a.pth', SHA256[:8])
    assert 'a.pth' in capsys.readouterr().err  # the bar


def test_a_file_is_gone_on_with_like_an_address(tmp_path):
    source = tmp_path / 'source.bin'
    source.write_bytes(CONTENT)
    (tmp_path / 'a.pth.part').write_bytes(CONTENT[:999])
    fetch_file(source.as_uri(), tmp_path / 'a.pth', SHA256, progress=False)
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT


def test_without_a_network_the_error_names_address_and_place(tmp_path):
    url, place = 'http://127.0.0.1:9/weights.pth', tmp_path / 'weights.pth'
    with pytest.raises(ConnectionError) as told:
        fetch_file(url, place, progress=False)
    assert url in str(told.value)
    assert f"put it at '{place}'" in str(told.value)
