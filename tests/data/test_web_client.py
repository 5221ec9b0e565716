"""The HTTP client against servers that misbehave: addresses, redirects, sizes, times, retries."""

import gzip
import socket
import threading
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_servers import TODAY, Asked, Sent, Site, Waits, as_json

from nlp_skills.data.secret import expand
from nlp_skills.data.sources.web.addresses import NEVER, allowed_addresses, resolve
from nlp_skills.data.sources.web.client import WebClient
from nlp_skills.data.sources.web.request import Answer, Limits, OutOfTime, Request, RequestFailed, TooLarge
from nlp_skills.data.sources.web.retry import asked_delay, backoff, rate_limit_delay
from nlp_skills.data.sources.web.shown import Mask, show_url
from nlp_skills.data.sources.web.urls import expand_url
from nlp_skills.errors import NotValid

SECRET = "s3cr3t/with+signs="


def limits(*hosts: str, **changes: float) -> Limits:
    usual = {"max_seconds": 60, "request_seconds": 20, "max_bytes": 1_000_000, "retries": 3, **changes}
    return Limits(
        usual["max_seconds"],
        usual["request_seconds"],
        int(usual["max_bytes"]),
        int(usual["retries"]),
        list(hosts),
    )


def fetch(
    url: str, *hosts: str, waits: Waits | None = None, request: Request | None = None, **changes: float
):
    with WebClient(limits(*hosts, **changes), (waits or Waits()).surroundings()) as client:
        return client.fetch(request or Request(url))


def ok(_asked: Asked) -> Sent:
    return Sent(b"hello")


def test_a_private_host_is_reached_only_where_it_is_named():
    with Site(ok) as site:
        assert fetch(site.url, site.host).body == b"hello"
        assert fetch(site.url, "127.0.0.1").body == b"hello"
        with pytest.raises(NotValid) as refused:
            fetch(site.url, "127.0.0.1:1")
    assert str(refused.value) == (
        "127.0.0.1 is at 127.0.0.1, which is not a public address, so it is not called. If it is meant, add to"
        f" this source in data_source.yaml: private_hosts: [127.0.0.1:{site.port}]"
    )
    assert len(site.asked) == 2


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.251",
        "255.255.255.255",
        "::1",
        "::",
        "fc00::1",
        "ff02::fb",
        "fec0::1",
        "::ffff:192.168.1.1",
        "2002:c0a8:0101::1",
        "64:ff9b::c0a8:101",
        "2001:db8::1",
        "192.0.0.8",
        "192.0.0.9",
        "192.88.99.1",
        "198.18.0.1",
        "240.0.0.1",
        "64:ff9b::c000:9",
        "2001::1",
        "2001:1::1",
        "2001:20::1",
        "3fff::1",
        "5f00::1",
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str):
    with pytest.raises(NotValid, match="not a public address"):
        allowed_addresses("news.example", 443, [], [address])
    named = allowed_addresses("news.example", 443, ["news.example:443"], [address])
    assert named == [address]


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "168.63.129.16",
        "192.0.0.192",
        "::ffff:192.0.0.192",
        "100.100.100.200",
        "fd00:ec2::254",
        "no address",
    ],
)
def test_link_local_and_metadata_addresses_are_never_called(address: str):
    with pytest.raises(NotValid, match="never called"):
        allowed_addresses("news.example", 80, ["news.example", address], [address])


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_a_public_address_needs_no_permission(address: str):
    assert allowed_addresses("news.example", 443, [], [address]) == [address]


@given(st.ip_addresses())
def test_what_is_allowed_without_a_name_is_global_and_unicast(address):
    try:
        allowed = allowed_addresses("h", 80, [], [str(address)])
    except NotValid:
        return
    assert allowed == [str(address)]
    assert ip_address(allowed[0]).is_global
    assert not address.is_multicast
    assert not any(address in network for network in NEVER if network.version == address.version)


