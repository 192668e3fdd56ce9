"""The forms of a page, as a program reads them that knows nothing of the page."""

from __future__ import annotations

from html.parser import HTMLParser


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.buttons: list[dict[str, str]] = []
        self.fields: dict[str, list[str]] = {}
        self._area = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note a field or a button."""
        given = {name: value or "" for name, value in attributes}
        name, kind = given.get("name", ""), given.get("type", "")
        if tag == "button":
            self.buttons.append({name: given.get("value", "")} if name else {})
        elif tag == "textarea":
            self._area = name
            self.fields[name] = [""]
        elif tag == "option" and "selected" in given:
            self.fields.setdefault("language", []).append(given["value"])
        elif tag == "input" and (kind not in ("radio", "checkbox") or "checked" in given):
            self.fields.setdefault(name, []).append(given.get("value", ""))

    def handle_data(self, data: str) -> None:
        """Note the text of a field."""
        if self._area:
            self.fields[self._area][0] += data

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a field."""
        if tag == "textarea":
            self.fields[self._area] = [self.fields[self._area][0].removeprefix("\n")]
            self._area = ""


def blind_posts(page: str) -> list[dict[str, list[str] | str]]:
    """What a scanner may post: the form as it is presented, with each of its buttons."""
    forms = _Forms()
    forms.feed(page)
    return [{**forms.fields, **button} for button in forms.buttons]
