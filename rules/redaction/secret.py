"""Credentials: tokens of providers by their prefix, JSON Web Tokens, private keys, `Authorization` headers,
passwords in URLs, and values behind names such as ``password`` or ``api_key``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import log2
from typing import Final

from rules.redaction.found import Found

KIND: Final = "SECRET"
_END: Final = r"(?![0-9A-Za-z_\-])"
# By the text that they begin with: what is looked for first, since it is fast.
_SK: Final = r"sk-(?=[0-9A-Za-z_\-]{0,60}\d)(?:ant-|proj-|svcacct-|admin-|or-v1-|lf-)?[0-9A-Za-z_\-]{20,}"
_PROVIDERS: Final[dict[str, str]] = {
    "sk-": _SK,  # OpenAI, Anthropic, …
    "pk-lf-": r"pk-lf-[0-9a-f\-]{20,}",
    "AKIA": rf"AKIA[0-9A-Z]{{16}}{_END}",  # AWS
    "ASIA": rf"ASIA[0-9A-Z]{{16}}{_END}",
    "ghp_": r"ghp_[0-9A-Za-z]{36,}",  # GitHub
    "gho_": r"gho_[0-9A-Za-z]{36,}",
    "ghu_": r"ghu_[0-9A-Za-z]{36,}",
    "ghs_": r"ghs_[0-9A-Za-z]{36,}",
    "ghr_": r"ghr_[0-9A-Za-z]{36,}",
    "github_pat_": r"github_pat_[0-9A-Za-z_]{40,}",
    "glpat-": r"glpat-[0-9A-Za-z_\-]{20,}",  # GitLab
    "xox": r"xox[abeoprs]-[0-9A-Za-z\-]{10,}",  # Slack
    "xapp-": r"xapp-[0-9A-Za-z\-]{20,}",
    "hooks.slack.com/services/": r"hooks\.slack\.com/services/[0-9A-Za-z/]{20,}",
    "AIza": rf"AIza[0-9A-Za-z_\-]{{35}}{_END}",  # Google
    "ya29.": r"ya29\.[0-9A-Za-z_\-]{20,}",
    "GOCSPX-": r"GOCSPX-[0-9A-Za-z_\-]{20,}",
    "dapi": rf"dapi[0-9a-f]{{32}}(?:-\d)?{_END}",  # Databricks
    "dose": rf"dose[0-9a-f]{{32}}{_END}",
    "hf_": r"hf_[0-9A-Za-z]{30,}",  # Hugging Face
    "npm_": r"npm_[0-9A-Za-z]{36}",
    "pypi-": r"pypi-[0-9A-Za-z_\-]{40,}",
    "SG.": r"SG\.[0-9A-Za-z_\-]{16,}\.[0-9A-Za-z_\-]{16,}",  # SendGrid
    "sk_live_": r"sk_live_[0-9A-Za-z]{16,}",  # Stripe
    "sk_test_": r"sk_test_[0-9A-Za-z]{16,}",
    "rk_live_": r"rk_live_[0-9A-Za-z]{16,}",
    "whsec_": r"whsec_[0-9A-Za-z+/=]{24,}",
    "shpat_": r"shpat_[0-9a-f]{32}",  # Shopify
    "dop_v1_": r"dop_v1_[0-9a-f]{64}",  # DigitalOcean
    "hvs.": r"hvs\.[0-9A-Za-z_\-]{20,}",  # Vault
    "gsk_": r"gsk_[0-9A-Za-z]{40,}",  # Groq
    "nvapi-": r"nvapi-[0-9A-Za-z_\-]{40,}",
    "r8_": r"r8_[0-9A-Za-z]{36,}",  # Replicate
    "pplx-": r"pplx-[0-9A-Za-z]{40,}",
    "xai-": r"xai-[0-9A-Za-z]{40,}",
    "tvly-": r"tvly-[0-9A-Za-z\-]{20,}",
    "lsv2_": r"lsv2_[a-z]{2}_[0-9a-f_]{32,}",  # LangSmith
    "AccountKey=": r"AccountKey=[0-9A-Za-z+/=]{40,}",  # Azure
    "SharedAccessSignature=": r"SharedAccessSignature=[^\s\"';]{20,}",
    "eyJ": r"eyJ[0-9A-Za-z_\-]{8,}\.[0-9A-Za-z_\-]{8,}(?:\.[0-9A-Za-z_\-]*){0,3}",  # a JSON Web Token
}
_OF_PROVIDER: Final = {prefix: re.compile(pattern) for prefix, pattern in _PROVIDERS.items()}
_BEGIN, _FINISH = "-----BEGIN ", re.compile(r"-----END [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY = re.compile(r"(?:[0-9A-Za-z+/=:,\-\s]|\\[rnt])*")
_LOGIN_IN_URL = re.compile(r"://[^\s/:@\"'<>]{0,100}:([^\s/@\"'<>]{1,200})@")
# Names as they are looked for in lower case. Behind a weak one only what looks random is a credential.
_STRONG: Final = (
    "password", "passwd", "passphrase", "passwort", "pwd", "secret", "api_key", "api-key", "apikey",
    "api key", "access_key", "access-key", "accesskey", "secret_key", "private_key", "private-key",
    "privatekey", "credential", "account_key", "client_key",
)  # fmt: skip
_WEAK: Final = ("token", "signature", "sessionid", "session_key", "auth_key")
_HEADERS: Final = ("authorization", "bearer")
_VALUE = re.compile(
    r"(?:s|_id)?[\"'`\\]{0,4}\s{0,3}(?:=>|:=|=|:|\bis\b)\s{0,3}[\"'`\\]{0,4}([^\s\"'`\\,;<>(){}\[\]&]{4,500})"
)
_CREDENTIALS = re.compile(
    r"[\"'`\\]{0,4}\s{0,3}[=:]\s{0,3}[\"'`\\]{0,4}(?:(?:bearer|basic|token|digest|apikey|negotiate)\s+)?"
    r"([^\s\"'`\\,;<>(){}\[\]]{6,4000})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\s{1,3}([0-9A-Za-z._~+/=\-]{16,4000})")
_WORDS = re.compile(r"[A-Za-z_]+(?:[.\-][A-Za-z_]+)*[.!?:]?|\*+|[xX]+|\.+|-+|\$[A-Z_]+|%[A-Z_]+%|\d{1,5}")
TOKEN = re.compile(r"\[[A-Z][A-Z0-9_]*_\d{1,9}\]")  # what takes the place of a value


def secrets(text: str) -> Iterator[Found]:
    """The credentials of a text; the name in front of one stays."""
    yield from _of_providers(text)
    if _BEGIN in text:
        yield from _private_keys(text)
    if "://" in text and "@" in text:
        for match in _LOGIN_IN_URL.finditer(text):
            yield _found(match.start(1), match.end(1), text)
    yield from _named(text)


def secret_of_key(key: str, text: str) -> bool:
    """Whether a whole value is a credential because of the key of the object that it stands under."""
    name = re.sub(r"[^a-z0-9]", "", key.lower())
    value = text.strip()
    if not value or TOKEN.fullmatch(value):
        return False
    if name.endswith(_STRONG_KEYS):
        return not _PLACEHOLDER.fullmatch(value)
    return name.endswith("token") and _looks_random(value)


_STRONG_KEYS: Final = (
    "password", "passwd", "passphrase", "passwort", "pwd", "clientsecret", "secretkey", "apisecret", "apikey",
    "appsecret", "accesskey", "secretaccesskey", "privatekey", "accesstoken", "refreshtoken", "authtoken",
    "bearertoken", "sessiontoken", "connectionstring", "authorization", "accountkey", "setcookie",
    "signingkey",
)  # fmt: skip
_PLACEHOLDER = re.compile(
    r"(?i)\*+|x+|\.+|-+|null|none|true|false|string|str|text|required|optional|redacted|<[^>]*>|\$?\{+[^}]*\}+"
    r"|\[redacted\]|n/?a"
)


def _of_providers(text: str) -> Iterator[Found]:
    for prefix, pattern in _OF_PROVIDER.items():
        at = text.find(prefix)
        while at >= 0:
            match = pattern.match(text, at) if not (at and _in_word(text[at - 1])) else None
            if match is not None:
                yield _found(at, match.end(), text)
            at = text.find(prefix, max(at + len(prefix), match.end() if match is not None else 0))


def _private_keys(text: str) -> Iterator[Found]:
    at, closed = 0, True
    while match := _KEY_BEGIN.search(text, at):
        finish = _FINISH.search(text, match.end()) if closed else None
        closed = finish is not None
        body = _KEY_BODY.match(text, match.end())
        at = finish.end() if finish is not None else body.end() if body is not None else match.end()
        yield _found(match.start(), at, text)


def _named(text: str) -> Iterator[Found]:
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter whose small form is two characters long
        lowered = "".join(char.lower() if char.isascii() else char for char in text)
    for names, pattern, counts in (
        (_STRONG, _VALUE, _is_credential),
        (_WEAK, _VALUE, _looks_random),
        (_HEADERS[:1], _CREDENTIALS, _is_credential),
        (_HEADERS[1:], _BEARER, _looks_random),
    ):
        for name in names:
            at = lowered.find(name)
            while at >= 0:
                match = pattern.match(text, at + len(name))
                end = at + len(name)
                if match is not None and counts(match[1]):
                    yield _found(match.start(1), end := match.end(1), text)
                at = lowered.find(name, end)


def _is_credential(value: str) -> bool:
    """Whether a value behind a strong name is more than a word, a placeholder or a small number."""
    return not _WORDS.fullmatch(value) and not TOKEN.match(value) and len(set(value)) >= 3


def _looks_random(value: str) -> bool:
    """Whether it is long, has letters and digits, and its characters are as spread as those of a random
    text.
    """
    if len(value) < 12 or TOKEN.search(value) or not value.isascii():
        return False
    some = value[:200]
    shares = [some.count(char) / len(some) for char in set(some)]
    entropy_bits = -sum(share * log2(share) for share in shares)
    mixed = any(char.isdigit() for char in some) and any(char.isalpha() for char in some)
    return mixed and entropy_bits >= 3.0


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _found(start: int, end: int, text: str) -> Found:
    return Found(start, end, KIND, text[start:end])
