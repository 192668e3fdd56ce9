"""What a refusal speaks of: the one classifier for replies in the dialogue and for reports (MAIL3, MAIL7, MAIL10).

`classify_refusal` is the entry. Words of our account, rate, quota, block, size, policy, name servers and temporary
failure win over the codes. Servers send `5.1.1` and `5.0.0` for all of these. A wrong HARD silences a person, so a
code that names no mailbox is HARD only with words that do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class RefusalClass(StrEnum):
    """What a refusal means for the address: only HARD counts against it."""

    HARD = "hard"
    SOFT = "soft"
    REFUSED = "refused"


class Cause(StrEnum):
    """What a refusal speaks of, in words for staff."""

    NO_MAILBOX = "no such mailbox"
    DISABLED = "mailbox disabled"
    MOVED = "recipient has moved"
    NO_DOMAIN = "no such domain"
    NO_MAIL = "domain takes no mail"
    FULL = "mailbox full"
    RATE = "rate or quota"
    NAME_SERVER = "name server"
    TEMPORARY = "temporary failure"
    LOOP = "mail loop"
    UNKNOWN = "unknown"
    ACCOUNT = "our account or quota"
    SENDER = "our sender address"
    BLOCKED = "block list or reputation"
    AUTHENTICATION = "sender authentication"
    RELAYING = "relaying"
    POLICY = "policy"
    CONTENT = "content"
    SIZE = "size"
    PROVIDER_LIST = "on the provider's suppression list"

    @property
    def refusal_class(self) -> RefusalClass:
        """The class that each cause belongs to."""
        return _CLASSES[self]


_CLASSES = {
    **dict.fromkeys(
        (Cause.NO_MAILBOX, Cause.DISABLED, Cause.MOVED, Cause.NO_DOMAIN, Cause.NO_MAIL), RefusalClass.HARD
    ),
    **dict.fromkeys(
        (Cause.FULL, Cause.RATE, Cause.NAME_SERVER, Cause.TEMPORARY, Cause.LOOP, Cause.UNKNOWN),
        RefusalClass.SOFT,
    ),
    **dict.fromkeys(
        (Cause.ACCOUNT, Cause.SENDER, Cause.BLOCKED, Cause.AUTHENTICATION, Cause.RELAYING),
        RefusalClass.REFUSED,
    ),
    **dict.fromkeys((Cause.POLICY, Cause.CONTENT, Cause.SIZE, Cause.PROVIDER_LIST), RefusalClass.REFUSED),
}

LONGEST_READ = 2_000
"""Characters of a reply or diagnostic that are read. RFC 5321 limits a reply line to 512."""

ENHANCED_CODE = re.compile(r"(?:^\W{0,2}|[#\[(])([245]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
"""An enhanced status code (RFC 3463) at the start of a reply, or after the mark that qmail and others put."""


@dataclass(frozen=True, slots=True)
class RefusalMeaning:
    """The class of a refusal and its cause."""

    refusal_class: RefusalClass
    cause: Cause


def classify_refusal(code: int | None, enhanced: str | None, text: str) -> RefusalMeaning:
    """Return what a refusal speaks of (MAIL10).

    `code` is the SMTP reply code and `enhanced` the enhanced status code, where known; `text` is the server's text or
    a report's diagnostic. A temporary refusal is never HARD. Looks at words first, then at codes. Raises nothing.
    """
    cause = _by_words(enhanced, text) or _by_codes(code, enhanced)
    kind = cause.refusal_class
    if kind is RefusalClass.HARD and is_temporary(code, enhanced):
        return RefusalMeaning(RefusalClass.SOFT, cause)
    return RefusalMeaning(kind, cause)


def cause_named(reason: str | None) -> Cause | None:
    """Return the cause that the reason of a report begins with, as in `policy (550 5.7.1)`; None for other words."""
    words = (reason or "").partition(" (")[0]
    return Cause(words) if words in set(Cause) else None


def is_temporary(code: int | None, enhanced: str | None) -> bool:
    """Whether one of the codes says "later": servers contradict themselves, and a wrong HARD silences a person."""
    return (enhanced or "").startswith("4.") or (code is not None and code < 500)


# Names of block lists stand in links, so they are looked for before the links are dropped.
_BLOCK_LISTS = re.compile(
    r"spamhaus|spamcop|\bsorbs\b|barracuda|abuseat|uceprotect|uribl|surbl|dnsbl|\brbls?\b|senderscore|cloudmark"
    r"|black[- ]?list|block[- ]?list|deny[- ]?list|/bl[/?]|\((?:bl|rbl)\)"
)
_NOISE = re.compile(
    r"https?:\s?//\S*"  # links
    r"|[^\s<>:,;()\[\]\"']*@[^\s<>,;()\"']*"  # addresses
    r"|\b(?:size|body|auth|ret|envid)=\S*"  # parameters of a quoted command
    r"|giving up on \S+|i'm not going to try again;?"  # qmail
    r"|(?:this message )?has been in the queue too long|for too long"  # qmail, sendmail
    r"|while (?:performing|sending|receiving) .*"  # the step at which a connection was lost
    r"|\b(?:[a-z0-9_-]+\.)+[a-z][a-z0-9-]+\b"  # host names, such as protection.outlook.com
)
_QUOTED_STAGE = re.compile(
    r"(?:in reply to|after|following|response was to|response to) (?:the )?(?:pipelined )?"
    r"(mail from|rcpt to|rcpt|end of data|data|helo|ehlo|initial connection|starttls)\b[^:)]{0,40}(?:command)?"
    r"|after i sent the message|did not like our \w+(?: \w+)?"
)
_BEFORE_RECIPIENT = re.compile(
    r"(?:in reply to|after) (?:pipelined )?(?:mail from|helo|ehlo|initial connection)"
    r"|but sender was rejected|but my name was rejected|refused to talk to me"
)

_WORDS: tuple[tuple[Cause, str], ...] = (
    (
        Cause.PROVIDER_LIST,
        r"amazon ses has suppressed|\bon (?:the|our|your) (?:[\w-]+ )?suppression list"
        r"|suppression list for your account"
        r"|previously bounced address|(?:recipient|address) (?:\w+ )?(?:was|is|has been) suppressed|suppresssending",
    ),
    (
        Cause.ACCOUNT,
        r"sending (?:(?:has been|is|was) )?(?:paused|disabled|suspended|blocked)"
        r"|(?:account|identity|identities|domain|sender|address|from)\b[^.;]{0,40}\b(?:is|are|was|has"
        r"|have)? ?not (?:yet )?(?:been )?(?:verified|confirmed)|failed the check in region"
        r"|verify (?:your|this) (?:\w+ )?(?:domain|e-?mail|sender|account|identity|address)|verify the domain"
        r"|your (?:\w+ ){0,3}account (?:\w+ ){0,3}(?:disabled|suspended|blocked|locked|closed|deactivated|paused"
        r"|terminated|frozen|limited|restricted|inactive|under review|expired|not active|over)"
        r"|account (?:is |has been )?(?:suspended|disabled|blocked) (?:from|for) (?:sending|outbound|billing|non)"
        r"|(?:plan|credits?|subscription|trial|package|licen[cs]e)\b[^.;]{0,25}\b(?:limit|exceeded|exhausted|expired"
        r"|reached|insufficient|depleted|used up)"
        r"|(?:insufficient|not enough|out of|no|no more|maximum) (?:\w+ )?credits?\b|billing|payment required|unpaid"
        r"|(?:daily|monthly|hourly|user)? ?(?:sending|submission|outbound) (?:\w+ )?(?:limit|quota)s?"
        r"|send ?as ?denied|permissions? to send as|bad outbound sender|outbound spam"
        r"|sender address rejected:? not (?:owned|logged)|not (?:owned by|authori[sz]ed for) user"
        r"|not (?:allowed|authori[sz]ed|permitted) to send (?:as|on behalf)|tenant|banned sender"
        r"|you can.?t send (?:any more|mail)|exceeded (?:your|the) (?:\w+ )?(?:message|mail|recipient) limit",
    ),
    (
        Cause.SIZE,
        r"(?:message|mail|content|headers?|body|data|file|attachments?|lines?|letter|size"
        r"|length)\b[^.;]{0,30}(?:too (?:large|big|long)|over the (?:size )?limit|larger than)"
        r"|(?:message|mail|line|header|body|content|fixed|maximum|attachment)\b[^.;]{0,15} (?:size"
        r"|length)\b[^.;]{0,25}exceed"
        r"|exceed\w*[^.;]{0,25}(?:maximum|message|size|length)[^.;]{0,12}(?:size|length|limit)"
        r"|too (?:large|big|long|much mail data)|(?:size|length|line) limit|max\w* (?:message |mail )?size|sizelimit",
    ),
    (
        Cause.RATE,
        r"at a rate|\brates?\b|rate[- ]?limit|throttl|frequency|concurren|simultaneous"
        r"|too many (?!hops|errors|received|unwanted)(?:\w+ ){0,3}(?:connections?|sessions?|messages|mails?"
        r"|e-?mails?|recipients|requests|this|in|per|attempts)|(?:sent|receiving|received|send) too (?:many|much)"
        r"|sent to too many|too (?:much|many) mail(?: from| per|s per)"
        r"|(?:this|per|an|each|the last) (?:hour|minute|day)\b"
        r"|\b(?:hourly|daily|relay|message|mail|recipient|smtp|sending) (?:\w+ )?quota"
        r"|\b(?:hourly|daily) (?:\w+ )?limit|limit (?:\w+ )?(?:reached|exceeded)(?! set)|connection (?:limit|count)"
        r"|too (?:fast|quickly|frequent)|max(?:imum)?\.? (?:number of )?connections",
    ),
    (
        Cause.FULL,
        r"over[- ]?quota|over (?:its |the |their |his )?(?:\w+ )?(?:quota|disk quota|storage)|disk quota"
        r"|storage quota|(?:quota|storage)\b[^.;]{0,30}(?:exceed|full|violat|reached)"
        r"|exceed\w*[^.;]{0,30}(?:quota|storage)"
        r"|(?:mailbox|inbox|mailfolder|folder|account|maildir|mail ?drop|box|buz[oó]n|correo|casilla|bo[iî]te"
        r"|postfach|posta)\b[^.;]{0,25}\b(?:is |est[aá] )?(?:full|lleno|llena|pleine|voll|piena|cheia)\b|\blleno\b"
        r"|(?:out of|insufficient|not enough) (?:mail(?:box)? )?storage|not enough disk space|shutoffquota"
        r"|mailbox exceed\w*|exceed\w*[^.;]{0,20}(?:local limit|allowed size|mailbox)|\bquota\b|mailboxfull"
        r"|storage allocation|no space left for (?:the )?user",
    ),
    (Cause.CONTENT, r"(?:as|is|like|be|considered) (?:spam|junk|a virus)"),
    (
        Cause.AUTHENTICATION,
        r"\bspf\b|dkim|dmarc|sender ?id|authenti|purported responsible|unauthenticated|authorized to use",
    ),
    (
        Cause.BLOCKED,
        r"reputation|\bbann?ed\b|\bban\b|client (?:host|\[[^\]]*\]) (?:\[[^\]]*\] )?(?:rejected|blocked)"
        r"|(?<!not )listed (?:at|in|by|on)|\bptr\b|reverse dns|\br-?dns\b|reverse (?:host|name|lookup)|fcrdns|helo"
        r"|ehlo|invalid domain name|name lookup failed|(?:sending|client|source|your|an?|the|this) ip\b"
        r"|\bip (?:name|=)|\bip address\b.{0,20}\b(?:block|black|list|sending|lookup|not)|\bip=|open relay"
        r"|mail exchanger\b.{0,3}554|may not be mail exchanger|abuse\b|complaints|unwanted|unverifyable sending"
        r"|suspicious|client ip|from servers without"
        r"|(?<!account is )(?<!account has been )(?<!mailbox is )\bblock(?:ed|ing)?\b(?! by the user)|\baup\b"
        r"|proofpoint|host network|untrusted|invalid ip\b|adresse ip|remove\w* from this list"
        r"|mail server .{0,30} (?:refused|denied)",
    ),
    (
        Cause.CONTENT,
        r"spam|\bjunk|unsolicited|\bube\b|\bbulk\b|virus|infected|malware|phish|trojan|worm\b|content|attachment"
        r"|(?:message|mail|e-?mail) (?:\w+ )?filter|filtered|banned file|malformed message|bare (?:lf|cr)"
        r"|duplicate\w* header|header error|media error|8-?bit|rfc ?5?[28]22 compliant|in from: header"
        r"|multiple (?:addresses|subject)|invalid from|from: domain|valid from:|potential security",
    ),
    (
        Cause.RELAYING,
        r"relay(?:ing)?\b(?! recipient)[^.;]{0,30}(?:denied|not|prohib|refus|disabled|unable)"
        r"|(?:unable|not permitted|not allowed|cannot|not configured|won.?t|don.?t|no|insecure)\b[^.;]{0,15} relay"
        r"|relay(?:ing)? (?:access|mail|is)|not in my list of|rcpthosts",
    ),
    (
        Cause.SENDER,
        r"(?:sender|mail ?from|mailfrom|return.?path|envelope from|from address|originator)\b[^.;]{0,30}(?:reject"
        r"|denied|refus|verif|invalid|unknown|not (?:exist|found|accept|allow|permit)|illegal|bad|blocked|failed"
        r"|does not|mismatch)"
        r"|(?:invalid|bad|illegal|unknown|forged|malformed|missing|unroutable|unresolvable|no such) (?:sender"
        r"|mail from|return.?path|from\b)|domain of sender|sender.?s domain|sender domain|valid sender",
    ),
    (
        Cause.POLICY,
        r"polic(?:y|ies)|prohibit|not (?:allowed|permitted|authori[sz]ed|accepted for)|unauthori[sz]ed|permission"
        r"|access denied|no access|forbidden|administrative(?:ly)? (?:prohib|denied|block)|protocol violation"
        r"|restrict|security (?:polic|issue|reason|violation|check|settings|risk)|delivery not auth"
        r"|only (?:accepts?|from)|due to recipient preferences|denied|smtp server of your isp|moderat|not a member",
    ),
    (
        Cause.NO_MAIL,
        r"null ?mx"
        r"|(?:does ?n.?t|does not|not) (?:accept|receive|handle)(?:ing)? (?:any )?(?:e-?mail|mail"
        r"|messages)\b(?! from| for| via)|takes no mail|no smtp service|no mx\b|mail exchanger or ip"
        r"|no (?:relevant|mail) (?:answers|exchanger)|system not accepting",
    ),
    (
        Cause.NAME_SERVER,
        r"dns (?:error|failure|timeout|problem|temp)|name ?server (?:\w+ )?(?:reply|fail|error|timed|not respond)"
        r"|(?:malformed|unexpected)[^.;]{0,15} name server|servfail|server failure|query refused"
        r"|host name lookup failure|(?:not found|lookup),? try again|unable to (?:resolve|look ?up)"
        r"|dns lookup (?:timed|temp)",
    ),
    (
        Cause.LOOP,
        r"hop count|too many (?:hops|received)|\bloops?\b|looping",
    ),
    (
        Cause.TEMPORARY,
        r"temporar|tempfail|try (?:again )?(?:it )?later|try later|again later|later try|gr[ae]y-?list|deferr"
        r"|timed? ?-?out|time-?out|expired|internal (?:\w+ )?error"
        r"|(?:system|server|operating system|software|local|mailer|backend|upstream|i/o|disk|write|database"
        r"|configuration) error|resources|disk space|disk full|system full|queue (?:file|too)|ldap|lock failure"
        r"|error while writing|network error|network unreach"
        r"|connection (?:\w+ )?(?:refused|reset|lost|closed|dropped|failed)|connect to\b|lost connection"
        r"|unable to (?:be )?connect|service (?:\w+ )?(?:unavailable|not available|refus)|currently unavailable"
        r"|server (?:\w+ )?(?:unavailable|busy|down)|not reachable|unreachable|no route|maintenance|overload|load too"
        r"|\bbusy\b|retr(?:y|ies)|giving up|too old|been failing|in the queue|not (?:be )?delivered (?:for|within|in)"
        r"|unable to deliver this message after|for the last \d+|did not accept our|does not respond|not respond"
        r"|shut(?:ting)? down|locked|frozen|on hold|no answer|establish an smtp connection",
    ),
    (
        Cause.NO_DOMAIN,
        r"(?:host|domain)(?: or domain)?(?:[ /]\w+)? (?:name )?(?:not found|unknown|is invalid|invalid"
        r"|does not exist|doesn.?t exist|is unknown)"
        r"|(?:unknown|no such|invalid|illegal|nonexistent|non-existent|bad destination) (?:mail )?(?:host|domain"
        r"|system)|illegal host/domain|nxdomain|unrout(?:e)?able|find any host|bad destination system"
        r"|host .{0,60}not found|domain is not",
    ),
    (
        Cause.MOVED,
        r"has moved|moved to|no longer (?:with|at|here|works?|working|employed|on|in|a |part)"
        r"|not our (?:customer|user)|left the (?:company|organi)|has changed (?:address|e-?mail)"
        r"|new (?:e-?mail )?address|not local|another owner|destination mailbox (?:address )?(?:has )?moved"
        r"|ya no trabaja",
    ),
    (
        Cause.NO_MAILBOX,
        r"(?:user|recipient|mailbox|account|address|alias|addressee|local ?part|userid|destinatario"
        r"|usuario)e?s?\b[^.;]{0,40}\b(?:unknown|not (?:be )?found|couldn.?t be found|(?:does|do"
        r"|did) ?n.?o?.?t exist|not exist|does not have|doesn.?t have|not known|not (?:a )?valid|not recogni[sz]ed"
        r"|invalid|non-?existent|unavailable|not (?:listed|available|registered|local)|no longer|never|desconocido"
        r"|no existe|inexistente|inconnue?|invalide|unbekannt|not accepted here|disallowed)"
        r"|(?:unknown|invalid|no such|bad|nonexistent|non-existent|no valid|incorrect|illegal"
        r"|undeliverable) (?:\w+ )?(?:\w+ )?(?:user|recipient|mailbox|account|address|alias|person|local.?part"
        r"|destination mailbox|addressee)e?s?(?:id)?\b"
        r"|no (?:mailbox|account|user|one|recipient)s?\b[^.;]{0,15}(?:here|by that|with that|called|named|such)"
        r"|(?:recip|recipient)not ?found|not listed in|unknown or illegal|address(?:es)? rejected\W*$|(?:^|\W)who\?"
        r"|destinatario (?:desconocido|inexistente)|buz[oó]n (?:no existe|inexistente|desconocido)|no existe"
        r"|usuario desconocido|cuenta (?:no existe|inexistente)|destinataire in\w+|^\W*unknown\W*$|not a registered"
        r"|does ?n.?o?.?t exist|nobody (?:here )?(?:by|with|called)|name & address book"
        r"|^\W*(?:disallowed|rejected) user",
    ),
    (
        Cause.DISABLED,
        r"(?:user|recipient|mailbox|account|address)(?:'s|\(s\))?\b[^.;]{0,40}\b(?:disabled|inactive|discontinued"
        r"|closed|deactivated|deleted|suspended|terminated|cancel?led|removed|blocked|not active)"
        r"|(?:disabled|inactive|deactivated|suspended|closed|expired) (?:\w+ )?(?:user|recipient|mailbox|account"
        r"|address|e-?mail)",
    ),
    (
        Cause.POLICY,
        r"(?:message|mail) (?:was |has been )?(?:rejected|refused|not accepted)|^\W*(?:rejected|refused)\W*$",
    ),
)
_PATTERNS = tuple((cause, re.compile(pattern)) for cause, pattern in _WORDS)

# A mailbox that is locked for a while, or blocked as such: words that also speak of policy would win over these.
_RECIPIENT_DISABLED = re.compile(
    r"(?:recipient|destinatario|user(?:'s)?) account is blocked"
    r"|account (?:that you tried to reach )?is (?:disabled|inactive)|disabled recipient"
)
_ACCOUNT_CODES = {
    *("5.1.8", "5.1.90", "5.2.252", "5.7.60", "5.7.64", "5.7.232", "5.7.233"),
    *("5.7.501", "5.7.502", "5.7.503", "5.7.511", "5.7.705", "5.7.708", "5.7.750"),
}
"""Codes by which Microsoft 365 refuses our own account, tenant or sender."""

_SENDER_CODES = {"5.1.7", "5.1.8", "5.1.9"}

_BY_ENHANCED = {
    **dict.fromkeys(("1.1", "1.3", "1.4", "1.351", "7.17"), Cause.NO_MAILBOX),
    **dict.fromkeys(("1.2", "4.4", "7.18", "4.310"), Cause.NO_DOMAIN),
    **dict.fromkeys(("2.1", "7.13"), Cause.DISABLED),
    **dict.fromkeys(("1.10", "7.27"), Cause.NO_MAIL),
    **dict.fromkeys(("1.7", "1.9"), Cause.SENDER),
    **dict.fromkeys(("2.3", "3.4"), Cause.SIZE),
    **dict.fromkeys(("7.8", "7.9", "7.26", "7.23", "7.24", "7.20", "7.21", "7.22"), Cause.AUTHENTICATION),
    **dict.fromkeys(("7.25", "7.606"), Cause.BLOCKED),
    **dict.fromkeys(("2.121", "7.28"), Cause.RATE),
    **dict.fromkeys(("4.6", "4.14"), Cause.LOOP),
    "1.6": Cause.MOVED,
    "2.2": Cause.FULL,
    "4.3": Cause.NAME_SERVER,
}
_BY_SUBJECT = {"3": Cause.TEMPORARY, "4": Cause.TEMPORARY, "6": Cause.CONTENT, "7": Cause.POLICY}


def _by_words(enhanced: str | None, text: str) -> Cause | None:
    raw = text[:LONGEST_READ].lower()
    if enhanced in _ACCOUNT_CODES:
        return Cause.ACCOUNT
    if enhanced == "5.4.1" and re.search(r"recipient address(?:es)? rejected", raw):
        # Exchange Online says "Access denied" of a recipient that its directory does not have.
        return Cause.NO_MAILBOX
    if _BLOCK_LISTS.search(raw):
        return Cause.BLOCKED
    if "groups.google.com/support" in raw:
        # Google Groups refuses in the language of the sender's account; the link to its help is what stays.
        return Cause.POLICY
    words = " ".join(_NOISE.sub(" ", raw).split())
    before_recipient = _BEFORE_RECIPIENT.search(words)
    words = _QUOTED_STAGE.sub(" ", words)
    if _RECIPIENT_DISABLED.search(words):
        return Cause.DISABLED
    cause = next((cause for cause, pattern in _PATTERNS if pattern.search(words)), None)
    if before_recipient and (cause is None or cause.refusal_class is RefusalClass.HARD):
        # The server had not heard of the recipient by then.
        return Cause.SENDER
    if enhanced in _SENDER_CODES and cause is not None and cause.refusal_class is RefusalClass.HARD:
        return Cause.SENDER
    if cause is None and enhanced == "5.1.3" and "//" in raw:
        return Cause.BLOCKED
    return cause


def _by_codes(code: int | None, enhanced: str | None) -> Cause:
    if enhanced:
        _, _, detail = enhanced.partition(".")
        if detail in _BY_ENHANCED:
            return _BY_ENHANCED[detail]
        if enhanced.startswith("4."):
            return Cause.TEMPORARY
        return _BY_SUBJECT.get(detail.partition(".")[0], Cause.UNKNOWN)
    if code == 552:
        return Cause.FULL
    if code == 556:
        return Cause.NO_MAIL
    return Cause.TEMPORARY if code is not None and code < 500 else Cause.UNKNOWN


def normalized_answer(text: str) -> str:
    """Return an answer without what differs from message to message: addresses, links, hosts, numbers and ids."""
    words = _NOISE.sub(" ", text[:LONGEST_READ].lower())
    words = re.sub(r"\S*\d\S*", " ", words)
    return " ".join(re.findall(r"[^\W_]+", words))
