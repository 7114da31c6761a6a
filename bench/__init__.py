"""
How fast the program is, as ratios: each side runs in turn with the other, on the same data, in the
same minute, and nobody gets a point for a wrong answer.
"""
