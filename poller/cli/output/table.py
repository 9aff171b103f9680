"""Text tables with columns as wide as their contents, and no wider than the terminal.

In a narrow terminal, a column of sentences moves below its rows; then columns are left out, the least important first;
then the longest texts are cut. Numbers are never cut, and in a file or pipe nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

from poller.cli.output.colours import coloured
from poller.cli.output.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence

_GUTTER: Final = 2
_NARROWEST: Final = 6
"""Cells that a cut text keeps."""
_SHORT: Final = 40
"""Cells of sentences for which other columns are left out, rather than that the sentences move below."""
_HANG: Final = 4
"""Cells before a sentence below its row."""
_FIRST_ROWS: Final = 1_000
"""Rows of a stream that set the widths of its columns."""


@dataclass(slots=True)
class Table:
    """Rows under headings. `right`: headings of numbers; `spare`: headings that may be left out, in that order.

    `below`: the heading of sentences, which are below their rows where the table is wider than the terminal. `whole`:
    headings of texts that tell nothing without their end, such as times: they are cut last. `shorten`: by heading, how
    to shorten its texts; other texts lose their end. `verdicts`: headings of verdicts, coloured if `colours` is set.
    """

    headings: Sequence[str]
    right: Collection[str] = ()
    spare: Sequence[str] = ()
    below: str = ""
    whole: Collection[str] = ()
    shorten: Mapping[str, Callable[[str, int], str]] = field(default_factory=dict)
    verdicts: Collection[str] = ()
    rows: list[Sequence[str]] = field(default_factory=list)
    colours: bool = False

    def lines(self, width: int | None = None) -> Iterator[str]:
        """The lines of the table, headings first, at most `width` cells wide."""
        widths, shown = self._layout(width)
        for row in (self.headings, *self.rows):
            yield from self._row(row, widths, shown, width)

    async def stream(self, rows: AsyncIterator[Sequence[str]], width: int | None = None) -> AsyncIterator[str]:
        """The lines of a table of any length, while its rows are read; the first thousand rows set the widths.

        No rows: no line, not even headings.

        A wider text in a later row is cut where there is a `width`; else it is whole and moves the rest of its line.
        """
        layout: tuple[list[int], list[int]] | None = None
        async for row in rows:
            if layout is not None:
                for line in self._row(row, *layout, width):
                    yield line
                continue
            self.rows.append(row)
            if len(self.rows) == _FIRST_ROWS:
                layout = self._layout(width)
                for line in self.lines(width):
                    yield line
        if layout is None and self.rows:
            for line in self.lines(width):
                yield line

    def _layout(self, width: int | None) -> tuple[list[int], list[int]]:
        """The widths of all columns, and the positions of the shown ones."""
        columns = [list(column) for column in zip(self.headings, *self.rows, strict=True)]
        widths = [max(map(_cells, column)) for column in columns]
        shown = list(range(len(columns)))
        if width is not None:
            shown = self._chosen(widths, width)
            whole = list(widths)
            self._squeeze(widths, shown, width, _NARROWEST)
            # At last, leave out numbers, and cut texts as far as necessary.
            for place in reversed([place for place in shown[1:] if self.headings[place] in self.right]):
                if _total(widths, shown) > width:
                    shown.remove(place)
                    widths = list(whole)
                    self._squeeze(widths, shown, width, _NARROWEST)
            self._squeeze(widths, shown, width, 1)
            self._squeeze(widths, shown, width, 1, also=self.whole)
        return widths, shown

    def _chosen(self, widths: Sequence[int], width: int) -> list[int]:
        """The columns for this width. Long sentences rather move below their rows than columns are left out."""
        every, below = list(range(len(widths))), None
        if self.below and _total(widths, every) > width:
            below = list(self.headings).index(self.below)
            chosen = self._without_spare(every, widths, width)
            if widths[below] <= _SHORT and _total(widths, chosen) <= width:
                return chosen
        return self._without_spare([place for place in every if place != below], widths, width)

    def _without_spare(self, shown: list[int], widths: Sequence[int], width: int) -> list[int]:
        """The columns without as many of the spare ones as this width asks for."""
        left = list(shown)
        for place in map(list(self.headings).index, self.spare):
            if _total(widths, left) > width:
                left.remove(place)
        return left

    def _row(self, row: Sequence[str], widths: Sequence[int], shown: Sequence[int], width: int | None) -> Iterator[str]:
        """The line of a row, and below it the sentence that did not fit."""
        yield self._line(row, widths, shown, cut=width is not None)
        if self.below and row is not self.headings:
            place = list(self.headings).index(self.below)
            if place not in shown and row[place]:
                yield from wrap(" " * _HANG + row[place], _HANG, width)

    def _line(self, row: Sequence[str], widths: Sequence[int], shown: Sequence[int], *, cut: bool) -> str:
        """A row; `cut`: texts that are wider than their column are cut."""
        cells = []
        for place in shown:
            uncut = not cut or self.headings[place] in self.right
            cell = self._cell(row[place], place, max(widths[place], _cells(row[place])) if uncut else widths[place])
            is_verdict = self.colours and self.headings[place] in self.verdicts and row is not self.headings
            cells.append(coloured(cell, row[place]) if is_verdict else cell)
        return (" " * _GUTTER).join(cells).rstrip()

    def _squeeze(
        self, widths: list[int], shown: Sequence[int], width: int, narrowest: int, also: Collection[str] = ()
    ) -> None:
        """Repeatedly cuts the widest text until the table fits, or no text can be cut."""
        uncut = {*self.right, *self.whole} - set(also)
        texts = [place for place in shown if self.headings[place] not in uncut]
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
    """The width of a text; ASCII needs no table of widths."""
    return len(text) if text.isascii() and text.isprintable() else cell_len(text)


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[place] for place in shown) + _GUTTER * (len(shown) - 1)
