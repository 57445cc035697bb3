"""Reading a slide (or a folder of ready-made tiles): its spacing, glass, tissue and grid."""
