"""A second simulator and a family of cohorts, to test conclusions on cohorts that no setting was tuned to.

It shares no code with `histoweave.simulate`: other tissue, another drawing of slides, another model of RNA.
`python -m benchmarks.family --help` fits models on its cohorts.
"""
