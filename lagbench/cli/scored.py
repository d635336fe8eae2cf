"""What ``score`` and ``report`` share: runs and tables on the command line, and what follows from them, kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lagbench.cli.follow import starting
from lagbench.cli.progress import progress
from lagbench.scoring import cache
from lagbench.scoring.cache import K
from lagbench.scoring.find import find_runs

if TYPE_CHECKING:
    from lagbench.scoring.details import Details
    from lagbench.scoring.results import Results


@dataclass
class Source:
    """Runs to be scored. Nothing is read, and nothing heavy imported, before it is asked for, and nothing twice."""

    paths: Sequence[Path]
    by: tuple[str, ...]
    replications: int
    jobs: int
    quiet: bool
    computed: bool = False
    """Whether anything had to be computed."""
    _table: Any = None
    _found: list[Path] | None = field(default=None)

    def results(self, *, fresh: bool = False) -> Results:
        """Results; from the cache where nothing changed, unless they must be ``fresh``."""
        from lagbench.scoring.results import Results

        def compute() -> Results:
            from lagbench.scoring import score

            table = self.table()
            with progress("bootstrap", self.quiet) as told:
                return score.score(table, by=self.by, replications=self.replications, jobs=self.jobs, progress=told)

        return self._kept(Results, {}, compute, fresh)

    def details(self) -> Details:
        """What figures take beyond the results; likewise."""
        from lagbench.scoring.details import Details

        def compute() -> Details:
            from lagbench.scoring import details, grid, normalize

            found = grid.read(self.table(), self.by)
            scores = normalize.Scores(found, normalize.scales(found))
            with progress("curves", self.quiet) as told:
                return details.details(scores, replications=self.replications, jobs=self.jobs, progress=told)

        return self._kept(Details, {"details": True}, compute, False)

    def table(self) -> Any:
        """The table of all runs."""
        if self._table is None:
            with starting(self.quiet):
                from lagbench.scoring import table
            parts = [table.from_file(file) for file in self._tables()]
            if directories := [path for path in self.paths if not path.is_file()]:
                with progress("reading runs", self.quiet) as told:
                    parts.append(table.collect(directories, told))
            self._table = table.concat(parts)
        return self._table

    def _tables(self) -> list[Path]:
        return [path for path in self.paths if path.is_file()]

    def _kept(self, kind: type[K], more: dict[str, Any], compute: Callable[[], K], fresh: bool) -> K:
        if self._found is None:
            directories = [path for path in self.paths if not path.is_file()]
            self._found = find_runs(directories) if directories else []
        parameters = {"by": self.by, "replications": self.replications, **more}
        name = cache.key(self._found, self._tables(), parameters)
        found = None if fresh else cache.load_as(kind, name)
        if found is None:
            self.computed = True
            found = compute()
            cache.save(name, found)
        return found
