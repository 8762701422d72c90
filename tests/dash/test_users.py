"""The file of users and the secret of cookies: who can read them, what is in them, who is let in."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workbench.dash import users as module
from workbench.dash.users import COOKIE_FILE, USERS_FILE, Users, UsersError, cookie_secret

WORDS = "correct horse battery"


def test_a_user_has_a_role_and_the_right_password_alone_opens(tmp_path: Path):
    Users.add(tmp_path, "ann", "operator", WORDS)
    users = Users.load(tmp_path)
    assert users.role("ann") == "operator"
    assert users.check("ann", WORDS)
    assert not users.check("ann", WORDS + " ")
    assert not users.check("ann", "")
    assert users.role("eve") is None


def test_what_is_kept_is_a_scrypt_hash_with_a_salt_of_its_own_and_only_this_user_can_read_it(tmp_path: Path):
    Users.add(tmp_path, "ann", "operator", WORDS)
    Users.add(tmp_path, "bob", "viewer", WORDS)
    path = tmp_path / USERS_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert WORDS not in path.read_text()
    ann, bob = (json.loads(path.read_text())["users"][name] for name in ("ann", "bob"))
    assert ann["salt"] != bob["salt"]
    told = hashlib.scrypt(WORDS.encode(), salt=bytes.fromhex(ann["salt"]), n=2**15, r=8, p=3, maxmem=2**26, dklen=64)
    assert ann["hash"] == told.hex()


def test_an_unknown_name_costs_the_same_hash_as_a_known_one(tmp_path: Path, monkeypatch):
    Users.add(tmp_path, "ann", "viewer", WORDS)
    Users.add(tmp_path, "octocat", "viewer", None)
    users, costs = Users.load(tmp_path), []
    monkeypatch.setattr(module.hashlib, "scrypt", lambda _, **cost: costs.append(cost) or b"\0" * 64)
    for name in ("ann", "eve", "octocat"):
        assert not users.check(name, "whatever it may be")
    assert len(costs) == 3
    assert {tuple((key, cost[key]) for key in ("n", "r", "p", "dklen")) for cost in costs} == {
        (("n", 2**15), ("r", 8), ("p", 3), ("dklen", 64))
    }


def test_who_logs_in_elsewhere_has_no_password_at_all(tmp_path: Path):
    Users.add(tmp_path, "octocat", "viewer", None)
    users = Users.load(tmp_path)
    assert users.entries["octocat"].hash == ""
    assert not users.check("octocat", "")
    assert not users.check("octocat", "0" * 128)


def test_a_name_that_is_added_again_is_another_entry(tmp_path: Path):
    Users.add(tmp_path, "ann", "operator", WORDS)
    first = Users.load(tmp_path).entries["ann"].id
    Users.remove(tmp_path, "ann")
    assert Users.load(tmp_path).entries == {}
    Users.add(tmp_path, "ann", "viewer", WORDS)
    assert Users.load(tmp_path).entries["ann"].id != first


@pytest.mark.parametrize(
    ("name", "role", "password", "told"),
    [
        ("ann", "viewer", "elevenchars", "11 characters; 12 to 256"),
        ("ann", "viewer", "x" * 257, "257 characters; 12 to 256"),
        ("ann", "operater", WORDS, "Did you mean 'operator'"),
        ("guest", "viewer", WORDS, "'guest'"),
        ("an n", "viewer", WORDS, "'an n' cannot be used: give 1 to 64"),
        ("ann\n", "viewer", WORDS, "cannot be used"),
        ("", "viewer", WORDS, "cannot be used"),
    ],
)
def test_what_cannot_be_a_user_is_refused_and_nothing_is_written(tmp_path: Path, name, role, password, told):
    with pytest.raises(UsersError, match=told):
        Users.add(tmp_path, name, role, password)
    assert not (tmp_path / USERS_FILE).exists()


def test_adding_twice_and_removing_nobody_name_the_remedy(tmp_path: Path):
    Users.add(tmp_path, "ann", "viewer", None)
    with pytest.raises(UsersError, match="exists; `workbench dash user remove ann`"):
        Users.add(tmp_path, "ann", "operator", WORDS)
    with pytest.raises(UsersError, match=r"no user 'anne'.*user list.*Did you mean 'ann'"):
        Users.remove(tmp_path, "anne")
    assert Users.load(tmp_path).role("ann") == "viewer"


def test_a_file_that_others_can_read_admits_nobody(tmp_path: Path):
    Users.add(tmp_path, "ann", "viewer", None)
    path = tmp_path / USERS_FILE
    path.chmod(0o644)
    with pytest.raises(UsersError, match=r"mode 0644.*chmod 600"):
        Users.load(tmp_path)
    with pytest.raises(UsersError, match="mode 0644"):
        Users.add(tmp_path, "bob", "viewer", None)


def test_a_link_to_a_file_elsewhere_is_not_followed(tmp_path: Path):
    Users.add(tmp_path / "real", "ann", "operator", None)
    (tmp_path / USERS_FILE).symlink_to(tmp_path / "real" / USERS_FILE)
    with pytest.raises(UsersError, match="cannot be read"):
        Users.load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 2, "users": {}}',
        '{"version": 1, "users": {"ann": {"role": "root", "id": "1"}}}',
        '{"version": 1, "users": {"ann": {"role": "viewer", "id": "1", "salt": "00"}}}',
        '{"version": 1, "users": {"ann": {"role": "viewer", "id": "1", "salt": "zz", "hash": "00"}}}',
        '{"version": 1, "users": {"ann": {"role": "viewer", "id": "1", "more": 1}}}',
    ],
)
def test_a_file_that_is_not_whole_admits_nobody(tmp_path: Path, text):
    path = tmp_path / USERS_FILE
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UsersError, match="is no list of users"):
        Users.load(tmp_path)


def test_users_added_at_the_same_time_are_all_kept(tmp_path: Path):
    names = [f"user{i}" for i in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: Users.add(tmp_path, name, "viewer", None), names))
    assert sorted(Users.load(tmp_path).entries) == sorted(names)
    assert sorted(p.name for p in tmp_path.iterdir()) == [USERS_FILE]


def test_the_cookie_secret_is_drawn_once_per_install(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        drawn = set(pool.map(cookie_secret, [tmp_path / "a"] * 8))
    (secret,) = drawn
    assert len(secret) == 64
    assert (tmp_path / "a" / COOKIE_FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert cookie_secret(tmp_path / "b") != secret


def test_a_cookie_secret_that_others_know_or_that_is_short_is_refused(tmp_path: Path):
    cookie_secret(tmp_path)
    path = tmp_path / COOKIE_FILE
    path.chmod(0o640)
    with pytest.raises(UsersError, match="mode 0640"):
        cookie_secret(tmp_path)
    path.write_text("short")
    path.chmod(0o600)
    with pytest.raises(UsersError, match="5 characters, fewer than 32; delete it"):
        cookie_secret(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsersError, match=r"cannot be made.*WORKBENCH_DASH_SECRETS"):
        Users.add(tmp_path / "file" / "sub", "ann", "viewer", None)
