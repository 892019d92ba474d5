"""Addresses hold no credentials, and keys stand in no words."""

import socket

import pytest

from assay.asking.server import Server
from assay.errors import ConfigError

KEY = "sk-proj-Zq81LmPw55TtRr0Xy7"


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def test_an_address_is_taken_apart():
    server = Server.at("http://localhost:8000/v1/")
    assert (server.url, server.host, server.port) == ("http://localhost:8000/v1", "localhost", 8000)
    assert Server.at("https://api.example.com/v1").port == 443
    assert Server.at("http://[::1]:11434/v1").host == "::1"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000/v1", "no address of http or https"),
        ("ftp://localhost/v1", "no address of http or https"),
        ("http://", "no address of http or https"),
        ("http://localhost:eighty/v1", "no address"),
        ("http://[::1/v1", "no address"),
        ("http://localhost:8000/v1/chat/completions", "give http://localhost:8000/v1."),
        ("http://localhost:8000/v1/completions/", "give http://localhost:8000/v1."),
    ],
)
def test_what_is_no_address_is_told(url, said):
    with pytest.raises(ConfigError, match=r".") as raised:
        Server.at(url)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "url", [f"https://me:{KEY}@api.example.com/v1", f"https://{KEY}@h/v1", f"https://h/v1?api_key={KEY}"]
)
def test_credentials_in_an_address_are_refused_and_not_repeated(url):
    with pytest.raises(ConfigError) as raised:
        Server.at(url)
    assert KEY not in str(raised.value)


def test_a_key_is_read_from_the_environment_and_shown_nowhere(monkeypatch):
    assert Server.at("http://h/v1").key is None
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    server = Server.at("http://h/v1")
    assert server.key.get_secret_value() == KEY
    assert KEY not in repr(server) + str(server) + repr(server.key)
    assert Server.at("http://h/v1", None).key is None


def test_a_key_that_is_named_must_be_there_and_be_one(monkeypatch):
    with pytest.raises(ConfigError, match=r"THEIR_KEY \(--key-env\) is not set"):
        Server.at("http://h/v1", "THEIR_KEY")
    monkeypatch.setenv("THEIR_KEY", f"{KEY}\n{KEY}")
    with pytest.raises(ConfigError, match="holds no key") as raised:
        Server.at("http://h/v1", "THEIR_KEY")
    assert KEY not in str(raised.value)


def test_words_that_hold_a_piece_of_the_key_are_left_out(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = Server.at("http://h/v1")
    for words in (f"wrong key {KEY}", f"wrong key {KEY[:8]}****", f"wrong key ***{KEY[-9:]}"):
        assert server.without_key(words) == "its words hold a part of the key"
        assert server.without_key("wrong key sk-****Xy7") == "wrong key sk-****Xy7"
    assert server.holds_key(f"My key is {KEY}.")
    assert not server.holds_key(f"My key begins {KEY[:-1]}.")


def test_what_local_servers_take_for_a_key_is_no_secret(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    assert Server.at("http://h/v1").without_key("EMPTY set") == "EMPTY set"
    monkeypatch.setenv("OPENAI_API_KEY", "not-needed")
    assert not Server.at("http://h/v1").holds_key("A subscription is not-needed here.")


def test_where_nothing_listens_is_told_at_once():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"Nothing answers at http://127.0.0.1:{port}/v1 \(Connection ref"
        ):
            Server.at(f"http://127.0.0.1:{port}/v1").reach()
    with pytest.raises(ConfigError, match=r"Nothing answers at http://no-such-host\.invalid/v1"):
        Server.at("http://no-such-host.invalid/v1").reach()


def test_what_a_proxy_reaches_is_left_to_the_proxy(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    Server.at("http://no-such-host.invalid/v1").reach()


def test_without_a_key_a_person_is_told_to_set_one(monkeypatch):
    assert "environment variable OPENAI_API_KEY" in Server.at("http://h/v1").about_key(401, "m")
    monkeypatch.setenv("THEIR_KEY", KEY)
    server = Server.at("http://h/v1", "THEIR_KEY")
    assert "refuses the key in the environment variable THEIR_KEY (401)" in server.about_key(401, "m")
    assert "lets nobody ask 'm'" in server.about_key(403, "m")
