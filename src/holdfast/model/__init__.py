"""Declaring: what is kept, who may do what with it, how changes meet. Record classes are read once into the plain schema of `core`.

`holdfast` itself exports what applications use of this; the modules here are for the layers above.
"""
