"""500 texts as agents write and read them, with what is in them: made with a fixed seed, and cases by hand.

Numbers are made here, by code of its own, so that a fault of a detector is not repeated. All are invented;
domains and addresses are those reserved for documentation where there are such.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

SIZE, SEED = 500, 20260501
Truth = tuple[str, str]


@dataclass(frozen=True)
class Text:
    """A text and the values in it, each with its kind."""

    text: str
    truths: tuple[Truth, ...] = ()


# By hand: what a detector should find and may not, and what looks like something and is nothing.
HARD: tuple[Text, ...] = (
    Text("write to alice at example dot com", (("EMAIL", "alice at example dot com"),)),
    Text("zoë.müller@exämple.org schrieb", (("EMAIL", "zoë.müller@exämple.org"),)),
    Text("reply-to=<Bob.O'Neil+tag@mail.example.co.uk>", (("EMAIL", "Neil+tag@mail.example.co.uk"),)),
    Text("GET /users?mail=carol%40example.com&x=1", (("EMAIL", "carol%40example.com"),)),
    Text('{\\"to\\": \\"dan@example.net\\"}', (("EMAIL", "dan@example.net"),)),
    Text("mailto:eve@example.org?subject=hi", (("EMAIL", "eve@example.org"),)),
    Text("frank@localhost is the admin", (("EMAIL", "frank@localhost"),)),
    Text("git clone git@github.com:org/repo.git"),
    Text("the sprite is icon@2x.png, use lodash@4.17.21"),
    Text("@app.route('/x') def f(): pass  # com.acme.Foo@1a2b3c"),
    Text("call me on +44 20 7946 0958 tomorrow", (("PHONE", "+44 20 7946 0958"),)),
    Text("my number: (415) 555-2671", (("PHONE", "(415) 555-2671"),)),
    Text("ring 030 901820 after six", (("PHONE", "030 901820"),)),
    Text("reach us under 0049 30 901820", (("PHONE", "0049 30 901820"),)),
    Text("WhatsApp: +1-212-555-0198 2026-11-27", (("PHONE", "+1-212-555-0198"),)),
    Text("tel:+49-30-901820;ext=7", (("PHONE", "+49-30-901820"),)),
    Text("order 4829-1102-77 was shipped on 2026-11-27"),
    Text("invoice no 2026112700123 of 12.04.2026, 1.234.567,89 EUR"),
    Text("started 1764280219123, took 1250 ms, epoch 1764280219"),
    Text("ISBN 978-3-16-148410-0, part 555-0123-88"),
    Text("released 2026-11-27T09:30:00+01:00, build 20261127093000"),
    Text("the call took 12345678 ms; text 123 of 456"),
    Text("gained +1234567890 points, +100 000 000 EUR, 1+49151123456"),
    Text("pages 100-200, 300-400 and 500-600, score 3.14159265358979"),
    Text("card 4111 1111 1111 1111 exp 12/27 cvc 123", (("CARD", "4111 1111 1111 1111"),)),
    Text("amex 3782-822463-10005 declined", (("CARD", "3782-822463-10005"),)),
    Text("order-5555555555554444", (("CARD", "5555555555554444"),)),
    Text("0000 4012 8888 8888 1881", (("CARD", "4012 8888 8888 1881"),)),
    Text("card ending 4242, auth 4111 1111 1111 1112"),
    Text("tracking 9400111899223197428490, sku 4000123412341234"),
    Text("trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7"),
    Text("id 123e4567-e89b-12d3-a456-426614174000, 12345678-4111-1111-1111-111111111111"),
    Text("amount 4.111.111.111.111.111 and 4111111111111111.25"),
    Text("IBAN: de89 3704 0044 0532 0130 00", (("IBAN", "de89 3704 0044 0532 0130 00"),)),
    Text("GB29-NWBK-6016-1331-9268-19 please", (("IBAN", "GB29-NWBK-6016-1331-9268-19"),)),
    Text("konto (FR1420041010050500013M02606).", (("IBAN", "FR1420041010050500013M02606"),)),
    Text("DE89 3704 0044 0532 0130 01 is mistyped, model AB12 3456 7890"),
    Text("SKU DE12345678901234567890, container MSCU6639870"),
    Text(
        "from 203.0.113.7:52113 via 2001:db8::8a2e:370:7334",
        (("IP", "203.0.113.7"), ("IP", "2001:db8::8a2e:370:7334")),
    ),
    Text(
        "http://[2001:db8::1]:8080/ and http://198.51.100.4/", (("IP", "2001:db8::1"), ("IP", "198.51.100.4"))
    ),
    Text(
        "allow 192.0.2.0/24; fe80::1ff:fe23:4567:890a%eth2",
        (("IP", "192.0.2.0"), ("IP", "fe80::1ff:fe23:4567:890a")),
    ),
    Text("kafka/192.0.2.15:9092 disconnected", (("IP", "192.0.2.15"),)),
    Text("version 1.2.3.4 of foo==1.2.3.4, v10.4.2.1, Chrome/120.0.0.0 Safari/537.36"),
    Text("listening on 127.0.0.1:8080, [::1] and 0.0.0.0"),
    Text("std::vector<a::b>, at 12:34:56, ratio 10:20:30, mac 00:1a:2b:3c:4d:5e"),
    Text("section 4.2.1.3 says 999.1.1.1 is no address"),
    Text("Firmware 4.19.0.3 was installed"),
    Text("password: correct horse", (("SECRET", "correct horse"),)),
    Text("my password is Tr0ub4dor&3", (("SECRET", "Tr0ub4dor"),)),
    Text("DB_PASSWORD=hunter2 python app.py", (("SECRET", "hunter2"),)),
    Text("postgres://app:s3cr3t-pw@db.example.com/x", (("SECRET", "s3cr3t-pw"),)),
    Text(
        "curl -H 'Authorization: Basic dXNlcjpodW50ZXIy' https://example.com",
        (("SECRET", "dXNlcjpodW50ZXIy"),),
    ),
    Text('{"api_key": "f3a9c1d27b", "max_tokens": 512}', (("SECRET", "f3a9c1d27b"),)),
    Text("token=9f86d081884c7d659a2feaa0c55ad015", (("SECRET", "9f86d081884c7d659a2feaa0c55ad015"),)),
    Text("The password must have 8 characters. Password: required. password=None"),
    Text("api_key = os.environ['API_KEY']; secret: ${VAULT_SECRET}; token: <token>"),
    Text("prompt_tokens: 1024, token: hello, tokenizer=gpt2, secretary: Anna"),
    Text("commit 9fceb02d0ae598e95dc970b74767f19372d61af8 sha256:e3b0c44298fc1c149afbf4c8996fb924"),
    Text("a bearer of good news, the basic information, an authorization problem"),
    Text("sk-learn and risk-management-of-long-running-things-in-practice"),
)

_FRAMES = (
    "Please help the customer {} with the refund.", "User said: {}", "{}", "note: {} (checked)",
    "lookup({}) failed",
    '{{"query": "{}", "limit": 5}}', "Tool result\n- value: {}\n- status: ok", "I found {}, shall I go on?",
    "Kunde hat {} angegeben", "<td>{}</td>", "«{}»", "see {}; retry in 5 s",
)  # fmt: skip
_NAMES = ("alice", "bob.smith", "c_d", "Eva-Maria", "o.neil+news", "x1", "info", "jürgen", "li.wei.99")
_DOMAINS = ("example.com", "mail.example.org", "example.co.uk", "sub.example.museum", "EXAMPLE.NET")


def corpus() -> list[Text]:
    """The texts, the same each time."""
    rng = random.Random(SEED)
    found = list(HARD)
    makers = [*_MAKERS, *_NOTHING]
    while len(found) < SIZE:
        make = makers[len(found) % len(makers)]
        first = make(rng)
        text, truths = rng.choice(_FRAMES).format(first[0]), list(first[1])
        if rng.random() < 0.2:
            more, others = rng.choice(makers)(rng)
            text, truths = f"{text} / {more}", [*truths, *others]
        found.append(Text(text, tuple(truths)))
    return found


Made = tuple[str, list[Truth]]


def _email(rng: random.Random) -> Made:
    value = f"{rng.choice(_NAMES)}@{rng.choice(_DOMAINS)}"
    return value, [("EMAIL", value)]


def _phone(rng: random.Random) -> Made:
    value = rng.choice(
        (
            f"+49 {rng.choice(('160', '170', '171'))} {_digits(rng, 7, '5')}",
            f"+49-30-{_digits(rng, 6, '9')}",
            f"+44 7{rng.choice('4579')}{_digits(rng, 2)} {_digits(rng, 6)}",
            f"+1 ({rng.choice(('212', '415', '646'))}) 555-01{_digits(rng, 2)}",
            f"+336{_digits(rng, 8)}",
            f"+91 98{_digits(rng, 3)} {_digits(rng, 5)}",
            f"+81 90-{_digits(rng, 4, '1')}-{_digits(rng, 4)}",
        )
    )
    return value, [("PHONE", value)]


def _national_phone(rng: random.Random) -> Made:
    value = f"0{rng.choice(('160', '170', '171'))}{rng.choice((' ', '/', '-'))}{_digits(rng, 7, '5')}"
    word = rng.choice(("", "", "Tel. ", "mobile: ", "phone number is "))
    return word + value, [("PHONE", value)]


def _card(rng: random.Random) -> Made:
    prefix, length = rng.choice(
        (("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("6011", 16), ("36", 14), ("3530", 16))
    )
    digits = prefix + _digits(rng, length - len(prefix) - 1)
    digits += next(str(last) for last in range(10) if _luhn_is_0(digits + str(last)))
    gap = rng.choice(("", "", " ", "-"))
    groups = [4, 6, 5] if length == 15 else [4, 6, 4] if length == 14 else [4, 4, 4, 4]
    value = gap.join(digits[sum(groups[:i]) : sum(groups[: i + 1])] for i in range(len(groups)))
    return value, [("CARD", value)]


def _iban(rng: random.Random) -> Made:
    country, body = rng.choice(
        (
            ("DE", _digits(rng, 18)),
            ("NL", "ABNA" + _digits(rng, 10)),
            ("FR", _digits(rng, 20) + "M02"),
            ("ES", _digits(rng, 20)),
            ("NO", _digits(rng, 11)),
        )
    )
    rest = 98 - int("".join(str(int(char, 36)) for char in f"{body}{country}00")) % 97
    whole = f"{country}{rest:02d}{body}"
    value = rng.choice((whole, " ".join(whole[i : i + 4] for i in range(0, len(whole), 4)), whole.lower()))
    return value, [("IBAN", value)]


def _ip(rng: random.Random) -> Made:
    value = rng.choice(
        (
            f"203.0.113.{rng.randrange(256)}",
            f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
            f"2001:db8:{rng.randrange(4096):x}::{rng.randrange(65536):x}",
            ":".join(["2001", "db8", *(f"{rng.randrange(65536):x}" for _ in range(6))]),
            f"fe80::{rng.randrange(4096, 65536):x}:{rng.randrange(4096, 65536):x}",
        )
    )
    return value + rng.choice(("", "", ":8080" if "." in value else "")), [("IP", value)]


def _secret(rng: random.Random) -> Made:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    some = "".join(rng.choice(letters) for _ in range(40)) + "7a"
    jwt = ".".join(
        base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")
        for part in (json.dumps({"alg": "HS256"}), json.dumps({"sub": _digits(rng, 6)}), some)
    )
    before, value, after = rng.choice(
        (
            ("", f"sk-proj-{some}", ""),
            ("key ", f"AKIA{''.join(rng.choice('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567') for _ in range(16))}", ""),
            ("", f"ghp_{some[:36]}", ""),
            ("", f"xoxb-{_digits(rng, 11)}-{some[:24]}", ""),
            ("Authorization: Bearer ", some, ""),
            ("jwt ", jwt, ""),
            ("password=", f"{rng.choice(('Summer', 'qwerty', 'Hallo'))}{_digits(rng, 3)}!", ""),
            ('\\"client_secret\\": \\"', some[:24], '\\"'),
            ("https://bot:", some[:16], "@example.com/x"),
            ("", f"-----BEGIN PRIVATE KEY-----\\n{some}\\n{some}\\n-----END PRIVATE KEY-----", ""),
        )
    )
    return before + value + after, [("SECRET", value)]


def _looks_like_something(rng: random.Random) -> Made:
    value = rng.choice(
        (
            f"order #{_digits(rng, 10)}",
            f"4{_digits(rng, 15)} units",  # one in ten is a card's number by chance
            f"version {rng.randrange(9)}.{rng.randrange(20)}.{rng.randrange(20)}.{rng.randrange(9)}",
            f"{rng.getrandbits(128):032x}",
            f"{_digits(rng, 8)}-{_digits(rng, 4)}-4{_digits(rng, 3)}-8{_digits(rng, 3)}-{_digits(rng, 12)}",
            f"17{_digits(rng, 11)} ms",
            f"2026-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d} 17:15:{rng.randrange(60):02d}.123",
            f"{rng.randrange(1, 999)}.{_digits(rng, 3)}.{_digits(rng, 3)},{_digits(rng, 2)} EUR",
            f"${_digits(rng, 3, '1')},{_digits(rng, 3)},{_digits(rng, 3)}.00",
            f"max_tokens={rng.randrange(4096)}, top_p=0.{_digits(rng, 12)}",
            f"[{', '.join(f'-0.{_digits(rng, 16)}' for _ in range(4))}]",
            f"{rng.randrange(24)}:{rng.randrange(60)}:{rng.randrange(60)} std::map::at{rng.randrange(9)}",
            f"https://example.com/item/{_digits(rng, 12)}?page={rng.randrange(99)}",
        )
    )
    return value, []


def _prose(rng: random.Random) -> Made:
    words = (
        "the",
        "agent",
        "could",
        "not",
        "find",
        "an",
        "answer",
        "in",
        "its",
        "index",
        "and",
        "asks",
        "again",
    )
    return " ".join(rng.choice(words) for _ in range(14)), []


def _digits(rng: random.Random, count: int, first: str = "") -> str:
    return first + "".join(rng.choice("0123456789") for _ in range(count - len(first)))


def _luhn_is_0(digits: str) -> bool:
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


_MAKERS: tuple[Callable[[random.Random], Made], ...] = (
    _email, _phone, _national_phone, _card, _iban, _ip, _secret,
)  # fmt: skip
_NOTHING = (_looks_like_something, _looks_like_something, _looks_like_something, _prose)
