"""Text tables: columns side by side, as wide as what is in them, and no wider than the terminal.

Where a terminal is too narrow whole columns go, the least telling first, and then the longest texts are cut; a number
is never cut, and nothing at all where the reader is a file or a pipe.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence

_GUTTER: Final = 2
_NARROWEST: Final = 8
"""Cells a text is left with."""
_FIRST_ROWS: Final = 1_000
"""Rows of a stream that decide how wide its columns are."""


@dataclass(slots=True)
class Table:
    """Rows under headings. `right`: the headings of numbers; `spare`: those that may go, the first to go first.

    `shorten`: for the texts under a heading, how they are made to fit; others lose their end.
    """

    headings: Sequence[str]
    right: Collection[str] = ()
    spare: Sequence[str] = ()
    shorten: Mapping[str, Callable[[str, int], str]] = field(default_factory=dict)
    rows: list[Sequence[str]] = field(default_factory=list)

    def lines(self, width: int | None = None) -> Iterator[str]:
        """The table line by line, headings first, at most `width` cells wide."""
        widths, shown = self._layout(width)
        for row in (self.headings, *self.rows):
            yield self._line(row, widths, shown)

    async def stream(self, rows: AsyncIterator[Sequence[str]], width: int | None = None) -> AsyncIterator[str]:
        """The same of any number of rows while they are read; the first thousand decide the widths.

        Of what is wider later, a text is cut where there is a `width`; else it is whole and moves the rest of its line.
        """
        layout: tuple[list[int], list[int]] | None = None
        async for row in rows:
            if layout is not None:
                yield self._line(row, layout[0], layout[1], whole=width is None)
                continue
            self.rows.append(row)
            if len(self.rows) == _FIRST_ROWS:
                layout = self._layout(width)
                for line in self.lines(width):
                    yield line
        if layout is None:
            for line in self.lines(width):
                yield line

    def _layout(self, width: int | None) -> tuple[list[int], list[int]]:
        """The widths of all columns, and the places of those that are shown."""
        columns = [list(column) for column in zip(self.headings, *self.rows, strict=True)]
        widths = [max(map(_cells, column)) for column in columns]
        shown = list(range(len(columns)))
        if width is not None:
            for heading in self.spare:
                if _total(widths, shown) <= width:
                    break
                shown.remove(list(self.headings).index(heading))
            whole = list(widths)
            self._squeeze(widths, shown, width, _NARROWEST)
            # Last of all numbers go, and then nearly all of the texts.
            for place in reversed([place for place in shown[1:] if self.headings[place] in self.right]):
                if _total(widths, shown) > width:
                    shown.remove(place)
                    widths = list(whole)
                    self._squeeze(widths, shown, width, _NARROWEST)
            self._squeeze(widths, shown, width, 1)
        return widths, shown

    def _line(self, row: Sequence[str], widths: Sequence[int], shown: Sequence[int], *, whole: bool = False) -> str:
        """A row; `whole`: a text that is wider than its column is not cut, as a number never is."""
        cells = []
        for place in shown:
            uncut = whole or self.headings[place] in self.right
            cells.append(
                self._cell(row[place], place, max(widths[place], _cells(row[place])) if uncut else widths[place])
            )
        return (" " * _GUTTER).join(cells).rstrip()

    def _squeeze(self, widths: list[int], shown: Sequence[int], width: int, narrowest: int) -> None:
        """Cut the widest text, again and again, until the table fits or no text is left to be cut."""
        texts = [place for place in shown if self.headings[place] not in self.right]
        while texts and (excess := _total(widths, shown) - width) > 0:
            widest = max(texts, key=lambda place: widths[place])
            others = [widths[place] for place in texts if place != widest]
            target = max(widths[widest] - excess, min(max(others, default=0), widths[widest] - 1), narrowest)
            if target >= widths[widest]:
                return
            widths[widest] = target

    def _cell(self, text: str, place: int, width: int) -> str:
        length = _cells(text)
        if length > width:
            shorten = self.shorten.get(self.headings[place])
            if shorten is not None and text != self.headings[place]:
                return shorten(text, width)
            return set_cell_size(text, width - 1) + "…"
        blanks = " " * (width - length)
        return blanks + text if self.headings[place] in self.right else text + blanks


def _cells(text: str) -> int:
    """How wide a text is; of plain letters there is nothing to look up."""
    return len(text) if text.isascii() and text.isprintable() else cell_len(text)


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[place] for place in shown) + _GUTTER * (len(shown) - 1)
