"""The nouns of the worker and their dtypes, a module for each stage of an alert's way.

Everything that crosses a wall between rooms is one of these frozen, slotted dataclasses of
NumPy columns. Row order is part of the contract: row *i* of a result is row *i* of its input.
Units: jd in days (UTC), ra and dec in degrees, magnitudes in mag (AB), distances in arcsec.
"""