def test_one_private_address_among_public_ones_refuses_the_host():
    with pytest.raises(NotValid, match=r"10\.0\.0\.7"):
        allowed_addresses("mixed.example", 80, [], ["93.184.215.14", "10.0.0.7"])


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "localhost"])
def test_other_spellings_of_loopback_are_seen_through_by_the_resolver(host: str):
    try:
        resolve(host, 80)
    except socket.gaierror:
        pytest.skip(f"this system does not resolve {host}")
    with pytest.raises(NotValid, match="not a public address"):
        allowed_addresses(host, 80, [], resolve(host, 80))


def test_a_name_that_resolves_to_a_private_address_is_refused_before_anything_is_sent():
    with Site(ok) as site:
        waits = Waits({"news.example": ["127.0.0.1"]})
        with pytest.raises(NotValid, match=r"news\.example is at 127\.0\.0\.1"):
            fetch(f"http://news.example:{site.port}/", waits=waits)
    assert site.asked == []


def test_the_address_that_was_checked_is_connected_to_so_rebinding_gains_nothing():
    """The resolver gives another address each time; a second look-up would show here."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    looked_up: list[str] = []

    def rebind(host: str, _port: int) -> list[str]:
        looked_up.append(host)
        return answers.pop(0)

    with Site(ok) as site:
        surroundings = Waits().surroundings()
        surroundings = type(surroundings)(resolve=rebind, wait=surroundings.wait)
        with WebClient(limits(f"rebind.example:{site.port}"), surroundings) as client:
            assert client.fetch(Request(f"http://rebind.example:{site.port}/")).body == b"hello"
    assert looked_up == ["rebind.example"]
    assert site.asked[0].headers["host"] == f"rebind.example:{site.port}"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://169.254.169.254/latest/meta-data/", "never called"),
        ("http://[fe80::1]/", "never called"),
        ("http://localhost.example:{other}/", "not a public address"),
        ("http://127.0.0.1:{other}/", "not a public address"),
        ("file:///etc/passwd", "no http or https URL"),
        ("gopher://127.0.0.1:70/", "no http or https URL"),
        ("http://[bad", "something that is no URL"),
        ("http://h.example:99999/", "no http or https URL"),
    ],
)
def test_a_redirect_to_a_forbidden_place_is_refused(target: str, why: str):
    waits = Waits({"localhost.example": ["127.0.0.1"], "fe80::1": ["fe80::1"]})
    with Site(ok) as other:
        moved = target.format(other=other.port)
        with Site(lambda _: Sent(status=302, headers={"location": moved})) as site:
            with pytest.raises(NotValid, match=why):
                fetch(site.url, site.host, waits=waits)
    assert other.asked == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://news.example/x", "news.example", "http://", "data:,x"]
)
def test_only_http_and_https_are_fetched(url: str):
    with pytest.raises(NotValid, match="no http or https URL"):
        fetch(url)


def test_redirects_are_followed_ten_times_and_no_more():
    def hop(asked: Asked) -> Sent:
        left = int(asked.path.strip("/"))
        return Sent(status=301, headers={"location": f"/{left - 1}"}) if left else Sent(b"there")

    with Site(hop) as site:
        answer = fetch(f"{site.url}/10", site.host)
        assert (answer.url, answer.body) == (f"{site.url}/0", b"there")
        with pytest.raises(RequestFailed, match="redirects more than 10 times"):
            fetch(f"{site.url}/11", site.host)


def test_credentials_stay_with_the_host_that_they_are_for():
    with Site(ok) as other:
        with Site(
            lambda a: ok(a) if a.path == "/here" else Sent(status=307, headers={"location": a.query["to"]})
        ) as site:
            private = {"authorization": "Bearer 1234567890", "x-api-key": "abc"}
            for place in ("/here", f"{other.url}/there"):
                request = Request(f"{site.url}/go?to={place}", headers={"accept": "*/*"}, private=private)
                fetch("", site.host, other.host, request=request)
    given = [{n: a.headers.get(n) for n in ("authorization", "x-api-key", "accept")} for a in site.asked]
    assert given == [{"authorization": "Bearer 1234567890", "x-api-key": "abc", "accept": "*/*"}] * 3
    assert {n: other.asked[0].headers.get(n) for n in given[0]} == {
        "authorization": None,
        "x-api-key": None,
        "accept": "*/*",
    }


def test_user_and_password_of_a_url_are_sent_as_basic_authorization_to_its_host_only():
    with Site(ok) as other, Site(lambda _: Sent(status=302, headers={"location": other.url})) as site:
        answer = fetch(f"http://ann:pass%20word@{site.host}/", site.host, other.host)
    assert site.asked[0].headers["authorization"] == "Basic YW5uOnBhc3Mgd29yZA=="
    assert "authorization" not in other.asked[0].headers
    assert answer.url == other.url


def test_what_a_post_carries_is_not_sent_to_another_host():
    with Site(ok) as other, Site(lambda _: Sent(status=308, headers={"location": other.url})) as site:
        with pytest.raises(RequestFailed, match="redirects a POST to another host"):
            fetch("", site.host, other.host, request=Request(site.url, "POST", content=b"{}"))
    assert other.asked == []


@pytest.mark.parametrize(
    ("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")]
)
def test_a_redirected_post_becomes_a_get_where_rfc_9110_says_so(status: int, method: str):
    with Site(lambda a: Sent(status=status, headers={"location": "/b"}) if a.path == "/a" else ok(a)) as site:
        fetch("", site.host, request=Request(f"{site.url}/a", "POST", content=b"{}"))
    assert [(a.method, a.path, a.body) for a in site.asked] == [
        ("POST", "/a", b"{}"),
        (method, "/b", b"{}" if method == "POST" else b""),
    ]


def endless(counted: list[int], size: int, most: int):
    """Chunks made as they are asked for, `most` bytes in all."""
    chunk = b"x" * size
    for _ in range(most // size):
        counted.append(size)
        yield chunk


def test_a_body_of_five_gigabytes_is_cut_at_the_cap_and_memory_stays_flat():
    sent: list[int] = []
    with Site(lambda _: Sent(endless(sent, 65_536, 5_000_000_000))) as site:
        tracemalloc.start()
        with pytest.raises(TooLarge, match=r"more than 1,000,000 bytes; it was cut there"):
            fetch(site.url, site.host)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20_000_000
    assert sum(sent) < 100_000_000


def test_a_gzip_bomb_is_cut_at_the_cap_of_what_it_unpacks_to():
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(300)) + packer.flush()
    assert len(bomb) < 400_000
    with Site(lambda _: Sent(bomb, headers={"content-encoding": "gzip"})) as site:
        tracemalloc.start()
        with pytest.raises(TooLarge):
            fetch(site.url, site.host)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20_000_000


def test_a_compressed_answer_is_unpacked_and_a_damaged_one_named():
    packed = {"gzip": gzip.compress(b"hello"), "deflate": zlib.compress(b"hello")}
    with Site(lambda a: Sent(packed[a.path[1:]], headers={"content-encoding": a.path[1:]})) as site:
        assert fetch(f"{site.url}/gzip", site.host).body == b"hello"
        assert fetch(f"{site.url}/deflate", site.host).body == b"hello"
        packed["gzip"] = b"no gzip at all"
        with pytest.raises(RequestFailed, match="damaged compressed answer"):
            fetch(f"{site.url}/gzip", site.host)


def test_a_body_that_drips_ends_at_the_time_limit_of_the_request():
    over = threading.Event()

    def drip():
        while not over.wait(0.01):
            yield b"x"

    with Site(lambda _: Sent(drip())) as site:
        with pytest.raises(RequestFailed, match=r"no complete answer within request_seconds 0\.3"):
            fetch(site.url, site.host, request_seconds=0.3, retries=0)
        over.set()


def test_a_name_that_is_never_resolved_ends_there_too():
    over = threading.Event()

    def hang(_host: str, _port: int) -> list[str]:
        over.wait()
        return []

    surroundings = type(Waits().surroundings())(resolve=hang, wait=lambda _: None)
    with WebClient(limits(request_seconds=0.1, retries=0), surroundings) as client:
        with pytest.raises(RequestFailed, match=r"no complete answer within request_seconds 0\.1"):
            client.fetch(Request("http://slow.example/"))
    over.set()


def test_headers_that_drip_end_there_too():
    """A raw server: it sends a status line and then a header that never ends."""
    over = threading.Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
            while not over.wait(0.01):
                try:
                    connection.sendall(b"a")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        host = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(RequestFailed, match="no complete answer"):
            fetch(f"http://{host}/", host, request_seconds=0.3, retries=0)
        over.set()
        thread.join()


def test_the_time_of_the_whole_source_is_a_limit_too():
    over = threading.Event()

    def silent(_asked: Asked) -> Sent:
        over.wait(30)
        return Sent(b"late")

    with Site(silent) as site:
        with pytest.raises(OutOfTime, match=r"max_seconds 0\.2, was over before"):
            fetch(site.url, site.host, max_seconds=0.2)
        over.set()


def answers_in_turn(*answers: Sent):
    left = list(answers)
    return lambda _asked: left.pop(0) if len(left) > 1 else left[0]


def test_a_500_that_recovers_is_tried_again_with_growing_waits():
    broken = Sent(status=500)
    waits = Waits()
    with Site(answers_in_turn(broken, Sent(status=503), broken, Sent(b"well again"))) as site:
        assert fetch(site.url, site.host, waits=waits).body == b"well again"
    assert waits.seconds == [0.5, 1.0, 2.0]


def test_a_429_is_tried_again_when_retry_after_says_in_seconds_and_as_a_date():
    later = format_datetime(datetime.fromtimestamp(TODAY, UTC) + timedelta(seconds=40), usegmt=True)
    slow = [Sent(status=429, headers={"retry-after": value}) for value in ("7", later)]
    waits = Waits()
    with Site(answers_in_turn(*slow, Sent(b"now"))) as site:
        assert fetch(site.url, site.host, waits=waits).body == b"now"
    assert waits.seconds == [7.0, 40.0]


def test_a_wait_longer_than_the_source_may_take_is_an_error_at_once():
    waits = Waits()
    with Site(lambda _: Sent(status=429, headers={"retry-after": "3600"})) as site:
        with pytest.raises(
            OutOfTime, match=r"can be asked again in 3600 s, and this source may take 60 s in all"
        ):
            fetch(site.url, site.host, waits=waits)
    assert (waits.seconds, len(site.asked)) == ([], 1)


def test_a_server_that_stays_broken_is_named_with_its_status_and_the_attempts():
    with Site(lambda _: Sent(status=502)) as site:
        with pytest.raises(RequestFailed) as failed:
            fetch(f"{site.url}/a?token=abc&page=2", site.host, retries=2)
    assert failed.value.status == 502
    assert len(site.asked) == 3
    assert str(failed.value) == (
        f"{site.url}/a?token=***&page=2 could not be fetched in 3 attempts: it answered with status 502."
        " Check that the server is up and can be reached from here, then try again."
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_a_status_that_another_try_would_not_change_is_answered_once(status: int):
    with Site(lambda _: Sent(b"no", status)) as site:
        answer = fetch(site.url, site.host)
    assert (answer.status, answer.body, len(site.asked)) == (status, b"no", 1)


def test_a_broken_connection_is_tried_again():
    dropped = threading.Event()

    def drop_once(asked: Asked) -> Sent:
        if not dropped.is_set():
            dropped.set()
            raise ConnectionAbortedError
        return ok(asked)

    waits = Waits()
    with Site(drop_once) as site:
        assert fetch(site.url, site.host, waits=waits).body == b"hello"
    assert waits.seconds == [0.5]


def test_a_closed_port_and_an_unknown_name_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://user:topsecret@proxy.example:3128")

    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(RequestFailed, match="the connection failed") as failed:
        fetch(f"http://{host}/", host, retries=0)
    assert "HTTPS_PROXY is set, but proxies are not used here" in str(failed.value)
    assert "topsecret" not in str(failed.value)
    surroundings = type(Waits().surroundings())(resolve=unknown, wait=lambda _: None)
    with WebClient(limits(retries=0), surroundings) as client:
        with pytest.raises(RequestFailed, match=r"the name nowhere\.example cannot be resolved"):
            client.fetch(Request("http://nowhere.example/"))


def test_after_the_last_allowed_request_the_next_one_waits_for_the_reset():
    limit = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(TODAY) + 9)}
    waits = Waits()
    with Site(answers_in_turn(Sent(b"1", headers=limit), Sent(b"2"))) as site:
        with WebClient(limits(site.host), waits.surroundings()) as client:
            bodies = [client.fetch(Request(site.url)).body for _ in range(3)]
    assert (bodies, waits.seconds) == ([b"1", b"2", b"2"], [9.0])


def test_a_rate_limit_that_answers_403_is_waited_for():
    limit = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "12"}
    waits = Waits()
    with Site(answers_in_turn(Sent(status=403, headers=limit), Sent(b"ok"))) as site:
        assert fetch(site.url, site.host, waits=waits).body == b"ok"
    assert waits.seconds == [12.0]


def test_delays_that_cannot_be_read_are_none():
    assert asked_delay({"retry-after": "soon"}, TODAY) is None
    assert asked_delay({"retry-after": "Mon, 01 Jan 2024 00:00:00 GMT"}, TODAY) == 0
    assert rate_limit_delay({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "later"}, TODAY) is None
    assert rate_limit_delay({"x-ratelimit-remaining": "3", "x-ratelimit-reset": "9"}, TODAY) is None


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_header_about_delays_is_read_without_an_error(after: str, reset: str):
    headers = {"retry-after": after, "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
    delay = asked_delay(headers, TODAY)
    assert delay is None or delay >= 0


@given(st.integers(1, 50), st.floats(0, 1))
def test_backoff_grows_and_stays_between_a_quarter_second_and_a_minute(attempt: int, jitter: float):
    assert 0.25 <= backoff(attempt, jitter) <= 60
    assert backoff(attempt, jitter) <= backoff(attempt + 1, jitter)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for news.example, signed by itself, and its key."""
    x509 = pytest.importorskip("cryptography.x509", reason="a certificate is made with cryptography")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "news.example")])
    today = datetime.now(UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.DNSName("news.example")])
    signed = built.add_extension(names, critical=False).sign(key, hashes.SHA256())
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    return folder / "cert.pem", folder / "key.pem"


