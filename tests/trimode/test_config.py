"""ServerConfig: the file, the environment over it, unknown keys, kinds and ranges."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from trimode.api.fields import Mode
from trimode.config import ENVIRONMENT, ServerConfig
from trimode.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]


def load(folder: Path, text: str, **environment: str) -> ServerConfig:
    path = folder / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return ServerConfig.load(path, environment)


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing\n") == ServerConfig()


def test_every_key_is_read(tmp_path: Path) -> None:
    text = (
        "bundle: /a/b\nthreads: 3\nspin: true\nmax_slots: 4\nmax_queue: 5\nprefill_chunk: 6\n"
        "prefix_cache_mib: 8\npicture_cache_mib: 2\nmax_images: 3\nallowed_media_domains: a.org\n"
        "default_mode: diffusion\ndefault_max_tokens: 7\ndevice: 1\n"
        "stream_interval: 8\nstream_interval_ms: 9\n"
    )
    assert load(tmp_path, text) == ServerConfig(
        *(Path("/a/b"), 3, True, 4, 5, 6, 8, 2, 3, "a.org", Mode.DIFFUSION, 7, 1, 8, 9)
    )


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TRIMODE_BUNDLE", "/x", Path("/x")),
        ("TRIMODE_THREADS", "2", 2),
        ("TRIMODE_MAX_SLOTS", "3", 3),
        ("TRIMODE_MAX_SLOTS", "auto", "auto"),
        ("TRIMODE_MAX_QUEUE", "0", 0),
        ("TRIMODE_PREFIX_CACHE_MIB", "0", 0),
        ("TRIMODE_PICTURE_CACHE_MIB", "1", 1),
        ("TRIMODE_MAX_IMAGES", "2", 2),
        ("TRIMODE_ALLOWED_MEDIA_DOMAINS", "a.org,b.org:81", "a.org,b.org:81"),
        ("TRIMODE_DEVICE", "3", 3),
        ("TRIMODE_STREAM_INTERVAL", "3", 3),
        ("TRIMODE_SPIN", "false", False),
        ("TRIMODE_SPIN", "1", True),
        ("TRIMODE_PREFILL_CHUNK", "64", 64),
        ("TRIMODE_DEFAULT_MODE", "diffusion", Mode.DIFFUSION),
        ("TRIMODE_DEFAULT_MAX_TOKENS", "7", 7),
    ],
)
def test_a_variable_wins_over_the_file(tmp_path: Path, variable: str, value: str, expected: object) -> None:
    config = load(tmp_path, "bundle: /file\nthreads: 9\nmax_slots: 9\nmax_queue: 9\n", **{variable: value})
    assert getattr(config, ENVIRONMENT[variable]) == expected


def test_every_variable_names_a_key() -> None:
    assert list(ENVIRONMENT.values()) == list(ServerConfig.__dataclass_fields__)


@pytest.mark.parametrize("value", ["", "2", "maybe"])
def test_a_variable_of_a_switch_takes_no_other_word(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="spin must be bool"):
        load(tmp_path, "", TRIMODE_SPIN=value)


def test_variables_of_the_command_line_are_none_of_the_file_and_not_misspelt(tmp_path: Path) -> None:
    (path := tmp_path / "model.yaml").write_text("")
    assert ServerConfig.load(path, {"TRIMODE_HTTP_PORT": "8000"}, ["TRIMODE_HTTP_PORT"]) == ServerConfig()
    with pytest.raises(ConfigError, match=r"TRIMODE_HTP_HOST sets nothing; did you mean TRIMODE_HTTP_HOST\?"):
        ServerConfig.load(path, {"TRIMODE_HTP_HOST": "::1"}, ["TRIMODE_HTTP_HOST"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("TRIMODE_MAX_SLOT", "did you mean TRIMODE_MAX_SLOTS?"),
        ("TRIMODE_PREFIX_CACHE_MB", "did you mean TRIMODE_PREFIX_CACHE_MIB?"),
        ("TRIMODE_BUNDEL", "did you mean TRIMODE_BUNDLE?"),
        ("trimode_threads", "did you mean TRIMODE_THREADS?"),
        ("Trimode_Foo", ""),
        ("TRIMODE_HTPP_PORT", ""),
        ("TRIMODE_QQQ", "known are TRIMODE_BUNDLE, TRIMODE_THREADS, "),
    ],
)
def test_a_variable_that_sets_nothing_is_refused_with_the_nearest(tmp_path: Path, name: str, hint: str) -> None:
    (path := tmp_path / "model.yaml").write_text("")
    with pytest.raises(ConfigError, match=re.escape(f"the environment variable {name} sets nothing; {hint}")):
        ServerConfig.load(path, {name: "1"})


def test_variables_of_the_client_and_of_kubernetes_are_none_of_ours(tmp_path: Path) -> None:
    (path := tmp_path / "model.yaml").write_text("")
    links = ("PORT", "NANO_PORT", "PORT_8000_TCP", "PORT_8000_TCP_ADDR", "SERVICE_HOST", "NANO_SERVICE_HOST")
    names = [*(f"TRIMODE_{link}" for link in links), "TRIMODE_URL", "TRIMODE_API_KEY", "TRIMODE_REVEAL_RULES", "PATH"]
    given = dict.fromkeys(names, "tcp://10.0.0.1:80")
    given |= dict.fromkeys(("TRIMODE_SERVICE_PORT", "TRIMODE_SERVICE_PORT_HTTP"), "80")
    assert ServerConfig.load(path, given) == ServerConfig()


def test_an_unknown_key_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown keys \['slots'\]; known are .*'max_slots'"):
        load(tmp_path, "slots: 3")


@pytest.mark.parametrize(
    "text",
    [
        "threads: -1",
        "threads: 1025",
        "threads: many",
        "threads: null",
        "threads: true",
        "threads: [1]",
        "max_slots: 0",
        "max_slots: 1025",
        "max_slots: Auto",
        "max_slots: automatic",
        "max_queue: auto",
        "threads: auto",
        "max_queue: -1",
        "prefill_chunk: 0",
        "prefill_chunk: 8193",
        "default_max_tokens: 0",
        "default_mode: greedy",
        "stream_interval: -1",
        "stream_interval: 1\nstream_interval_ms: 5",
        "bundle: null",
        "bundle: [a]",
    ],
)
def test_a_bad_value_is_refused_by_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=text.split(":")[0]):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("", {}, (1, 0)),
        ("stream_interval: 0\nstream_interval_ms: 0", {"TRIMODE_STREAM_INTERVAL_MS": "50"}, (0, 50)),
        ("stream_interval: 8", {"TRIMODE_STREAM_INTERVAL_MS": "50"}, (8, 50)),
        ("stream_interval_ms: 50", {"TRIMODE_STREAM_INTERVAL": "8"}, (8, 50)),
        ("stream_interval: 8", {}, (8, 0)),
    ],
)
def test_streams_send_at_either_interval_wherever_it_is_set(
    tmp_path: Path, text: str, variables: dict[str, str], expected: tuple[int, int]
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    assert ServerConfig.load(path, variables).intervals == expected


@pytest.mark.parametrize(
    "text", ["max_slots: 2.7", "max_slots: .inf", 'spin: "false"', "spin: 2", "default_mode: true", "bundle: true"]
)
def test_a_value_of_another_kind_is_refused_not_bent(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=text.split(":")[0]):
        load(tmp_path, text)


@pytest.mark.parametrize("text", ["- a\n- b", "text", "5", "a: [", "\tb: 1", "[]", "1: 2\nb: 3"])
def test_a_file_that_is_no_mapping_of_names_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, text)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_bytes(b"bundle: \xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        ServerConfig.load(tmp_path / "model.yaml", {})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        ServerConfig.load(tmp_path / "none.yaml", {})


def test_a_bad_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="threads"):
        load(tmp_path, "", TRIMODE_THREADS="all")


def test_the_shipped_file_loads() -> None:
    ServerConfig.load(REPOSITORY / "model_repository" / "nemotron_diffusion" / "model.yaml", {})


def test_the_default_mode_must_be_one_of_the_checkpoints() -> None:
    ServerConfig(default_mode=Mode.AUTOREGRESSIVE).check_modes(["auto", "autoregressive"])
    with pytest.raises(ConfigError, match=r"default_mode must be auto or autoregressive, .* got 'diffusion'"):
        ServerConfig(default_mode=Mode.DIFFUSION).check_modes(["auto", "autoregressive"])


def test_hosts_of_pictures_are_checked_when_settings_are_read(tmp_path: Path) -> None:
    """Whether or not the model reads pictures."""
    assert load(tmp_path, "allowed_media_domains: 'a.org, b.org:81,'\n").allowed_media_domains == "a.org, b.org:81,"
    with pytest.raises(ConfigError, match=r"allowed_media_domains must hold hosts.*got 'https://b.org'"):
        load(tmp_path, "", TRIMODE_ALLOWED_MEDIA_DOMAINS="a.org,https://b.org")


def test_the_number_of_slots_may_be_left_to_the_memory(tmp_path: Path) -> None:
    assert load(tmp_path, "max_slots: auto").max_slots == "auto"
    assert ServerConfig(max_slots="auto").max_slots == "auto"
    for text, words in (
        ("max_slots: 0", "max_slots must be an integer between 1 and 1024, or auto, got 0"),
        ("max_slots: many", "max_slots must be int or auto, got 'many'"),
        ("max_queue: auto", "max_queue must be int, got 'auto'"),
    ):
        with pytest.raises(ConfigError, match=re.escape(words)):
            load(tmp_path, text)
