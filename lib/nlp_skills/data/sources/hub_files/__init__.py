"""What the `hub` source is made of.

repository   the Hub: commit, files, downloads; its errors as sentences
layout       which files are which subset and split: the card, or the names
features     labels by name, and columns that hold no text
"""
