"""Personal data in a text, told by form and, where there are any, by check digits.

Not counted is what stands for no person: reserved domains (RFC 2606), published test cards
(4111 1111 1111 1111 …), documentation and private addresses, and digits that count up or repeat
(123-45-6789). Telephone numbers, which have no check digit, are told in `telephone`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from types import ModuleType

from nlp_skills.data.sensitive import Span, apart
from nlp_skills.data.telephone import find_telephones, is_counted
from nlp_skills.errors import MissingExtra

_FREE = r"(?<![\w/=.#@-])"
"""Not inside a word, a number, a path or a parameter. With re.A: a Chinese character beside it is no part of it."""
_END = r"(?![\w/=-])"

_EMAIL = re.compile(
    r"(?<![\w.+%-])[A-Za-z0-9][\w.%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w@-])", re.A
)
_NO_DOMAIN = re.compile(
    r"(?:^|\.)(?:example[\w-]*\.\w+|test|example|invalid|localhost|local"
    r"|(?:your-?|my-?|some)?(?:domain|company|email|website|sample|test|foo|bar|xxx+|abc|xyz)\.(?:com|org|net)"
    r"|png|jpe?g|gif|svg|webp|py|js)$",
    re.I,
)
_NOBODY = re.compile(r"(?:git|no-?reply|do-?not-?reply|(?:john|jane)[._]?doe|your[._-]?\w*|x+|abc|foo)", re.I)
_CARD = re.compile(rf"{_FREE}\d(?:[ -]?\d){{12,18}}{_END}", re.A)
_CARD_ISSUER = re.compile(
    r"4(?:\d{15}|\d{18})|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17}"
)
_CARD_GROUPS = re.compile(r"\d+|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5}")
# What Stripe, PayPal and others publish for tests: https://docs.stripe.com/testing
_TEST_CARDS = frozenset(
    "4111111111111111 4242424242424242 4012888888881881 4000056655665556 4000000000000002 4222222222222"
    " 5555555555554444 5105105105105100 5200828282828210 2223003122003222 378282246310005 371449635398431"
    " 378734493671000 6011111111111117 6011000990139424 30569309025904 38520000023237 3056930009020004"
    " 36227206271667 3530111333300000 3566002020360505 6200000000000005 4532015112830366 4539578763621486".split()
)
_IBAN = re.compile(rf"{_FREE}[A-Z]{{2}}\d{{2}}(?: ?[A-Z0-9]{{4}}){{2,7}}(?: ?[A-Z0-9]{{1,3}})?{_END}", re.A)
# The examples of the registry and of Wikipedia.
_TEST_IBANS = frozenset(
    "GB29NWBK60161331926819 GB82WEST12345698765432 GB33BUKB20201555555555 DE89370400440532013000"
    " FR1420041010050500013M02606 CH9300762011623852957 NL91ABNA0417164300 BE68539007547034"
    " ES9121000418450200051332 IT60X0542811101000000123456 AT611904300234573201 PL61109010140000071219812874".split()
)
_TAIWAN_ID = re.compile(rf"{_FREE}[A-Z][1289A-D]\d{{8}}{_END}", re.A)
_TAIWAN_LETTERS = {letter: 10 + n for n, letter in enumerate("ABCDEFGHJKLMNPQRSTUVXYWZIO")}
_PRC_ID = re.compile(rf"{_FREE}[1-9]\d{{16}}[\dXx]{_END}", re.A)
_SSN = re.compile(rf"{_FREE}\d{{3}}-\d{{2}}-\d{{4}}{_END}", re.A)
_MY_NUMBER = re.compile(
    r"(?:マイナンバー|個人番号|[Mm]y ?[Nn]umber|[Ii]ndividual [Nn]umber)\D{0,20}(?P<number>\d{4}[ -]?\d{4}[ -]?\d{4})(?!\d)"
)
_IPV4 = re.compile(r"(?<![\w.:/-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)", re.A)
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:{1,2}){3,7}[0-9A-Fa-f]{1,4}(?![\w:])", re.A)
_RESOLVERS = frozenset(
    "1.1.1.1 1.0.0.1 8.8.8.8 8.8.4.4 9.9.9.9 1.2.3.4 208.67.222.222 208.67.220.220".split()
)
_DIGITS = re.compile(r"\D")
_LONG_NUMBER = re.compile(r"\d(?:[ .()-]{0,2}\d){6,}")
_MAYBE_NUMBER = re.compile(r"\d(?:[ .()-]{0,2}\d){6}")


def find_personal(text: str) -> list[Span]:
    """The personal data in a text, in its order: email address, phone number, card number, IBAN, national id, IP address.

    Raises MissingExtra without python-stdnum, which knows the check digits.
    """
    found: list[Span] = []
    if "@" in text:
        found += _spans("email address", _EMAIL, text, _is_mailbox)
    if text.count(":") > 2:
        found += _spans("IP address", _IPV6, text, _is_public)
    if _MAYBE_NUMBER.search(text):
        for kind, pattern, holds in _numbers():
            found += _spans(kind, pattern, text, holds)
        found += _my_numbers(text)
        found += find_telephones(text)
    return apart(found)


def find_numbers(text: str) -> list[Span]:
    """Mail addresses, and numbers as long as a telephone's: what may be personal where nothing tells which are."""
    spans = [*_spans("email address", _EMAIL, text, _is_mailbox), *_spans("number", _LONG_NUMBER, text, bool)]
    return apart(spans)


