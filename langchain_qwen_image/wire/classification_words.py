"""Words that say what a refusal is about, whatever its status and shape.

The words are those of the API document, Azure API Management, DashScope, and of reports on the
fronts before them (gateway-facts). Codes and texts are compared in one plain form: small letters,
words apart (`AllocationQuota.FreeTierOnly` is `allocation quota free tier only`).
"""

import re
from collections.abc import Iterable

_LONGEST = 8000
_LONGEST_TEXT = 2000
"""Characters in which words are looked for: of all texts, and of one."""
_WORD_BORDER = re.compile(
    r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\w)\.(?=\w)|[_\-\t ]+"
)
_QUOTED = re.compile(
    r"\"[^\"\n]{1,800}\"|“[^”\n]{1,800}”|「[^」\n]{1,800}」|`[^`\n]{1,800}`"
    r"|(?<!\w)'[^\n]{1,800}?(?<!\s)'(?!\w)|‘[^\n]{1,800}?’(?!\w)"
)
_QUOTES_AN_ERROR = re.compile(
    r"(?:error|message|msg|reason|detail|upstream|said|says|code|because|status)\W{0,4}\Z", re.I
)


def _any(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{one})" for one in alternatives), re.MULTILINE)


_MONEY_NOUN = r"(?:balance|credits?|coins?|funds?|wallet|quota)"
_FEW = r"(?:\w+ ){0,3}"
_FREE_IS_OVER = (
    r"free (?:allocated |trial |tier )?(?:quota|tier|trial|credits?)\b[^.\n]{0,40}"
    r"\b(?:exceeded|exhausted|over|ended|used)"
)
_FREE_QUOTA = _any(_FREE_IS_OVER)
_THROTTLING = _any(r"^throttling")
_MONEY_CODES = _any(
    r"arrearage|commodity not purchased|p(?:re|ost)paid bill overdue|free tier only",
    rf"insufficient {_FEW}{_MONEY_NOUN}|{_MONEY_NOUN} (?:exhausted|depleted)",
    rf"{_MONEY_NOUN} (?:insufficient|not enough)",
    r"card required|payment required|billing|out of credits?|no credits?",
)
_MONEY_TEXTS = _any(
    rf"insufficient {_FEW}{_MONEY_NOUN}",
    rf"{_MONEY_NOUN}\b[^.\n]{{0,40}}\b(?:insufficient|not (?:be )?(?:enough|sufficient)|too low"
    r"|exhausted|depleted|used up|r[au]n out|empty|zero|negative|expired|below)",
    rf"(?:not|n't|no|without) (?:have )?(?:enough|sufficient|any|more) {_FEW}{_MONEY_NOUN}",
    rf"(?:out of|no|run out of|low on) {_FEW}(?:credits?|funds|balance|money)\b",
    rf"out of {_FEW}quota|(?:need|requires?) {_FEW}more credits?|credits? required",
    _FREE_IS_OVER,
    rf"(?:daily|monthly|weekly|annual|spending|budget) {_FEW}(?:quota|limit|cap|budget)\b"
    r"[^.\n]{0,30}\b(?:exceed|reach|exhaust|used|hit)",
    rf"(?:exceed|reach|hit)\w* {_FEW}(?:daily|monthly|weekly|spending|current) (?:quota|limit)",
    r"\btop(?:ping)? up\b|recharge|card required|payment (?:is )?required|payment method",
    rf"(?:add|buy|purchase|deposit) {_FEW}(?:credits?|funds|balance|money)\b",
    rf"(?:add|attach|provide|update) {_FEW}(?:card|payment)|card (?:was |is )?(?:declined|expired)",
    r"\bbilling\b|\boverdue\b|arrear|unpaid|outstanding (?:bill|payment|invoice)",
    r"余额|餘額|欠费|欠費|充值|额度(?:不足|已)|免费额度|配额(?:不足|已)|账户.{0,6}不足",
)
_MONEY_IN_403 = _any(r"\b(?:wallet|credits?|balance|funds|payment|billing)\b")
_ECHOED_PROMPT = re.compile(r"\bprompt(?: \w+)? ?[:=].*")
_QUOTA = _any(r"\bquota\b|配额|额度")
_PER_TIME = _any(r"\brate\b|per (?:second|minute)|throttl|concurren|too many requests")
_STRONG_MODERATION = _any(
    r"data inspection failed|inappropriate content|green net\w* (?:check|verification)",
    r"content policy violation|不适当|不適當|不合规|不合規|违规|違規",
)
_MODERATION_CODES = _any(
    r"data inspection failed|ip infringement suspect|custom role blocked|faq rule blocked",
)
_MODERATION_LABELS = _any(
    r"content (?:policy|filter|moderation|blocked|rejected|violation|safety)|responsible ai",
    r"\bmoderation (?:blocked|failed|rejected|error)|^moderation$|safety|nsfw|flagged|sensitive",
    r"prohibited content|policy violation|unsafe content",
)
_MODERATION_TEXTS = _any(
    r"content (?:checker|filter|moderation|policy|policies|safety|guidelines)",
    r"safety (?:system|filter|checker|policy|policies|guidelines|reasons)",
    r"\bnsfw\b|(?<!account )(?<!account has been )(?<!account was )(?<!key was )\bflagged\b"
    r"(?! (?:as )?(?:a )?(?:bot|spam|suspicious|fraud|automated|abus))",
    r"(?:sexual|violent|explicit|sensitive|prohibited|unsafe|harmful|offensive|disallowed|banned"
    r"|illegal|forbidden) (?:or \w+ )?(?:content|words?|material|terms?|imagery)",
    r"violat\w+ [^.\n]{0,40}(?:usage|community|acceptable use|our) (?:policy|policies|guidelines)",
    r"(?:prompt|image|content) (?:was |is |has been |were )?(?:blocked|censored)",
    r"(?:blocked|rejected|refused|failed|stopped) (?:by|in|at|due to) (?:\w+ ){0,2}moderation",
    r"(?:pass|passed|fail|failed) (?:\w+ ){0,2}moderation|moderation (?:has |was )?"
    r"(?:blocked|failed|rejected|refused|flagged)|intellectual property|copyright",
    r"prompt (?:was |is |has been )?(?:rejected|refused|not allowed|inappropriate)",
    r"敏感|[审審][核查](?:未通[过過]|不通[过過]|失[败敗]|拒[绝絕])|涉嫌|违禁|違禁|不[当當]内容",
    r"违法|違法|不良(?:信息|内容)|色情|暴力|涉政|[风風]控|安全(?:策略|[审審][核查]|[检檢][测測查])",
    r"[内內]容(?:政策|安全|[过過][滤濾])",
)
_ABOUT_A_FIELD = _any(
    r"(?:parameter|argument|field|option)s? [\w ]{1,40} (?:is|are) (?:un\w+|invalid"
    r"|required|not (?:supported|allowed))",
    r"(?:unknown|unsupported|unexpected|invalid) (?:parameter|argument|field|option)\b",
)
_MODEL = _any(
    r"\bmodel\b[^.\n]{0,60}\b(?:not (?:be )?found|(?:not|n't) exists?|disabled"
    r"|not (?:be )?available|not enabled|unavailable|deprecated|decommissioned|retired|offline)",
    r"\bmodel\b (?:\S+ )?(?:is |was )?not (?:supported|allowed|offered)",
    r"(?:unknown|no such|unsupported|invalid|unrecognized) model\b(?! (?:parameter|input|option))",
    r"\b(?:endpoint|deployment|operation|route)\b[^.\n]{0,40}\b(?:not (?:be )?found|not exists?"
    r"|disabled|unavailable)",
    r"模型(?:不存在|未找到|已下线|不可用)",
)
_KEY = _any(
    r"(?:invalid|missing|incorrect|wrong|expired|unknown|revoked|no)(?: or \w+)? "
    r"(?:api |subscription |access )(?:key|token)",
    r"(?:api|subscription|access) (?:key|token) [^.\n]{0,30}"
    r"\b(?:invalid|missing|incorrect|wrong|expired|revoked|not valid|required|not found)",
    r"invalid or missing authentication|authentication (?:failed|required)",
)
_FIREWALL = _any(
    r"error code:? 10\d\d|error 10\d\d\b|the request is blocked|request (?:was |has been )?blocked",
    r"you have been blocked|access (?:was |has been )?blocked|blocked by|cloudflare|akamai",
    r"incapsula|imperva|web application firewall|\bwaf\b|mod ?security|firewall|sucuri|captcha",
    r"front door|attention required|just a moment|could not be satisfied|support id is",
    r"reference #?\d|edgesuite|zscaler|security (?:policy|service|check)|web filter",
)
_RATE = _any(
    r"rate (?:limit|quota)|too many requests|throttl|per (?:second|minute)|请求过于频繁|限流|限速"
)


