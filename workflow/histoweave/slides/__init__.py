"""From a slide (or a folder of ready-made tiles) to tile coordinates."""
