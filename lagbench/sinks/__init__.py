"""Where a run's progress is shown or logged; none of them decides anything."""