def plain(texts: Iterable[str], prompt: str = "") -> str:
    """Return texts in the form that words are looked for in, one per line.

    Left out are the prompt, and what is in quotation marks unless it is said to be an error: a
    server echoes what it was asked for, and those words are no verdict.
    """
    bare = "\n".join(_without_echo(text, prompt) for text in texts)[:_LONGEST]
    return _WORD_BORDER.sub(" ", bare).lower()


def _without_echo(text: str, prompt: str) -> str:
    text = text[:_LONGEST_TEXT]
    start = text.find(prompt[:12]) if len(prompt) >= 12 else -1
    if start >= 0:
        end = start
        while end < len(text) and text[end : end + 1] == prompt[end - start : end - start + 1]:
            end += 1
        text = text[:start] + text[end:]
    return _QUOTED.sub(lambda found: _said(found, text), text)


def _said(found: re.Match[str], text: str) -> str:
    before = text[max(0, found.start() - 20) : found.start()]
    return found[0] if _QUOTES_AN_ERROR.search(before) else " "


def is_moderation(codes: str, texts: str, *, status: int) -> bool:
    """Say whether moderation spoke; `InvalidParameter.DataInspection` is not it (upstream).

    Behind a 5xx only what no other failure says counts: a checker that is down says its name too.
    """
    both = f"{codes}\n{texts}"
    if _MODERATION_CODES.search(codes) or _STRONG_MODERATION.search(both):
        return True
    is_said = _MODERATION_TEXTS.search(texts) or _MODERATION_LABELS.search(codes)
    is_of_this = status < 500 and status not in {401, 429} and not _ABOUT_A_FIELD.search(texts)
    return bool(is_said) and is_of_this


