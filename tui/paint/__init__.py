"""From models to lines of segments: no widgets, no state, so that any of it can be tested alone."""
