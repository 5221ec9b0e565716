"""Telephone numbers in a text, told by the numbering plans: with a country code, or as people write them at home.

Not counted is what reaches nobody in particular: toll-free numbers, those that North America keeps for fiction
(555-0100 to 555-0199), its directory (555-1212), and digits that count up or repeat. A number that is called an
order, an invoice or an amount is none, whatever its digits look like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nlp_skills.data.sensitive import Span

_INTERNATIONAL = r"(?<![)\]])\+[1-9]\d{0,2}(?:[ .-]?(?:\(\d{1,5}\)|\d{1,5})){1,5}"
"""ITU-T E.164. Behind a bracket it is a sum: f(x)+1518500249."""
_NATIONAL = (
    r"(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}",  # North America
    r"09\d{2}[ -]?\d{3}[ -]?\d{3}",  # Taiwan, mobile
    r"(?:\(0[2-8]\d?\) ?|0[2-8]\d?-)\d{3,4}[ -]?\d{4}",  # Taiwan, Japan: fixed
    r"0[5789]0-\d{4}-\d{4}",  # Japan, mobile
    r"0(?:\d{2}-\d{3}|\d{3}-\d{2})-\d{4}",  # Japan, fixed
    r"1[3-9]\d(?:\d{8}|[ -]\d{4}[ -]\d{4})",  # mainland China, mobile
    # Eleven digits whose first are given out: in the United Kingdom (Ofcom's numbering plan), Japan and Korea.
    r"(?=\(?0(?:1\d|2[03489]|3[0347]|5[056]|7\d|8[047]|9[018]))"
    r"(?:0\d{10}"
    r"|(?:\(0\d\d\) ?|0\d\d[ -])\d{4}[ -]?\d{4}"
    r"|(?:\(0\d{3}\) ?|0\d{3}[ -])(?:\d{3}[ -]?\d{4}|\d{4}[ -]\d{3}|\d{3}[ -]\d{2}[ -]\d{2})"
    r"|(?:\(0\d{4}\) ?|0\d{4}[ -])\d{3}[ -]?\d{3})",
)
_NUMBER = rf"(?:{'|'.join((_INTERNATIONAL, *_NATIONAL))})"
# Not inside a word, a number, a path or a parameter. With re.A: a Chinese character beside it is no part of it.
_NUMBERS = re.compile(rf"(?<![\w+/=.#@-]){_NUMBER}(?: ?/ ?{_NUMBER})*(?![\w/=-]|\.\d)", re.A)
"""One number, or several with a slash between them."""
_LONGEST = 13
"""Digits with the country code; the standard allows 15, which nobody has given out."""
_LONGEST_AMERICAN = 11
_PARTS = re.compile(r"[^/ ][^/]*[^/ ]")
_GROUP_ENDS = re.compile(r"\d(?!\d)\)?")
_FICTION = re.compile(r"(?:\+?1[ .-]?)?\(?(?:555\)?[ .-]|\d{3}\)?[ .-]?555[ .-]?(?:01\d\d|1212)\b)")
_TOLL_FREE = re.compile(r"\(?(?:(?:\+?1[ .-]?\(?)?8(?:00|33|44|55|66|77|88)\b|0800)")
_OTHER_BEFORE = re.compile(
    r"(?:\b(?:order|invoice|receipt|ref|reference|account|acct|tracking|serial|item|sku|isbn|ean|upc|barcode|case"
    r"|booking|part|model|batch|policy|parcel|shipment|product|transaction|ticket|passport|licen[cs]e|id|code|pin|vat)"
    r"(?:[ _-]?(?:no|nr|num|number|id|code))?\b"
    r"|訂單|订单|單號|单号|編號|编号|注文|注文番号|会員番号|帳號|账号|帐号|口座)[\s.:：#(「【]{0,3}(?:(?:is|was|號碼|号码|是|は|為|为)[\s:：「【]{0,2})?$"
    r"|[$£€¥￥₹][ ]?$|\b(?:USD|EUR|GBP|TWD|NTD?|JPY|RMB|CNY)[ $]{0,2}$",
    re.I | re.A,
)
_OTHER_BEHIND = re.compile(
    r"[ ]?(?:[$£€¥%円元]|(?:USD|EUR|GBP|TWD|NTD|JPY|CNY|dollars|euros?|pounds|kg|km|ms|bytes)\b)", re.I | re.A
)
_CONTEXT = 32
"""Characters before a number that are looked at for what it is called."""
_DIGITS = re.compile(r"\D")
_COUNTED = ("12345", "23456", "34567", "45678", "98765", "87654", "76543", "65432")


def find_telephones(text: str) -> Iterator[Span]:
    """The telephone numbers in a text, in its order."""
    at = 0
    while match := _NUMBERS.search(text, at):
        at = match.end()
        is_other = _is_called_otherwise(text, match.start(), match.end())
        for part in _PARTS.finditer(match[0]):
            number = _first_number(part[0])
            start = match.start() + part.start()
            end = start + len(number)
            if _is_telephone(number) and (number.startswith("+") or not is_other):
                yield Span(start, end, "phone number")
            if len(number) < len(part[0]):
                at = end  # what is left may be a number without a country code
                break


def _is_called_otherwise(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - _CONTEXT) : start]
    return bool(_OTHER_BEFORE.search(before) or _OTHER_BEHIND.match(text, end))


def _first_number(digits: str) -> str:
    """As many groups as a number with its country code may have; any other number is whole."""
    longest = _LONGEST_AMERICAN if digits.startswith("+1") else _LONGEST
    if not digits.startswith("+") or _count(digits) <= longest:
        return digits
    ends = [match.end() for match in _GROUP_ENDS.finditer(digits)]
    return digits[: max((end for end in ends if _count(digits[:end]) <= longest), default=len(digits))]


def _count(number: str) -> int:
    """Its digits; (0) is dialled at home only."""
    return len(_DIGITS.sub("", number.replace("(0)", "")))


def _is_telephone(number: str) -> bool:
    if not 9 <= _count(number) <= _LONGEST or is_counted(number):
        return False
    return not _FICTION.match(number) and not _TOLL_FREE.match(number)


def is_counted(number: str) -> bool:
    """Whether the digits count up or down, or are hardly different: no number of a person."""
    digits = _DIGITS.sub("", number)
    return len(set(digits[-8:])) <= 2 or any(run in digits for run in _COUNTED)
