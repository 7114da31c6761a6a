"""
A local Cloud Run and Secret Manager: the real protocol over loopback, answering from a world
file.
"""