def fetch_over_tls(name: str, certificate: tuple[Path, Path], answer: Sent | None = None) -> Answer:
    with Site(lambda _: answer or Sent(b"hello"), tls=certificate) as site:
        host = f"{name}:{site.port}"
        return fetch(f"https://{host}/", host, waits=Waits({name: ["127.0.0.1"]}))


def test_tls_verifies_the_name_of_the_url_though_a_checked_address_is_connected_to(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert fetch_over_tls("news.example", certificate).body == b"hello"
    with pytest.raises(RequestFailed, match="a certificate that is not valid for it"):
        fetch_over_tls("other.example", certificate)


def test_a_redirect_from_https_to_http_is_refused(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    moved = Sent(status=301, headers={"location": "http://news.example/"})
    with pytest.raises(RequestFailed, match="redirects from https to http"):
        fetch_over_tls("news.example", certificate, moved)


@pytest.mark.parametrize("value", ["abc\ndef-secret", "é-def-secret", "abc\x00def-secret"])
def test_a_header_that_http_does_not_allow_is_refused_without_being_shown(value: str):
    with Site(ok) as site:
        with pytest.raises(NotValid, match="characters that HTTP does not allow") as refused:
            fetch("", site.host, request=Request(site.url, private={"x-key": value}))
    assert "def-secret" not in str(refused.value)


def test_an_answer_in_a_packing_that_was_not_asked_for_is_named():
    with Site(lambda _: Sent(b"hello", headers={"content-encoding": "br"})) as site:
        with pytest.raises(RequestFailed, match="packed as 'br', which was not asked for"):
            fetch(site.url, site.host)


def test_a_url_is_shown_without_its_secrets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SHOWN_SECRET", SECRET)
    value = expand("${SHOWN_SECRET}")
    quoted = "s3cr3t%2Fwith%2Bsigns%3D"
    assert value == SECRET
    assert show_url(f"https://u:p@h.example/a/{quoted}/b?x={quoted}&api_key=1&q=a%20b#top") == (
        "https://h.example/a/${SHOWN_SECRET}/b?x=${SHOWN_SECRET}&api_key=***&q=a%20b"
    )


@given(st.text(max_size=80))
def test_any_url_is_shown_without_an_error(text: str):
    show_url(f"http://{text}")
    show_url(text)


def test_the_log_of_requests_holds_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("LOGGED_SECRET", SECRET)
    caplog.set_level("DEBUG")
    with Site(ok) as site:
        fetch(
            expand_url(f"http://u:${{LOGGED_SECRET}}@{site.host}/?q=${{LOGGED_SECRET}}&api_key=77553311"),
            site.host,
        )
    assert f"GET {site.url}/?q=${{LOGGED_SECRET}}&api_key=***" in caplog.text
    for secret in (SECRET, "s3cr3t", "77553311"):
        assert secret not in caplog.text


def test_a_value_is_spelled_as_its_place_in_the_url_needs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLACED", "a/b?c@d e")
    monkeypatch.setenv("PLACED_URL", "https://h.example:8443/v1?x=1")
    assert expand_url("${PLACED_URL}&k=${PLACED}") == "https://h.example:8443/v1?x=1&k=a%2Fb%3Fc%40d%20e"
    assert expand_url("https://u:${PLACED}@h/p/${PLACED}?k=${PLACED}") == (
        "https://u:a%2Fb%3Fc%40d%20e@h/p/a/b%3Fc%40d%20e?k=a%2Fb%3Fc%40d%20e"
    )


def test_a_mask_hides_every_spelling_and_gives_the_secret_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MASKED", SECRET)
    monkeypatch.setenv("PIN", "42")
    mask = Mask(["Bearer ${MASKED}", "${PIN}", 7, None])
    spelled = "s3cr3t/with+signs= s3cr3t%2Fwith%2Bsigns%3D s3cr3t\\/with+signs= s3cr3t%2fwith%2bsigns%3d 42"
    assert mask.hide(spelled) == "${MASKED} ${MASKED} ${MASKED} ${MASKED} 42"
    assert (
        mask.hide_url("https://h/?a=42&b=142&k=s3cr3t%2Fwith%2Bsigns%3D")
        == "https://h/?a=${PIN}&b=142&k=${MASKED}"
    )
    assert mask.restore("x ${MASKED}") == f"x {SECRET}"
    assert mask.restore("?k=${MASKED}&p=${HOME}", in_url=True) == "?k=s3cr3t%2Fwith%2Bsigns%3D&p=${HOME}"


def test_json_bodies_arrive_whole_and_are_counted():
    with Site(lambda _: as_json({"a": 1})) as site:
        with WebClient(limits(site.host), Waits().surroundings()) as client:
            assert client.fetch(Request(site.url)).body == b'{"a": 1}'
            assert (client.requests, client.bytes) == (1, 8)
