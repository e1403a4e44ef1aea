"""The texts of a language with the words of the served market: labels, units, currency."""

from collections.abc import Mapping, Sequence

from realtor_ui.responses import Input, ModelInfo, Words
from realtor_ui.texts import FALLBACK, Texts

# What stands before an amount; other currencies are written with their code.
_SIGNS = {"USD": "$"}


class MarketTexts(Texts):
    """Texts that name the inputs of a model as its market declares them.

    inputs: the model's inputs, by name and by the key that the pipeline's history uses.
    """

    def __init__(self, texts: Texts, info: ModelInfo) -> None:
        super().__init__(texts.language, texts.entries, texts.definitions)
        self.info = info
        self.inputs: Mapping[str, Input] = {
            **{each.key: each for each in info.inputs.values()},
            **info.inputs,
        }
        self.always = {**texts.always, **self._words()}

    def _words(self) -> dict[str, str]:
        """The values of every text: currency, units of area, and what a home needs."""
        info = self.info
        currency = info.market.currency
        sign = _SIGNS.get(currency)
        words = {"money": sign or f"{currency}\N{NO-BREAK SPACE}", "currency": sign or currency}
        for name, role in (("area", "living_area"), ("land", "lot_size")):
            column = info.inputs.get(info.name_of(role) or "")
            unit = (column and column.unit) or ""
            words[name] = self.named("measure", unit)
            words[f"one_{name}"] = self.named("per", unit)
        places = [
            self.joined([_within(self.label(name)) for name in names], "unit.and")
            for names in info.market.places
        ]
        sizes = [_within(self.label(name)) for name in info.market.sizes]
        words["places"] = self.joined(places, "unit.or")
        words["sizes"] = self.joined(sizes, "unit.or")
        return words

    @property
    def rates_are_per_area(self) -> bool:
        """Whether prices per unit of area can be written: the unit has a text."""
        column = self.inputs.get(self.info.name_of("living_area") or "")
        return column is not None and f"per.{column.unit}" in self.entries

    def named(self, kind: str, name: str | None) -> str:
        """The text of `name`; an input and a feature of an added input have the market's label.

        As a reason for a price, the latitude stands for both coordinates.
        """
        if kind == "input":
            column = self.inputs.get(str(name))
            is_point = column is not None and column.role == "latitude"
            return self("why.exact_location") if is_point else self.label(str(name))
        if kind == "feature" and f"feature.{name}" not in self.entries:
            return self._feature(str(name))
        return super().named(kind, name)

    def label(self, name: str) -> str:
        """What people call the input `name`, or the name itself: "Roof age"."""
        market = self.info.market
        if name in self.inputs:
            label = self._in_language(self.inputs[name].label, name)
            return label if label != name else name.replace("_", " ").capitalize()
        if name in (market.price.name, "price"):
            return self._in_language(market.price.label, name)
        return name.replace("_", " ")

    def heading(self, name: str) -> str:
        """The label of an input with its unit: "Living area (sq ft)"."""
        unit = unit_text(self, self.inputs[name])
        if not unit or self._scale(name):
            return self.label(name)
        return f"{self.label(name)} {unit}" if unit[0] == "(" else f"{self.label(name)} ({unit})"

    def help(self, name: str) -> str | None:
        """A sentence about an input and its scale, or None if they say no more than the label."""
        column = self.inputs[name]
        words = self._in_language(column.help, "")
        if words in (name, *column.label.values()):
            words = ""
        return ": ".join(part for part in (words, self._scale(name)) if part) or None

    def _scale(self, name: str) -> str:
        """What an input's values mean, from a unit in brackets: "1 poor to 5 very good"."""
        unit = self.inputs[name].unit or ""
        is_note = unit.startswith("(") and f"measure.{unit}" not in self.entries
        return unit.strip("()") if is_note and unit_text(self, self.inputs[name]) else ""

    def choice(self, name: str, value: str) -> str:
        """A value of a category as people call it."""
        is_status = name in self.inputs and self.inputs[name].role == "status"
        return super().named("status", value) if is_status else value

    def joined(self, words: Sequence[str], last: str) -> str:
        """ "a, b or c": `words` in a row; `last` is the text that joins the last two."""
        *first, end = words or [""]
        return self.entries[last].format(first=", ".join(first), last=end) if first else end

    def _in_language(self, words: Words, otherwise: str) -> str:
        return words.get(self.language) or words.get(FALLBACK) or otherwise

    def _feature(self, name: str) -> str:
        """The text of a feature of an added input: of its value, its age, its effect on prices."""
        added = (each for each in self.inputs.values() if each.role == "input")
        # The longest key first: one may begin with another.
        for key in sorted({each.key for each in added}, key=len, reverse=True):
            kind = name.removeprefix(f"{key}_")
            if name == key:
                return self.label(key)
            if kind != name and f"added_feature.{kind}" in self.entries:
                return self(f"added_feature.{kind}", input=self.label(key))
        return super().named("feature", name)


def unit_text(texts: Texts, column: Input) -> str:
    """The unit of an input, or "" if its label says it (bedrooms) or it has none (years)."""
    unit = column.unit or ""
    if unit.strip("()").casefold() in ("", "year", column.label.get(FALLBACK, "").casefold()):
        return ""
    return texts.named("measure", unit)


def _within(label: str) -> str:
    """A label within a sentence: small, unless it is an abbreviation."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]
