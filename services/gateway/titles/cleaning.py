"""Make a title of what a model has answered, or find that it is none. Pure.

Models put titles in quotation marks and Markdown (https://github.com/recoupable/app/pull/1244), a label before them in
any language (https://github.com/sandsaber/Grimoire/pull/120), thoughts around them
(https://github.com/Jeffser/Alpaca/pull/522), and some answer the question instead. What cannot be meant as a title is
none: the session keeps the one that it has.
"""
# ruff: noqa: RUF001

import json
import re
import unicodedata
from collections.abc import Sequence

LONGEST = 60  # characters
TOO_LONG = 2 * LONGEST  # more than that is no title that grew a little
MOST_LINES = 3
ELLIPSIS = "…"
REPLACED = "\ufffd"  # what stands for half a character
JOINERS = "\u200c\u200d"  # without which Persian words and some emoji fall apart

_LABEL = (
    r"(?:title|titel|titre|título|titulo|titolo|tytuł|název|cím|otsikko|başlık|заголовок|название|назва|τίτλος"
    r"|标题|標題|题目|タイトル|件名|제목|عنوان|العنوان|כותרת|शीर्षक|tiêu đề|judul)"
)
_BEFORE_LABEL = (
    r"(?:(?:sure|certainly|of course|okay|ok)[,.!:]?\s+)?(?:here(?:'s|’s|\s+is)\s+)?(?:(?:a|the|your|my)\s+)?"
    r"(?:(?:short|concise|chat|conversation|session|generated|suggested|possible|descriptive)\s+)*"
)
_AFTER_LABEL = r"(?:\s+(?:for|of)\s+(?:the|this|your)\s+(?:chat|conversation|session))?"
LABEL = re.compile(
    rf"^(?:{_BEFORE_LABEL}{_LABEL}{_AFTER_LABEL}\s*[:：]|{_LABEL}\s+[-–—])\s*",
    re.IGNORECASE,
)
PREAMBLE = re.compile(r"(?:sure|certainly|of course|okay|here(?:'s|’s|\s+is|\s+are))\b", re.IGNORECASE)
REFUSAL = re.compile(
    r"(?:i(?:'|’)?\s?a?m\s+(?:really |very |so )?sorry|sorry\b|i apologi[sz]e|as an ai\b|unfortunately\b|unable to\b"
    r"|i\s+(?:can(?:'|’)?t|cannot|can not|won(?:'|’)?t|am unable|am not able)\b|i(?:'|’)m (?:unable|not able)\b"
    r"|(?:es )?tut mir leid|ich kann\b|je suis désolée?|désolée?\b|je ne peux\b|lo siento\b|no puedo\b|mi dispiace\b"
    r"|non posso\b|desculpe|sinto muito|przykro mi|przepraszam|извините|к сожалению|抱歉|对不起|很抱歉|申し訳|죄송)",
    re.IGNORECASE,
)
# Words that say no more than that there is a conversation.
NAMELESS = frozenset(
    (
        *("title", "untitled", "untitled chat", "no title", "none", "null", "n/a"),
        *("chat", "new chat", "conversation", "new conversation", "session", "new session"),
    )
)
QUOTES = {
    '"': '"', "'": "'", "`": "`", "“": "”", "„": "“”", "”": "”", "‘": "’", "‚": "‘’", "«": "»", "»": "«",
    "‹": "›", "「": "」", "『": "』", "《": "》", "【": "】", "［": "］", "＂": "＂",
}  # fmt: skip
MARKS = re.compile(r"^(?:#{1,6}|>|[-*+•]|1[.)])\s+")  # a heading's, a quotation's, a list's
EMPHASIS = re.compile(r"(?<!\w)(\*\*\*|\*\*|\*|___|__|_|~~|`)(?=\S)(.+?)(?<=\S)\1(?!\w)")
LINK = re.compile(r"!?\[([^\]]+)\]\([^)]*\)")
TAG = re.compile(r"</?[A-Za-z][\w-]*\s*/?>")
FENCE = re.compile(r"(?:```|~~~)\w*")
THOUGHT_ENDS = "</think>"  # of one whose beginning stands in the model's prompt
TRAILING = " .,;:-–—。、，；：．"


def title_of_answer(text: str) -> str | None:
    """Return the title that an answer is, in one line of at most `LONGEST` characters; None where it is none."""
    line = _line_of(text.rpartition(THOUGHT_ENDS)[2])
    title = _bare(line) if line is not None else ""
    if not any(map(str.isalnum, title)) or len(title) > TOO_LONG:
        return None
    if title.casefold() in NAMELESS or REFUSAL.match(title) or PREAMBLE.match(title):
        return None
    return _cut(title)


def _line_of(text: str) -> str | None:
    """Return the line that is to be the title, None where there are too many."""
    lines = [line for line in map(str.strip, text.splitlines()) if line and not FENCE.fullmatch(line)]
    if lines and lines[0].startswith("{"):
        return _in_json("\n".join(lines))
    if len(lines) > MOST_LINES:
        return None
    while len(lines) > 1 and _introduces(lines[0]):
        del lines[0]
    return lines[0] if lines else None


def _introduces(line: str) -> bool:
    return line.endswith((":", "：")) or PREAMBLE.match(line) is not None


def _in_json(text: str) -> str | None:
    """Read `{"title": ...}`, as others ask for it."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    title = said.get("title") if isinstance(said, dict) else None
    return " ".join(title.split()) if isinstance(title, str) else None


def _bare(line: str) -> str:
    """Take away whatever stands around a title, in whichever order it does."""
    title, before = _plain(line), None
    while title != before:
        before = title
        title = EMPHASIS.sub(r"\2", LINK.sub(r"\1", MARKS.sub("", title)))
        title = _unquoted(LABEL.sub("", title))
        title = title.strip().rstrip(TRAILING)
    return title


def _plain(line: str) -> str:
    """Leave out tags, and characters that show nothing or turn a line around."""
    kept = (each if _shows(each) else " " if each.isspace() else "" for each in TAG.sub(" ", line))
    return " ".join("".join(kept).split())


def _shows(character: str) -> bool:
    if character in JOINERS:
        return True
    return character != REPLACED and not unicodedata.category(character).startswith("C")


def _unquoted(title: str) -> str:
    """Take away marks that stand around all of it, or at its beginning alone."""
    if len(title) < 2 or title[0] not in QUOTES:
        return title
    closing, inner = QUOTES[title[0]], title[1:].rstrip(TRAILING)
    if inner and inner[-1] in closing and not _has_any(inner[:-1], title[0] + closing):
        return inner[:-1]
    return inner if not _has_any(inner, title[0] + closing) else title


def _has_any(text: str, characters: Sequence[str]) -> bool:
    return any(each in text for each in characters)


def _cut(title: str) -> str:
    """Cut one that grew a little at a word's end, where there is one."""
    if len(title) <= LONGEST:
        return title
    whole_words = title[:LONGEST].rpartition(" ")[0].rstrip(TRAILING)
    return (whole_words or title[: LONGEST - 1]) + ELLIPSIS