def _numbers() -> tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...]:
    return (
        ("IBAN", _IBAN, _is_iban),
        ("national id", _PRC_ID, _is_prc_id),
        ("card number", _CARD, _is_card),
        ("national id", _TAIWAN_ID, _is_taiwan_id),
        ("national id", _SSN, _is_ssn),
        ("IP address", _IPV4, _is_public),
    )


def _spans(kind: str, pattern: re.Pattern[str], text: str, holds: Callable[[str], bool]) -> Iterator[Span]:
    for match in pattern.finditer(text):
        if holds(match[0]):
            yield Span(match.start(), match.end(), kind)


def _my_numbers(text: str) -> Iterator[Span]:
    """Japan's individual numbers: 12 digits of which one checks, so only where the text says that it is one."""
    for match in _MY_NUMBER.finditer(text):
        if _stdnum("jp.in_").is_valid(match["number"]) and not is_counted(match["number"]):
            yield Span(match.start("number"), match.end("number"), "national id")


def _is_mailbox(address: str) -> bool:
    local, domain = address.rsplit("@", 1)
    ending = domain.rsplit(".", 1)[1]
    one_case = ending.islower() or ending.isupper()  # "at the kiosk.Valid until …" is no domain
    return one_case and not _NO_DOMAIN.search(domain) and not _NOBODY.fullmatch(local)


def _is_card(number: str) -> bool:
    digits = _DIGITS.sub("", number)
    if digits in _TEST_CARDS or not _CARD_ISSUER.fullmatch(digits) or not _CARD_GROUPS.fullmatch(number):
        return False
    return bool(_stdnum("luhn").is_valid(digits)) and not is_counted(digits)


def _is_iban(number: str) -> bool:
    return number.replace(" ", "") not in _TEST_IBANS and bool(_stdnum("iban").is_valid(number))


def _is_taiwan_id(number: str) -> bool:
    """The check digit of the Ministry of the Interior; the second letter of older residence permits counts as its last digit."""
    area = _TAIWAN_LETTERS[number[0]]
    second = int(number[1]) if number[1].isdigit() else _TAIWAN_LETTERS[number[1]] % 10
    digits = [area // 10, area % 10, second, *map(int, number[2:])]
    weights = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
    return sum(map(int.__mul__, digits, weights)) % 10 == 0 and not is_counted(number)


def _is_prc_id(number: str) -> bool:
    """GB 11643: a county, a day of birth, and a check digit; the standard's own example is nobody's."""
    if number.upper() == "11010519491231002X" or not 1900 <= int(number[6:10]) < 2100:
        return False
    return bool(_stdnum("cn.ric").is_valid(number))


def _is_ssn(number: str) -> bool:
    return bool(_stdnum("us.ssn").is_valid(number)) and not is_counted(number)


def _is_public(address: str) -> bool:
    """A public address that is no known resolver; with fewer than eight digits it may be a version or a section."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    if address in _RESOLVERS or (known.version == 4 and len(_DIGITS.sub("", address)) < 8):
        return False
    return known.is_global


def _stdnum(name: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(f"stdnum.{name}")
    except ImportError:
        raise MissingExtra("Looking for personal data", "data") from None
