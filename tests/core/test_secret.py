from __future__ import annotations

import copy
import json
import logging
import pickle

import pytest

from poller.core.secret import Secret
from poller.core.token import Credentials

VALUE = "1000.8cb99d-very-secret"


def test_a_secret_is_hidden_in_every_text_form() -> None:
    secret = Secret(VALUE)
    inside = Credentials("1000.CLIENT", secret, refresh_token=secret)
    for text in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!s:>40}",
        repr([secret]),
        repr(inside),
    ):
        assert VALUE not in text


def test_a_secret_in_a_log_record_or_an_exception_stays_hidden(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(VALUE)
    logging.getLogger("poller").warning("token %s", secret)
    assert "Secret(…)" in caplog.text
    assert VALUE not in caplog.text
    assert VALUE not in repr(ValueError(secret))


def test_a_secret_is_neither_pickled_nor_copied_nor_written_as_json() -> None:
    secret = Secret(VALUE)
    for leave in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as refused:
            leave(secret)
        assert VALUE not in str(refused.value)


def test_only_reveal_gives_the_value_back() -> None:
    assert Secret(VALUE).reveal() == VALUE


def test_secrets_are_equal_by_value_and_never_equal_to_a_string() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("another")
    assert Secret(VALUE) != VALUE
    assert len({Secret(VALUE), Secret(VALUE), Secret("another")}) == 2
    assert Secret("é\ud800") == Secret("é\ud800")


def test_an_empty_secret_is_false() -> None:
    assert not Secret("")
    assert Secret(VALUE)
