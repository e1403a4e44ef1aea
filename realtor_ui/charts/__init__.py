"""Charts: pure functions from figures to Altair charts, in the words of a catalogue.

`dark` says what they are drawn on. None asks the network for anything.
"""
