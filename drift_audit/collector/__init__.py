"""
Where snapshots come from: the live API and files. The only place that meets raw configuration.
"""