def is_money(codes: str, texts: str, *, status: int) -> bool:
    """Say whether credits, quota or bills are the matter.

    "Quota" alone is a rate where a 429 or a word of time says it, and money behind a 403.
    """
    if _THROTTLING.search(codes) and not _FREE_QUOTA.search(texts):
        return False
    if _MONEY_CODES.search(codes):
        return True
    said = _ECHOED_PROMPT.sub("", f"{codes}\n{texts}")
    is_quota = status != 429 and _QUOTA.search(said) and not _PER_TIME.search(said)
    is_forbidden = status == 403 and _MONEY_IN_403.search(said)
    return status < 500 and bool(is_quota or is_forbidden or _MONEY_TEXTS.search(said))


def is_missing_model(codes: str, texts: str) -> bool:
    """Say whether the gateway does not offer the model, or not now."""
    return bool(_MODEL.search(f"{codes}\n{texts}"))


def is_key_refused(codes: str, texts: str) -> bool:
    """Say whether the key is the matter."""
    return bool(_KEY.search(f"{codes}\n{texts}"))


def is_rate_limit(codes: str, texts: str) -> bool:
    """Say whether there were too many requests at this moment."""
    return bool(_RATE.search(f"{codes}\n{texts}"))


def is_firewall(page: str) -> bool:
    """Say whether a firewall or a proxy wrote it."""
    return bool(_FIREWALL.search(page))
