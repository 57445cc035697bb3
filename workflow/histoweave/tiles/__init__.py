"""From a slide to its tiles."""
