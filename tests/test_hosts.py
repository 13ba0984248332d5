"""hosts.yaml: what is wrong in it is told all at once, with lines; what is right becomes values."""

import pytest

from cloudservice.errors import ServiceError
from publisher import hosts

RIGHT = """
steady: 2
staging_offset: 100
certificates: {Web: web.pfx}
defaults:
  account: deploy
  transport: https
  ca: ca.pem
hosts:
  web1:
    address: web1.example.com
    roles: [web, jobs]
  web2:
    address: 10.0.0.7
    internal_address: 10.1.0.7
    transport: ntlm
    account: CORP\\deploy
    roles: [web]
    update_domain: 1
    root: D:\\rolepack
    python: C:\\Python311\\python.exe
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ca.pem", "web.pfx", "client.pem"):
        (tmp_path / name).touch()

    def write(text):
        path = tmp_path / "hosts.yaml"
        path.write_text(text)
        return path

    return write


def faults_of(path):
    with pytest.raises(ServiceError) as caught:
        hosts.load(path)
    return [str(fault) for fault in caught.value.faults]


def test_every_key_counts_and_what_is_not_said_has_a_default(written, tmp_path):
    found = hosts.load(written(RIGHT))
    first, second = found.machines
    assert (first.url, first.account, first.root) == ("https://web1.example.com:5986/wsman", "deploy", r"C:\rolepack")
    assert (first.internal_address, first.python, first.ca) == ("web1.example.com", "", tmp_path / "ca.pem")
    assert (second.url, second.account) == ("http://10.0.0.7:5985/wsman", r"CORP\deploy")
    assert (second.update_domain, second.root, second.internal_address) == (1, r"D:\rolepack", "10.1.0.7")
    assert (found.steady, found.grace, found.up_within, found.offset) == (2.0, 30.0, 300.0, 100)
    assert found.certificates == {"Web": tmp_path / "web.pfx"}
    assert [one.update_domain for one in found.machines] == [0, 1]


def test_transports_have_the_ports_and_the_tls_that_belong_to_them(written):
    lines = ["hosts:"]
    for number, (transport, tls) in enumerate(
        (("ntlm", ""), ("kerberos", "tls: true"), ("https", ""), ("credssp", ""))
    ):
        lines.append(f"  h{number}: {{address: h{number}, account: a, roles: [w], transport: {transport}, {tls}}}")
    found = hosts.load(written("\n".join(lines)))
    assert [(one.transport, one.tls, one.port) for one in found.machines] == [
        ("ntlm", False, 5985),
        ("kerberos", True, 5986),
        ("https", True, 5986),
        ("credssp", False, 5985),
    ]


HOST = "hosts:\n  one:\n    address: a\n    account: me\n    roles: [web]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it names no hosts"),
        ("hosts: {}", "it names no hosts"),
        ("- a", "the file has no keys"),
        ("hosts: [", "it is no YAML"),
        ("\x01", "it is no YAML"),
        (HOST + "    password: x", "host 'one' has 'password': no secret belongs here. Set ROLEPACK_PASSWORD"),
        (HOST + "defaults: {passwd: x}", "defaults has 'passwd': no secret belongs here"),
        (
            HOST + "    adress: b",
            "host 'one' has a key 'adress', which is not known. Write 'address', if that was meant",
        ),
        (HOST + "extra: 1", "the file has a key 'extra', which is not known"),
        (HOST + "    address: b", "host 'one' has 'address' twice"),
        (HOST.replace("address: a", "address: 'a b'"), "address is 'a b'. Write a name or an IP address alone"),
        (HOST.replace("    address: a\n", ""), "no address is given"),
        (HOST.replace("    roles: [web]\n", ""), "no roles are named"),
        (HOST.replace("[web]", "web"), "roles is no list of names"),
        (HOST.replace("[web]", "[web, web]"), "a role is named twice"),
        (HOST.replace("    account: me\n", ""), "host 'one' has no account"),
        (HOST + "    transport: ssh", "transport is 'ssh'. Write one of https, ntlm, kerberos, credssp, certificate"),
        (HOST + "    transport: https\n    tls: false", "transport https is TLS"),
        (HOST + "    tls: maybe", "tls is neither true nor false"),
        (HOST + "    transport: certificate", "host 'one' has no certificate"),
        (HOST + "    ca: nowhere.pem", "ca is 'nowhere.pem', and there is no such file"),
        (HOST + "    port: 0", "port is no number from 1 to 65535"),
        (HOST + "    port: 99999999999", "port is no number from 1 to 65535"),
        (HOST + "    update_domain: -1", "update_domain is no number from 0 to 19"),
        (HOST + "    root: rolepack", "root is 'rolepack', which is no folder of a drive"),
        (HOST + "    root: C:\\..\\x", "root is 'C:\\..\\x', which is no folder of a drive"),
        (HOST + "    root: C:\\my apps", "root is 'C:\\my apps'. Write a folder without blanks"),
        (HOST + "    root: C:\\a&calc", "root is 'C:\\a&calc'. Write a folder without blanks"),
        (HOST + "    root: C:\\", "root is 'C:', which is no folder of a drive"),
        (HOST + "    python: python.exe", "python is 'python.exe', which is no path of a program"),
        (HOST + '    python: C:\\a" & calc.exe', "which is no path of a program"),
        (HOST + "  two:\n    address: A\n    account: me\n    roles: [web]\n", "'one' and 'two' are the same machine"),
        (HOST.replace("one:", "'a/b':"), "'a/b' is no name for a host"),
        (HOST.replace("one:", "[x]:"), "hosts has a key that is no text"),
        (HOST + "staging_offset: x", "staging_offset is no number"),
        (HOST + "certificates: {Web: none.pfx}", "Web is 'none.pfx', and there is no such file"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text, told, written):
    faults = faults_of(written(text))
    assert any(told in fault for fault in faults), faults
    assert all(fault.startswith("hosts.yaml:") for fault in faults)


def test_everything_that_is_wrong_is_told_at_once(written):
    faults = faults_of(written("hosts:\n  one:\n    address: a b\n    port: x\n  two:\n    transport: ssh\n"))
    lines = [int(fault.split(":")[1]) for fault in faults]
    assert lines == [3, 3, 3, 4, 6, 6, 6, 6]


def test_a_bomb_of_aliases_is_read_at_once(written):
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)), HOST]
    assert any("a key 'a29'" in fault for fault in faults_of(written("\n".join(lines))))


def test_hosts_are_chosen_by_name(written):
    found = hosts.load(written(RIGHT))
    assert [one.name for one in hosts.chosen(found, [])] == ["web1", "web2"]
    assert [one.name for one in hosts.chosen(found, ["web2", "web2"])] == ["web2"]
    with pytest.raises(ServiceError, match=r"there is no host 'web3'\. Choose from web1, web2"):
        list(hosts.chosen(found, ["web3"]))
